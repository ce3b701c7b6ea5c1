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


@pytest.hookimpl(tryfirst=True)  # before groups are read
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep the tests of a file, and all that share the run, on one worker, so that what they share is made once."""
    for item in items:
        shared = "smoke" in getattr(item, "fixturenames", ())
        item.add_marker(pytest.mark.xdist_group("smoke" if shared else item.path.as_posix()))
