"""A user's batches: gone through as often as needed, sent to the network's device, and counted."""

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
    """Return what begins a pass over the batches.

    Raises:
        InputError: They can be gone through only once, or not at all.
    """
    if hasattr(batches, "keys"):
        raise InputError(f"batches is a {type(batches).__name__}, which is one batch: give a list of such batches")
    if isinstance(batches, Iterable):
        # Asked without beginning a pass: a DataLoader that begins one draws a random number.
        if isinstance(batches, Iterator):
            raise InputError(
                f"batches is a {type(batches).__name__}, which can be gone through only once: give a list, a "
                "DataLoader, or a function that makes the iterator anew"
            )
        return lambda: iter(batches)
    if callable(batches):

        def begin() -> Iterator[Any]:
            made = batches()
            if not isinstance(made, Iterable):
                raise InputError(f"the function given as batches returns a {type(made).__name__}: return an iterator")
            return iter(made)

        return begin
    raise InputError(f"batches is a {type(batches).__name__}: give a list of batches or a DataLoader")


def to_device(batch: Any, device: torch.device) -> Any:
    """Send all tensors of a batch to a device, whatever it is made of; what is there already is not copied.

    The batch itself stays as it is. Tensors made in inference mode are copied, because nothing can be differentiated
    through them.
    """

    def move(part: Any) -> Any:
        if isinstance(part, Tensor):
            return part.to(device).clone() if part.is_inference() else part.to(device)
        # Batches of Hugging Face send themselves, in place.
        return copy.copy(part).to(device) if hasattr(part, "to") else part

    if type(batch) in (tuple, list) and all(_is_there(part, device) for part in batch):
        return batch
    return pytree.tree_map(move, batch)


def _is_there(part: Any, device: torch.device) -> bool:
    """Tell whether a part of a batch is a tensor that can be used as it is."""
    return isinstance(part, Tensor) and part.device == device and not part.is_inference()


def length(batch: Any) -> int:
    """Count the samples of a batch: the first axis of its first tensor.

    Raises:
        InputError: It holds no tensor with an axis.
    """
    # Batches of Hugging Face are dictionaries of a kind of their own.
    parts = dict(batch) if hasattr(batch, "keys") else batch
    for part in pytree.tree_leaves(parts):
        if isinstance(part, Tensor) and part.ndim:
            return len(part)
    raise InputError(
        f"a batch of type {type(batch).__name__} holds no tensor with an axis, so its samples cannot be counted: "
        "let the loss function return (sum of losses, count)"
    )


def cut(batch: Any, most: int) -> list[Any] | None:
    """Cut a batch along its first axis into pieces of at most so many samples.

    Returns:
        The pieces; nothing if it cannot be told where a sample is: if its tensors have different lengths, or it holds
        anything beside tensors and numbers.
    """
    if isinstance(batch, UserDict):  # as batches of Hugging Face are
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
