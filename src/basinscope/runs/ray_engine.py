"""Does the tasks of a run on several machines, with ray.

The driver, which is the process that the user started, hands out the tasks that are not done and whose needs are.
A worker, which is a process on any machine of the cluster, makes the experiment's tasks anew from their names, does
one, and writes its results straight into the run's folder, which every machine sees:

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
import os
import platform
import shutil
import signal
import socket
import threading
import time
import traceback
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from basinscope.errors import DamagedResultError, InputError, TrainingDivergedError
from basinscope.runs.engine import Context, Progress, Task, do_task, needs
from basinscope.runs.lock import exclusive
from basinscope.runs.provenance import environment, pick_device
from basinscope.runs.store import RunFolder, source_digest

_log = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
"""Between two looks at how far the tasks are."""
TELL_SECONDS = 1.0
"""Between two notes of a worker on how far it is."""
MAX_RETRIES = 3
"""How often a task is begun again after its process or machine was lost."""
_CANCEL_SECONDS = 10.0
"""What processes that are told to end may take."""
_REACH_SECONDS = 5.0
"""What the head of a cluster may take to answer; ray itself would try for minutes, then end the process."""
_OBJECT_STORE_BYTES = 100 * 2**20
"""Memory that ray sets aside for values that travel: near the least it takes, because ours are a few words."""
_SOURCE = ("experiments", "results", "runs")
"""Rooms that must be the same on every machine, besides those that a run's hash covers."""
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
    """Where to compute, as torch names it; a worker takes the GPU that ray gives it, whatever its number."""
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


def run_tasks_on_ray(request: Request, folder: RunFolder, progress: Progress, *, address: str | None = None) -> int:
    """Do the tasks of a run that are not done yet, as many at a time as the cluster has room for.

    A task begins when those it comes after are done. A process or machine that is lost costs what its task did since
    it last kept its state; the task is begun again, up to three times. When the caller is interrupted, or a task
    fails, the other tasks that are at work are stopped; what is finished stays. A cluster that was made here ends
    with the call, any other is left alone.

    Args:
        request: The experiment and how to compute it.
        folder: Where results go; on storage that every machine of the cluster sees under the same path.
        progress: Where to show the state.
        address: `None` starts ray on this machine; `auto` or `HOST:PORT` joins the cluster that this machine belongs
            to. A cluster that this process has joined before is used as it is.

    Returns:
        How many tasks were done now.

    Raises:
        InputError: ray is not installed, there is no such cluster, a machine of it does not see the folder or has
            another basinscope, or no machine has what the device needs; or a task raised it.
        TrainingDivergedError: A task raised it; so for `DamagedResultError` and `OSError`.
        ChildProcessError: The process of a task was lost too often.
        RuntimeError: Another error in a task; a note on it holds the worker's traceback.

    Example:
        >>> request = Request(
        ...     experiment="rings",
        ...     config=asdict(config),
        ...     rebuild="basinscope.experiments.registry:tasks_of",
        ...     device="cpu",
        ...     threads=torch.get_num_threads(),
        ... )
        >>> run_tasks_on_ray(request, folder, progress, address="auto")
        9
    """
    plain = request.to_json()
    # From the text, so that driver and workers make them from the same values.
    tasks = Request.from_json(plain).tasks()
    after = needs(tasks)
    left = [task for task in tasks if not folder.repair(task.name)]
    state = _State(folder, tasks, {task.name for task in tasks} - {task.name for task in left})
    if left:
        with _cluster(address) as ray, _token(folder) as token:
            order = {
                "request": plain,
                "folder": str(folder.path.absolute()),
                "token": token,
                "source": source_digest(*_SOURCE),
            }
            remote = ray.remote(_work)
            resources = _resources([node["Resources"] for node in ray.nodes() if node["Alive"]], request)

            def begin(task: Task) -> Any:
                state.forget_share(task)
                options = {"name": task.name, "max_retries": MAX_RETRIES, **resources(task)}
                return remote.options(**options).remote(json.dumps({**order, "task": task.name}))

            _hand_out(ray, left, after, begin, state, progress)
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


def _hand_out(
    ray: ModuleType,
    left: Sequence[Task],
    after: Mapping[str, frozenset[str]],
    begin: Callable[[Task], Any],
    state: _State,
    progress: Progress,
) -> None:
    """Begin each task when its needs are done, until all are."""
    waiting = list(left)
    running: dict[Any, Task] = {}
    try:
        while waiting or running:
            for task in [task for task in waiting if after[task.name] <= state.done]:
                waiting.remove(task)
                running[begin(task)] = task
            state.show(list(running.values()), progress)
            finished, _ = ray.wait(list(running), timeout=LOOK_SECONDS)
            for reference in finished:
                task = running.pop(reference)
                _take(ray, reference, task.name)
                state.done.add(task.name)
    finally:
        _cancel(ray, list(running))


