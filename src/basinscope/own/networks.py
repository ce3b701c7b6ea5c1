"""The networks of a survey: a model at each of several checkpoints, from a problem file or from Python."""

from __future__ import annotations

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
from basinscope.checkpoints.recorder import Recorder
from basinscope.errors import InputError
from basinscope.landscape.filters import OneDim
from basinscope.landscape.module.objective import Objective
from basinscope.own import fingerprint
from basinscope.own.problem import OPTIONS, Problem
from basinscope.runs import atomic

Checkpoint = Any
"""A state dictionary, a network, or a file of weights; or a path of training, whose last point is measured: a list of
these, or a `Recorder` or its folder."""


@dataclass(frozen=True, kw_only=True)
class Network:
    """One network of a survey."""

    label: str
    opened: Callable[[], Objective]
    """Brings the model to its weights, and makes its objective; valid until another network's is made."""
    identity: Mapping[str, str]
    """What tells it from others: fields of `Request`."""
    facts: Mapping[str, str]
    """Where it comes from, for the provenance."""
    path: Sequence[Any] = ()
    """Its checkpoints in the order of training, the measured one last; empty for the model as it is."""
    weights: str = ""
    """Digest of the path."""
    what: str = ""
    """What messages call its checkpoint; empty for the model as it is."""


def of_problem(
    problem: Problem, checkpoints: Sequence[Path], *, name: str | None, device: torch.device | None
) -> list[Network]:
    """The networks of a problem file: its model at each checkpoint, or as the file makes it.

    Args:
        problem: The file; its model is changed.
        checkpoints: Files of weights, or folders of a `Recorder`.
        name: What to call the network; beside several checkpoints, what their names begin with.
        device: Where to put the model; None leaves it where the file puts it.

    Raises:
        InputError: A checkpoint cannot be read or does not fit.
    """
    model = problem.parts["model"]
    if not isinstance(model, nn.Module):
        raise InputError(f"{problem.path}: model is a {type(model).__name__}: give an nn.Module")
    labels = _labels(checkpoints, name)
    copies = [_copies(path) for path in checkpoints]
    states = [_state(some[-1]) for some in copies]
    if device is not None:
        model.to(device)
    extra = {key: problem.parts[key] for key in OPTIONS if key in problem.parts}

    def make() -> Objective:
        return Objective(model, problem.parts["loss_fn"], problem.parts["batches"], **extra)

    own = {"problem": problem.checksum, "name": problem.name, "checkpoint": ""}
    where = {"problem": str(problem.path), "checkpoint": ""}
    if not checkpoints:
        return [Network(label=labels[0], opened=make, identity=own, facts=where)]
    found = []
    for label, path, some, state in zip(labels, checkpoints, copies, states, strict=True):
        opened, end = _at(model, state, str(path), make)
        digest = _of_files(some)
        found.append(
            Network(
                label=label,
                opened=opened,
                identity=own | {"checkpoint": digest},
                facts=where | {"checkpoint": str(path)},
                path=[*some[:-1], end],
                weights=digest,
                what=str(path),
            )
        )
    return found


def of_model(objective: Objective, checkpoints: Any, *, name: str | None) -> list[Network]:
    """The networks of a survey from Python: the objective's own, or a copy of it at each checkpoint.

    Args:
        objective: The network; it is not changed.
        checkpoints: See `bs.survey`.
        name: What to call the network; beside several checkpoints, what their names begin with.

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
    twin, moved = copy.deepcopy(objective.model), {f.name for f in objective.filters}

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
        )

    found = []
    for label, (what, some) in _named(checkpoints, name).items():
        opened, end = _at(twin, _state(some[-1]), what, make)
        try:
            identity = identified(opened())
        except InputError as error:
            raise InputError(f"{what}: {error}") from error
        digest = _of_states([*some[:-1], end])
        facts = where | {"checkpoint": what}
        found.append(
            Network(
                label=label,
                opened=opened,
                identity=identity,
                facts=facts,
                path=[*some[:-1], end],
                weights=digest,
                what=what,
            )
        )
    return found


def _at(
    model: nn.Module, state: Mapping[str, Tensor], what: str, make: Callable[[], Objective]
) -> tuple[Callable[[], Objective], dict[str, Tensor]]:
    """Fit a state to a model; return what brings the model to it, and the state under the model's own names."""
    # A `Recorder` keeps no counters, which no loss in eval mode depends on.
    counters = {name: tensor for name, tensor in model.state_dict().items() if not tensor.is_floating_point()}
    fill(model, {**counters, **state} if set(counters) - set(state) else state, what)
    end = {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}

    def opened() -> Objective:
        fill(model, end, what)
        return make()

    return opened, end


def _named(checkpoints: Any, name: str | None) -> dict[str, tuple[str, list[Any]]]:
    """By label, what messages call each checkpoint and its copies in the order of training."""
    if isinstance(checkpoints, str | Path | Recorder | nn.Module) or _is_state(checkpoints):
        checkpoints = [checkpoints]
    if not checkpoints:
        raise InputError("checkpoints is empty: name some, or leave it out to measure the network as it is")
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
        raise InputError(f"checkpoints: two are called {next(n for n in labels if labels.count(n) > 1)}")
    return {label: (what, _copies(one)) for label, what, one in zip(labels, whats, given, strict=True)}


def _is_state(value: Any) -> bool:
    return isinstance(value, Mapping) and bool(value) and all(isinstance(one, Tensor) for one in value.values())


def _copies(checkpoint: Any) -> list[Any]:
    """The copies of a checkpoint in the order of training; a single one unless it is a path."""
    if isinstance(checkpoint, str | Path):
        place = Path(checkpoint)
        return list(recorded(place)) if place.is_dir() else [place]
    if isinstance(checkpoint, nn.Module | Mapping):
        return [checkpoint]
    if not (isinstance(checkpoint, Sequence) and len(checkpoint)):
        raise InputError(
            f"a checkpoint is a {type(checkpoint).__name__}: give a state dictionary, a network, a file, or the folder "
            "of a Recorder"
        )
    return list(checkpoint)


def _state(one: Any) -> Mapping[str, Tensor]:
    if isinstance(one, nn.Module):
        return one.state_dict()
    return read_state(Path(one)) if isinstance(one, str | Path) else one


def _of_files(files: Sequence[Path]) -> str:
    sums = [atomic.sha256(file) for file in files]
    return sums[0] if len(sums) == 1 else fingerprint.of_text("".join(sums))


def _of_states(states: Sequence[Any]) -> str:
    return fingerprint.of_text("".join(fingerprint.of_state(_state(state)) for state in states))


def _labels(checkpoints: Sequence[Path], name: str | None) -> list[str]:
    """Name each network: after its checkpoint, with folders as far as names would be the same."""
    if not checkpoints:
        return [plain(name or "model")]
    for depth in range(1, 1 + max(len(path.absolute().parts) for path in checkpoints)):
        labels = [plain("-".join(path.absolute().with_suffix("").parts[-depth:])) for path in checkpoints]
        if len(set(labels)) == len(labels):
            return [plain(f"{name}-{label}") if name else label for label in labels]
    raise InputError("--checkpoint: the same file is named twice")


def plain(name: str) -> str:
    """Make a name of a folder from any text."""
    return re.sub(r"[^A-Za-z0-9._=-]+", "-", name).strip(".-") or "model"
