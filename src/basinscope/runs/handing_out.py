"""Hands the tasks of a run out to workers, on this machine or on others.

The driver, which is the process that the user started, hands out the tasks that are not done and whose needs are.
A worker, which is another process, makes the experiment's tasks anew from their names, does one, and writes its results
straight into the run's folder, which every machine sees:

    runs/NAME-HASH12/at-work/
        TOKEN             tells a worker that it sees the driver's folder
        TASK/.lock        held by the worker that does the task
        TASK/share        finished share of the task, from 0 to 1

What travels between them is JSON text; results do not.
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
"""Between two looks at how far the tasks are."""
TELL_SECONDS = 1.0
"""Between two notes of a worker on how far it is."""
MAX_RETRIES = 3
"""How often a task is begun again after its process or machine was lost."""
_DRAWING = ("plots", "report", "cli")
"""Rooms that need not be the same on every machine: workers only compute."""
_OWN_ERRORS = {kind.__name__: kind for kind in (InputError, TrainingDivergedError, DamagedResultError)}


@dataclass(frozen=True, kw_only=True)
class Request:
    """What a worker must know to make a run's tasks and to do one; plain values only."""

    experiment: str
    config: Mapping[str, Any]
    """Values that JSON can hold; tuples arrive as lists."""
    rebuild: str
    """`MODULE:FUNCTION`; the function makes the tasks from the experiment's name and configuration."""
    device: str
    """Where to compute, as torch names it."""
    threads: int
    """Threads of each task, on every machine: sums depend on how they are cut."""
    reproducible: bool = False
    """See `Context`."""
    data_dir: Path | None = None
    """Where data files lie, on every machine."""

    def to_json(self) -> str:
        """Write down as text."""
        return json.dumps({**asdict(self), "data_dir": self.data_dir and str(self.data_dir.absolute())})

    @classmethod
    def from_json(cls, text: str) -> Request:
        """Read what `to_json` wrote."""
        values = json.loads(text)
        return cls(**{**values, "data_dir": values["data_dir"] and Path(values["data_dir"])})

    def tasks(self) -> Sequence[Task]:
        """Make the experiment's tasks."""
        module, function = self.rebuild.split(":")
        return getattr(importlib.import_module(module), function)(self.experiment, self.config)


class Workers(Protocol):
    """Processes that do tasks."""

    def room(self) -> bool:
        """Tell whether another task may be handed to them."""
        ...

    def begin(self, task: Task, order: str) -> None:
        """Have a task done; `order` is for `work`."""
        ...

    def ended(self, seconds: float) -> Mapping[str, str]:
        """Wait until a task has ended, at most so long.

        Returns:
            By the name of each task that has, what `work` answered.

        Raises:
            ChildProcessError: Its process was lost too often; `lost` words it.
        """
        ...


def lost(task: str, *, why: str = "") -> ChildProcessError:
    """Word the error for a task whose process was lost too often."""
    which = f" ({why})" if why else ""
    return ChildProcessError(
        f"task {task}: the process or machine that did it was lost {MAX_RETRIES + 1} times{which}; "
        "look for too little memory there"
    )


def hand_out(
    request: Request,
    folder: RunFolder,
    progress: Progress,
    hire: Callable[[], AbstractContextManager[Workers]],
) -> int:
    """Do the tasks of a run that are not done yet, as many at a time as workers have room for.

    A task begins when those it comes after are done, of several the longest first.

    Args:
        request: The experiment and how to compute it.
        folder: Where results go; every worker sees it under the same path.
        progress: Where to show the state.
        hire: Gets workers; leaving its context ends what is still at work.

    Returns:
        How many tasks were done now.

    Raises:
        InputError: A worker does not see the folder or has another basinscope; or a task raised it.
        TrainingDivergedError: A task raised it; so for `DamagedResultError` and `OSError`.
        ChildProcessError: The process of a task was lost too often.
        RuntimeError: Another error in a task; a note on it holds the worker's traceback.
    """
    plain = request.to_json()
    # From the text, so that driver and workers make them from the same values.
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
                    _take(name, answer)
                    state.done.add(name)
        shutil.rmtree(_place(folder), ignore_errors=True)
    total = sum(task.cost for task in tasks)
    progress.update("done", total, total)
    return len(left)


