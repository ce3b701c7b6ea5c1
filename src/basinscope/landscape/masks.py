"""Which entries of the moved tensors rest: pruned ones, and those that the user excludes.

An entry that rests is not perturbed, gets no random number before directions are normalised, and does not count in n.
It keeps its value, zero or not, which does not count in the norm of its filter.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

from torch import Tensor, nn

from basinscope.errors import InputError, kind_of
from basinscope.landscape.filters import Filters

Masks = Mapping[str, Tensor] | Literal["zeros"] | None
"""Tensors of 0 and 1 by parameter name: entries at 0 rest; or `zeros`: every entry that is exactly 0 rests."""
_NAMED = 3
"""Names listed in a message."""


def check_masks(masks: Any) -> None:
    """Check the form of `masks`, whatever the network.

    Raises:
        InputError: It is neither a mapping of tensors of 0 and 1 nor `zeros`.
    """
    if masks is None or masks == "zeros":
        return
    if not isinstance(masks, Mapping):
        given = repr(masks) if isinstance(masks, str) else kind_of(masks)
        raise InputError(f"masks is {given}: pass tensors of 0 and 1 by parameter name, or 'zeros'")
    for name, mask in masks.items():
        if not isinstance(mask, Tensor):
            raise InputError(f"masks[{name!r}] is {kind_of(mask)}: pass a tensor of 0 and 1")


def masked_filters(
    filters: Sequence[Filters], model: nn.Module, masks: Masks, pruned: Mapping[str, Tensor]
) -> tuple[Filters, ...]:
    """Exclude the entries that rest; a tensor all of whose entries rest is not moved.

    Args:
        filters: The moved tensors.
        model: The working copy, at the network's weights.
        masks: The user's masks.
        pruned: Masks of pruned tensors by name.

    Raises:
        InputError: A mask has a name or a shape that no parameter has, or other values than 0 and 1; or nothing is left
            to move.
    """
    tensors = dict(model.named_parameters(remove_duplicate=False))
    moving: dict[int, Tensor] = {}
    """The entries that move, by identity of the parameter, so that a mask may have any name of a tied tensor."""

    def exclude(tensor: Tensor, mask: Tensor) -> None:
        known = moving.get(id(tensor))
        moving[id(tensor)] = mask if known is None else known & mask

    for name, mask in pruned.items():
        exclude(tensors[name], mask.detach().to(tensors[name].device) != 0)
    for name, mask in masks.items() if isinstance(masks, Mapping) else ():
        exclude(*_checked(name, mask, tensors))
    if masks == "zeros":
        for f in filters:
            exclude(tensors[f.name], tensors[f.name].detach() != 0)
    if not moving:
        return tuple(filters)
    found = [_excluding(f, moving.get(id(tensors[f.name]))) for f in filters]
    # A tensor keeps its random stream whichever others are moved.
    left = tuple(replace(f, stream=k) for k, f in enumerate(found) if f.num_moved)
    if not left:
        raise InputError(f"every entry of {', '.join(f.name for f in filters[:_NAMED])} is masked: nothing to move")
    return left


def _checked(name: str, mask: Tensor, tensors: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
    """The parameter of a user's mask, and the entries that move."""
    tensor = tensors.get(name)
    if tensor is None:
        raise InputError(f"masks: {name!r} is no parameter; there are {', '.join(list(tensors)[:_NAMED])} …")
    if mask.shape != tensor.shape:
        raise InputError(f"masks[{name!r}] has shape {tuple(mask.shape)}, the parameter {tuple(tensor.shape)}")
    ones = mask.detach() == 1
    if not bool((ones | (mask.detach() == 0)).all()):
        raise InputError(f"masks[{name!r}] holds other values than 0 and 1: pass 1 for entries that move, 0 for others")
    return tensor, ones.to(tensor.device)


def _excluding(filters: Filters, moving: Tensor | None) -> Filters:
    """The filters with a mask, unless every entry moves; parts of a complex entry move or rest together."""
    if moving is None or bool(moving.all()):
        return filters
    return filters.excluding(moving.unsqueeze(-1).expand(filters.shape).contiguous() if filters.is_complex else moving)


def digests_of(filters: Sequence[Filters]) -> list[str | None]:
    """Hash of each tensor's mask, None where there is none; an empty list if no tensor has one."""
    masks = [f.mask for f in filters]
    if all(mask is None for mask in masks):
        return []
    return [None if mask is None else hashlib.sha256(_bytes(mask)).hexdigest()[:16] for mask in masks]


def _bytes(mask: Tensor) -> bytes:
    return mask.cpu().contiguous().numpy().tobytes()
