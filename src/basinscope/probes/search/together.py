"""Finds the first crossings of many rays, which are evaluated together."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Float, Int

from basinscope.landscape.directions import Direction
from basinscope.landscape.gaussian import rays_at_once
from basinscope.landscape.protocol import Landscape
from basinscope.probes.search.bracket import (
    OK,
    OUTERMOST,
    RUNNING,
    STRIDE,
    UNBOUNDED,
    Rays,
    Start,
    estimate,
    log_height,
    next_distance,
    record,
    settle,
)
from basinscope.probes.search.experience import Seen

NUM_PILOT = 32
BLOCK = 1024
SCAN_POINTS = 200
FIRST_DISTANCE, NUM_SCOUTS, RUNGS = 0.02, 4, 8
"""Start of rays without prior knowledge, in filter norms; number of scout rays; ladder steps per scout evaluation."""
LADDER = np.arange(math.log(FIRST_DISTANCE), math.log(OUTERMOST), math.log(STRIDE))
"""Log distances at which scout rays are evaluated."""
Heights = Callable[[Sequence[Direction], Float[np.ndarray, " points"], Int[np.ndarray, " points"]], np.ndarray]
"""Function that returns the loss, or its rise, at distances along directions."""


def search(
    heights: Heights,
    directions: Sequence[Direction],
    cutoff: float,
    start: Start,
    tolerance: float,
    progress: Callable[[float], None] | None = None,
) -> Rays:
    """Find the crossing along each direction; `progress` is called with the share of finished rays."""
    rays = Rays.start(len(directions))
    live = np.arange(len(directions))
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        while len(live):
            x = next_distance(rays, live, start, tolerance)
            loss = heights(directions, np.exp(x), live)
            record(rays, live, x, loss, cutoff)
            settle(rays, live, tolerance)
            live = live[rays.status[live] == RUNNING]
            if progress:
                progress(1 - len(live) / len(directions))
    return rays


def pilot(landscape: Landscape, heights: Heights, seed: int, cutoff: float) -> Start:
    """Search the family's first rays from the innermost distance, to choose a start and fit the shape of the others."""
    directions, every = landscape.random_directions(seed, range(NUM_PILOT)), np.arange(NUM_PILOT)
    rays = search(heights, directions, cutoff, Start(), 1e-3)
    done = rays.status == OK
    if done.sum() < NUM_PILOT // 2:
        return Start()
    crossing = 0.5 * (rays.low + rays.high)
    first = float(np.median(crossing[done])) + math.log(0.9)

    def height(x: np.ndarray) -> np.ndarray:
        return log_height(heights(directions, np.exp(x), every), cutoff)

    begin = np.full(NUM_PILOT, first)
    f0 = height(begin)
    near = done & (np.abs(crossing - first) < math.log(STRIDE)) & (f0 != 0) & np.isfinite(f0)
    if near.sum() < NUM_PILOT // 4:
        return Start(math.exp(first))
    columns = np.stack([-f0, -(f0**2)], axis=1)
    slope, bend = np.linalg.lstsq(columns[near], crossing[near] - first, rcond=None)[0]
    line = Start(math.exp(first), float(slope), float(bend))
    # Repeat the steps of the other rays, to fit the error of the straight line through two points.
    second = estimate(
        np.stack([begin, *[np.full(NUM_PILOT, np.nan)] * 2]), np.stack([f0, f0 * np.nan, f0 * np.nan]), line
    )
    f1 = height(second)
    missed = crossing - (second - f1 * (begin - second) / (f0 - f1))
    product = f0 * f1
    good = (
        near
        & np.isfinite(missed)
        & np.isfinite(product)
        & (product != 0)
        & (np.abs(second - crossing) < math.log(STRIDE))
    )
    curvature = float(np.sum(missed[good] * product[good]) / np.sum(product[good] ** 2)) if good.any() else 0.0
    return replace(line, curvature=curvature if math.isfinite(curvature) else 0.0)


