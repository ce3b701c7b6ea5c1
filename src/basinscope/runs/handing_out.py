"""Distributes the tasks of a run to workers, on this machine or on others.

The driver, the process that the user started, submits each unfinished task once its dependencies are done. A worker,
another process, rebuilds the experiment's tasks from its name and configuration, runs one, and writes the results
directly into the run's folder, which all machines share:

    runs/NAME-HASH12/at-work/
        TOKEN             proves to a worker that it sees the driver's folder
        TASK/.lock        lock of the worker that runs the task
        TASK/share        finished share of the task, from 0 to 1

Driver and workers exchange JSON only, no results.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import logging
import platform
import shutil
import time
import traceback
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch

from basinscope.errors import DamagedResultError, InputError, TrainingDivergedError
from basinscope.runs.engine import Context, Progress, Task, do_task, needs
from basinscope.runs.lock import exclusive
from basinscope.runs.provenance import environment, pick_device
from basinscope.runs.source import package_digest
from basinscope.runs.store import RunFolder

_log = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
"""Interval at which the driver polls progress."""
TELL_SECONDS = 1.0
"""Minimum interval between progress reports of a worker."""
MAX_RETRIES = 3
"""Retries of a task whose process or machine died."""
_DRAWING = ("plots", "report", "cli")
"""Subpackages that may differ between machines: workers only compute."""
_OWN_ERRORS = {kind.__name__: kind for kind in (InputError, TrainingDivergedError, DamagedResultError)}


@dataclass(frozen=True, kw_only=True)
class Request:
    """All a worker needs to rebuild a run's tasks and run one; plain values only."""

    experiment: str
    config: Mapping[str, Any]
    """JSON-serialisable values; tuples arrive as lists."""
    rebuild: str
    """`MODULE:FUNCTION`; the function builds the tasks from the experiment's name and configuration."""
    device: str
    """Torch's name of the device."""
    threads: int
    """Threads per task, the same on every machine: the rounding of sums depends on it."""
    reproducible: bool = False
    """See `Context`."""
    data_dir: Path | None = None
    """Folder of data files, the same on every machine."""

    def to_json(self) -> str:
        """Serialise to JSON."""
        return json.dumps({**asdict(self), "data_dir": self.data_dir and str(self.data_dir.absolute())})

    @classmethod
    def from_json(cls, text: str) -> Request:
        """Parse the output of `to_json`."""
        values = json.loads(text)
        return cls(**{**values, "data_dir": values["data_dir"] and Path(values["data_dir"])})

    def tasks(self) -> Sequence[Task]:
        """Build the experiment's tasks."""
        module, function = self.rebuild.split(":")
        return getattr(importlib.import_module(module), function)(self.experiment, self.config)


class Workers(Protocol):
    """A pool of worker processes."""

    def room(self) -> bool:
        """Whether the pool accepts another task."""
        ...

    def begin(self, task: Task, order: str) -> None:
        """Submit a task; `order` is the argument of `work`."""
        ...

    def ended(self, seconds: float) -> Mapping[str, str]:
        """Wait until a task ends, for at most `seconds`.

        Returns:
            The answers of `work`, by name of each task that ended.

        Raises:
            ChildProcessError: A task's worker died too often; see `lost`.
        """
        ...


def lost(task: str, *, why: str = "") -> ChildProcessError:
    """Build the error raised when a task's worker died too often."""
    which = f" ({why})" if why else ""
    return ChildProcessError(
        f"task {task}: its worker process or machine died {MAX_RETRIES + 1} times{which}; "
        "check whether it ran out of memory"
    )


def hand_out(
    request: Request,
    folder: RunFolder,
    progress: Progress,
    hire: Callable[[], AbstractContextManager[Workers]],
) -> int:
    """Run the unfinished tasks of a run on workers, as many at a time as the pool accepts.

    A task starts once its dependencies are done; of several ready tasks, the most expensive one goes first.

    Args:
        request: The experiment and how to compute it.
        folder: The run's folder; every worker must see it under the same path.
        progress: Progress display.
        hire: Opens the pool of workers; leaving its context stops running tasks.

    Returns:
        Number of tasks run by this call.

    Raises:
        InputError: A worker does not see the folder or has a different basinscope; or a task raised it.
        TrainingDivergedError: A task raised it; likewise for `DamagedResultError` and `OSError`.
        ChildProcessError: A task's worker died too often.
        RuntimeError: A task raised any other error; the worker's traceback is attached as a note.
    """
    plain = request.to_json()
    # From the JSON text, so that driver and workers build them from the same values.
    tasks = Request.from_json(plain).tasks()
    after = needs(tasks)
    left = [task for task in tasks if not folder.repair(task.name)]
    state = _State(folder, tasks, {task.name for task in tasks} - {task.name for task in left})
    if left:
        with hire() as workers, _token(folder) as token:
            order = {
                "request": plain,
                "folder": str(folder.path.absolute()),
                "token": token,
                "source": package_digest(without=_DRAWING),
            }
            waiting, running = sorted(left, key=lambda task: -task.cost), dict[str, Task]()
            while waiting or running:
                for task in [task for task in waiting if after[task.name] <= state.done]:
                    if workers.room():
                        waiting.remove(task)
                        state.forget_share(task)
                        workers.begin(task, json.dumps({**order, "task": task.name}))
                        running[task.name] = task
                state.show(list(running.values()), progress)
                for name, answer in workers.ended(LOOK_SECONDS).items():
                    del running[name]
                    _raise_reported(name, answer)
                    state.done.add(name)
        shutil.rmtree(_work_folder(folder), ignore_errors=True)
    total = sum(task.cost for task in tasks)
    progress.update("done", total, total)
    return len(left)


