"""Runs the tasks of a run on several machines, with Ray."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from types import ModuleType
from typing import Any

import torch

from basinscope.errors import InputError
from basinscope.runs import handing_out
from basinscope.runs.engine import Progress, Task
from basinscope.runs.handing_out import Request, hand_out
from basinscope.runs.store import RunFolder

_CANCEL_SECONDS = 10.0
"""Time limit for cancelled tasks to end."""
_REACH_SECONDS = 5.0
"""Time limit for a cluster's head to answer; Ray itself would retry for minutes, then exit the process."""
_OBJECT_STORE_BYTES = 100 * 2**20
"""Memory of Ray's object store: near its minimum, because orders and answers are short texts."""


def run_tasks_on_ray(request: Request, folder: RunFolder, progress: Progress, *, address: str | None = None) -> int:
    """Run the unfinished tasks of a run, as many at a time as the cluster has room for.

    If a process or machine dies, its task restarts from its last checkpoint, up to three times. If the caller is
    interrupted or a task fails, all running tasks are stopped; finished results remain. A cluster started by this call
    ends with it; any other keeps running.

    Args:
        request: The experiment and how to compute it.
        folder: The run's folder, on storage that all machines of the cluster see under the same path.
        progress: Progress display.
        address: `None` starts Ray on this machine; `auto` or `HOST:PORT` joins the cluster that this machine belongs
            to. If this process is connected to a cluster already, that one is used.

    Returns:
        Number of tasks run by this call.

    Raises:
        InputError: Ray is not installed, there is no such cluster, or no machine has the requested device.
        Exception: See `hand_out`.

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

    @contextmanager
    def hire() -> Iterator[_RayWorkers]:
        with _cluster(address) as ray:
            resources = _resources([node["Resources"] for node in ray.nodes() if node["Alive"]], request)
            workers = _RayWorkers(ray, resources)
            try:
                yield workers
            finally:
                workers.stop()

    # A worker sees only its own share of the GPUs, numbered from 0.
    device = "cuda" if request.device.startswith("cuda") else request.device
    return hand_out(replace(request, device=device), folder, progress, hire)


class _RayWorkers:
    """A pool of Ray workers, see `Workers`; Ray itself queues tasks."""

    def __init__(self, ray: ModuleType, resources: Callable[[Task], dict[str, float]]) -> None:
        self._ray, self._resources = ray, resources
        self._remote = ray.remote(handing_out.work)
        self._running: dict[Any, str] = {}

    def room(self) -> bool:
        return True

    def begin(self, task: Task, order: str) -> None:
        options = {"name": task.name, "max_retries": handing_out.MAX_RETRIES, **self._resources(task)}
        self._running[self._remote.options(**options).remote(order)] = task.name

    def ended(self, seconds: float) -> Mapping[str, str]:
        ready, _ = self._ray.wait(list(self._running), timeout=seconds)
        return {name: self._answer(reference, name) for reference, name in [(r, self._running.pop(r)) for r in ready]}

    def _answer(self, reference: Any, name: str) -> str:
        errors = self._ray.exceptions
        try:
            return self._ray.get(reference)
        except errors.RayTaskError as error:  # a task's own errors come as answers: this one never started
            raise InputError(
                "a machine of the cluster cannot import basinscope; install it on every machine"
            ) from error
        except errors.RayError as error:
            raise handing_out.lost(name, why=type(error).__name__) from error

    def stop(self) -> None:
        """Cancel running tasks and wait until they end; safe, because files are written atomically."""
        running = list(self._running)
        with contextlib.suppress(self._ray.exceptions.RayError):
            for reference in running:
                self._ray.cancel(reference, force=True)
            if running:
                self._ray.wait(running, num_returns=len(running), timeout=_CANCEL_SECONDS)


@contextmanager
def _cluster(address: str | None) -> Iterator[ModuleType]:
    """Connect to a cluster while the context is open; yields the module `ray`."""
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
    """Check that a server answers at an address with a port.

    Raises:
        InputError: None does, or the address is malformed.
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
    """Preserve the caller's SIGTERM handler; Ray's would exit the process without cleanup."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _resources(machines: Sequence[Mapping[str, float]], request: Request) -> Callable[[Task], dict[str, float]]:
    """Return a function that gives the resources to request for a task, given those of each machine.

    Raises:
        InputError: The device is a GPU and no machine has one; Ray would wait forever.
    """
    cpus, gpus = (max((machine.get(kind, 0.0) for machine in machines), default=0.0) for kind in ("CPU", "GPU"))
    wants_gpu = torch.device(request.device).type == "cuda"
    if wants_gpu and not gpus:
        raise InputError(f"device {request.device!r}: no machine of the cluster has a GPU; use --device cpu")
    # The head of an autoscaling cluster may have no cores itself.
    num_cpus = min(request.threads, int(cpus)) or request.threads
    return lambda task: {"num_cpus": num_cpus, "num_gpus": min(task.gpus, gpus) if wants_gpu else 0}
