"""Directions that a user gives: by name, tensor by tensor, or as flat vectors."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from basinscope.errors import InputError, kind_of
from basinscope.landscape.directions import Direction, Stored
from basinscope.landscape.filters import Filters, as_real
from basinscope.landscape.protocol import Landscape

Given = Direction | Mapping[str, Tensor] | Sequence[Tensor] | Tensor | np.ndarray
"""A direction: displacements by parameter name, in which missing ones are 0; one tensor for each moved one, in their
order; or a flat vector of all of them, such as an `eigenvector` of `curvature`. Entries that masks exclude must be
0."""
UNIT = "direction lengths"
FORMS = "give displacements by name, one tensor for each moved one, or a flat vector of them"

_NOT_DENSE = f"%s is not a dense tensor with data: {FORMS}"


def given_directions(landscape: Landscape, directions: Any, verb: str, *, num: int | None = None) -> list[Direction]:
    """Convert a user's directions; distance 1 along one adds it to the weights as it is.

    Args:
        landscape: The landscape, whose moved tensors they perturb.
        directions: A list of directions, or the rows of a matrix.
        verb: Name of the calling function, for messages.
        num: Number that is needed; None accepts any but 0.

    Raises:
        InputError: One does not fit the moved tensors, is not finite or is zero, or there are too few or too many.
    """
    one = isinstance(directions, Mapping | nn.Module) or (
        not isinstance(directions, Sequence) and np.ndim(directions) < 2 and hasattr(directions, "ndim")
    )
    if one or not hasattr(directions, "__iter__"):
        raise InputError(f"{verb}: directions is {kind_of(directions)}: give a list of directions")
    chosen: list[Any] = list(iter(cast("Any", directions)))
    if not chosen or (num is not None and len(chosen) != num):
        raise InputError(f"{verb}: directions has {len(chosen)} entries: give {num or 'one or more'}")
    return [_direction(landscape, item, f"{verb}: directions[{k}]") for k, item in enumerate(chosen)]


def unit_of(directions: Sequence[Direction]) -> str:
    """Unit of distance along directions: their own if it is the same for all."""
    units = {direction.units for direction in directions}
    return units.pop() if len(units) == 1 else UNIT


def stored_directions(landscape: Landscape, directions: Sequence[Direction]) -> Float[Tensor, "directions entry"]:
    """Directions as rows, moved tensors concatenated, in the order that `given_directions` accepts."""
    places = range(len(landscape.filters))
    rows = [torch.cat([direction.block(k).reshape(-1).cpu() for k in places]) for direction in directions]
    return torch.stack(rows)


def tensors_of(landscape: Landscape) -> str:
    """Names and shapes of the moved tensors in the order of stored entries, as JSON."""
    return json.dumps([[f.name, list(f.shape)] for f in landscape.filters], ensure_ascii=False)


def _direction(landscape: Landscape, item: Any, what: str) -> Direction:
    """Convert one direction."""
    if hasattr(item, "block") and hasattr(item, "units"):
        return item
    parts = _blocks(landscape, item, what)
    if not all(map(_is_dense, parts)):
        raise InputError(_NOT_DENSE % what)
    if any(part.is_complex() for part in parts):
        raise InputError(f"{what} is complex, but the tensors that it moves are real")
    blocks = [
        block.detach().to(landscape.center.exact(k)).reshape(filters.shape)
        for k, (filters, block) in enumerate(zip(landscape.filters, parts, strict=True))
    ]
    if not all(bool(block.isfinite().all()) for block in blocks):
        raise InputError(f"{what} is not finite")
    for filters, block in zip(landscape.filters, blocks, strict=True):
        if bool((block != filters.placed(filters.picked(block))).any()):
            raise InputError(f"{what} moves entries of {filters.name} that masks exclude: multiply it by the mask")
    if not any(bool(block.any()) for block in blocks):
        raise InputError(f"{what} is zero on all moved tensors")
    return Stored(tuple(blocks), UNIT)


def _blocks(landscape: Landscape, item: Any, what: str) -> list[Tensor]:
    """Entries of a direction for each moved tensor."""
    filters = landscape.filters
    if isinstance(item, Mapping):
        known = {f.name for f in filters}
        foreign = [str(name) for name in item if name not in known]
        if foreign:
            raise InputError(f"{what}: {', '.join(foreign[:3])} not among the moved tensors, such as {filters[0].name}")
        parts = [
            _as_real(torch.as_tensor(item[f.name]), f) if f.name in item else torch.zeros(f.shape) for f in filters
        ]
    elif isinstance(item, Sequence) and not isinstance(item, str) and all(isinstance(part, Tensor) for part in item):
        if len(item) != len(filters):
            raise InputError(f"{what} has {len(item)} tensors, not {len(filters)}, one for each moved tensor")
        parts = [_as_real(part, f) for part, f in zip(item, filters, strict=True)]
    else:
        return _split(landscape, item, what)
    for f, part in zip(filters, parts, strict=True):
        if part.shape != f.shape:
            raise InputError(f"{what}: {f.name} has shape {tuple(part.shape)}, not {tuple(f.shape)}")
    return parts


def _is_dense(tensor: Tensor) -> bool:
    return tensor.layout == torch.strided and not tensor.is_meta


def _as_real(tensor: Tensor, filters: Filters) -> Tensor:
    """A complex tensor for complex weights as pairs of real numbers."""
    return as_real(tensor) if filters.is_complex else tensor


def _split(landscape: Landscape, item: Any, what: str) -> list[Tensor]:
    """Split a flat vector into the moved tensors."""
    if not isinstance(item, Tensor) and np.iscomplexobj(item):
        raise InputError(f"{what} is complex: flat vectors hold real numbers, complex weights as pairs of them")
    try:
        flat = item if isinstance(item, Tensor) else torch.from_numpy(np.array(item, dtype=np.float64))
    except (TypeError, ValueError):
        raise InputError(f"{what} is {kind_of(item)}: {FORMS}") from None
    if not _is_dense(flat):
        raise InputError(_NOT_DENSE % what)
    num = sum(f.size for f in landscape.filters)
    if flat.shape != (num,):
        raise InputError(f"{what} has shape {tuple(flat.shape)}, not ({num},): {FORMS}")
    of = getattr(item, "attrs", {}).get("tensors")
    if of is not None and of != tensors_of(landscape):
        raise InputError(
            f"{what} is a vector of other tensors than the moved ones, such as {landscape.filters[0].name}"
        )
    return list(flat.split([f.size for f in landscape.filters]))
