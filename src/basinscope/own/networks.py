"""The networks of a survey: a model at each of several checkpoints, from a problem file or from Python."""

from __future__ import annotations

import contextlib
import copy
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from basinscope.checkpoints.files import fill, read_state
from basinscope.checkpoints.points import recorded
from basinscope.errors import InputError, kind_of
from basinscope.landscape.filters import OneDim
from basinscope.landscape.module.copying import duplicate
from basinscope.landscape.module.objective import Objective
from basinscope.landscape.names import saved_weights
from basinscope.own import fingerprint
from basinscope.own.problem import OPTIONS, Problem
from basinscope.recording.recorder import Recorder
from basinscope.runs import atomic

Checkpoint = Any
"""A state dictionary, a network, or a file of weights; or a training path, whose last point is measured: a list of
these, or a `Recorder` or its folder."""


@dataclass(frozen=True, kw_only=True)
class Network:
    """One network of a survey."""

    label: str
    opened: Callable[[], Objective]
    """Loads the weights into the model and builds its objective; valid until another network is opened."""
    identity: Mapping[str, str]
    """Fields of `SurveyRequest` that identify it."""
    facts: Mapping[str, str]
    """Its origin, for the provenance."""
    path: Sequence[Any] = ()
    """Its checkpoints in training order, the measured one last; empty for the model's current weights."""
    weights: str = ""
    """Digest of the path."""
    what: str = ""
    """Name of its checkpoint in messages; empty for the model's current weights."""


def of_problem(
    problem: Problem, checkpoints: Sequence[Path], *, name: str | None, device: torch.device | None
) -> list[Network]:
    """The networks of a problem file: its model at each checkpoint, or as the file defines it.

    Args:
        problem: The file; its model is modified.
        checkpoints: Files of weights, or folders of a `Recorder`.
        name: Name of the network; with several checkpoints, the prefix of their names.
        device: Device for the model; None keeps the one that the file chose.

    Raises:
        InputError: A checkpoint cannot be read or does not fit.
    """
    model = problem.parts["model"]
    if not isinstance(model, nn.Module):
        raise InputError(f"{problem.path}: model is {kind_of(model)}: give an nn.Module")
    labels = _labels(checkpoints, name)
    copies = [_copies(path) for path in checkpoints]
    states = [_state(copies_of_one[-1]) for copies_of_one in copies]
    if device is not None:
        model.to(device)
    extra = {key: problem.parts[key] for key in OPTIONS if key in problem.parts}

    def make() -> Objective:
        return Objective(model, problem.parts["loss_fn"], problem.parts["batches"], **extra)

    own = {"problem": problem.checksum, "name": problem.name, "checkpoint": ""}
    where = {"problem": str(problem.path), "checkpoint": ""}
    if not checkpoints:
        return [Network(label=labels[0], opened=make, identity=own, facts=where)]
    networks = []
    for label, path, copies_of_one, state in zip(labels, checkpoints, copies, states, strict=True):
        opened, end = _at(model, state, str(path), make)
        digest = _of_files(copies_of_one)
        networks.append(
            Network(
                label=label,
                opened=opened,
                identity=own | {"checkpoint": digest},
                facts=where | {"checkpoint": str(path)},
                path=[*copies_of_one[:-1], end],
                weights=digest,
                what=str(path),
            )
        )
    return networks


def of_model(objective: Objective, checkpoints: Any, *, name: str | None) -> list[Network]:
    """The networks of a survey from Python: the objective's own, or a copy of it at each checkpoint.

    Args:
        objective: The network; not modified.
        checkpoints: See `bs.survey`.
        name: Name of the network; with several checkpoints, the prefix of their names.

    Raises:
        InputError: A checkpoint cannot be read or does not fit, or its loss cannot be measured.
    """
    functions, (sets, _) = objective.functions, objective.score_names
    batches = fingerprint.of_data_sets({name: objective.batches(name) for name in sets})

    def identified(one: Objective) -> dict[str, str]:
        return {"network": fingerprint.of_objective(one, functions=functions, batches=batches)}

    where = {"problem": "from Python", "checkpoint": ""}
    if checkpoints is None:
        label = plain(name or "model")
        return [Network(label=label, opened=lambda: objective, identity=identified(objective), facts=where)]
    one_dim: OneDim = objective.one_dim  # pyright: ignore[reportAssignmentType]
    twin, moved = _second(objective), {f.name for f in objective.filters}

    def make() -> Objective:
        return Objective(
            twin,
            functions["loss"],
            {name: partial(objective.batches, name) for name in sets},
            metrics={name: function for name, function in functions.items() if name != "loss"},
            points_at_once=objective.asked_points_at_once,
            parameters=lambda name, _: name in moved,
            normalization=objective.scheme,
            one_dim=one_dim,
            unit=objective.unit,
            **objective.evaluated_with,
        )

    networks = []
    for label, (what, copies) in _named(checkpoints, name).items():
        opened, end = _at(twin, _state(copies[-1]), what, make)
        try:
            identity = identified(opened())
        except InputError as error:
            raise InputError(f"{what}: {error}") from error
        digest = _of_states([*copies[:-1], end])
        facts = where | {"checkpoint": what}
        networks.append(
            Network(
                label=label,
                opened=opened,
                identity=identity,
                facts=facts,
                path=[*copies[:-1], end],
                weights=digest,
                what=what,
            )
        )
    return networks


