import inspect
import os
import subprocess
import sys
from pathlib import Path

import pytest

import basinscope as bs

GALLERY = Path(__file__).parent.parent / "docs" / "gallery"
SCRIPTS = sorted(GALLERY.glob("[0-9]*.py"))
NEEDS = {"08_train_and_test": "metrics"}
"""Scripts by the argument of `Objective` without which they cannot run."""


def test_the_gallery_is_there_and_short() -> None:
    assert len(SCRIPTS) >= 8
    for script in [*SCRIPTS, GALLERY / "digits.py"]:
        assert len([line for line in script.read_text(encoding="utf-8").splitlines() if line.strip()]) <= 25


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_a_script_of_the_gallery_draws_what_it_says(script: Path, tmp_path: Path) -> None:
    if script.stem in NEEDS and NEEDS[script.stem] not in inspect.signature(bs.Objective).parameters:
        pytest.skip(f"this version of Objective does not take {NEEDS[script.stem]}")
    done = subprocess.run(
        [sys.executable, "-W", "error::UserWarning", str(script)],
        cwd=tmp_path,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    drawn = list(tmp_path.glob("*.png"))
    assert drawn
    assert all(f'"{path.name}"' in script.read_text(encoding="utf-8") for path in drawn)
