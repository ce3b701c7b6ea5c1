"""One undisturbed run of the smoke preset, shared by the tests that look at a finished run."""

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def smoke(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An output folder in which the swiss roll's smoke preset has run undisturbed."""
    from basinscope.cli import main

    out = tmp_path_factory.mktemp("smoke") / "out with spaces é"
    assert main(["run", "swissroll", "--preset", "smoke", "--out", str(out)]) == 0
    return out
