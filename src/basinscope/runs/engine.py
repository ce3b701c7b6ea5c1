"""Does the tasks of a run that are not done yet."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch

from basinscope.runs.provenance import forget_peak_memory, peak_memory_mib
from basinscope.runs.store import Artifact, RunFolder


class Progress(Protocol):
    """Where the state of a run is shown."""

    def update(self, task: str, done: float, total: float) -> None:
        """Show which task is at work and how much of all work is done, in the same unit as the total."""
        ...


@dataclass(frozen=True)
class Context:
    """What a task may use."""

    folder: RunFolder
    task: str
    """Name of the task at work."""
    device: torch.device
    reproducible: bool
    """Take the way of computing that does not depend on timings."""
    progress: Callable[[float], None]
    """Tell the finished share of this task, from 0 to 1."""


@dataclass(frozen=True)
class Task:
    """A piece of work whose result depends on the run's configuration alone."""

    name: str
    cost: float
    """Expected share of the work, in any unit that the tasks of a run share."""
    work: Callable[[Context], Mapping[str, Artifact]]


def run_tasks(
    tasks: Sequence[Task],
    folder: RunFolder,
    progress: Progress,
    *,
    device: torch.device,
    reproducible: bool = False,
) -> int:
    """Do the tasks that are not done yet, in order.

    Args:
        tasks: All tasks of the run; a task may read what earlier ones wrote.
        folder: Where results go.
        progress: Where to show the state.
        device: Where to compute.
        reproducible: See `Context`.

    Returns:
        How many tasks were done now.
    """
    left = [task for task in tasks if not folder.repair(task.name)]
    total = sum(task.cost for task in tasks)
    done = total - sum(task.cost for task in left)
    for task in left:
        began = time.perf_counter()
        forget_peak_memory()

        def share(part: float, task: Task = task, done: float = done) -> None:
            progress.update(task.name, done + part * task.cost, total)

        share(0.0)
        artifacts = task.work(Context(folder, task.name, device, reproducible, share))
        seconds = time.perf_counter() - began
        folder.finish(task.name, artifacts, seconds=round(seconds, 3), peak_memory_mib=round(peak_memory_mib()))
        done += task.cost
    progress.update("done", total, total)
    return len(left)
