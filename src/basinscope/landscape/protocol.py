"""The landscape interface: everything a probe may call, whatever the network."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol, cast

import numpy as np
from jaxtyping import Float, Int
from torch import Tensor

from basinscope.errors import InputError, with_article
from basinscope.landscape.directions import Center, Direction
from basinscope.landscape.filters import Filters

Step = tuple[Direction, float]
"""A direction and the distance along it."""
SECOND_DERIVATIVES, DIFFERENCES = "second derivatives", "differences of gradients"
"""How a landscape multiplies its Hessian by a vector."""


@dataclass(frozen=True)
class Evaluation:
    """The loss at one point."""

    loss: float
    """Mean loss; if evaluation stopped early, an estimate above the limit."""
    share: float
    """Share of the training set that was evaluated."""


class Line(Protocol):
    """The loss along one ray; an evaluation costs its share of a pass over the training set."""

    def look(self, distance: float, *, limit: float) -> Evaluation:
        """Evaluate the loss; may stop early, with a share below 1, once it is known to exceed the limit."""
        ...

    def rough(self, distance: float, *, share: float) -> Evaluation:
        """Estimate the loss from about this share of the samples, at least one batch."""
        ...

    def worst_first(self, fraction: float) -> float:
        """Put the samples with the largest losses at the latest point first, so that `rough` uses those.

        Returns:
            Smallest leading share of the samples that accounts for `fraction` of their total loss; 0 if samples cannot
            be reordered.
        """
        ...


class Landscape(Protocol):
    """The loss around one center, along directions that move some of its tensors.

    Implemented by `Objective` (any `nn.Module`), and by the landscapes that `CleanLoss.around`, `PointObjective.around`
    and `StreamedLoss.around` return. If the loss cannot be differentiated, `gradient_at` and `hessian_vector_product`
    are missing or raise `InputError`.
    """

    network: str
    """Name of the network in results."""
    unit: str
    """Unit of the loss."""

    @property
    def center(self) -> Center:
        """The moved tensors, with their values at the center and their filters."""
        ...

    @property
    def filters(self) -> tuple[Filters, ...]:
        """The moved tensors, and how each is split into filters."""
        ...

    @property
    def num_moved(self) -> int:
        """Number of moved entries, n; without those that masks exclude."""
        ...

    @property
    def scheme(self) -> str:
        """How random directions are scaled."""
        ...

    @property
    def one_dim(self) -> str:
        """Whether tensors with at most one axis are moved."""
        ...

    @property
    def units(self) -> str:
        """Unit of distance along a random direction."""
        ...

    @property
    def nonnegative(self) -> bool:
        """Whether the loss is known to be non-negative."""
        ...

    @property
    def center_loss(self) -> float:
        """Mean loss at the center."""
        ...

    @property
    def points_at_once(self) -> int:
        """Number of points evaluated together; 1 means one by one."""
        ...

    def plan(self, num: int) -> int:
        """Number of points evaluated together if `num` are planned; may choose how they are evaluated."""
        ...

    def held(self) -> AbstractContextManager[None]:
        """Open a context for many evaluations, in which the loss is checked only once."""
        ...

    def direction(self, seed: int, index: int) -> Direction:
        """One member of a family of random directions."""
        ...

    def random_directions(self, seed: int, indices: Sequence[int]) -> Sequence[Direction]:
        """Several members of a family, to be evaluated together."""
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
        """The loss along one ray, for searches that evaluate points one by one."""
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
        """Mean loss of the same network with other parameters."""
        ...


def require(landscape: Any, probe: str, *needed: str) -> Landscape:
    """Check that a probe's argument is a landscape with the methods it needs.

    Args:
        landscape: The probe's first argument.
        probe: Name of the probe, for messages.
        needed: Methods it calls beyond `loss_at`.

    Raises:
        InputError: The argument is not a landscape, or lacks a method.
    """
    # Looked up in the class, because a property of the landscape may run a measurement.
    offered = {*dir(type(landscape)), *getattr(landscape, "__dict__", ())}
    if offered.issuperset(("loss_at", "direction", "center", *needed)):
        return cast("Landscape", landscape)
    kind = type(landscape).__name__
    if "around" in offered:
        raise InputError(f"{probe}: {with_article(kind)} has no center: pass {kind}(...).around(point)")
    if "loss_at" not in offered:
        raise InputError(
            f"{probe}: {with_article(kind)} is not a landscape: pass bs.Objective(model, loss_fn, batches)"
        )
    lacking = ", ".join(name for name in needed if name not in offered)
    raise InputError(f"{probe}: not available for {kind}, which has no {lacking}")


def resolution_of(landscape: Landscape) -> float:
    """Smallest difference of losses that is not attributed to rounding; 0 if the landscape does not know it."""
    return float(getattr(landscape, "resolution", 0.0))


def products_of(landscape: Landscape) -> str:
    """How products of the Hessian and a vector are computed; known after the first one.

    Returns:
        `SECOND_DERIVATIVES`, or `DIFFERENCES` for a network that cannot be differentiated twice.
    """
    return str(getattr(landscape, "products", SECOND_DERIVATIVES))


def needed_of_others(landscape: Landscape) -> frozenset[str]:
    """Names of the tensors that another minimum must hold; those of the center are used for others."""
    offered = getattr(landscape, "needed_of_others", None)
    return frozenset(f.name for f in landscape.filters) if offered is None else offered()


def moving_all(landscape: Landscape) -> AbstractContextManager[Any]:
    """Context in which all real parameters are moved, if the landscape moves only some."""
    offered = getattr(landscape, "moving_all", None)
    return contextlib.nullcontext() if offered is None else offered()


def renewing(landscape: Landscape, recalibrate: Any) -> AbstractContextManager[bool]:
    """Context in which BatchNorm's running statistics are renewed at every point; yields whether they are.

    Args:
        landscape: The landscape.
        recalibrate: None: if the network has such statistics; True or False; or the batches to compute them from.

    Raises:
        InputError: They are asked for, but the landscape has none.
    """
    offered = getattr(landscape, "renewing", None)
    if offered is not None:
        return offered(recalibrate)
    if recalibrate is None or recalibrate is False:
        return contextlib.nullcontext(enter_result=False)
    raise InputError(f"recalibrate: not available for {type(landscape).__name__}")
