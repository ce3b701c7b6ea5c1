"""First crossings of rays searched one by one, such as those of a streamed network.

Cost is dominated by full passes over the training set, so one batch is used to choose where the first ray starts, and
every later ray starts where the earlier ones crossed. Beyond a basin a few samples, different ones on every ray, make
up nearly all of the loss: the first pass along a ray identifies them, and estimates from them alone locate the
crossing. With them first, a point beyond it is abandoned as soon as the running sum exceeds the cutoff
(`StreamedLoss`). One full pass remains, at the lower end of the bracket, which is verified like every bracket.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from basinscope.landscape.protocol import Line
from basinscope.probes.search.bracket import (
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
from basinscope.probes.search.experience import NEAR, Seen

ROUGH_BEGIN, ROUGH_STRIDE, ROUGH_CUTS = 0.02, 2.0, 3
STREAMED_SCAN_POINTS = 20
KNOWN_UP_TO = math.exp(4)
"""Multiple of the cutoff up to which a loss is computed exactly, unless it closes a bracket: knowing it saves more
evaluations than stopping early."""
WORST, WORST_SHARE = 0.95, 0.25
"""Samples from which a ray's crossing is predicted: the worst ones, which account for this fraction of the loss, but at
most this share of the samples."""
MAX_LOOKS, SURE_WITHIN = 4, 2.0
"""Maximum number of predictions per ray, and the change, in tolerances, below which a prediction is accepted."""


def _rough_begin(line: Line, cutoff: float) -> tuple[float, float]:
    """Locate roughly where one batch's loss crosses the cutoff; return a distance just below, and the cost."""
    spent = 0.0

    def below(distance: float) -> bool:
        nonlocal spent
        look = line.rough(distance, share=0.0)
        spent += look.share
        return look.loss <= cutoff

    low = high = ROUGH_BEGIN
    if below(low):
        while high < OUTERMOST:
            high = min(high * ROUGH_STRIDE, OUTERMOST)
            if not below(high):
                break
            low = high
    else:
        while low > INNERMOST:
            low = max(low / ROUGH_STRIDE, INNERMOST)
            if below(low):
                break
            high = low
    for _ in range(ROUGH_CUTS):
        middle = math.sqrt(low * high)
        if below(middle):
            low = middle
        else:
            high = middle
    return low, spent


def search_one_by_one(
    lines: Sequence[Line],
    *,
    cutoff: float,
    tolerance: float,
    progress: Callable[[float], None] | None = None,
) -> list[Rays]:
    """Find the first crossing along each line, one by one.

    Args:
        lines: The loss along each ray; non-negative, in any unit.
        cutoff: Loss that bounds the basin.
        tolerance: Relative width of the final bracket.
        progress: Called after each line with the finished share.

    Returns:
        A block with a single ray for each line.
    """
    seen, parts, begin = Seen(), [], INNERMOST
    for index, line in enumerate(lines):
        rough = 0.0
        if not index:
            begin, rough = _rough_begin(line, cutoff)
        rays, trace = _search(line, cutoff, seen.start(begin), tolerance)
        rays.spent += rough
        parts.append(rays)
        if rays.status[0] == OK:
            seen.add(trace, 0.5 * float(rays.low[0] + rays.high[0]))
        if progress:
            progress((index + 1) / len(lines))
    return parts


@dataclass(frozen=True)
class _Prediction:
    """A crossing predicted from a ray's worst samples."""

    crossing: float
    """Log distance."""
    slope: float
    """Log distance per unit of height at the crossing."""


def _search(line: Line, cutoff: float, start: Start, tolerance: float) -> tuple[Rays, list[tuple[float, float]]]:
    """Find the crossing of one ray; also return the points (log distance, height) with exactly known loss."""
    rays, live, trace, predicted = Rays.start(1), np.array([0]), [], None
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        while rays.status[0] == RUNNING:
            x = next_distance(rays, live, start, tolerance)
            # A point that closes the bracket, or lies beyond the predicted crossing, only needs its side of the cutoff;
            # elsewhere its height helps to locate the crossing.
            beyond = np.expm1(x[0] - rays.low[0]) <= tolerance or (predicted is not None and x[0] > predicted.crossing)
            look = line.look(math.exp(x[0]), limit=cutoff if beyond else KNOWN_UP_TO * cutoff)
            loss = np.array([look.loss])
            exact = look.share == 1
            record(rays, live, x, loss, cutoff, spent=look.share, exact=exact)
            settle(rays, live, tolerance)
            if not exact or rays.status[0] != RUNNING:
                continue
            trace.append((float(x[0]), float(log_height(loss, cutoff)[0])))
            if predicted is None:
                predicted = _predict(line, cutoff, rays, start, tolerance)
                if predicted is not None:
                    start = Start(start.distance, predicted.slope)
                    _keep_only(rays, predicted.crossing, 0.0)
            else:
                _keep_only(rays, *trace[-1])
    return rays, trace


def _keep_only(rays: Rays, x: float, f: float) -> None:
    """Replace the latest points of a single ray by one point."""
    rays.x[:, 0], rays.f[:, 0] = (x, np.nan, np.nan), (f, np.nan, np.nan)


def _predict(line: Line, cutoff: float, rays: Rays, start: Start, tolerance: float) -> _Prediction | None:
    """Predict the crossing from the worst samples at the ray's latest point; None if it is far away."""
    x, f = rays.x.copy(), rays.f.copy()
    first = float(x[0, 0])
    share = min(WORST_SHARE, line.worst_first(WORST))
    if not share:
        return None
    for looks in range(MAX_LOOKS + 1):
        crossing = float(estimate(x, f, start)[0])
        if not (rays.low[0] <= crossing <= rays.high[0] and abs(crossing - first) <= NEAR):
            break
        if looks == MAX_LOOKS or (looks and abs(crossing - x[0, 0]) <= SURE_WITHIN * tolerance):
            slope = float((x[0, 0] - x[1, 0]) / (f[0, 0] - f[1, 0]))
            return _Prediction(crossing, slope) if 0 < slope < math.inf else None
        look = line.rough(math.exp(crossing), share=share)
        rays.spent += look.share
        x[1:], f[1:] = x[:-1].copy(), f[:-1].copy()
        x[0], f[0] = crossing, log_height(np.array([look.loss]), cutoff)
    return None


def count_earlier(lines: Sequence[Line], parts: Sequence[Rays], *, cutoff: float) -> int:
    """Count the lines on which a scan at 20 points exceeds the cutoff before the bracket."""
    count = 0
    for line, rays in zip(lines, parts, strict=False):
        if rays.status[0] not in (OK, UNBOUNDED):
            continue
        inner = np.linspace(0, math.exp(rays.low[0]), STREAMED_SCAN_POINTS + 2)[1:-1]
        count += any(line.look(c, limit=cutoff).loss > cutoff for c in inner.tolist())
    return count
