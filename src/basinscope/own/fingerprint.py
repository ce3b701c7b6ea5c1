"""Fingerprints of a network, its batches and its loss, by which a survey from Python finds its stored run."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from types import CodeType, FunctionType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from basinscope.landscape.masks import digests_of
from basinscope.landscape.module.objective import Objective

_PLAIN = (str, int, float, bool, bytes, complex, type(None))
_DEPTH = 4
"""Depth to which nested functions are hashed."""


def _digest(parts: Iterable[bytes]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    return digest.hexdigest()


def of_text(text: str) -> str:
    """Digest of a text."""
    return hashlib.sha256(text.encode()).hexdigest()


def _of_tensor(tensor: Tensor) -> bytes:
    plain = tensor.detach().cpu().contiguous()
    head = f"{plain.dtype} {tuple(plain.shape)} ".encode()
    return head + (plain.reshape(-1).view(torch.uint8).numpy().tobytes() if plain.numel() else b"")


def of_state(state: Mapping[str, Tensor]) -> str:
    """Digest of a state dictionary: names, types, shapes and values."""
    return _digest(part for name in sorted(state) for part in (name.encode(), _of_tensor(state[name])))


def of_batches(batches: Iterable[Any]) -> str:
    """Digest of all batches of one pass."""

    def leaves() -> Iterable[bytes]:
        for batch in batches:
            # Hugging Face batches are dictionaries of a type unknown to pytree.
            for leaf in pytree.tree_leaves(dict(batch) if hasattr(batch, "keys") else batch):
                yield _of_value(leaf, 0)
            yield b"end of batch"

    return _digest(leaves())


def of_data_sets(sets: Mapping[str, Iterable[Any]]) -> str:
    """Digest of named datasets; for a single one, the digest of its batches."""
    parts = {name: of_batches(batches) for name, batches in sets.items()}
    return of_text(json.dumps(parts, sort_keys=True)) if len(parts) > 1 else next(iter(parts.values()))


def of_loss(loss: Callable[..., Any]) -> str:
    """Digest of a loss function: its code, defaults and closure, but not the globals that it uses."""
    return _digest([_of_value(loss, 0)])


def _of_value(value: Any, depth: int) -> bytes:
    """Bytes that identify a value of a known type; the type's name for other values."""
    kind = f"{type(value).__module__}.{type(value).__qualname__}".encode()
    if isinstance(value, Tensor):
        return _of_tensor(value)
    if isinstance(value, np.ndarray) and value.dtype.kind != "O":
        return f"{value.dtype} {value.shape} ".encode() + value.tobytes()
    if isinstance(value, _PLAIN):
        return kind + f" {value!r}".encode()
    parts = _inside(value) if depth < _DEPTH else []
    return kind + b"".join(_of_value(part, depth + 1) for part in parts)


def _inside(value: Any) -> list[Any]:
    """Components of a value: items of a list, code and closure of a function, layers and tensors of a module."""
    if isinstance(value, tuple | list):
        return list(value)
    if isinstance(value, CodeType):
        return [value.co_code, " ".join(value.co_names), *value.co_consts]
    if isinstance(value, functools.partial):
        return [value.func, *value.args, *sorted(value.keywords.items())]
    if isinstance(value, nn.Module):
        return [repr(value), of_state(value.state_dict())]
    function: Any = getattr(value, "__func__", value)
    if isinstance(function, FunctionType):
        cells = [cell.cell_contents for cell in function.__closure__ or () if _filled(cell)]
        return [function.__code__, function.__defaults__, *cells]
    return [getattr(value, "__qualname__", "")]


def _filled(cell: Any) -> bool:
    try:
        _ = cell.cell_contents
    except ValueError:
        return False
    return True


def of_objective(objective: Objective, *, functions: Mapping[str, Callable[..., Any]], batches: str) -> str:
    """Digest of a network, its batches, its loss and the moved parameters.

    Args:
        objective: The network; checking it takes two passes, unless it is unchanged since the last check.
        functions: Its loss function and its metrics, by name.
        batches: Digest of its batches.

    Raises:
        InputError: Its loss cannot be measured.
    """
    moved = [(f.name, list(f.shape), list(f.split), list(f.inner)) for f in objective.filters]
    facts = {
        "class": f"{type(objective.model).__module__}.{type(objective.model).__qualname__}",
        "layers": repr(objective.model),
        "state": of_state(objective.model.state_dict()),
        "moved": [moved, objective.scheme, objective.one_dim, objective.unit],
        "batches": batches,
        "loss": {name: of_loss(function) for name, function in functions.items()},
        # Covers what the loss function's code does not show; rounded, because sums vary with the number of threads.
        "value": [f"{objective.center_loss:.6g}", objective.num_samples],
        "device": str(objective.device),
    }
    if masks := digests_of(objective.filters):
        facts["masks"] = masks
    return of_text(json.dumps(facts, sort_keys=True))
