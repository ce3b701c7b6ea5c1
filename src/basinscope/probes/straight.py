"""Straight lines to another minimum, without and with alignment of its units."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import numpy as np
from jaxtyping import Float
from torch import Tensor

from basinscope.checkpoints.points import Minimum, own_loss
from basinscope.landscape.directions import Combination
from basinscope.landscape.protocol import Landscape
from basinscope.probes.scoring import Scored, in_blocks

BETWEEN = "share of the way"
"""Unit of distance along the line."""
_ROUNDING = 1e-6
"""Differences of barriers, relative to the loss, that rounding may explain."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Straight:
    """Scores along a straight line to another minimum."""

    values: Float[np.ndarray, "sets metrics ray=1 points"]
    scored: Scored
    other_loss: float
    barrier: float


def straight(
    landscape: Landscape,
    point: Minimum,
    tensors: Sequence[Tensor],
    distances: Float[np.ndarray, " points"],
    tell: Callable[[float], None],
    needed: Collection[str],
    *,
    renewed: bool,
) -> Straight:
    """Evaluate the straight line to a point."""
    direction = Combination(landscape.center, [tensors], [1.0], BETWEEN)
    scored, directions, rows = Scored(landscape), (direction,), np.zeros(len(distances), dtype=np.int64)
    values = in_blocks(
        landscape, len(distances), lambda here: scored.along(directions, distances[here], rows[here]), tell
    )[:, :, None]
    other_loss = own_loss(
        landscape, point, landscape.loss_at((direction, 1.0)), "other", needed=needed, renewed=renewed
    )
    center, end = (np.isclose(distances, place, rtol=0, atol=1e-9) for place in (0.0, 1.0))
    if renewed:
        values[0, 0, 0, center], values[0, 0, 0, end] = landscape.center_loss, other_loss
    inside = (distances >= 0) & (distances <= 1)
    ends = landscape.center_loss + distances * (other_loss - landscape.center_loss)
    barrier = float((values[0, 0, 0] - ends)[inside].max(initial=0.0))
    return Straight(values, scored, other_loss, barrier)


class _WithBarrier(Protocol):
    """A path and its barrier."""

    @property
    def barrier(self) -> float:
        """Largest rise above the linear interpolation of both ends."""
        ...

    @property
    def other_loss(self) -> float:
        """The other minimum's own loss."""
        ...


P = TypeVar("P", bound=_WithBarrier)


def lower(paths: Sequence[P], verb: str) -> P:
    """Of the path without and with alignment the second, unless its barrier is higher; then a warning is logged."""
    plain, aligned = paths
    if not aligned.barrier > plain.barrier + _ROUNDING * abs(aligned.other_loss):
        return aligned
    _log.warning(
        "%s: alignment raises the barrier of the straight line from %.4g to %.4g: the path without it is returned",
        verb,
        plain.barrier,
        aligned.barrier,
    )
    return plain


def facts_of_alignment(paths: Sequence[P], chosen: P) -> dict[str, Any]:
    """Attributes of a result with alignment: whether it was used, and both barriers of the straight line."""
    plain, aligned = paths
    return {
        "aligned": int(chosen is aligned),
        "straight_barrier_unaligned": plain.barrier,
        "straight_barrier_aligned": aligned.barrier,
    }
