"""Does the tasks of a run on several machines, with ray."""

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
"""What processes that are told to end may take."""
_REACH_SECONDS = 5.0
"""What the head of a cluster may take to answer; ray itself would try for minutes, then end the process."""
_OBJECT_STORE_BYTES = 100 * 2**20
"""Memory that ray sets aside for values that travel: near the least it takes, because ours are a few words."""


def run_tasks_on_ray(request: Request, folder: RunFolder, progress: Progress, *, address: str | None = None) -> int:
    """Do the tasks of a run that are not done yet, as many at a time as the cluster has room for.

    A process or machine that is lost costs what its task did since it last kept its state; the task is begun again, up
    to three times. When the caller is interrupted, or a task fails, the other tasks that are at work are stopped; what
    is finished stays. A cluster that was made here ends with the call, any other is left alone.

    Args:
        request: The experiment and how to compute it.
        folder: Where results go; on storage that every machine of the cluster sees under the same path.
        progress: Where to show the state.
        address: `None` starts ray on this machine; `auto` or `HOST:PORT` joins the cluster that this machine belongs
            to. A cluster that this process has joined before is used as it is.

    Returns:
        How many tasks were done now.

    Raises:
        InputError: ray is not installed, there is no such cluster, or no machine has what the device needs.
        Exception: What `hand_out` raises.

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

    # A worker sees its own share of the GPUs only, counted from 0.
    device = "cuda" if request.device.startswith("cuda") else request.device
    return hand_out(replace(request, device=device), folder, progress, hire)


class _RayWorkers:
    """See `Workers`; ray itself lets tasks wait for room."""

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
        found, _ = self._ray.wait(list(self._running), timeout=seconds)
        return {name: self._answer(reference, name) for reference, name in [(r, self._running.pop(r)) for r in found]}

    def _answer(self, reference: Any, name: str) -> str:
        errors = self._ray.exceptions
        try:
            return self._ray.get(reference)
        except errors.RayTaskError as error:  # what a task raises comes as an answer, so it never got there
            raise InputError(
                "a machine of the cluster cannot import basinscope; install it on every machine"
            ) from error
        except errors.RayError as error:
            raise handing_out.lost(name, why=type(error).__name__) from error

    def stop(self) -> None:
        """End processes at work, and wait for their end: files are whole or not at all, so nothing is torn."""
        running = list(self._running)
        with contextlib.suppress(self._ray.exceptions.RayError):
            for reference in running:
                self._ray.cancel(reference, force=True)
            if running:
                self._ray.wait(running, num_returns=len(running), timeout=_CANCEL_SECONDS)


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
