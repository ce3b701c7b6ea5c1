"""A task that measures one thing after another keeps what it has, so that an interruption costs seconds."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import xarray as xr

from basinscope.runs.engine import Context
from basinscope.runs.store import RunFolder

KEEPING_SECONDS = 15.0


def in_parts(
    context: Context, keys: Sequence[str], measure: Callable[[str], Sequence[xr.Dataset]]
) -> list[list[xr.Dataset]]:
    """Measure item by item, and show the share done.

    What is measured is kept every 15 seconds; a task that starts again takes it up. Kept parts vanish when the task
    is finished.

    Args:
        context: Of the task at work.
        keys: Name of each item.
        measure: Measures one item; its results depend on the key and the run's configuration alone.

    Returns:
        The results of each item, in order.
    """
    kept = context.folder.parts(context.task)
    found: dict[str, list[xr.Dataset]] = {}
    waiting: list[str] = []
    last = time.monotonic()
    for key in keys:
        if kept.repair(key):
            found[key] = _take(kept, key)
        else:
            found[key] = list(measure(key))
            waiting.append(key)
        if time.monotonic() - last > KEEPING_SECONDS:
            for name in waiting:
                kept.finish(name, {f"{name}-{k}": part for k, part in enumerate(found[name])})
            waiting.clear()
            last = time.monotonic()
        context.progress(len(found) / len(keys))
    return list(found.values())


def _take(kept: RunFolder, key: str) -> list[xr.Dataset]:
    num = len((kept.marker(key) or {})["files"])
    return [kept.dataset(f"{key}-{k}") for k in range(num)]
