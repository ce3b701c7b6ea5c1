"""One undisturbed run of every smoke preset, shared by the tests that look at finished runs."""

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def smoke(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An output folder in which the smoke preset of every experiment has run undisturbed."""
    from basinscope.cli import main

    out = tmp_path_factory.mktemp("smoke") / "out with spaces é"
    assert main(["run", "all", "--preset", "smoke", "--out", str(out)]) == 0
    return out