@dataclass(frozen=True)
class _State:
    """Progress of the tasks of a run."""

    folder: RunFolder
    tasks: Sequence[Task]
    done: set[str]
    shares: dict[str, float] = field(default_factory=dict)
    """Finished share of each task that this driver started, from 0 to 1."""

    def forget_share(self, task: Task) -> None:
        """Delete the progress that an earlier worker reported for a task."""
        _share_path(self.folder, task.name).unlink(missing_ok=True)

    def show(self, running: Sequence[Task], progress: Progress) -> None:
        """Read the workers' progress reports and display them."""
        for task in running:
            # OSError: not started yet. ValueError: being written.
            with contextlib.suppress(OSError, ValueError):
                share = float(_share_path(self.folder, task.name).read_text(encoding="ascii"))
                # A restarted task falls back by seconds; the bar never goes backwards.
                self.shares[task.name] = max(share, self.shares.get(task.name, 0.0))
        at_work = [task.name for task in running if task.name in self.shares] or [task.name for task in running]
        if at_work:
            label = at_work[0] if len(at_work) == 1 else f"{at_work[0]} and {len(at_work) - 1} more"
            shares = self.shares | dict.fromkeys(self.done, 1.0)
            done = sum(task.cost * shares.get(task.name, 0.0) for task in self.tasks)
            progress.update(label, done, sum(task.cost for task in self.tasks))


def _raise_reported(name: str, answer: str) -> None:
    """Log the warnings in a worker's answer and raise the error in it, if any."""
    report = json.loads(answer)
    for line in report["log"]:
        _log.warning("%s", line)
    kind, message = report.get("kind"), report.get("message", "")
    if kind in _OWN_ERRORS:
        raise _OWN_ERRORS[kind](message)
    if kind == "OSError":
        raise OSError(*report["system"]) if report["system"][0] else OSError(message)
    if kind:
        error = RuntimeError(f"task {name}: {kind}: {message}")
        error.add_note(report["trace"])
        raise error


def _work_folder(folder: RunFolder) -> Path:
    return folder.path / "at-work"


def _task_folder(folder: RunFolder, task: str) -> Path:
    return _work_folder(folder) / folder.checkpoint(task).path.name.removesuffix(".safetensors")


def _share_path(folder: RunFolder, task: str) -> Path:
    return _task_folder(folder, task) / "share"


@contextmanager
def _token(folder: RunFolder) -> Iterator[str]:
    """Create a file with an unguessable name in the run's folder while the context is open."""
    path = _work_folder(folder) / uuid.uuid4().hex
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    try:
        yield path.name
    finally:
        path.unlink(missing_ok=True)


class _WarningBuffer(logging.Handler):
    """Collects warnings, for the driver to log."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """See `logging.Handler`."""
        self.lines.append(record.getMessage())


def work(order: str) -> str:
    """Run one task in a worker; order and answer are JSON, and the answer includes any error."""
    warnings = _WarningBuffer()
    logger = logging.getLogger("basinscope")
    logger.addHandler(warnings)
    answer: dict[str, Any] = {}
    try:
        _do_ordered(**json.loads(order))
    except Exception as error:
        kind = "OSError" if isinstance(error, OSError) else type(error).__name__
        answer = {"kind": kind, "message": str(error), "trace": traceback.format_exc()}
        if isinstance(error, OSError):
            answer["system"] = [error.errno, error.strerror, error.filename and str(error.filename)]
    finally:
        logger.removeHandler(warnings)
    return json.dumps({**answer, "log": warnings.lines})


def _do_ordered(request: str, folder: str, token: str, source: str, task: str) -> None:
    wanted, where = Request.from_json(request), RunFolder(Path(folder))
    machine = platform.node()
    if not (_work_folder(where) / token).exists():
        raise InputError(
            f"{folder}: machine {machine} does not see this folder; "
            "--out must be on storage that all machines of the cluster share"
        )
    if package_digest(without=_DRAWING) != source:
        raise InputError(
            f"machine {machine} has a different basinscope than the driver; install the same version on every machine "
            "and run again"
        )
    torch.set_num_threads(wanted.threads)
    device = pick_device(wanted.device)
    named_task = next(t for t in wanted.tasks() if t.name == task)
    # A machine presumed dead may still be running this task.
    with exclusive(_task_folder(where, task), lambda: None):
        if where.is_done(task):
            return
        share = _share_reporter(_share_path(where, task))
        context = Context(where, task, device, wanted.reproducible, share, wanted.data_dir)
        do_task(named_task, context, machine=machine, environment=environment(device))


def _share_reporter(path: Path) -> Callable[[float], None]:
    last = -TELL_SECONDS

    def report(part: float) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= TELL_SECONDS:
            last = now
            # For display only; a full disk raises when the results are written.
            with contextlib.suppress(OSError):
                path.write_text(repr(float(part)), encoding="ascii")

    return report
