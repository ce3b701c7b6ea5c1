"""Random, orthogonal, stored and combined directions around a center, generated one tensor at a time to save memory."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import torch
from jaxtyping import Float
from torch import Tensor

from basinscope.landscape.filters import Filters, as_real
from basinscope.seeds import child_seed

Scheme = Literal["filter", "layer", "gaussian_filter", "sphere"]
UNITS: Mapping[Scheme, str] = {
    "filter": "filter norms",
    "layer": "layer norms",
    "gaussian_filter": "filter norms per root entry",
    "sphere": "Euclidean length",
}
"""Unit of distance along a direction, for each scheme."""


@dataclass(frozen=True)
class Center:
    """The tensors that directions perturb, with their values at the minimum and their filters."""

    filters: tuple[Filters, ...]
    tensors: tuple[Tensor, ...]
    """The network's own tensors, not copies."""

    def exact(self, place: int) -> Tensor:
        """One tensor as real numbers in float32, or in float64 if it has that precision."""
        tensor = as_real(self.tensors[place].detach())
        return tensor.to(torch.promote_types(tensor.dtype, torch.float32))


class Direction(Protocol):
    """A direction in the space of the moved tensors."""

    @property
    def units(self) -> str:
        """Unit of distance along it."""
        ...

    @property
    def name(self) -> tuple[str | int, ...] | None:
        """Seed, index and scheme from which it can be regenerated; None if it is not random."""
        ...

    def block(self, place: int) -> Tensor:
        """Generate its entries for one moved tensor, on that tensor's device, in float32 or float64."""
        ...


@dataclass(frozen=True)
class RandomDirection:
    """A random direction whose Gaussian entries depend only on (seed, index) and the shapes of the tensors.

    Schemes, with g the Gaussian entries and w the weights: `filter`, g · ‖w‖ / ‖g‖ for each filter; `layer`, the same
    for each tensor; `gaussian_filter`, g · ‖w‖ for each filter; `sphere`, the whole direction scaled to length 1.

    References:
        Li et al. 2018, arXiv 1712.09913 (filter normalisation).
    """

    center: Center
    seed: int
    index: int
    scheme: Scheme = "filter"
    _lengths: dict[str, float] = field(default_factory=dict, compare=False, repr=False)

    @property
    def units(self) -> str:
        """See `Direction`."""
        return UNITS[self.scheme]

    @property
    def name(self) -> tuple[str | int, ...] | None:
        """See `Direction`."""
        return (str(self.seed), self.index, self.scheme)

    def _gaussian(self, place: int) -> Tensor:
        """Gaussian entries of one tensor, drawn on the CPU so that they do not depend on the device."""
        filters = self.center.filters[place]
        stream = _generator(self, filters, place, torch.Generator())
        drawn = torch.empty(filters.shape).normal_(generator=stream)
        if filters.still is not None:
            drawn[filters.still] = 0
        tensor = as_real(self.center.tensors[place].detach())
        return filters.masked(drawn.to(tensor.device, torch.promote_types(tensor.dtype, torch.float32)))

    def block(self, place: int) -> Tensor:
        """See `Direction`."""
        drawn, filters = self._gaussian(place), self.center.filters[place]
        if self.scheme == "sphere":
            return drawn / self._length()
        weights = self.center.exact(place)
        if self.scheme == "layer":
            return drawn * (filters.masked(weights).norm() / drawn.norm())
        lengths = filters.norms(drawn)
        if self.scheme == "gaussian_filter":
            scale = filters.norms(weights)
        else:
            # A filter whose draw is all zeros is not perturbed.
            scale = torch.where(lengths > 0, filters.norms(weights) / lengths, 0.0)
        return (drawn.reshape(filters.split) * scale).reshape(filters.shape)

    def _length(self) -> float:
        if "gaussian" not in self._lengths:
            drawn = (self._gaussian(place).cpu().double() for place in range(len(self.center.filters)))
            self._lengths["gaussian"] = math.sqrt(sum(float(part.square().sum()) for part in drawn))
        return self._lengths["gaussian"]


def _generator(direction: RandomDirection, filters: Filters, place: int, generator: torch.Generator) -> torch.Generator:
    """Seed the generator of one tensor's entries."""
    stream = place if filters.stream is None else filters.stream
    return generator.manual_seed(child_seed(direction.seed, "direction", direction.index, stream))


