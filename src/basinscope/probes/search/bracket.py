"""Brackets of the first crossings along many rays, and the distance at which each ray is evaluated next.

A ray is searched in steps of at most ×1.5 until one distance is below the crossing and the next beyond it; the bracket
is then closed by interpolation of log loss against log distance, from whichever side closes it first.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from basinscope.results.schema import RAY_STATUS

INNERMOST, OUTERMOST, STRIDE = 1e-4, 10.0, 1.5
MAX_EVALUATIONS = 100
_CODES = {name: code for code, name in RAY_STATUS.items()}
OK, UNBOUNDED, NONFINITE, MAX_EVALS = (_CODES[n] for n in ("ok", "unbounded", "nonfinite", "max_evals"))
BELOW, UNRESOLVED = (_CODES[n] for n in ("below", "unresolved"))
PATIENCE = 7
"""Evaluations after which a bracket that hardly shrinks is bisected."""
RUNNING = -1
_CLOSING = 0.97
"""Width of a closing bracket as a share of the tolerance."""


@dataclass(frozen=True)
class Start:
    """Where rays start and how their lines bend, estimated from a pilot search.

    With x the log distance and f = log(loss / cutoff), the pilot's lines are summarised as x(f) near the crossing.
    """

    distance: float = INNERMOST
    slope: float = 1.0
    """Log distance from the start to the crossing, per unit of −f at the start."""
    bend: float = 0.0
    """Change of the slope with f."""
    curvature: float = 0.0
    """Second divided difference of x(f) between the start and the crossing."""
    inwards: float = math.log(STRIDE)
    """Log distance to step back from a point beyond the crossing whose f is not known exactly."""


@dataclass
class Rays:
    """A block of rays: the bracket of each, and its latest three points, newest first."""

    low: Float[np.ndarray, " rays"]
    """Log distance of the outermost point below the crossing; −inf if none is known."""
    high: Float[np.ndarray, " rays"]
    """Log distance of the innermost point beyond the crossing; inf if none is known."""
    width: Float[np.ndarray, " rays"]
    """Width of the bracket before the latest point."""
    x: Float[np.ndarray, "3 rays"]
    """Log distances of the latest points."""
    f: Float[np.ndarray, "3 rays"]
    """log(loss / cutoff) at the latest points."""
    undefined: Bool[np.ndarray, " rays"]
    """Whether the loss at `high` is NaN."""
    status: Int[np.ndarray, " rays"]
    evaluations: Int[np.ndarray, " rays"]
    """Number of loss evaluations."""
    spent: Float[np.ndarray, " rays"]
    """Their cost in full evaluations; one that stopped early counts by its share."""

    @classmethod
    def start(cls, num: int) -> Rays:
        """Create rays with empty brackets."""
        return cls(
            low=np.full(num, -np.inf),
            high=np.full(num, np.inf),
            width=np.full(num, np.inf),
            x=np.full((3, num), np.nan),
            f=np.full((3, num), np.nan),
            undefined=np.zeros(num, dtype=bool),
            status=np.full(num, RUNNING),
            evaluations=np.zeros(num, dtype=np.int64),
            spent=np.zeros(num),
        )


def estimate(x: np.ndarray, f: np.ndarray, start: Start) -> np.ndarray:
    """Estimate the log distance of the crossing from the latest one, two or three points; NaN without any.

    One point: the pilot's line. Two: the straight line x(f) through them, bent like the pilot's lines.
    Three: inverse quadratic interpolation (Brent 1973, chapter 4), in Newton's form.
    """
    one = x[0] - start.slope * f[0] - start.bend * f[0] ** 2
    chord = (x[1] - x[0]) / (f[1] - f[0])
    two = x[0] - f[0] * chord + start.curvature * f[0] * f[1]
    second = ((x[2] - x[1]) / (f[2] - f[1]) - chord) / (f[2] - f[0])
    three = x[0] - f[0] * chord + second * f[0] * f[1]
    return np.where(np.isfinite(three), three, np.where(np.isfinite(two), two, one))


def next_distance(rays: Rays, live: np.ndarray, start: Start, tolerance: float) -> Float[np.ndarray, " live"]:
    """Choose the log distance at which each live ray is evaluated next."""
    low, high = rays.low[live], rays.high[live]
    stride, nudge = math.log(STRIDE), 0.45 * tolerance
    crossing = estimate(rays.x[:, live], rays.f[:, live], start)
    # Only one end known: follow the estimate, at most one stride; if it points back, take a full stride.
    outwards = np.where(crossing > low, np.minimum(crossing + nudge, low + stride), low + stride)
    back = np.where(np.isfinite(crossing), stride, start.inwards)
    inwards = np.where(crossing < high, np.maximum(crossing - nudge, high - stride), high - back)
    # Both ends known: close the bracket from the end nearer to the estimate if it is near enough; else step past the
    # estimate towards the farther end, so that the next point closes the bracket.
    from_low = crossing - low < high - crossing
    gap = np.where(from_low, crossing - low, high - crossing)
    side = np.where(from_low, 1.0, -1.0)
    closing = np.where(from_low, low, high) + side * _CLOSING * tolerance
    inside = np.where(gap < _CLOSING * tolerance, closing, crossing + side * nudge)
    late = (rays.evaluations[live] >= PATIENCE) & (high - low > 0.6 * rays.width[live])
    inside = np.where(late | ~((inside > low) & (inside < high)), 0.5 * (low + high), inside)
    has_low, has_high = np.isfinite(low), np.isfinite(high)
    beginning = np.full(len(live), math.log(start.distance))
    target = np.select([has_low & has_high, has_low, has_high], [inside, outwards, inwards], beginning)
    return np.minimum(target, math.log(OUTERMOST))


def log_height(loss: np.ndarray, cutoff: float) -> np.ndarray:
    """Compute log(loss / cutoff); a NaN counts as very high."""
    return np.log(np.clip(np.nan_to_num(loss, nan=1e30), 1e-30, 1e30) / cutoff)


def record(
    rays: Rays,
    live: np.ndarray,
    x: np.ndarray,
    loss: np.ndarray,
    cutoff: float,
    *,
    spent: float = 1.0,
    exact: bool = True,
) -> None:
    """Record losses at log distances `x`; a NaN counts as beyond the crossing and is flagged.

    A loss that is not `exact` only determines the side of the cutoff.
    """
    rays.evaluations[live] += 1
    rays.spent[live] += spent
    rays.width[live] = rays.high[live] - rays.low[live]
    if exact:
        for memory, latest in ((rays.x, x), (rays.f, log_height(loss, cutoff))):
            memory[1:, live] = memory[:-1, live]
            memory[0, live] = latest
    below = loss <= cutoff
    rays.low[live[below]] = x[below]
    rays.high[live[~below]] = x[~below]
    rays.undefined[live[~below]] = np.isnan(loss[~below])


def settle(rays: Rays, live: np.ndarray, tolerance: float) -> None:
    """Set the status of rays whose search has ended."""
    status = rays.status[live]
    width = rays.high[live] - rays.low[live]
    running = status == RUNNING
    unbounded = running & (rays.low[live] >= math.log(OUTERMOST))
    status[unbounded] = UNBOUNDED
    # A bracket that ends at a NaN is not a crossing; a NaN at the innermost distance ends the search.
    undefined = rays.undefined[live]
    closed = running & ~unbounded & (np.expm1(width) <= tolerance)
    status[closed] = np.where(undefined, NONFINITE, OK)[closed]
    status[running & undefined & (rays.high[live] <= math.log(INNERMOST))] = NONFINITE
    status[(status == RUNNING) & (rays.evaluations[live] >= MAX_EVALUATIONS)] = MAX_EVALS
    rays.status[live] = status


def measured(parts: Sequence[Rays]) -> dict[str, np.ndarray]:
    """Merge blocks of finished rays into variables of a `radius` dataset.

    An unbounded ray gets the outermost distance as its radius, and one that crosses below the innermost distance gets
    that; any other ray without a crossing gets NaN.
    """

    def joined(name: str) -> np.ndarray:
        return np.concatenate([getattr(part, name) for part in parts])

    status = joined("status")
    with np.errstate(invalid="ignore", over="ignore"):
        lower, upper = np.exp(joined("low")), np.exp(joined("high"))
        middle = np.sqrt(lower * upper)
    status = np.where((status == OK) & (upper <= INNERMOST), BELOW, status)
    bounds = np.select([status == UNBOUNDED, status == BELOW], [OUTERMOST, INNERMOST], np.nan)
    return {
        "radius": np.where(status == OK, middle, bounds),
        "lower": np.where(status == BELOW, 0.0, lower),
        "upper": np.where(status == BELOW, INNERMOST, upper),
        "status": status.astype(np.int8),
        "num_evaluations": joined("spent"),
    }


def unresolved(num: int) -> dict[str, np.ndarray]:
    """Variables of a `radius` dataset for rays that were not searched, because the loss does not resolve the rise."""
    nothing = np.full(num, np.nan)
    return {
        "radius": nothing,
        "lower": nothing,
        "upper": nothing,
        "status": np.full(num, UNRESOLVED, dtype=np.int8),
        "num_evaluations": np.zeros(num),
    }
