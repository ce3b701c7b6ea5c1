"""User batches: repeated passes and transfer to the network's device."""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Iterable, Iterator
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from basinscope.errors import InputError, kind_of

Batches = Iterable[Any] | Callable[[], Iterable[Any]]
_ARRAYS = (Tensor, np.ndarray)


def checked(batches: Batches) -> Callable[[], Iterator[Any]]:
    """Return a function that starts a pass over the batches.

    Raises:
        InputError: The batches can be iterated only once, or not at all.
    """
    if hasattr(batches, "keys"):
        raise InputError(f"batches is {kind_of(batches)}, which is one batch: pass a list of batches")
    _refuse_single(batches)
    if isinstance(batches, Iterable) and not isinstance(batches, str | bytes):
        # Checked without calling iter(): a DataLoader draws a random number when iteration starts.
        if isinstance(batches, Iterator):
            raise InputError(
                f"batches is {kind_of(batches)}, which can be iterated only once: pass a list, a "
                "DataLoader, or a function that returns a new iterator"
            )
        return partial(iter, batches)  # not a lambda, so that `source_of` finds the batches
    if callable(batches):

        def begin() -> Iterator[Any]:
            iterable = batches()
            if not isinstance(iterable, Iterable):
                raise InputError(f"the function passed as batches returns {kind_of(iterable)}: return an iterator")
            return iter(iterable)

        return begin
    raise InputError(f"batches is {kind_of(batches)}: pass a list of batches or a DataLoader")


def source_of(begin: Callable[[], Iterator[Any]]) -> Any:
    """The list or `DataLoader` over which a function returned by `checked` iterates; None for a user's function."""
    return begin.args[0] if isinstance(begin, partial) else None


def _refuse_single(batches: Any) -> None:
    """Refuse a single batch in place of a list of batches.

    Raises:
        InputError: It is a tensor, or a tuple or list of tensors that belong together.
    """
    kind = kind_of(batches)
    if isinstance(batches, _ARRAYS):
        raise InputError(f"batches is {kind}, which is one batch: pass a list of batches, such as [x] or [(x, y)]")
    if not isinstance(batches, tuple | list) or not batches or not all(isinstance(part, _ARRAYS) for part in batches):
        return
    kinds = {(type(part), str(part.dtype), part.ndim) for part in batches}
    if isinstance(batches, tuple) or len(kinds) > 1:
        shapes = ", ".join(str(tuple(part.shape)) for part in batches[:3])
        raise InputError(
            f"batches is {kind} of arrays of shape {shapes}, which looks like one batch: pass a list of batches, "
            "such as [(x, y)]"
        )


def to_device(batch: Any, device: torch.device, widened: Collection[torch.dtype] = ()) -> Any:
    """Move all tensors of a nested batch to a device; tensors already there are not copied.

    The batch itself is not modified. Tensors created in inference mode are cloned, because autograd cannot record them.

    Args:
        batch: The batch.
        device: The device.
        widened: Precisions that are converted to single precision.
    """

    def move(part: Any) -> Any:
        if isinstance(part, Tensor):
            moved = part.to(device)
            moved = moved.float() if part.dtype in widened else moved
            return moved.clone() if moved.is_inference() else moved
        # Hugging Face batches move themselves, in place.
        return copy.copy(part).to(device) if hasattr(part, "to") else part

    if not widened and type(batch) in (tuple, list) and all(_is_there(part, device) for part in batch):
        return batch
    return pytree.tree_map(move, batch)


def _is_there(part: Any, device: torch.device) -> bool:
    """Whether a part of a batch is a tensor that can be used unchanged."""
    return isinstance(part, Tensor) and part.device == device and not part.is_inference()
