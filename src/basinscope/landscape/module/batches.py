"""User batches: repeated passes, transfer to the network's device, sample counts, and splitting."""

from __future__ import annotations

import copy
from collections import UserDict
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from basinscope.errors import InputError

Batches = Iterable[Any] | Callable[[], Iterable[Any]]


def checked(batches: Batches) -> Callable[[], Iterator[Any]]:
    """Return a function that starts a pass over the batches.

    Raises:
        InputError: The batches can be iterated only once, or not at all.
    """
    if hasattr(batches, "keys"):
        raise InputError(f"batches is a {type(batches).__name__}, which is one batch: pass a list of batches")
    if isinstance(batches, Iterable):
        # Checked without calling iter(): a DataLoader draws a random number when iteration starts.
        if isinstance(batches, Iterator):
            raise InputError(
                f"batches is a {type(batches).__name__}, which can be iterated only once: pass a list, a "
                "DataLoader, or a function that returns a new iterator"
            )
        return lambda: iter(batches)
    if callable(batches):

        def begin() -> Iterator[Any]:
            iterable = batches()
            if not isinstance(iterable, Iterable):
                kind = type(iterable).__name__
                raise InputError(f"the function passed as batches returns a {kind}: return an iterator")
            return iter(iterable)

        return begin
    raise InputError(f"batches is a {type(batches).__name__}: pass a list of batches or a DataLoader")


def to_device(batch: Any, device: torch.device) -> Any:
    """Move all tensors of a nested batch to a device; tensors already there are not copied.

    The batch itself is not modified. Tensors created in inference mode are cloned, because autograd cannot record them.
    """

    def move(part: Any) -> Any:
        if isinstance(part, Tensor):
            return part.to(device).clone() if part.is_inference() else part.to(device)
        # Hugging Face batches move themselves, in place.
        return copy.copy(part).to(device) if hasattr(part, "to") else part

    if type(batch) in (tuple, list) and all(_is_there(part, device) for part in batch):
        return batch
    return pytree.tree_map(move, batch)


def _is_there(part: Any, device: torch.device) -> bool:
    """Whether a part of a batch is a tensor that can be used unchanged."""
    return isinstance(part, Tensor) and part.device == device and not part.is_inference()


def length(batch: Any) -> int:
    """Number of samples in a batch: the length of its first tensor.

    Raises:
        InputError: The batch has no tensor with an axis.
    """
    # Hugging Face batches are a dictionary type of their own.
    parts = dict(batch) if hasattr(batch, "keys") else batch
    for part in pytree.tree_leaves(parts):
        if isinstance(part, Tensor) and part.ndim:
            return len(part)
    raise InputError(
        f"a batch of type {type(batch).__name__} has no tensor with a batch axis, so its samples cannot be counted: "
        "return (sum of losses, count) from the loss function"
    )


def cut(batch: Any, most: int) -> list[Any] | None:
    """Split a batch along its first axis into pieces of at most `most` samples.

    Returns:
        The pieces; None if samples cannot be identified, because tensors differ in length or the batch contains
        anything but tensors and numbers.
    """
    if isinstance(batch, UserDict):  # such as Hugging Face batches
        parts = cut(dict(batch), most)
        if parts is None:
            return None
        twins = [copy.copy(batch) for _ in parts]
        for twin, part in zip(twins, parts, strict=True):
            twin.data = part
        return twins
    leaves, form = pytree.tree_flatten(batch)
    known = (Tensor, bool, int, float, type(None))
    lengths = {len(leaf) for leaf in leaves if isinstance(leaf, Tensor) and leaf.ndim}
    if len(lengths) != 1 or not all(isinstance(leaf, known) for leaf in leaves):
        return None

    def piece(begin: int) -> Any:
        here = slice(begin, begin + most)
        return pytree.tree_unflatten([v[here] if isinstance(v, Tensor) and v.ndim else v for v in leaves], form)

    return [piece(begin) for begin in range(0, lengths.pop(), most)]
