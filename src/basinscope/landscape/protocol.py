"""What a probe may ask of a landscape, whichever network lies behind it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol, cast

import numpy as np
from jaxtyping import Float, Int
from torch import Tensor

from basinscope.errors import InputError
from basinscope.landscape.directions import Center, Direction
from basinscope.landscape.filters import Filters

Step = tuple[Direction, float]
"""A direction and how far to go along it."""


@dataclass(frozen=True)
class Evaluation:
    """The loss at one point."""

    loss: float
    """Mean loss; where the sum passed the limit early, an estimate that lies above the limit."""
    share: float
    """Share of the training set that was evaluated."""


class Line(Protocol):
    """The loss along one ray; evaluations count by their share of a pass over the training set."""

    def look(self, distance: float, *, limit: float) -> Evaluation:
        """Evaluate the loss; may stop early, with a share below 1, once it is known to exceed the limit."""
        ...

    def rough(self, distance: float, *, share: float) -> Evaluation:
        """Estimate the loss from about this share of the samples, at least one batch."""
        ...

    def worst_first(self, fraction: float) -> float:
        """Reorder the samples, those with the largest losses at the latest point first, so that `rough` uses those.

        Returns:
            Smallest leading share of the samples that accounts for `fraction` of their total loss; 0 where samples
            keep their order.
        """
        ...


class Landscape(Protocol):
    """The loss around one center, along directions that move some of its tensors.

    Implemented by `Objective` (any `nn.Module`), and by what `CleanLoss.around`, `PointObjective.around` and
    `StreamedLoss.around` return. A landscape that cannot be differentiated lacks `gradient_at` and
    `hessian_vector_product`, or has them raise `InputError`.
    """

    network: str
    """What results call the network."""
    unit: str
    """Unit of the loss."""

    @property
    def center(self) -> Center:
        """The moved tensors at the center, and their filters."""
        ...

    @property
    def filters(self) -> tuple[Filters, ...]:
        """The moved tensors, and how each falls into filters."""
        ...

    @property
    def num_moved(self) -> int:
        """Entries of the moved tensors, n."""
        ...

    @property
    def scheme(self) -> str:
        """How random directions are scaled."""
        ...

    @property
    def one_dim(self) -> str:
        """Whether tensors of one axis are moved."""
        ...

    @property
    def units(self) -> str:
        """What distance 1 along a random direction is."""
        ...

    @property
    def nonnegative(self) -> bool:
        """Whether the loss is known never to be below 0."""
        ...

    @property
    def center_loss(self) -> float:
        """Mean loss at the center."""
        ...

    @property
    def points_at_once(self) -> int:
        """How many points are evaluated together; 1 means one by one."""
        ...

    def plan(self, num: int) -> int:
        """The same where so many points are to come, which may decide how they are evaluated."""
        ...

    def held(self) -> AbstractContextManager[None]:
        """Check once that the loss can be measured, for many evaluations while the context is open."""
        ...

    def direction(self, seed: int, index: int) -> Direction:
        """Name one member of a family of random directions."""
        ...

    def random_directions(self, seed: int, indices: Sequence[int]) -> Sequence[Direction]:
        """Draw several members of a family, to be evaluated together."""
        ...

    def orthogonal(self, seed: int, indices: tuple[int, int]) -> tuple[Direction, Direction]:
        """Two members of a family, the second made orthogonal to the first."""
        ...

    def cosine(self, first: Direction, second: Direction) -> float:
        """Cosine between two directions."""
        ...

    def along(
        self,
        directions: Sequence[Direction],
        distances: Float[np.ndarray, " points"],
        rows: Int[np.ndarray, " points"],
    ) -> Float[np.ndarray, " points"]:
        """Mean loss at `center + distance · directions[row]` for each distance and row."""
        ...

    def across(
        self,
        first: Direction,
        second: Direction,
        a: Float[np.ndarray, " points"],
        b: Float[np.ndarray, " points"],
    ) -> Float[np.ndarray, " points"]:
        """Mean loss at `center + a · first + b · second` for each pair."""
        ...

    def line(self, direction: Direction) -> Line:
        """Open the loss along one ray, for searches that evaluate one point after another."""
        ...

    def loss_at(self, *steps: Step) -> float:
        """Mean loss at the center plus each direction times its distance."""
        ...

    def gradient_at(self, *steps: Step) -> tuple[float, list[Tensor]]:
        """Mean loss at a point, and its gradient by the moved tensors."""
        ...

    def hessian_vector_product(self, vector: Sequence[Tensor]) -> list[Tensor]:
        """Multiply the Hessian at the center by a vector, tensor by tensor."""
        ...

    def named_tensors(self) -> tuple[Mapping[str, Tensor], Mapping[str, Tensor]]:
        """Parameters and buffers at the center by name."""
        ...

    def loss_of(self, state: Any) -> float:
        """Mean loss of other parameters of the same network."""
        ...


def require(landscape: Any, probe: str, *needed: str) -> Landscape:
    """Refuse what cannot answer a probe, in one line.

    Args:
        landscape: What the probe was given.
        probe: Its name.
        needed: Methods that it calls beyond `loss_at`.

    Raises:
        InputError: It is no landscape, or lacks a method.
    """
    if all(hasattr(landscape, name) for name in ("loss_at", "direction", "center", *needed)):
        return cast("Landscape", landscape)
    kind = type(landscape).__name__
    if hasattr(landscape, "around"):
        raise InputError(f"{probe}: a {kind} is a loss without a center: give {kind}(...).around(point)")
    if not hasattr(landscape, "loss_at"):
        raise InputError(f"{probe}: a {kind} is no landscape: give bs.Objective(model, loss_fn, batches)")
    lacking = ", ".join(name for name in needed if not hasattr(landscape, name))
    raise InputError(f"{probe}: {kind} cannot answer it: it has no {lacking}")
