import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from basinscope.results.convert import dataset
from basinscope.runs.store import RunFolder

COMMAND = [sys.executable, str(Path(__file__).parent.parent / "benchmarks" / "same_arrays.py")]
LOGITS = np.array([[0.0, 1.0, np.nan], [3.0, -4.0, np.inf]])


def _write(
    out: Path, name: str = "image_minima", *, logit: np.ndarray = LOGITS, weight: float = 1.0, more: str = ""
) -> Path:
    folder = RunFolder.create(out, name, {"seed": 0}, "source")
    folder.write_json("provenance.json", {})
    plane = dataset("boundary", {"x": np.arange(3.0), "y": np.arange(2.0), "logit": logit})
    folder.finish("t", {"plane": plane, "net": {"w": torch.tensor([weight, 2.0], dtype=torch.bfloat16)}})
    if more:
        folder.finish("more", {more: plane})
    return out


def _compare(before: Path, after: Path) -> tuple[int, list[str]]:
    done = subprocess.run([*COMMAND, str(before), str(after)], capture_output=True, text=True, check=False)
    assert not done.stderr
    return done.returncode, done.stdout.splitlines()


def test_the_same_arrays_under_an_old_name_are_the_same(tmp_path: Path) -> None:
    before, after = _write(tmp_path / "before", "svhn"), _write(tmp_path / "after")
    assert _compare(before, after) == (0, ["4 arrays of 1 runs compared, differences: 0"])


ROUNDED = LOGITS * np.array([1, 1 + 2**-50, 1])


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"logit": ROUNDED}, "plane: logit: 2 of 6 values differ, by up to 8.9e-16"),
        ({"logit": np.where(LOGITS == 0, -0.0, LOGITS)}, "plane: logit: 1 of 6 values differ"),
        ({"logit": LOGITS.astype(np.float32)}, "plane: logit: float64 (2, 3) before, float32 (2, 3) after"),
        ({"weight": 1.5}, "image_minima: weights/net: w: 1 of 2 values differ"),
        ({"more": "other"}, "image_minima: results/other: new"),
        ({"name": "rings"}, "run image_minima: missing"),
    ],
)
def test_what_differs_is_named(tmp_path: Path, change: dict[str, Any], says: str) -> None:
    code, lines = _compare(_write(tmp_path / "before"), _write(tmp_path / "after", **change))
    assert code == 1
    assert any(says in line for line in lines[:-1]), lines
