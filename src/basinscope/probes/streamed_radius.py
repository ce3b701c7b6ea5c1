"""Radii of networks whose training set is streamed through them: one ray at a time, each evaluation made to count.

A pass over the training set is what costs. So a look on one batch tells where the first ray begins, and every later
ray begins where the earlier ones crossed. Beyond a basin a few samples, other ones on every ray, lose nearly all that
is lost. So the first pass along a ray tells which are its worst samples; they alone lead on to the crossing; and coming
first, they let a point beyond it be left as soon as the running sum proves it (`StreamedLoss`). What remains is one
whole pass at the lower end of the bracket, which is verified as every bracket is.
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
    estimate,
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
KNOWN_UP_TO = math.exp(4)
"""Multiple of the cutoff up to which a loss is taken exactly, unless it closes a bracket: to know the height saves more
evaluations than to end early would."""
NEAR = 0.7
"""Log distance from a crossing up to which points tell of its neighbourhood."""
WORST, WORST_SHARE = 0.95, 0.25
"""The worst samples of a ray foretell its crossing: those that lose this fraction of all that is lost; but no larger a
share of the samples."""
MAX_LOOKS, SURE_WITHIN = 4, 2.0
"""Looks at them at most; and the move of the crossing that ends them, in tolerances."""


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
        distance = math.exp(float(np.median(self.crossings)))
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
            seen.add(trace, 0.5 * float(rays.low[0] + rays.high[0]))
        if progress:
            progress((place + 1) / len(indices))
    return parts


@dataclass(frozen=True)
class _Foretold:
    """A crossing as a ray's worst samples foretell it."""

    crossing: float
    """Log distance."""
    slope: float
    """Log distance per unit of height there."""


def _search(
    landscape: StreamedLoss, center: Tensor, ray: Ray, cutoff: float, start: Start, tolerance: float
) -> tuple[Rays, list[tuple[float, float]]]:
    """Find the crossing of one ray; also return the points (log distance, height) whose loss is known exactly."""
    rays, live, trace, foretold = Rays.start(1), np.array([0]), [], None
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        while rays.status[0] == RUNNING:
            x = next_distance(rays, live, start, tolerance)
            # What closes the bracket, or lies beyond a crossing that is foretold, need only lie beyond; elsewhere the
            # height leads to the crossing.
            beyond = np.expm1(x[0] - rays.low[0]) <= tolerance or (foretold is not None and x[0] > foretold.crossing)
            look = landscape.look_along(center, ray, math.exp(x[0]), limit=cutoff if beyond else KNOWN_UP_TO * cutoff)
            loss = np.array([look.loss])
            exact = look.share == 1
            record(rays, live, x, loss, cutoff, spent=look.share, exact=exact)
            settle(rays, live, tolerance)
            if not exact or rays.status[0] != RUNNING:
                continue
            trace.append((float(x[0]), float(log_height(loss, cutoff)[0])))
            if foretold is None:
                foretold = _foretell(landscape, center, ray, cutoff, rays, start, tolerance)
                if foretold is not None:
                    start = Start(start.distance, foretold.slope)
                    _know_only(rays, foretold.crossing, 0.0)
            else:
                _know_only(rays, *trace[-1])
    return rays, trace


def _know_only(rays: Rays, x: float, f: float) -> None:
    """Forget the points seen along a single ray but for one."""
    rays.x[:, 0], rays.f[:, 0] = (x, np.nan, np.nan), (f, np.nan, np.nan)


def _foretell(
    landscape: StreamedLoss, center: Tensor, ray: Ray, cutoff: float, rays: Rays, start: Start, tolerance: float
) -> _Foretold | None:
    """Follow the worst samples at the latest point of a ray to where the loss crosses the cutoff; None if it is far."""
    x, f = rays.x.copy(), rays.f.copy()
    first, before, found = float(x[0, 0]), landscape.num_evaluations, None
    landscape.look_first_at(landscape.latest_losses)
    share = min(WORST_SHARE, landscape.share_that_loses(WORST))
    for looks in range(MAX_LOOKS + 1):
        crossing = float(estimate(x, f, start)[0])
        if not (rays.low[0] <= crossing <= rays.high[0] and abs(crossing - first) <= NEAR):
            break
        if looks == MAX_LOOKS or (looks and abs(crossing - x[0, 0]) <= SURE_WITHIN * tolerance):
            slope = float((x[0, 0] - x[1, 0]) / (f[0, 0] - f[1, 0]))
            found = _Foretold(crossing, slope) if 0 < slope < math.inf else None
            break
        loss = landscape.rough_loss(center, ray, math.exp(crossing), share=share)
        x[1:], f[1:] = x[:-1].copy(), f[:-1].copy()
        x[0], f[0] = crossing, log_height(np.array([loss]), cutoff)
    rays.spent += landscape.num_evaluations - before
    return found


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