@dataclass(frozen=True)
class Orthogonal:
    """A random direction made orthogonal to another one, filter by filter, and scaled back to its length.

    A filter with a single entry has no orthogonal direction and is not perturbed.
    """

    first: RandomDirection
    second: RandomDirection

    @property
    def units(self) -> str:
        """See `Direction`."""
        return self.second.units

    @property
    def name(self) -> tuple[str | int, ...] | None:
        """See `Direction`."""
        first, second = self.first.name, self.second.name
        return None if first is None or second is None else ("orthogonal", *first, *second)

    def block(self, place: int) -> Tensor:
        """See `Direction`."""
        filters = self.first.center.filters[place]
        split, inner = filters.split, filters.inner
        a, b = (d.block(place).reshape(split) for d in (self.first, self.second))
        if self.first.scheme != "filter":
            split, inner = (filters.size,), (0,)
            a, b = a.reshape(split), b.reshape(split)
        square = a.square().sum(inner, keepdim=True)
        rest = b - (a * b).sum(inner, keepdim=True) / square.clamp_min(torch.finfo(a.dtype).tiny) * a
        length, wanted = (torch.linalg.vector_norm(t, dim=inner, keepdim=True) for t in (rest, b))
        # In a filter with one entry, the rest is only a rounding error.
        valid = length > 1e-5 * wanted
        return torch.where(valid, rest * wanted / length, torch.zeros_like(rest)).reshape(filters.shape)


@dataclass(frozen=True)
class Stored:
    """A direction held in memory, such as an eigenvector."""

    blocks: tuple[Tensor, ...]
    units: str
    name: None = None

    def block(self, place: int) -> Tensor:
        """See `Direction`."""
        return self.blocks[place]


@dataclass(frozen=True)
class Combination:
    """A weighted sum of the differences between other points, such as checkpoints, and the minimum."""

    center: Center
    others: Sequence[Sequence[Tensor]]
    """The moved tensors of each other point."""
    weights: Sequence[float]
    units: str
    name: None = None

    def block(self, place: int) -> Tensor:
        """See `Direction`."""
        here = self.center.exact(place)
        total = torch.zeros_like(here)
        for weight, other in zip(self.weights, self.others, strict=True):
            total += weight * (other[place].to(here) - here)
        return total


def inner_product(center: Center, first: Direction, second: Direction) -> float:
    """Inner product of two directions, accumulated in float64."""
    # On the CPU, because not every device supports float64.
    blocks = ((first.block(k).cpu().double(), second.block(k).cpu().double()) for k in range(len(center.filters)))
    return sum(float((a * b).sum()) for a, b in blocks)


def cosine(center: Center, first: Direction, second: Direction) -> float:
    """Cosine between two directions, each generated once."""
    first_square = second_square = product = 0.0
    for place in range(len(center.filters)):
        a, b = (direction.block(place).cpu().double() for direction in (first, second))
        first_square += float((a * a).sum())
        second_square += float((b * b).sum())
        product += float((a * b).sum())
    return product / math.sqrt(first_square * second_square) if first_square * second_square > 0 else math.nan


@torch.no_grad()
def random_rows(center: Center, directions: Sequence[Direction]) -> Float[Tensor, "rays moved"]:
    """Directions as rows of one matrix, moved tensors concatenated, in the precision of `Center.exact`."""
    columns = []
    for place, filters in enumerate(center.filters):
        if all(isinstance(d, RandomDirection) and d.scheme == "filter" and d.center is center for d in directions):
            columns.append(_filter_normalized(center, place, directions))
        else:
            weights = center.exact(place)
            blocks = [d.block(place).to(weights).reshape(filters.size) for d in directions]
            columns.append(torch.stack(blocks))
    return torch.cat(columns, dim=1)


def _filter_normalized(center: Center, place: int, directions: Sequence[Any]) -> Float[Tensor, "rays size"]:
    """Entries of one tensor for many filter-normalised directions at once."""
    filters, weights, num = center.filters[place], center.exact(place), len(directions)
    drawn, stream = torch.empty(num, *filters.shape), torch.Generator()
    for row, direction in zip(drawn, directions, strict=True):
        row.normal_(generator=_generator(direction, filters, place, stream))
    if filters.still is not None:
        drawn[:, filters.still] = 0
    drawn = filters.masked(drawn.to(weights)).reshape(num, *filters.split)
    lengths = torch.linalg.vector_norm(drawn, dim=[axis + 1 for axis in filters.inner], keepdim=True)
    scale = torch.where(lengths > 0, filters.norms(weights) / lengths, 0.0)
    return (drawn * scale).reshape(num, filters.size)