def _second(objective: Objective) -> nn.Module:
    """A copy of an objective's network, to be loaded with checkpoints.

    Raises:
        InputError: The network cannot be copied, and its only other instance is in use.
    """
    instance = objective.evaluated_with["instance"]
    if instance is None:
        with contextlib.suppress(Exception):  # copying a custom class can fail with any exception
            return copy.deepcopy(objective.model)
    if isinstance(instance, nn.Module):
        raise InputError("checkpoints: they need a third instance of the network: pass instance= a function")
    return duplicate(objective.model, instance)


def _at(
    model: nn.Module, state: Mapping[str, Tensor], what: str, make: Callable[[], Objective]
) -> tuple[Callable[[], Objective], dict[str, Tensor]]:
    """Load a state into a model; return a function that opens it again, and the state under the model's own names."""
    fill(model, state, what)
    end = {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}

    def opened() -> Objective:
        fill(model, end, what)
        return make()

    return opened, end


def _named(checkpoints: Any, name: str | None) -> dict[str, tuple[str, list[Any]]]:
    """By label, the name of each checkpoint in messages, and its copies in training order."""
    if isinstance(checkpoints, str | Path | Recorder | nn.Module) or _is_state(checkpoints):
        checkpoints = [checkpoints]
    if not checkpoints:
        raise InputError("checkpoints is empty: give some, or omit it to measure the network at its current weights")
    if isinstance(checkpoints, Mapping):
        labels = [plain(str(key)) for key in checkpoints]
        labels = [plain(f"{name}-{label}") if name else label for label in labels]
        whats, given = [f"checkpoints[{key!r}]" for key in checkpoints], list(checkpoints.values())
    elif all(isinstance(one, str | Path) for one in checkpoints):
        given = [Path(one) for one in checkpoints]
        labels, whats = _labels(given, name), [str(path) for path in given]
    else:
        given = list(checkpoints)
        numbered = [f"checkpoint-{k + 1}" for k in range(len(given))] if len(given) > 1 else [name or "checkpoint"]
        labels = [plain(f"{name}-{label}") if name and len(given) > 1 else plain(label) for label in numbered]
        whats = [f"checkpoints[{k}]" for k in range(len(given))]
    if len(set(labels)) < len(labels):
        raise InputError(f"checkpoints: two are named {next(n for n in labels if labels.count(n) > 1)}")
    return {label: (what, _copies(one)) for label, what, one in zip(labels, whats, given, strict=True)}


def _is_state(value: Any) -> bool:
    return isinstance(value, Mapping) and bool(value) and all(isinstance(one, Tensor) for one in value.values())


def _copies(checkpoint: Any) -> list[Any]:
    """The copies of a checkpoint in training order; a single one unless it is a training path."""
    if isinstance(checkpoint, str | Path):
        path = Path(checkpoint)
        return list(recorded(path)) if path.is_dir() else [path]
    if isinstance(checkpoint, nn.Module | Mapping):
        return [checkpoint]
    if not (isinstance(checkpoint, Sequence) and len(checkpoint)):
        raise InputError(
            f"a checkpoint is {kind_of(checkpoint)}: give a state dictionary, a network, a file, or the folder "
            "of a Recorder"
        )
    return list(checkpoint)


def _state(one: Any) -> Mapping[str, Tensor]:
    if isinstance(one, nn.Module):
        return one.state_dict()
    return read_state(Path(one)) if isinstance(one, str | Path) else saved_weights(one)


def _of_files(files: Sequence[Path]) -> str:
    sums = [atomic.sha256(file) for file in files]
    return sums[0] if len(sums) == 1 else fingerprint.of_text("".join(sums))


def _of_states(states: Sequence[Any]) -> str:
    return fingerprint.of_text("".join(fingerprint.of_state(_state(state)) for state in states))


def _labels(checkpoints: Sequence[Path], name: str | None) -> list[str]:
    """Name each network after its checkpoint, with as many parent folders as make names unique."""
    if not checkpoints:
        return [plain(name or "model")]
    for depth in range(1, 1 + max(len(path.absolute().parts) for path in checkpoints)):
        labels = [plain("-".join(path.absolute().with_suffix("").parts[-depth:])) for path in checkpoints]
        if len(set(labels)) == len(labels):
            return [plain(f"{name}-{label}") if name else label for label in labels]
    raise InputError("--checkpoint: the same file is given twice")


def plain(name: str) -> str:
    """Turn any text into a folder name."""
    return re.sub(r"[^A-Za-z0-9._=-]+", "-", name).strip(".-") or "model"
