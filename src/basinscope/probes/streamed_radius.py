"""Radii of networks whose training set is streamed through them: one ray at a time, each evaluation made to count.

A pass over the training set is what costs. So a look on one batch tells where the first ray begins; every later ray
begins where the earlier ones crossed, and is led by how their lines bent; and a point beyond the crossing is left as
soon as its running sum proves it (`StreamedLoss`). The bracket at the end is verified all the same.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from basinscope.landscape.normalize import Normalization
from basinscope.landscape.rays import Ray
from basinscope.landscape.streamed import StreamedLoss
from basinscope.probes.bracket import (
    INNERMOST,
    OK,
    OUTERMOST,
    RUNNING,
    UNBOUNDED,
    Rays,
    Start,
    log_height,
    next_distance,
    record,
    settle,
)

ROUGH_BEGIN, ROUGH_STRIDE, ROUGH_CUTS = 0.02, 2.0, 3
STREAMED_SCAN_POINTS = 20
ENOUGH_POINTS = 6
"""Points near crossings from which the bend of lines is fitted; fewer give their slope alone."""
ENOUGH_RAYS, USUAL_SPREAD = 4, 0.15
"""Rays from which the spread of log distances is taken, and what it is until then."""
BEGIN_WITHIN = 0.5
"""Spreads by which a ray begins within the middle of the earlier crossings."""
KNOWN_UP_TO = math.exp(2)
"""Multiple of the cutoff up to which a loss is taken exactly, unless it closes a bracket: to know the height saves more
evaluations than to end early would."""
NEAR = 0.7
"""Log distance from a crossing up to which points tell of its neighbourhood."""


@dataclass
class _Seen:
    """What earlier rays taught: where they crossed, and the points near their crossings whose loss is known."""

    crossings: list[float] = field(default_factory=list)
    """Log distances."""
    to_go: list[float] = field(default_factory=list)
    """Log distance from a point to its ray's crossing."""
    heights: list[float] = field(default_factory=list)
    """log(loss / cutoff) at that point."""

    def add(self, trace: list[tuple[float, float]], crossing: float) -> None:
        """Learn from a ray's points (log distance, height) and its crossing."""
        self.crossings.append(crossing)
        for x, f in trace:
            if abs(x - crossing) < NEAR and f != 0:
                self.to_go.append(crossing - x)
                self.heights.append(f)

    def start(self, begin: float) -> Start:
        """Tell where the next ray begins and how its line may bend; `begin` is for a first ray."""
        if not self.crossings:
            return Start(begin)
        enough = len(self.crossings) >= ENOUGH_RAYS
        spread = float(np.std(self.crossings)) if enough else USUAL_SPREAD
        # A little within: the height there is known and tells how far the crossing is.
        distance = math.exp(float(np.median(self.crossings)) - BEGIN_WITHIN * spread)
        slope, bend = self._line()
        return Start(distance, slope, bend, inwards=max(2 * spread, math.log1p(1e-3)))

    def _line(self) -> tuple[float, float]:
        """Log distance still to go per unit of −height, and its change with the height."""
        f, to_go = np.array(self.heights), np.array(self.to_go)
        if len(f) < ENOUGH_POINTS:
            return (float(np.median(-to_go / f)) if len(f) else 1.0), 0.0
        slope, bend = np.linalg.lstsq(np.stack([-f, -(f**2)], axis=1), to_go, rcond=None)[0]
        return float(slope), float(bend)


def _rough_begin(landscape: StreamedLoss, center: Tensor, ray: Ray, cutoff: float) -> float:
    """Find about where one batch's loss crosses the cutoff, and return a distance a little below."""
    low = high = ROUGH_BEGIN
    if landscape.rough_loss(center, ray, low) <= cutoff:
        while high < OUTERMOST:
            high = min(high * ROUGH_STRIDE, OUTERMOST)
            if not landscape.rough_loss(center, ray, high) <= cutoff:
                break
            low = high
    else:
        while low > INNERMOST:
            low = max(low / ROUGH_STRIDE, INNERMOST)
            if landscape.rough_loss(center, ray, low) <= cutoff:
                break
            high = low
    for _ in range(ROUGH_CUTS):
        middle = math.sqrt(low * high)
        if landscape.rough_loss(center, ray, middle) <= cutoff:
            low = middle
        else:
            high = middle
    return low


@torch.no_grad()
def search_one_by_one(
    landscape: StreamedLoss,
    center: Float[Tensor, " params"],
    normalization: Normalization,
    *,
    seed: int,
    indices: Sequence[int],
    cutoff: float,
    tolerance: float,
    progress: Callable[[float], None] | None = None,
) -> list[Rays]:
    """Find the crossing of each ray, one after another; see `basin_radius`."""
    seen, parts, begin = _Seen(), [], INNERMOST
    for place, index in enumerate(indices):
        ray = Ray(normalization, seed, index)
        before = landscape.num_evaluations
        if not place:
            begin = _rough_begin(landscape, center, ray, cutoff)
        rough = landscape.num_evaluations - before
        rays, trace = _search(landscape, center, ray, cutoff, seen.start(begin), tolerance)
        rays.spent += rough
        parts.append(rays)
        if rays.status[0] == OK:
            if not seen.crossings:
                # The latest point that was evaluated to its end lies just below the crossing.
                landscape.look_first_at(landscape.latest_losses)
            seen.add(trace, 0.5 * float(rays.low[0] + rays.high[0]))
        if progress:
            progress((place + 1) / len(indices))
    return parts


def _search(
    landscape: StreamedLoss, center: Tensor, ray: Ray, cutoff: float, start: Start, tolerance: float
) -> tuple[Rays, list[tuple[float, float]]]:
    """Find the crossing of one ray; also return the points (log distance, height) whose loss is known exactly."""
    rays, live, trace = Rays.start(1), np.array([0]), []
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        while rays.status[0] == RUNNING:
            x = next_distance(rays, live, start, tolerance)
            # What closes the bracket need only lie beyond; elsewhere the height leads to the crossing.
            closes = np.expm1(x[0] - rays.low[0]) <= tolerance
            limit = cutoff if closes else KNOWN_UP_TO * cutoff
            look = landscape.look_along(center, ray, math.exp(x[0]), limit=limit)
            loss = np.array([look.loss])
            exact = look.share == 1
            record(rays, live, x, loss, cutoff, spent=look.share, exact=exact)
            settle(rays, live, tolerance)
            if exact:
                trace.append((float(x[0]), float(log_height(loss, cutoff)[0])))
    return rays, trace


@torch.no_grad()
def count_earlier_streamed(
    landscape: StreamedLoss,
    center: Float[Tensor, " params"],
    normalization: Normalization,
    parts: Sequence[Rays],
    *,
    seed: int,
    indices: Sequence[int],
    cutoff: float,
) -> int:
    """Count the rays on which a scan at 20 points finds the loss above the cutoff before the bracket."""
    count = 0
    for index, rays in zip(indices, parts, strict=False):
        if rays.status[0] not in (OK, UNBOUNDED):
            continue
        ray = Ray(normalization, seed, index)
        inner = np.linspace(0, math.exp(rays.low[0]), STREAMED_SCAN_POINTS + 2)[1:-1]
        count += any(landscape.look_along(center, ray, c, limit=cutoff).loss > cutoff for c in inner.tolist())
    return count
