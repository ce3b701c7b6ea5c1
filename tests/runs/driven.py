"""What the tests of the engines that hand tasks out share."""

from __future__ import annotations

from pathlib import Path

from basinscope.runs.handing_out import Request
from basinscope.runs.store import RunFolder

ROOT = Path(__file__).parents[2]


class Seen:
    """Progress that was shown."""

    def __init__(self) -> None:
        self.shares: list[float] = []
        self.tasks: list[str] = []

    def update(self, task: str, done: float, total: float) -> None:
        """See `Progress`."""
        self.tasks.append(task)
        self.shares.append(done / total)


def request_for(tmp_path: Path, name: str = "diamond", **config: object) -> Request:
    """Ask for one of `tasks_for_workers`."""
    return Request(
        experiment=name,
        config={"scratch": str(tmp_path), **config},
        rebuild="tests.runs.tasks_for_workers:tasks_of",
        device="cpu",
        threads=1,
    )


def folder_in(tmp_path: Path, name: str = "handed") -> RunFolder:
    """Make a run's folder."""
    return RunFolder.create(tmp_path, name, {}, "s")


def notes_in(tmp_path: Path) -> list[str]:
    """What happened in the workers."""
    return (tmp_path / "notes").read_text().splitlines()