def search_together(
    landscape: Landscape,
    heights: Heights,
    *,
    seed: int,
    indices: Sequence[int],
    cutoff: float,
    tolerance: float,
    num_scanned: int,
    walked_in: bool,
    progress: Callable[[float], None] | None = None,
) -> tuple[list[Rays], int]:
    """Search many rays at once, block by block.

    Args:
        landscape: Source of the directions.
        heights: Loss, or its rise, along directions.
        seed: Family of directions.
        indices: Members of the family.
        cutoff: Height that bounds the basin.
        tolerance: Relative width of the final bracket.
        num_scanned: Number of leading rays that are also scanned for an earlier crossing.
        walked_in: Run a pilot, which searches the family's first rays outwards from the innermost distance and pays for
            thousands of rays; otherwise a few of the rays are evaluated at a ladder of distances.
        progress: Called repeatedly with the finished share.

    Returns:
        Blocks of finished rays, and the number of earlier crossings.
    """
    seen = Seen()
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        start = pilot(landscape, heights, seed, cutoff) if walked_in else Start(FIRST_DISTANCE)
    most = rays_at_once(sum(f.size for f in landscape.filters) if not walked_in else _size(landscape), BLOCK)
    parts: list[Rays] = []
    earlier, first = 0, 0
    while first < len(indices):
        block = indices[first : first + most]
        directions = landscape.random_directions(seed, block)

        def report(share: float, begin: int = first, num: int = len(block)) -> None:
            if progress:
                progress((begin + share * num) / len(indices))

        scouted = 0.0
        if not walked_in and not first:
            scouted = _scout(seen, heights, directions[:NUM_SCOUTS], cutoff)
            start = seen.start(FIRST_DISTANCE)
        rays = search(heights, directions, cutoff, start, tolerance, report)
        rays.spent[:NUM_SCOUTS] += scouted
        parts.append(rays)
        earlier += _count_earlier(heights, directions, rays, cutoff, max(0, min(len(block), num_scanned - first)))
        first += len(block)
        if not walked_in:
            _learn(seen, rays)
            start = seen.start(FIRST_DISTANCE)
    return parts, earlier


def _size(landscape: Landscape) -> int:
    """Entries of a direction as stored in memory."""
    return len(getattr(landscape, "point", ())) or sum(f.size for f in landscape.filters)


def _scout(seen: Seen, heights: Heights, directions: Sequence[Direction], cutoff: float) -> float:
    """Estimate the crossings of a few rays at a ladder of distances, several steps at once.

    Returns:
        Evaluations per ray.
    """
    num, x, f = len(directions), LADDER, np.full((len(directions), len(LADDER)), np.nan)
    for begin in range(0, len(x), RUNGS):
        steps = x[begin : begin + RUNGS]
        rows = np.repeat(np.arange(num), len(steps))
        losses = heights(directions, np.exp(np.tile(steps, num)), rows)
        f[:, begin : begin + RUNGS] = log_height(losses.reshape(num, -1), cutoff)
        if (f[:, begin : begin + RUNGS] > 0).any(axis=1).all():
            break
    for ray in f:
        beyond = np.flatnonzero(ray > 0)
        if len(beyond) and beyond[0]:
            last, next_ = beyond[0] - 1, beyond[0]
            crossing = x[last] - ray[last] * (x[next_] - x[last]) / (ray[next_] - ray[last])
            seen.add([(float(x[k]), float(ray[k])) for k in (last, next_)], float(crossing))
    return float(np.isfinite(f).sum() / num)


def _learn(seen: Seen, rays: Rays) -> None:
    """Add the finished rays of a block to `seen`."""
    for k in np.flatnonzero(rays.status == OK):
        trace = [(float(x), float(f)) for x, f in zip(rays.x[:, k], rays.f[:, k], strict=True) if np.isfinite(x + f)]
        seen.add(trace, 0.5 * float(rays.low[k] + rays.high[k]))


def _count_earlier(
    heights: Heights, directions: Sequence[Direction], rays: Rays, cutoff: float, num_scanned: int
) -> int:
    """Count rays on which a fine scan exceeds the cutoff before the bracket."""
    count = 0
    for k in range(num_scanned):
        if rays.status[k] not in (OK, UNBOUNDED):
            continue
        distances = np.linspace(0, math.exp(rays.low[k]), SCAN_POINTS)[1:-1]
        losses = heights(directions[k : k + 1], distances, np.zeros(len(distances), dtype=np.int64))
        count += bool((losses > cutoff).any())
    return count
