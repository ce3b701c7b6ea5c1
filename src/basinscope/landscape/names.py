"""Maps the names in a checkpoint to those of a network, whatever wraps either of them.

Wrappers and training scripts add segments to names: `module.` (`DataParallel`, averaged models), `_orig_mod.`
(`torch.compile`), `model.` (Lightning), or the key under which weights were saved. A reading strips one prefix from the
given names, one from the network's, and wrappers inside both. If several readings fit, they must give the same tensors.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any

import torch
from torch import Tensor, nn

from basinscope.errors import InputError

SAVED_UNDER = (
    "state_dict",
    "model_state_dict",
    "model",
    "module",
    "net",
    "network",
    "ema",
    "ema_state_dict",
    "ema_model",
    "model_ema",
    "state_dict_ema",
    "weights",
    "params",
)
"""Keys under which training scripts save weights along with other data."""
_HIDDEN = frozenset({"_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module", "_forward_module"})
"""Attributes that only wrappers use, anywhere in a name."""
_INNER = _HIDDEN | {"module"}
"""Attributes under which wrappers hold a network or a layer; `module` may also be a layer's own name."""
_LEADING = _INNER | {*SAVED_UNDER, "averaged_model", "online_model"}
"""Segments that may precede every name."""
_EXTRA = ("n_averaged",)
"""Last segments of tensors that wrappers add."""
_NUM_NAMED = 3
"""Number of mismatches, and of names, in a message."""


@dataclass(frozen=True)
class Names:
    """The tensors of a network that a checkpoint may hold."""

    tensors: Mapping[str, Tensor]
    """By every name, those of tied tensors included."""
    sources: Mapping[str, Collection[str]] = field(default_factory=dict)
    """Names of the tensors that each effective weight of a parametrised layer is computed from."""

    def tied(self) -> list[list[str]]:
        """Names of each tensor that has several."""
        groups: dict[Any, list[str]] = defaultdict(list)
        for name, tensor in self.tensors.items():
            if tensor.layout == torch.strided and tensor.numel() and not tensor.is_meta:
                groups[tensor.device, tensor.data_ptr(), tensor.shape, tensor.stride()].append(name)
        return [group for group in groups.values() if len(group) > 1]


def names_of(model: nn.Module) -> Names:
    """The tensors of a network's state dictionary, and buffers that it leaves out."""
    tensors = dict(model.named_buffers(remove_duplicate=False))
    tensors |= {name: value for name, value in model.state_dict().items() if isinstance(value, Tensor)}
    return Names(tensors)


def is_statistic(name: str) -> bool:
    """Whether a buffer is one of a normalisation layer's running statistics."""
    return name.rpartition(".")[2] in ("running_mean", "running_var")


def saved_weights(content: Mapping[Any, Any]) -> dict[str, Tensor]:
    """The tensors of a state dictionary, or of a training script's dictionary that holds some.

    Names of nested dictionaries begin with their key, unless there is only one.
    """
    weights = {str(name): value for name, value in content.items() if isinstance(value, Tensor)}
    nested = {key: saved_weights(content[key]) for key in SAVED_UNDER if isinstance(content.get(key), Mapping)}
    nested = {key: inner for key, inner in nested.items() if inner}
    if not weights and len(nested) == 1:
        return next(iter(nested.values()))
    for key, inner in nested.items():
        for name, tensor in inner.items():
            full = f"{key}.{name}"
            while full in weights:
                full = f"{key}.{full}"
            weights[full] = tensor
    return weights


@dataclass(frozen=True)
class _Reading:
    """One assignment of given names to a network's."""

    prefix: str
    """Stripped from the given names; names without it are left out."""
    found: Mapping[str, Sequence[str]]
    """Given names by the network's name."""
    foreign: Sequence[str]
    """Given names with this prefix that are not in the network."""

    @property
    def used(self) -> frozenset[str]:
        return frozenset(name for names in self.found.values() for name in names)


def fitted(
    state: Mapping[Any, Any], names: Names, *, required: Collection[str], what: str, network: str
) -> dict[str, Tensor]:
    """Give the tensors of a checkpoint the network's names.

    Args:
        state: A state dictionary, or a training script's dictionary that holds some.
        names: The network's tensors.
        required: Names that must be there. A tied tensor may have any of its names, an effective weight may be given by
            the tensors that it is computed from.
        what: Name of the checkpoint in messages.
        network: Name of the network in messages.

    Returns:
        Tensors by the network's names, tied ones under all of theirs.

    Raises:
        InputError: Names or shapes differ (the message names the first three), or two readings fit but differ.
    """
    given, tied = saved_weights(state), names.tied()
    fitting: list[_Reading] = []
    refused: list[tuple[int, list[str]]] = []
    # Longer prefixes first: what a reading with one explains is not foreign to a reading without.
    for reading in sorted(_readings(given, names.tensors), key=lambda one: -len(one.prefix)):
        problems = _problems(reading, given, names, tied, required, {name for one in fitting for name in one.used})
        if problems:
            refused.append((len(reading.used), problems))
        elif all(reading.found != other.found for other in fitting):
            fitting.append(reading)
    if not fitting:
        _, closest = min(refused, key=lambda one: (-one[0], len(one[1])))
        raise InputError(f"{what} does not fit {network}: {_listed(closest, '; ')}; it holds {_held(given)}")
    order = {name: place for place, name in enumerate(given)}
    fitting.sort(key=lambda one: min((order[name] for name in one.used), default=0))
    tensors = [_tensors(reading, given, tied) for reading in fitting]
    for reading, other in zip(fitting[1:], tensors[1:], strict=True):
        if not _same(tensors[0], other):
            one, two = (_spelled(r.prefix) for r in (fitting[0], reading))
            raise InputError(
                f"{what} holds two sets of weights that fit {network} and differ: names {one} and names {two}; pass "
                "only one of them"
            )
    return tensors[0]


