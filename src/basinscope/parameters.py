"""Layout of a network's tensors in one flat parameter vector, shared by networks and landscapes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True)
class ParameterLayout:
    """Names and shapes of a network's parameter tensors, in the order in which a flat vector holds them.

    Example:
        >>> layout = ParameterLayout(("w", "b"), (torch.Size([2, 3]), torch.Size([2])))
        >>> layout.num_parameters
        8
    """

    names: tuple[str, ...]
    """Dotted names, as in `nn.Module.named_parameters`."""
    shapes: tuple[torch.Size, ...]
    """One shape per name."""

    def __post_init__(self) -> None:
        assert len(self.names) == len(self.shapes)

    @classmethod
    def of(cls, tensors: Mapping[str, Tensor]) -> ParameterLayout:
        """Read the layout of `tensors`, in the mapping's order."""
        return cls(tuple(tensors), tuple(tensor.shape for tensor in tensors.values()))

    @cached_property
    def slices(self) -> tuple[slice, ...]:
        """Slice of the flat vector for each tensor."""
        ends, position = [], 0
        for shape in self.shapes:
            ends.append(slice(position, position + math.prod(shape)))
            position += math.prod(shape)
        return tuple(ends)

    @property
    def num_parameters(self) -> int:
        """Length of the flat vector."""
        return self.slices[-1].stop if self.slices else 0

    def views(self, flat: Float[Tensor, "*batch params"]) -> list[Tensor]:
        """View each tensor inside `flat` without a copy; leading axes stay in front.

        Args:
            flat: One or many flat parameter vectors along the last axis.

        Returns:
            One view per tensor, of shape `(*batch, *shape)`, in the layout's order.
        """
        lead = flat.shape[:-1]
        return [
            flat[..., where].unflatten(-1, shape) if shape else flat[..., where].reshape(lead)
            for where, shape in zip(self.slices, self.shapes, strict=True)
        ]


def flatten(tensors: Mapping[str, Tensor]) -> Float[Tensor, " params"]:
    """Concatenate the tensors of one network into a flat vector, in the mapping's order; inverse of `unflatten`."""
    return torch.cat([tensor.reshape(-1) for tensor in tensors.values()])


def unflatten(flat: Float[Tensor, " params"], layout: ParameterLayout) -> dict[str, Tensor]:
    """Split a flat vector into named tensors (copies); inverse of `flatten`."""
    return {name: view.clone() for name, view in zip(layout.names, layout.views(flat), strict=True)}
