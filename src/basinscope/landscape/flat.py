"""The landscape around one point of a loss of flat parameter vectors."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from basinscope.errors import InputError
from basinscope.landscape.directions import UNITS, Center, Direction
from basinscope.landscape.filters import Filters
from basinscope.landscape.flat_plane import plane
from basinscope.landscape.gaussian import gaussian
from basinscope.landscape.names import Names, fitted
from basinscope.landscape.normalize import Normalization
from basinscope.landscape.protocol import Evaluation, Line, Step
from basinscope.landscape.seeded_ray import Ray
from basinscope.parameters import ParameterLayout


class FlatLoss(Protocol):
    """A loss as a function of a flat parameter vector."""

    layout: ParameterLayout
    num_evaluations: float

    def at(self, points: Float[Tensor, "points params"]) -> Float[Tensor, " points"]:
        """Loss in nats at each parameter vector, float64 on the CPU."""
        ...

    def along(
        self,
        center: Float[Tensor, " params"],
        directions: Float[Tensor, "rays params"],
        distances: Float[Tensor, " points"],
        rows: Int[Tensor, " points"] | None = None,
    ) -> Float[Tensor, " points"]:
        """Loss in nats at `center + distance · directions[row]`, float64 on the CPU.

        Without `rows`, the i-th distance is along the i-th direction.
        """
        ...

    def gradient(self, point: Float[Tensor, " params"]) -> tuple[float, Float[Tensor, " params"]]:
        """Loss at a parameter vector, and its gradient."""
        ...

    def second_derivative(
        self, center: Float[Tensor, " params"], directions: Float[Tensor, "rays params"]
    ) -> Float[Tensor, " rays"]:
        """Second derivative dᵀHd of the loss along each direction, float64 on the CPU."""
        ...

    def hessian_vector_product(
        self, center: Float[Tensor, " params"], vector: Float[Tensor, " params"]
    ) -> Float[Tensor, " params"]:
        """Multiply the Hessian of the loss at `center` by `vector`."""
        ...


@dataclass(frozen=True)
class FlatDirection:
    """A direction stored as one flat vector."""

    flat: Float[Tensor, " params"]
    normalization: Normalization
    units: str
    name: tuple[str | int, ...] | None = None

    def block(self, place: int) -> Tensor:
        """See `Direction`."""
        filters = self.normalization.filters[place]
        return self.flat[self.normalization.moved_slices[place]].view(filters.shape)


@dataclass(frozen=True)
class SeededDirection:
    """A random direction given by seed and index, generated on first use."""

    ray: Ray
    center: Float[Tensor, " params"]

    @property
    def units(self) -> str:
        """See `Direction`."""
        return UNITS[self.ray.normalization.scheme]

    @property
    def name(self) -> tuple[str | int, ...] | None:
        """See `Direction`."""
        return (str(self.ray.seed), self.ray.index, self.ray.normalization.scheme)

    @cached_property
    def flat(self) -> Float[Tensor, " params"]:
        """The direction as one flat vector."""
        return self.ray.direction(self.center)

    def block(self, place: int) -> Tensor:
        """See `Direction`."""
        return FlatDirection(self.flat, self.ray.normalization, self.units).block(place)


@dataclass(frozen=True)
class Rows(Sequence[FlatDirection]):
    """Directions stored as rows of one matrix."""

    matrix: Float[Tensor, "rays params"]
    normalization: Normalization

    def __len__(self) -> int:
        return len(self.matrix)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return Rows(self.matrix[index], self.normalization)
        return FlatDirection(self.matrix[index], self.normalization, UNITS[self.normalization.scheme])


class FlatLandscape:
    """The landscape around one parameter vector; see `landscape.protocol.Landscape`.

    Args:
        loss: Loss of flat parameter vectors.
        center: The minimum.
        normalization: Scaling of random directions; by default filter-normalised, biases fixed.
        name: Name of the network in results.
        points_at_once: Number of points the loss evaluates together.
    """

    unit = "nat"
    nonnegative = True

    def __init__(
        self,
        loss: FlatLoss,
        center: Float[Tensor, " params"],
        normalization: Normalization | None = None,
        *,
        name: str | None = None,
        points_at_once: int,
    ) -> None:
        if center.shape != (loss.layout.num_parameters,):
            wanted = loss.layout.num_parameters
            raise InputError(
                f"around: center has shape {tuple(center.shape)}; the loss takes vectors of length {wanted}"
            )
        self.loss, self.point = loss, center
        self.normalization = Normalization(loss.layout) if normalization is None else normalization
        self.network = name or type(loss).__name__
        self.points_at_once = points_at_once
        self._center_loss: float | None = None
        self.center = self._moved_center()

    def _moved_center(self) -> Center:
        """The moved tensors at the center."""
        places = zip(self.normalization.moved_slices, self.filters, strict=True)
        return Center(self.filters, tuple(self.point[where].view(f.shape) for where, f in places))

    @property
    def filters(self) -> tuple[Filters, ...]:
        """See `Landscape`."""
        return self.normalization.filters

    @property
    def num_moved(self) -> int:
        """See `Landscape`."""
        return self.normalization.num_moved

    @property
    def scheme(self) -> str:
        """See `Landscape`."""
        return self.normalization.scheme

    @property
    def one_dim(self) -> str:
        """See `Landscape`."""
        return self.normalization.one_dim

    @property
    def units(self) -> str:
        """See `Landscape`."""
        return UNITS[self.normalization.scheme]

    @property
    def center_loss(self) -> float:
        """See `Landscape`."""
        if self._center_loss is None:
            self._center_loss = float(self.loss.at(self.point[None])[0])
        return self._center_loss

    @property
    def num_evaluations(self) -> float:
        """Passes over the training set so far, one per point."""
        return self.loss.num_evaluations

    def plan(self, num: int) -> int:
        """See `Landscape`."""
        del num
        return self.points_at_once

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """See `Landscape`."""
        if not math.isfinite(self.center_loss):
            raise InputError(f"the loss at the center is {self.center_loss}; nothing can be measured around it")
        yield

    def check(self) -> None:
        """Check that the loss can be measured.

        Raises:
            InputError: The loss is not finite at the center.
        """
        with self.held():
            pass

    @contextlib.contextmanager
    def moving_all(self) -> Iterator[None]:
        """Context in which biases are moved, too."""
        before = self.normalization, self.center
        self.normalization = replace(self.normalization, one_dim="moved")
        self.center = self._moved_center()
        try:
            yield
        finally:
            self.normalization, self.center = before

    def with_normalization(self, normalization: Normalization) -> FlatLandscape:
        """The same landscape with other directions."""
        return FlatLandscape(
            self.loss, self.point, normalization, name=self.network, points_at_once=self.points_at_once
        )

    def direction(self, seed: int, index: int) -> SeededDirection:
        """See `Landscape`."""
        return SeededDirection(Ray(self.normalization, seed, index), self.point)

    def random_directions(self, seed: int, indices: Sequence[int]) -> Rows:
        """See `Landscape`."""
        drawn = gaussian(seed, indices, self.num_moved).to(self.point.device, self.point.dtype)
        return Rows(self.normalization.directions(drawn, self.point), self.normalization)

    def orthogonal(self, seed: int, indices: tuple[int, int]) -> tuple[Direction, Direction]:
        """See `Landscape`."""
        first, second = Rows(plane(self.point, self.normalization, seed=seed, indices=indices), self.normalization)
        return first, second

    def cosine(self, first: Direction, second: Direction) -> float:
        """See `Landscape`."""
        one, other = self.flat(first), self.flat(second)
        return float(one @ other / (one.norm() * other.norm()))

    def flat(self, direction: Direction) -> Float[Tensor, " params"]:
        """A direction as one flat vector, zero at entries that are not moved."""
        if isinstance(direction, FlatDirection | SeededDirection):
            return direction.flat
        return self.joined([direction.block(index) for index in range(len(self.filters))])

    def joined(self, blocks: Sequence[Tensor]) -> Float[Tensor, " params"]:
        """Moved tensors as one flat vector, zero at entries that are not moved."""
        flat = torch.zeros_like(self.point)
        for where, block in zip(self.normalization.moved_slices, blocks, strict=True):
            flat[where] = block.reshape(-1).to(flat)
        return flat

    def blocks(self, flat: Float[Tensor, " params"]) -> list[Tensor]:
        """Split a flat vector into the moved tensors; inverse of `joined`."""
        return [
            flat[where].view(f.shape) for where, f in zip(self.normalization.moved_slices, self.filters, strict=True)
        ]

    def _matrix(self, directions: Sequence[Direction]) -> Float[Tensor, "rays params"]:
        return directions.matrix if isinstance(directions, Rows) else torch.stack([self.flat(d) for d in directions])

    def along(
        self,
        directions: Sequence[Direction],
        distances: Float[np.ndarray, " points"],
        rows: Int[np.ndarray, " points"],
    ) -> Float[np.ndarray, " points"]:
        """See `Landscape`."""
        steps, chosen = torch.from_numpy(np.ascontiguousarray(distances)), torch.from_numpy(np.ascontiguousarray(rows))
        return self.loss.along(self.point, self._matrix(directions), steps, chosen).numpy()

    def across(
        self,
        first: Direction,
        second: Direction,
        a: Float[np.ndarray, " points"],
        b: Float[np.ndarray, " points"],
    ) -> Float[np.ndarray, " points"]:
        """See `Landscape`; points with equal `a` are evaluated as a line along the second direction."""
        one, other = self.flat(first), self.flat(second)[None]
        losses, begin = [], 0
        for end in [*(np.flatnonzero(np.diff(a)) + 1), len(a)]:
            step = torch.tensor(float(a[begin]), dtype=torch.float64).to(self.point.device, self.point.dtype)
            distances = torch.from_numpy(np.ascontiguousarray(b[begin:end]))
            rows = torch.zeros(len(distances), dtype=torch.int64)
            losses.append(self.loss.along(self.point + step * one, other, distances, rows).numpy())
            begin = end
        return np.concatenate(losses)

    def line(self, direction: Direction) -> Line:
        """See `Landscape`."""
        return FlatLine(self, direction)

    def _at(self, steps: Sequence[Step]) -> Float[Tensor, " params"]:
        point = self.point
        for direction, distance in steps:
            point = torch.add(point, self.flat(direction), alpha=distance)
        return point

    def loss_at(self, *steps: Step) -> float:
        """See `Landscape`."""
        return float(self.loss.at(self._at(steps)[None])[0])

    def gradient_at(self, *steps: Step) -> tuple[float, list[Tensor]]:
        """See `Landscape`.

        Raises:
            InputError: The loss cannot be differentiated.
        """
        try:
            loss, slopes = self.loss.gradient(self._at(steps))
        except RuntimeError as error:
            raise InputError(f"{self.network} cannot be differentiated: {str(error).splitlines()[0]}") from error
        return loss, self.blocks(slopes)

    def hessian_vector_product(self, vector: Sequence[Tensor]) -> list[Tensor]:
        """See `Landscape`."""
        return self.blocks(self.loss.hessian_vector_product(self.point, self.joined(vector)))

    def named(self, flat: Float[Tensor, " params"], what: str = "point") -> dict[str, Tensor]:
        """The tensors of a flat parameter vector by name.

        Raises:
            InputError: The vector has the wrong length.
        """
        layout = self.loss.layout
        if flat.shape != self.point.shape:
            raise InputError(f"{what} has shape {tuple(flat.shape)}, not {tuple(self.point.shape)}")
        return dict(zip(layout.names, layout.views(flat), strict=True))

    def named_tensors(self) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """See `Landscape`."""
        return self.named(self.point), {}

    def effective(
        self, state: Mapping[str, Any], *, what: str = "the state", required: Collection[str] = ()
    ) -> dict[str, Tensor]:
        """Tensors of another network of the same kind by this network's names; see `landscape.names`."""
        return fitted(state, self.names, required=required, what=what, network=self.network)

    @property
    def names(self) -> Names:
        """The tensors that another network of the same kind may hold."""
        return Names(self.named(self.point))

    def loss_of(self, state: Mapping[str, Any]) -> float:
        """See `Landscape`; missing tensors are taken from the center.

        Raises:
            InputError: A name or a shape does not fit the network.
        """
        own = self.named(self.point)
        whole = own | {name: tensor for name, tensor in self.effective(state).items() if name in own}
        flat = torch.cat([tensor.reshape(-1).to(self.point) for tensor in whole.values()])
        return float(self.loss.at(flat[None])[0])


@dataclass(frozen=True)
class FlatLine:
    """Loss along any direction; every evaluation uses all samples. See `landscape.protocol.Line`."""

    landscape: FlatLandscape
    direction: Direction

    def look(self, distance: float, *, limit: float) -> Evaluation:
        """Evaluate the loss."""
        del limit
        return Evaluation(self.landscape.loss_at((self.direction, distance)), 1.0)

    def rough(self, distance: float, *, share: float) -> Evaluation:
        """Evaluate the loss on all samples."""
        del share
        return self.look(distance, limit=math.inf)

    def worst_first(self, fraction: float) -> float:
        """Do nothing: samples cannot be reordered."""
        del fraction
        return 0.0
