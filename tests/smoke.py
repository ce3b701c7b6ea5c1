"""One undisturbed run of every smoke preset, shared by the tests that look at finished runs."""

import ast
from functools import cache
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def smoke(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An output folder in which the smoke preset of every experiment has run undisturbed."""
    from basinscope.cli import main

    out = tmp_path_factory.mktemp("smoke") / "out with spaces é"
    assert main(["run", "all", "--preset", "smoke", "--out", str(out)]) == 0
    return out


@cache
def takers(path: str) -> frozenset[str]:
    """Functions of a test file that take the run, directly or by way of the file's own fixtures."""
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    takes = {node.name: {arg.arg for arg in node.args.args} for node in tree.body if isinstance(node, ast.FunctionDef)}
    known = {"smoke"}
    while more := {name for name, arguments in takes.items() if arguments & known} - known:
        known |= more
    return frozenset(known)


def shared(nodeid: str) -> str:
    """What a test shares with others: the run, or else what its own file sets up."""
    path, _, name = nodeid.partition("::")
    return "smoke" if name.split("[")[0] in takers(path) else path


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Keep the tests that share something on one worker, so that it is made once."""
    from xdist.scheduler.loadscope import LoadScopeScheduling

    class BySharing(LoadScopeScheduling):
        """The largest groups go first, so that none is left over for one worker at the end."""

        def _split_scope(self, nodeid: str) -> str:
            return shared(nodeid)

    return BySharing(config, log)
