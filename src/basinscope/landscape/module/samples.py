"""Where a batch has its samples: how many there are, and how to split it."""

from __future__ import annotations

import copy
from collections import UserDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence
from torch.utils import _pytree as pytree

_IMAGE, _CHANNELS = 3, (1, 3, 4)
"""Axes of an image, and its possible numbers of channels."""


Kind = Literal["samples", "listed", "graphs", "sequences"]


@dataclass(frozen=True)
class Layout:
    """How the samples of a batch are stored."""

    num: int
    """Number of samples."""
    kind: Kind
    """Along an axis, as entries of lists, as graphs, or as sequences of a `PackedSequence`."""
    axes: tuple[int | None, ...] = ()
    """Axis of the samples in each leaf of the batch; None for leaves without one."""
    divisible: bool = True
    """Whether the batch can be split."""


def layout_of(batch: Any) -> Layout | None:
    """Find the samples of a batch; None if they cannot be identified.

    Samples are, in this order: graphs (`num_graphs`), entries of equally long lists, sequences of a `PackedSequence`,
    entries along the first axis that all tensors share, or entries along an axis of the same size in all tensors.
    """
    graphs = num_graphs(batch)
    if graphs is not None:
        return Layout(graphs, "graphs", divisible=False)
    batch = _plain(batch)
    if listed := _listed(batch):
        return Layout(listed, "listed")
    packed = [part for part in _parts(batch) if isinstance(part, PackedSequence)]
    if packed:
        return Layout(int(packed[0].batch_sizes[0]), "sequences", divisible=False)
    leaves = pytree.tree_leaves(batch)
    shapes = [tuple(leaf.shape) if isinstance(leaf, Tensor | np.ndarray) else () for leaf in leaves]
    shaped = [shape for shape in shapes if shape]
    if not shaped:
        return None
    divisible = all(isinstance(leaf, Tensor | np.ndarray | bool | int | float | None) for leaf in leaves)
    sizes = {shape[0] for shape in shaped}
    if len(sizes) > 1:
        sizes = set.intersection(*(set(shape[:2]) for shape in shaped))
        if len(sizes) != 1:
            return None
    size = sizes.pop()
    axes = tuple(shape.index(size) if shape else None for shape in shapes)
    return Layout(size, "samples", axes, divisible)


def num_graphs(batch: Any) -> int | None:
    """Number of graphs in a batch of graphs; None for any other batch."""
    for part in (batch, *(batch if isinstance(batch, tuple | list) else ())):
        number = getattr(part, "num_graphs", None)
        if isinstance(number, int):
            return number
    return None


def cut(batch: Any, bounds: list[tuple[int, int]]) -> list[Any] | None:
    """Split a batch into samples `begin` to `end`; None if that is not possible."""
    layout = layout_of(batch)
    if layout is None or not layout.divisible:
        return None
    if isinstance(batch, UserDict):  # such as Hugging Face batches
        parts = cut(dict(batch), bounds)
        assert parts is not None
        twins = [copy.copy(batch) for _ in parts]
        for twin, part in zip(twins, parts, strict=True):
            twin.data = part
        return twins
    if layout.kind == "listed":
        leaves, form = pytree.tree_flatten(batch, is_leaf=_is_list)
        axes: tuple[int | None, ...] = tuple(0 if _has_length(leaf) else None for leaf in leaves)
    else:
        leaves, form = pytree.tree_flatten(batch)
        axes = layout.axes

    def piece(begin: int, end: int) -> Any:
        parts = [
            leaf if axis is None else leaf[(slice(None),) * axis + (slice(begin, end),)] if axis else leaf[begin:end]
            for leaf, axis in zip(leaves, axes, strict=True)
        ]
        return pytree.tree_unflatten(parts, form)

    return [piece(begin, end) for begin, end in bounds]


def in_pieces(batch: Any, most: int) -> list[Any] | None:
    """Split a batch into pieces of at most `most` samples; None if that is not possible."""
    layout = layout_of(batch)
    if layout is None:
        return None
    return cut(batch, [(begin, min(begin + most, layout.num)) for begin in range(0, layout.num, most)])


def _plain(batch: Any) -> Any:
    # Hugging Face batches are a dictionary type of their own.
    return (
        dict(batch)
        if isinstance(batch, UserDict) or (hasattr(batch, "keys") and not isinstance(batch, dict))
        else batch
    )


def _parts(batch: Any) -> list[Any]:
    if isinstance(batch, PackedSequence):
        return [batch]
    if isinstance(batch, Mapping):
        return list(batch.values())
    return list(batch) if isinstance(batch, tuple | list) else [batch]


def _is_list(part: Any) -> bool:
    """Whether a part of a batch is a list with one entry per sample."""
    return type(part) is list and len(part) > 0 and (_are_images(part) or not isinstance(part[0], list))


def _are_images(batch: Any) -> bool:
    """Whether a batch is a list of images, of shape (channels, height, width) and several sizes."""
    if type(batch) is not list or not all(isinstance(part, Tensor) and part.ndim == _IMAGE for part in batch):
        return False
    shapes = {tuple(part.shape) for part in batch}
    return len(shapes) > 1 and all(shape[0] in _CHANNELS for shape in shapes)


def _has_length(leaf: Any) -> bool:
    return isinstance(leaf, list) or (isinstance(leaf, Tensor | np.ndarray) and leaf.ndim > 0)


def _listed(batch: Any) -> int | None:
    """Number of samples of a batch that consists of equally long lists; None for any other batch."""
    if not isinstance(batch, Mapping | tuple | list) or isinstance(batch, PackedSequence):
        return None
    if _are_images(batch):
        return len(batch)
    parts = _parts(batch)
    lists = [part for part in parts if _is_list(part) and isinstance(part[0], Tensor | np.ndarray | Mapping)]
    if not lists:
        return None
    lengths = {len(part) for part in parts if _has_length(part)}
    return lengths.pop() if len(lengths) == 1 else None
