"""The table of faults and what becomes of them, written by the tests that bring them about."""

from collections.abc import Callable
from pathlib import Path

import pytest

_ROWS: dict[tuple[str, str], str] = {}


@pytest.fixture
def outcome() -> Callable[[str, str, str], None]:
    """Note what a fault led to; a test does so last, when it has seen it."""

    def note(fault: str, where: str, what: str) -> None:
        _ROWS[fault, where] = what

    return note


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    target = session.config.getoption("--write-faults")
    if target and exitstatus == 0:
        head = "| fault | where | outcome |\n|---|---|---|\n"
        rows = (f"| {fault} | {where} | {what} |\n" for (fault, where), what in sorted(_ROWS.items()))
        path = Path(target)
        before = path.read_text(encoding="utf-8").split("| fault |")[0] if path.exists() else ""
        path.write_text(before + head + "".join(rows), encoding="utf-8")
