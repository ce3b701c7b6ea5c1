"""Protects the user's batches from loss functions and networks that modify them."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor
from torch.utils import _pytree as pytree

_DEPTH = 6
"""Nesting of containers and objects in which modifications are looked for."""


class Lender:
    """Gives out batches: copies during the first pass, and later only if some batch was modified."""

    def __init__(self) -> None:
        self.copies = True
        """Whether copies are given out."""
        self.modified = False
        """Whether a batch was modified."""
        self._lent: tuple[Any, list[Any]] | None = None

    def lend(self, batch: Any) -> Any:
        """Return the batch, or a copy of it."""
        if not self.copies:
            return batch
        lent = copied(batch)
        if not self.modified:
            self._lent = (lent, list(_marks(lent)))
        return lent

    def look(self) -> None:
        """Note whether the batch that was lent last has been modified."""
        if self._lent is not None:
            lent, before = self._lent
            self.modified = self.modified or list(_marks(lent)) != before
            self._lent = None

    def decide(self) -> None:
        """After a complete pass, stop copying if no batch was modified."""
        self.copies = self.modified


def copied(batch: Any) -> Any:
    """Copy a batch: tensors as such, other objects deeply if they can be."""

    def each(part: Any) -> Any:
        if isinstance(part, Tensor):
            return part.detach().clone().requires_grad_(part.requires_grad)
        try:
            return copy.deepcopy(part)
        except Exception:  # copying a custom class can fail with any exception
            return part

    return pytree.tree_map(each, batch)


def _marks(value: Any, depth: int = 0) -> Iterator[Any]:
    """Values that change if a nested object or one of its tensors is modified."""
    if isinstance(value, Tensor):
        yield id(value), 0 if value.is_inference() else value._version, value.requires_grad, tuple(value.shape)
    elif isinstance(value, bool | int | float | str | type(None)):
        yield value
    elif depth < _DEPTH:
        if isinstance(value, Mapping):
            yield len(value)
            parts = list(value.values())
        elif isinstance(value, tuple | list | set | frozenset):
            yield len(value)
            parts = list(value)
        else:
            parts = list(vars(value).values()) if hasattr(value, "__dict__") else []
        for part in parts:
            yield from _marks(part, depth + 1)
