"""Progress of long runs: a bar on a terminal, elsewhere a line every ten seconds."""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from basinscope.progress import LINE_SECONDS, TimeLeft, spoken
from basinscope.runs.engine import Progress

if TYPE_CHECKING:
    from collections.abc import Iterator


class Lines:
    """Prints a progress line every ten seconds."""

    def __init__(self, name: str, *, in_seconds: bool = True) -> None:
        self._name, self._last, self._left = name, -LINE_SECONDS, TimeLeft(in_seconds=in_seconds)

    def update(self, task: str, done: float, total: float) -> None:
        """See `runs.engine.Progress`."""
        left = self._left(done, total)
        now = time.monotonic()
        if now - self._last >= LINE_SECONDS and done < total:
            self._last = now
            print(
                f"{self._name}: {task}, {100 * done / total:.0f} % done{_remaining(left)}", file=sys.stderr, flush=True
            )


def _remaining(left: float | None) -> str:
    return "" if left is None else f", about {spoken(left)} left"


@contextmanager
def progress_bar(name: str, *, in_seconds: bool = True) -> Iterator[Progress]:
    """Show the progress of a run while the context is open.

    Args:
        name: Name of the run.
        in_seconds: See `TimeLeft`.
    """
    if not sys.stderr.isatty():
        yield Lines(name, in_seconds=in_seconds)
        return
    from rich.console import Console
    from rich.progress import BarColumn, TaskProgressColumn, TextColumn
    from rich.progress import Progress as Bar

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[left]}"),
    )
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        row = bar.add_task(name, total=1.0, left="")
        left = TimeLeft(in_seconds=in_seconds)

        class Shown:
            def update(self, task: str, done: float, total: float) -> None:
                text = _remaining(left(done, total)).removeprefix(", ")
                bar.update(row, completed=done, total=total, description=f"{name}: {task}", left=text)

        yield Shown()
