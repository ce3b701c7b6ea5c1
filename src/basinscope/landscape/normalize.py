"""Normalises Gaussian vectors to flat directions around a minimum; `filters` defines what a filter is.

Running statistics are buffers, not parameters: they are never perturbed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import get_args

import torch
from jaxtyping import Float
from torch import Tensor

from basinscope.errors import check_choice
from basinscope.landscape.directions import Scheme
from basinscope.landscape.filters import Filters, OneDim, one_dim_choice
from basinscope.parameters import ParameterLayout


@dataclass(frozen=True)
class Normalization:
    """Normalises Gaussian vectors to directions around one minimum.

    Schemes, with g the Gaussian entries of a filter and w its weights:

    - `filter`: g · ‖w‖ / ‖g‖. Distance 1 moves each filter by its own norm.
    - `layer`: the same for each tensor as a whole.
    - `gaussian_filter`: g · ‖w‖. The unnormalised form behind the authors' trace.
    - `sphere`: the whole vector scaled to length 1, independent of the weights; the reference for closed forms.

    References:
        Li et al. 2018, arXiv 1712.09913 (filter normalisation).
    """

    layout: ParameterLayout
    scheme: Scheme = "filter"
    one_dim: OneDim = "fixed"

    def __post_init__(self) -> None:
        check_choice("scheme", self.scheme, get_args(Scheme))
        object.__setattr__(self, "one_dim", one_dim_choice(self.one_dim))

    @cached_property
    def _moved(self) -> tuple[int, ...]:
        """Indices of the tensors that are moved."""
        return tuple(i for i, s in enumerate(self.layout.shapes) if len(s) > 1 or self.one_dim == "moved")

    @property
    def num_moved(self) -> int:
        """Number of moved entries: the dimension n of the volume."""
        return sum(math.prod(self.layout.shapes[i]) for i in self._moved)

    def moved(self, points: Float[Tensor, "points params"]) -> Float[Tensor, "points moved"]:
        """Select the entries of the moved tensors, in the layout's order."""
        return torch.cat([points[:, self.layout.slices[i]] for i in self._moved], dim=1)

    @property
    def num_filters(self) -> int:
        """Number of filters in the moved tensors."""
        return sum(self._filter_shape(i)[0] for i in self._moved)

    def _filter_shape(self, index: int) -> tuple[int, int]:
        """Number of filters in one tensor, and of entries per filter."""
        shape = self.layout.shapes[index]
        whole = self.scheme == "layer" or len(shape) < 2
        return (1, math.prod(shape)) if whole else (shape[0], math.prod(shape[1:]))

    @cached_property
    def filters(self) -> tuple[Filters, ...]:
        """The moved tensors and their filters: one per index of axis 0, or the whole tensor if it has one axis."""
        split_tensors = []
        for index in self._moved:
            shape = self.layout.shapes[index]
            split = tuple(shape) if len(shape) > 1 else (math.prod(shape),)
            inner = tuple(range(1, len(shape))) if len(shape) > 1 else (0,)
            split_tensors.append(Filters(self.layout.names[index], shape, split, inner))
        return tuple(split_tensors)

    @property
    def moved_slices(self) -> tuple[slice, ...]:
        """Slice of each moved tensor in a flat parameter vector."""
        return tuple(self.layout.slices[index] for index in self._moved)

    def directions(
        self, gaussian: Float[Tensor, "rays moved"], center: Float[Tensor, " params"]
    ) -> Float[Tensor, "rays params"]:
        """Normalise Gaussian vectors to directions around `center`.

        Args:
            gaussian: Standard normal entries for the moved tensors, in the layout's order.
            center: The minimum whose filter norms are used; never a perturbed point.

        Returns:
            Directions, zero in entries that are not moved. A filter of norm 0 is not perturbed.
        """
        rays = len(gaussian)
        out = gaussian.new_zeros(rays, self.layout.num_parameters)
        position = 0
        for index in self._moved:
            where, shape = self.layout.slices[index], self._filter_shape(index)
            size = where.stop - where.start
            entries = gaussian[:, position : position + size].view(rays, *shape)
            position += size
            if self.scheme == "sphere":
                out[:, where] = entries.flatten(1)
                continue
            scale = center[where].view(shape).norm(dim=1, keepdim=True).expand(rays, -1, -1)
            if self.scheme != "gaussian_filter":
                scale = scale / entries.norm(dim=2, keepdim=True)
            torch.mul(entries, scale, out=out[:, where].view(rays, *shape))
        return out / out.norm(dim=1, keepdim=True) if self.scheme == "sphere" else out

    def displace(self, point: Float[Tensor, " params"], center: Float[Tensor, " params"], distance: float) -> None:
        """Turn Gaussian entries into the point `center + distance · direction`, in place.

        Gives the same point as `directions`, without storing the direction.

        Args:
            point: Holds the Gaussian entries in its first `num_moved`; all are overwritten.
            center: The minimum.
            distance: Distance along the direction.
        """
        length = float(point[: self.num_moved].norm()) if self.scheme == "sphere" else 1.0
        position = self.num_moved
        # Last tensor first, so that Gaussian entries are read before they are overwritten.
        for index in reversed(range(len(self.layout.shapes))):
            where = self.layout.slices[index]
            if index not in self._moved:
                point[where] = center[where]
                continue
            size = where.stop - where.start
            position -= size
            entries = point[position : position + size].clone().view(self._filter_shape(index))
            if self.scheme == "sphere":
                entries /= length
            else:
                scale = center[where].view(entries.shape).norm(dim=1, keepdim=True)
                entries *= scale if self.scheme == "gaussian_filter" else scale / entries.norm(dim=1, keepdim=True)
            torch.add(center[where], entries.flatten(), alpha=distance, out=point[where])

    def preconditioner(self, center: Float[Tensor, " params"]) -> Float[Tensor, " params"]:
        """Return the diagonal D for which E[d dᵀ] = D², zero in entries that are not moved.

        D is ‖w‖/√dim on the entries of a filter for `filter`, ‖w‖ for `gaussian_filter`, 1/√n for `sphere`.
        """
        diagonal = torch.zeros_like(center)
        for index in self._moved:
            where, (filters, entries) = self.layout.slices[index], self._filter_shape(index)
            if self.scheme == "sphere":
                diagonal[where] = 1 / math.sqrt(self.num_moved)
                continue
            norms = center[where].view(filters, entries).norm(dim=1, keepdim=True)
            root = 1.0 if self.scheme == "gaussian_filter" else math.sqrt(entries)
            diagonal[where] = (norms / root).expand(-1, entries).reshape(-1)
        return diagonal
