"""Checkpoints partial results of tasks that measure items one by one."""

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
    """Measure item by item, and report progress.

    Results are saved every 15 seconds and reused by a restarted task; they are deleted when the task finishes.

    Args:
        context: Context of the running task.
        keys: Name of each item.
        measure: Measures one item; its results depend on the key and the run's configuration alone.

    Returns:
        The results of each item, in order.
    """
    saved = context.folder.parts(context.task)
    results: dict[str, list[xr.Dataset]] = {}
    unsaved: list[str] = []
    last = time.monotonic()
    for key in keys:
        if saved.repair(key):
            results[key] = _load(saved, key)
        else:
            results[key] = list(measure(key))
            unsaved.append(key)
        if time.monotonic() - last > KEEPING_SECONDS:
            for name in unsaved:
                saved.finish(name, {f"{name}-{k}": part for k, part in enumerate(results[name])})
            unsaved.clear()
            last = time.monotonic()
        context.progress(len(results) / len(keys))
    return list(results.values())


def _load(saved: RunFolder, key: str) -> list[xr.Dataset]:
    num = len((saved.marker(key) or {})["files"])
    return [saved.dataset(f"{key}-{k}") for k in range(num)]
