"""How a long run is shown: a bar on a terminal, a line every ten seconds elsewhere."""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from basinscope.runs.engine import Progress

if TYPE_CHECKING:
    from collections.abc import Iterator

LINE_SECONDS = 10.0


class TimeLeft:
    """Estimates the time left from the work done since it was made."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._first: float | None = None

    def __call__(self, done: float, total: float) -> float:
        """Seconds left; before anything was done, the work itself, which is counted in expected seconds."""
        if self._first is None:
            self._first = done
        gained = done - self._first
        rate = (time.monotonic() - self._began) / gained if gained > 0.01 * total else 1.0
        return (total - done) * rate


def spoken(seconds: float) -> str:
    """Say a duration: `2 min 05 s`."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


class Lines:
    """One line every ten seconds."""

    def __init__(self, name: str) -> None:
        self._name, self._last, self._left = name, -LINE_SECONDS, TimeLeft()

    def update(self, task: str, done: float, total: float) -> None:
        """See `runs.engine.Progress`."""
        left = self._left(done, total)
        now = time.monotonic()
        if now - self._last >= LINE_SECONDS and done < total:
            self._last = now
            line = f"{self._name}: {task}, {100 * done / total:.0f} % done, about {spoken(left)} left"
            print(line, file=sys.stderr, flush=True)


@contextmanager
def shown(name: str) -> Iterator[Progress]:
    """Show the progress of a run while the context is open."""
    if not sys.stderr.isatty():
        yield Lines(name)
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
        left = TimeLeft()

        class Shown:
            def update(self, task: str, done: float, total: float) -> None:
                words = f"about {spoken(left(done, total))} left"
                bar.update(row, completed=done, total=total, description=f"{name}: {task}", left=words)

        yield Shown()
