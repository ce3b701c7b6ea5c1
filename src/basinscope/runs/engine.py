"""Does the tasks of a run that are not done yet."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch

from basinscope.errors import InputError
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
    data_dir: Path | None = None
    """Where data files lie."""


@dataclass(frozen=True)
class Task:
    """A piece of work whose result depends on the run's configuration alone."""

    name: str
    cost: float
    """Expected share of the work, in any unit that the tasks of a run share."""
    work: Callable[[Context], Mapping[str, Artifact]]
    after: tuple[str, ...] | None = None
    """Names of the earlier tasks whose results it reads; None stands for all earlier ones."""
    gpus: float = 0.25
    """Share of a GPU that the task wants where there are GPUs."""


def needs(tasks: Sequence[Task]) -> dict[str, frozenset[str]]:
    """Which tasks must be done before each task.

    Args:
        tasks: All tasks of a run, in order.

    Returns:
        For each task's name, the names of the tasks whose results it reads.

    Raises:
        ValueError: Two tasks have one name, or a task comes after one that is not among the earlier ones; a fault of
            the experiment, not of the user.

    Example:
        >>> needs([Task("a", 1.0, work), Task("b", 1.0, work), Task("c", 1.0, work, after=("a",))])["c"]
        frozenset({'a'})
    """
    found: dict[str, frozenset[str]] = {}
    for task in tasks:
        if task.name in found:
            raise ValueError(f"two tasks are named {task.name}")
        wanted = frozenset(found) if task.after is None else frozenset(task.after)
        if unknown := wanted - found.keys():
            raise ValueError(f"task {task.name} comes after {', '.join(sorted(unknown))}, which no earlier task is")
        found[task.name] = wanted
    return found


def do_task(task: Task, context: Context, **facts: Any) -> None:
    """Do one task and write what it made, then its marker with its seconds, peak memory in MiB and `facts`."""
    began = time.perf_counter()
    forget_peak_memory()
    context.progress(0.0)
    artifacts = task.work(context)
    seconds = round(time.perf_counter() - began, 3)
    context.folder.finish(task.name, artifacts, seconds=seconds, peak_memory_mib=round(peak_memory_mib()), **facts)


def run_tasks(
    tasks: Sequence[Task],
    folder: RunFolder,
    progress: Progress,
    *,
    device: torch.device,
    reproducible: bool = False,
    data_dir: Path | None = None,
    refused: Callable[[Task, InputError], object] | None = None,
) -> int:
    """Do the tasks that are not done yet, in order.

    Args:
        tasks: All tasks of the run; a task may read what earlier ones wrote.
        folder: Where results go.
        progress: Where to show the state.
        device: Where to compute.
        reproducible: See `Context`.
        data_dir: See `Context`.
        refused: Told of each task that raises `InputError`, after which the next one begins; None lets the error pass.

    Returns:
        How many tasks were done now.
    """
    needs(tasks)
    left = [task for task in tasks if not folder.repair(task.name)]
    total = sum(task.cost for task in tasks)
    done, num_done = total - sum(task.cost for task in left), 0
    for task in left:

        def share(part: float, task: Task = task, done: float = done) -> None:
            progress.update(task.name, done + part * task.cost, total)

        try:
            do_task(task, Context(folder, task.name, device, reproducible, share, data_dir))
            num_done += 1
        except InputError as error:
            if refused is None:
                raise
            refused(task, error)
        done += task.cost
    progress.update("done", total, total)
    return num_done