def _cancel(ray: ModuleType, running: Sequence[Any]) -> None:
    """End processes at work, and wait for their end: files are whole or not at all, so nothing is torn."""
    with contextlib.suppress(ray.exceptions.RayError):
        for reference in running:
            ray.cancel(reference, force=True)
        if running:
            ray.wait(running, num_returns=len(running), timeout=_CANCEL_SECONDS)


def _take(ray: ModuleType, reference: Any, name: str) -> None:
    """Take a worker's answer; raise the error that it tells of."""
    try:
        answer = json.loads(ray.get(reference))
    except ray.exceptions.RayTaskError as error:  # what a task raises comes as an answer, so it never got there
        raise InputError("a machine of the cluster cannot import basinscope; install it on every machine") from error
    except ray.exceptions.RayError as error:
        why = "the process or machine that did it was lost"
        raise ChildProcessError(
            f"task {name}: {why} {MAX_RETRIES + 1} times ({type(error).__name__}); look for too little memory there"
        ) from error
    for line in answer["log"]:
        _log.warning("%s", line)
    kind, message = answer.get("kind"), answer.get("message", "")
    if kind in _OWN_ERRORS:
        raise _OWN_ERRORS[kind](message)
    if kind == "OSError":
        raise OSError(*answer["system"]) if answer["system"][0] else OSError(message)
    if kind:
        error = RuntimeError(f"task {name}: {kind}: {message}")
        error.add_note(answer["trace"])
        raise error


@contextmanager
def _cluster(address: str | None) -> Iterator[ModuleType]:
    """Have a cluster while the context is open; yields the module `ray`."""
    try:
        import ray
        import ray.exceptions
    except ModuleNotFoundError as error:
        raise InputError("--engine ray: ray is not installed; pip install 'basinscope[ray]'") from error
    if ray.is_initialized():
        yield ray
        return
    _reach(address)
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    quiet = {"log_to_driver": False, "logging_level": logging.ERROR}
    with _own_signals():
        if address is None:
            ray.init("local", include_dashboard=False, object_store_memory=_OBJECT_STORE_BYTES, **quiet)
        else:
            try:
                ray.init(address, **quiet)
            except (ConnectionError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
                raise _no_cluster(address, " ".join(str(error).split())) from error
    try:
        yield ray
    finally:
        ray.shutdown()


def _no_cluster(address: str, why: str) -> InputError:
    return InputError(f"--address {address}: no cluster there ({why}); start one with ray start --head")


def _reach(address: str | None) -> None:
    """Try whether something answers at an address, where it names a port.

    Raises:
        InputError: Nothing does, or it is no address.
    """
    named = os.environ.get("RAY_ADDRESS", "auto") if address == "auto" else address
    if address is None or named == "auto":
        return
    host, _, port = str(named).rpartition(":")
    if not host or "/" in host or not port.isdecimal():
        raise InputError(f"--address {named}: write auto, or HOST:PORT of the cluster that this machine belongs to")
    try:
        socket.create_connection((host, int(port)), timeout=_REACH_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise _no_cluster(str(named), getattr(error, "strerror", None) or str(error)) from error


@contextmanager
def _own_signals() -> Iterator[None]:
    """Keep what the caller does on SIGTERM; ray would end the process there, past all clearing up."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _resources(machines: Sequence[Mapping[str, float]], request: Request) -> Callable[[Task], dict[str, float]]:
    """Find out what a task may ask for, from what each machine has.

    Raises:
        InputError: It needs a GPU and no machine has one, so that ray would wait for ever.
    """
    cpus, gpus = (max((machine.get(kind, 0.0) for machine in machines), default=0.0) for kind in ("CPU", "GPU"))
    wants_gpu = torch.device(request.device).type == "cuda"
    if wants_gpu and not gpus:
        raise InputError(f"device {request.device!r}: no machine of the cluster has a GPU; use --device cpu")
    # A head that makes machines on demand may have no cores itself.
    num_cpus = min(request.threads, int(cpus)) or request.threads
    return lambda task: {"num_cpus": num_cpus, "num_gpus": min(task.gpus, gpus) if wants_gpu else 0}


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


def _work(order: str) -> str:
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
    if source_digest(*_SOURCE) != source:
        raise InputError(
            f"machine {machine} has another basinscope than the run began with; install the same on every machine "
            "and run again"
        )
    torch.set_num_threads(wanted.threads)
    # ray shows a task its own share of the GPUs only, counted from 0.
    device = pick_device("cuda" if wanted.device.startswith("cuda") else wanted.device)
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