def _readings(given: Collection[str], known: Collection[str]) -> list[_Reading]:
    """Readings that explain the most given names: no other one explains these and more."""
    if all(name in known for name in given):
        return [_Reading("", {name: [name] for name in given}, ())]
    readings = [_read(given, known, "", "")]
    for prefix in sorted(_prefixes(given), key=len):
        for own in sorted(_prefixes(known), key=len):
            reading = _read(given, known, prefix, own)
            if reading.used:
                readings.append(reading)
    return [one for one in readings if not any(one.used < other.used for other in readings)]


def _prefixes(names: Iterable[str]) -> set[str]:
    """Prefixes of names that consist of wrappers' segments, the empty one included."""
    found = {""}
    for name in names:
        prefix = ""
        for segment in name.split(".")[:-1]:
            if segment not in _LEADING:
                break
            prefix += f"{segment}."
            found.add(prefix)
    return found


def _without(name: str, segments: frozenset[str]) -> str:
    """A name without some of its segments; the last one is kept."""
    *path, last = name.split(".")
    return ".".join([*(segment for segment in path if segment not in segments), last])


def _read(given: Iterable[str], known: Iterable[str], prefix: str, own: str) -> _Reading:
    """Assign given names without a prefix to the network's without another, wrappers inside names removed."""
    targets: dict[str, list[str]] = defaultdict(list)
    for name in known:
        if name.startswith(own):
            targets[_without(name[len(own) :], _INNER)].append(name)
    found: dict[str, list[str]] = defaultdict(list)
    foreign = []
    for name in given:
        if not name.startswith(prefix):
            continue
        rest = name[len(prefix) :]
        possible = targets.get(_without(rest, _INNER), [])
        if len(possible) > 1:  # `module` is a layer's own name here
            bare = _without(rest, _HIDDEN)
            possible = [other for other in possible if _without(other[len(own) :], _HIDDEN) == bare]
        if len(possible) == 1:
            found[possible[0]].append(name)
        elif name.rpartition(".")[2] not in _EXTRA:
            foreign.append(name)
    return _Reading(prefix, dict(found), foreign)


def _problems(
    reading: _Reading,
    given: Mapping[str, Tensor],
    names: Names,
    tied: Sequence[Sequence[str]],
    required: Collection[str],
    explained: Collection[str],
) -> list[str]:
    """What keeps a reading from fitting; names that a fitting one explains are not foreign."""
    there = set(reading.found)
    for group in tied:
        if there.intersection(group):
            there.update(group)
    there |= {name for name, parts in names.sources.items() if parts and there.issuperset(parts)}
    missing = [f"{name}: missing" for name in required if name not in there]
    foreign = [f"{name}: not in the network" for name in reading.foreign if name not in explained]
    other = []
    for name, found in reading.found.items():
        own = names.tensors[name]
        other += [f"{name}: {_form(given[one])}, not {_form(own)}" for one in found if _form(given[one]) != _form(own)]
        if not all(_equal(given[found[0]], given[one]) for one in found[1:]):
            other.append(f"{name}: {' and '.join(found)} both name it and differ")
    for group in tied:
        held = [one for name in group for one in reading.found.get(name, ())]
        if not all(_equal(given[held[0]], given[one]) for one in held[1:]):
            other.append(f"{' and '.join(group)}: one tensor in the network, but {' and '.join(held)} differ")
    # Alternate between the kinds: a wrong prefix shows only in missing and foreign names together.
    return list(dict.fromkeys(line for lines in zip_longest(missing, foreign, other) for line in lines if line))


def _tensors(reading: _Reading, given: Mapping[str, Tensor], tied: Sequence[Sequence[str]]) -> dict[str, Tensor]:
    """Tensors by the network's names."""
    tensors = {name: given[found[0]] for name, found in reading.found.items()}
    for group in tied:
        there = next((tensors[name] for name in group if name in tensors), None)
        if there is not None:
            tensors |= {name: there for name in group if name not in tensors}
    return tensors


def _equal(one: Tensor, two: Tensor) -> bool:
    """Whether two tensors hold the same values; NaN equals NaN."""
    if one is two or (
        one.data_ptr() == two.data_ptr() != 0 and one.stride() == two.stride() and one.shape == two.shape
    ):
        return True
    if one.shape != two.shape or one.dtype != two.dtype:
        return False
    there = two.to(one.device)
    return torch.equal(one, there) or bool(((one == there) | (one.isnan() & there.isnan())).all())


def _same(one: Mapping[str, Tensor], two: Mapping[str, Tensor]) -> bool:
    return one.keys() == two.keys() and all(_equal(one[name], two[name]) for name in one)


def _form(tensor: Tensor) -> str:
    """Shape of a tensor, and whether it is complex, in words."""
    return f"{'complex ' if tensor.is_complex() else ''}{tuple(tensor.shape)}"


def _spelled(prefix: str) -> str:
    return f"under {prefix.rstrip('.')!r}" if prefix else "without a prefix"


def _listed(parts: Sequence[str], between: str = ", ") -> str:
    more = f" and {len(parts) - _NUM_NAMED} more" if len(parts) > _NUM_NAMED else ""
    return between.join(parts[:_NUM_NAMED]) + more


def _held(given: Mapping[str, Tensor]) -> str:
    return _listed(list(given)) if given else "no tensors"
