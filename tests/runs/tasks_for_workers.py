"""Experiments that exist for the tests of the engines only; workers import them by name."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from basinscope.errors import DamagedResultError, InputError, TrainingDivergedError
from basinscope.results.convert import dataset
from basinscope.runs.engine import Context, Task
from basinscope.runs.store import Artifact, set_aside
from basinscope.seeds import generator

ERRORS = {"input": InputError, "diverged": TrainingDivergedError, "damaged": DamagedResultError}
Work = Callable[[Context], Mapping[str, Artifact]]


def tasks_of(name: str, config: Mapping[str, Any]) -> Sequence[Task]:
    """Five tasks in a diamond with a tail, or one task that comes to harm."""
    scratch = Path(config["scratch"])
    if name != "diamond":
        return [Task("good", 1.0, _product(scratch, 3)), Task("bad", 1.0, _FAULTS[name](scratch))]
    meet = ("left", "right") if config.get("meet") else ()
    return [
        Task("seed", 1.0, _product(scratch, 0)),
        Task("left", 2.0, _product(scratch, 1, "seed", meet=meet), after=("seed",)),
        Task("right", 2.0, _product(scratch, 2, "seed", meet=meet), after=("seed",)),
        Task("join", 1.0, _product(scratch, 3, "left", "right"), after=("left", "right")),
        Task("tell", 1.0, _tell(scratch)),
    ]


def note(scratch: Path, line: str) -> None:
    """Add a line to what happened, whole even when several processes write."""
    handle = os.open(scratch / "notes", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(handle, f"{line}\n".encode())
    os.close(handle)


def _meet(scratch: Path, names: Sequence[str]) -> None:
    """Wait until all of these tasks have begun."""
    end = time.monotonic() + 20
    while not all(f"begin {name}" in (scratch / "notes").read_text().splitlines() for name in names):
        if time.monotonic() > end:
            raise TimeoutError(f"{' and '.join(names)} are not at work at the same time")
        time.sleep(0.02)


def _product(scratch: Path, seed: int, *read: str, meet: Sequence[str] = ()) -> Work:
    """Multiply what other tasks made by random numbers; rounding makes each product its own."""

    def work(context: Context) -> Mapping[str, Artifact]:
        note(scratch, f"begin {context.task}")
        _meet(scratch, meet)
        value = torch.randn(64, 64, generator=generator(seed, "product"))
        for name in read:
            value = value @ context.folder.weights(name)["value"] / 8
        context.progress(0.5)
        note(scratch, f"end {context.task}")
        return {context.task: {"value": value}}

    return work


def _tell(scratch: Path) -> Work:
    def work(context: Context) -> Mapping[str, Artifact]:
        note(scratch, "begin tell")
        values: list[Tensor] = [context.folder.weights(name)["value"] for name in ("seed", "left", "right", "join")]
        inputs = torch.stack(values).sum((1, 2)).reshape(2, 2)
        facts = {"threads": torch.get_num_threads(), "data": str(context.data_dir), "safe": context.reproducible}
        note(scratch, "end tell")
        return {"sums": dataset("samples", {"inputs": inputs, "labels": torch.zeros(2)}), "facts": facts}

    return work


def _dies(scratch: Path, times: int) -> Work:
    """Take the worker's process down, `times` times."""

    def work(context: Context) -> Mapping[str, Artifact]:
        note(scratch, "begin bad")
        if (scratch / "notes").read_text().splitlines().count("begin bad") <= times:
            os._exit(1)
        return {"bad": {"value": torch.ones(2)}}

    return work


def _raises(error: Exception) -> Callable[[Path], Work]:
    def work(context: Context) -> Mapping[str, Artifact]:
        raise error

    return lambda scratch: work


def _waits(scratch: Path) -> Work:
    def work(context: Context) -> Mapping[str, Artifact]:
        note(scratch, f"pid {os.getpid()}")
        time.sleep(120)
        return {}

    return work


def _sets_aside(scratch: Path) -> Work:
    def work(context: Context) -> Mapping[str, Artifact]:
        (scratch / "torn").touch()
        set_aside(scratch / "torn", scratch / "damaged", "torn: is cut short")
        return {"bad": {"value": torch.ones(2)}}

    return work


_FAULTS: Mapping[str, Callable[[Path], Work]] = {
    **{name: _raises(kind(f"it is {name}")) for name, kind in ERRORS.items()},
    "fault": _raises(KeyError("shape")),
    "disk": _raises(OSError(28, "No space left on device", "/full/file")),
    "dies-once": lambda scratch: _dies(scratch, 1),
    "dies": lambda scratch: _dies(scratch, 99),
    "waits": _waits,
    "sets-aside": _sets_aside,
}
