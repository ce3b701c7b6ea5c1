"""Tasks of a run, and the engine that runs the unfinished ones in this process."""

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
    """Displays the progress of a run."""

    def update(self, task: str, done: float, total: float) -> None:
        """Show the current task and the work done so far, in the unit of `total`."""
        ...


@dataclass(frozen=True)
class Context:
    """What the work function of a task receives."""

    folder: RunFolder
    task: str
    """Name of the running task."""
    device: torch.device
    reproducible: bool
    """Never compile, so that the choice of backend does not depend on timings."""
    progress: Callable[[float], None]
    """Reports the finished share of this task, from 0 to 1."""
    data_dir: Path | None = None
    """Folder of data files."""


@dataclass(frozen=True)
class Task:
    """A piece of work whose result depends on the run's configuration alone."""

    name: str
    cost: float
    """Expected cost, in a unit common to all tasks of the run."""
    work: Callable[[Context], Mapping[str, Artifact]]
    after: tuple[str, ...] | None = None
    """Names of the earlier tasks whose results it reads; None means all earlier tasks."""
    gpus: float = 0.25
    """Share of a GPU to reserve for the task, if there are GPUs."""


def needs(tasks: Sequence[Task]) -> dict[str, frozenset[str]]:
    """Return the tasks that must finish before each task.

    Args:
        tasks: All tasks of a run, in order.

    Returns:
        For each task's name, the names of the tasks whose results it reads.

    Raises:
        ValueError: Two tasks share a name, or a task depends on one that does not precede it; a bug in the experiment,
            not a user mistake.

    Example:
        >>> needs([Task("a", 1.0, work), Task("b", 1.0, work), Task("c", 1.0, work, after=("a",))])["c"]
        frozenset({'a'})
    """
    required: dict[str, frozenset[str]] = {}
    for task in tasks:
        if task.name in required:
            raise ValueError(f"two tasks are named {task.name}")
        earlier = frozenset(required) if task.after is None else frozenset(task.after)
        if unknown := earlier - required.keys():
            raise ValueError(f"task {task.name} depends on {', '.join(sorted(unknown))}, which is no earlier task")
        required[task.name] = earlier
    return required


def do_task(task: Task, context: Context, **facts: Any) -> None:
    """Run one task; write its results, then its marker with seconds, peak memory in MiB and `facts`."""
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
    """Run the unfinished tasks in order.

    Args:
        tasks: All tasks of the run; a task may read the results of earlier ones.
        folder: The run's folder.
        progress: Progress display.
        device: Device to compute on.
        reproducible: See `Context`.
        data_dir: See `Context`.
        refused: Called with each task that raises `InputError`, and the error; the next task then starts. None lets the
            error propagate.

    Returns:
        Number of tasks run by this call.
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
