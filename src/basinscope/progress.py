"""Progress lines and estimates of the time left, for the library and the command line."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator

Watcher = bool | Callable[[float], None] | None
"""Whether progress is shown; or a function that is called with the finished share, from 0 to 1."""
SHOWN_AFTER, LINE_SECONDS, BAR_SECONDS = 2.0, 10.0, 0.2


class TimeLeft:
    """Estimates the time left from the work done since its creation.

    Args:
        in_seconds: Whether work is measured in expected seconds, which give the first estimates.
    """

    def __init__(self, *, in_seconds: bool = True) -> None:
        self._in_seconds = in_seconds
        self._began = time.monotonic()
        self._first: float | None = None

    def __call__(self, done: float, total: float) -> float | None:
        """Seconds left; None if there is no estimate yet."""
        if self._first is None:
            self._first = done
        gained = done - self._first
        if gained > 0.01 * total:
            return (total - done) * (time.monotonic() - self._began) / gained
        return total - done if self._in_seconds else None


def spoken(seconds: float) -> str:
    """Format a duration: `2 min 05 s`."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


@contextlib.contextmanager
def watched(name: str, progress: Watcher) -> Iterator[Callable[[float], None]]:
    """Open a progress display; yields the function to call with the finished share.

    Args:
        name: Name of the computation.
        progress: A function is used as the display; False shows nothing; True or None prints to stderr. On a terminal,
            a line appears after two seconds, is updated in place and erased at the end. Elsewhere, as in notebooks and
            logs, a new line is printed every ten seconds; if there was one, the last says `100 % done`, unless the
            computation raises an error.
    """
    if callable(progress):
        yield progress
        return
    if progress is False:
        yield lambda _: None
        return
    terminal, began = sys.stderr.isatty(), time.monotonic()
    latest = began + SHOWN_AFTER - BAR_SECONDS if terminal else began
    shown = complete = False

    def tell(share: float) -> None:
        nonlocal latest, shown
        now = time.monotonic()
        if now - latest < (BAR_SECONDS if terminal else LINE_SECONDS) or share >= 1:
            return
        latest, shown = now, True
        left = spoken((now - began) * (1 - share) / share) if share > 0 else "?"
        line = f"{name}: {100 * share:.0f} % done, about {left} left"
        sys.stderr.write(f"\r\x1b[K{line}" if terminal else f"{line}\n")
        sys.stderr.flush()

    try:
        yield tell
        complete = True
    finally:
        if shown and (terminal or complete):
            done = f"{name}: 100 % done in {spoken(time.monotonic() - began)}\n"
            sys.stderr.write("\r\x1b[K" if terminal else done)
            sys.stderr.flush()