@dataclass(frozen=True)
class _State:
    """How far the tasks of a run are."""

    folder: RunFolder
    tasks: Sequence[Task]
    done: set[str]
    shares: dict[str, float] = field(default_factory=dict)
    """Finished share of each task that was begun here, from 0 to 1."""

    def forget_share(self, task: Task) -> None:
        """Drop what an earlier process told of a task."""
        _share_path(self.folder, task.name).unlink(missing_ok=True)

    def show(self, running: Sequence[Task], progress: Progress) -> None:
        """Look at what the workers tell, and show it."""
        for task in running:
            # Nothing there: not begun yet. No number: just being written.
            with contextlib.suppress(OSError, ValueError):
                told = float(_share_path(self.folder, task.name).read_text(encoding="ascii"))
                # Begun again, a task is where it was some seconds before; the bar does not go back for that.
                self.shares[task.name] = max(told, self.shares.get(task.name, 0.0))
        at_work = [task.name for task in running if task.name in self.shares] or [task.name for task in running]
        if at_work:
            words = at_work[0] if len(at_work) == 1 else f"{at_work[0]} and {len(at_work) - 1} more"
            shares = self.shares | dict.fromkeys(self.done, 1.0)
            done = sum(task.cost * shares.get(task.name, 0.0) for task in self.tasks)
            progress.update(words, done, sum(task.cost for task in self.tasks))


def _take(name: str, answer: str) -> None:
    """Take a worker's answer; raise the error that it tells of."""
    found = json.loads(answer)
    for line in found["log"]:
        _log.warning("%s", line)
    kind, message = found.get("kind"), found.get("message", "")
    if kind in _OWN_ERRORS:
        raise _OWN_ERRORS[kind](message)
    if kind == "OSError":
        raise OSError(*found["system"]) if found["system"][0] else OSError(message)
    if kind:
        error = RuntimeError(f"task {name}: {kind}: {message}")
        error.add_note(found["trace"])
        raise error


def _place(folder: RunFolder) -> Path:
    return folder.path / "at-work"


def _task_place(folder: RunFolder, task: str) -> Path:
    return _place(folder) / folder.checkpoint(task).path.name.removesuffix(".safetensors")


def _share_path(folder: RunFolder, task: str) -> Path:
    return _task_place(folder, task) / "share"


@contextmanager
def _token(folder: RunFolder) -> Iterator[str]:
    """Have a file of a name that no one can guess in the run's folder while the context is open."""
    path = _place(folder) / uuid.uuid4().hex
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    try:
        yield path.name
    finally:
        path.unlink(missing_ok=True)


class _Kept(logging.Handler):
    """Keeps warnings, for the driver to say."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """See `logging.Handler`."""
        self.lines.append(record.getMessage())


def work(order: str) -> str:
    """Do one task in a worker; both the order and the answer are JSON, and errors are part of the answer."""
    kept = _Kept()
    logger = logging.getLogger("basinscope")
    logger.addHandler(kept)
    answer: dict[str, Any] = {}
    try:
        _do_ordered(**json.loads(order))
    except Exception as error:
        kind = "OSError" if isinstance(error, OSError) else type(error).__name__
        answer = {"kind": kind, "message": str(error), "trace": traceback.format_exc()}
        if isinstance(error, OSError):
            answer["system"] = [error.errno, error.strerror, error.filename and str(error.filename)]
    finally:
        logger.removeHandler(kept)
    return json.dumps({**answer, "log": kept.lines})


def _do_ordered(request: str, folder: str, token: str, source: str, task: str) -> None:
    wanted, where = Request.from_json(request), RunFolder(Path(folder))
    machine = platform.node()
    if not (_place(where) / token).exists():
        raise InputError(
            f"{folder}: machine {machine} does not see this folder; "
            "--out must be on storage that every machine of the cluster sees"
        )
    if package_digest(without=_DRAWING) != source:
        raise InputError(
            f"machine {machine} has another basinscope than the run began with; install the same on every machine "
            "and run again"
        )
    torch.set_num_threads(wanted.threads)
    device = pick_device(wanted.device)
    found = next(t for t in wanted.tasks() if t.name == task)
    # A machine that was only thought lost may still be at this task.
    with exclusive(_task_place(where, task), lambda: None):
        if where.is_done(task):
            return
        share = _share_teller(_share_path(where, task))
        context = Context(where, task, device, wanted.reproducible, share, wanted.data_dir)
        do_task(found, context, machine=machine, environment=environment(device))


def _share_teller(path: Path) -> Callable[[float], None]:
    last = -TELL_SECONDS

    def tell(part: float) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= TELL_SECONDS:
            last = now
            # Only shown; a disk that is full stops the task where its results are written.
            with contextlib.suppress(OSError):
                path.write_text(repr(float(part)), encoding="ascii")

    return tell
