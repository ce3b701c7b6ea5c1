"""The radius of a basin along a direction: the first distance at which the loss exceeds a cutoff.

Each ray is walked in steps of at most ×1.5 until one distance lies below the crossing and the next beyond it;
this bracket is then closed to a relative width of `tolerance`. A short pilot walks from 1e-4 outwards and tells
the other rays where to begin, so that most need four or five evaluations. Networks whose training set is streamed
through them go one ray at a time (`one_by_one`). Lines are not monotone: whether an earlier crossing was stepped
over is checked on a finely scanned sample of the rays and reported.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch
import xarray as xr
from jaxtyping import Float
from torch import Tensor

from basinscope.errors import InputError
from basinscope.landscape.directions import gaussian, rays_at_once
from basinscope.landscape.normalize import Normalization
from basinscope.landscape.objective import Landscape
from basinscope.landscape.rays import Ray
from basinscope.landscape.streamed import StreamedLoss
from basinscope.probes.bracket import (
    INNERMOST,
    NONFINITE,
    OK,
    OUTERMOST,
    RUNNING,
    STRIDE,
    UNBOUNDED,
    Rays,
    Start,
    estimate,
    log_height,
    measured,
    next_distance,
    record,
    settle,
)
from basinscope.probes.one_by_one import count_earlier, search_one_by_one
from basinscope.results.convert import dataset

# What a search can end with, and where it looks, is asked for beside the radius.
__all__ = ["INNERMOST", "NONFINITE", "OK", "OUTERMOST", "STRIDE", "UNBOUNDED", "basin_radius"]

NUM_PILOT = 32
BLOCK = 1024
SCAN_POINTS = 200


@torch.no_grad()
def _search(
    landscape: Landscape,
    center: Tensor,
    directions: Tensor,
    cutoff: float,
    start: Start,
    tolerance: float,
) -> Rays:
    """Find the crossing of each direction."""
    rays = Rays.start(len(directions))
    live = np.arange(len(directions))
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        while len(live):
            x = next_distance(rays, live, start, tolerance)
            loss = landscape.along(center, directions, torch.from_numpy(np.exp(x)), torch.from_numpy(live)).numpy()
            record(rays, live, x, loss, cutoff)
            settle(rays, live, tolerance)
            live = live[rays.status[live] == RUNNING]
    return rays


def _pilot(landscape: Landscape, center: Tensor, normalization: Normalization, seed: int, cutoff: float) -> Start:
    """Walk the family's first rays from the innermost distance; tell where others begin and how lines bend."""
    rows = gaussian(seed, range(NUM_PILOT), normalization.num_moved).to(center.device, center.dtype)
    directions = normalization.directions(rows, center)
    rays = _search(landscape, center, directions, cutoff, Start(), 1e-3)
    done = rays.status == OK
    if done.sum() < NUM_PILOT // 2:
        return Start()
    crossing = 0.5 * (rays.low + rays.high)
    first = float(np.median(crossing[done])) + math.log(0.9)

    def height(x: np.ndarray) -> np.ndarray:
        loss = landscape.along(center, directions, torch.from_numpy(np.exp(x))).numpy()
        return log_height(loss, cutoff)

    begin = np.full(NUM_PILOT, first)
    f0 = height(begin)
    near = done & (np.abs(crossing - first) < math.log(STRIDE)) & (f0 != 0) & np.isfinite(f0)
    if near.sum() < NUM_PILOT // 4:
        return Start(math.exp(first))
    columns = np.stack([-f0, -(f0**2)], axis=1)
    slope, bend = np.linalg.lstsq(columns[near], crossing[near] - first, rcond=None)[0]
    line = Start(math.exp(first), float(slope), float(bend))
    # The same steps as the other rays will take, to see what the straight line through two points misses.
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


def basin_radius(
    landscape: Landscape,
    center: Float[Tensor, " params"],
    normalization: Normalization,
    *,
    seed: int,
    indices: Sequence[int],
    cutoff: float,
    tolerance: float = 1e-3,
    num_scanned: int = 0,
    progress: Callable[[float], None] | None = None,
) -> xr.Dataset:
    """Measure how far the basin of a minimum reaches along random directions.

    Formula: r(d) = min {c > 0 : L(θ + c·d) > cutoff}, searched in [1e-4, 10].

    Args:
        landscape: The loss.
        center: The minimum θ; filter norms are taken from it alone.
        normalization: How Gaussian vectors become directions.
        seed: Family of directions; a direction depends on (seed, index) alone.
        indices: Members of the family to measure.
        cutoff: Absolute loss in nats that bounds the basin; 0.1 in the paper.
        tolerance: Relative width of the final bracket.
        num_scanned: How many of the rays are also scanned for an earlier crossing, at 200 points (a streamed
            landscape: at 20).
        progress: Called after each ray of a streamed landscape with the finished share.

    Returns:
        A `radius` dataset. Each ray has a verified bracket [lower, upper] and a status: `ok`; `unbounded`, no
        crossing up to 10, counted with radius 10; `nonfinite`, the loss turns
        NaN before it exceeds the cutoff, radius NaN; `max_evals`.

    Raises:
        InputError: The loss at the centre is not finite or already above the cutoff, or `indices` is empty.

    References:
        Huang et al. 2019, arXiv 1906.03291, section 5; Li et al. 2018, arXiv 1712.09913.

    Example:
        On L = |θ|², with `scheme="sphere"`, every radius is the square root of the cutoff.
    """
    center_loss = float(landscape.at(center[None])[0])
    if not math.isfinite(center_loss) or center_loss > cutoff:
        raise InputError(f"the loss at the centre is {center_loss:.4g}, not below the cutoff {cutoff:g}")
    chosen = list(indices)
    if not chosen:
        raise InputError("no directions to measure: indices is empty")
    if isinstance(landscape, StreamedLoss):
        lines = [landscape.line(center, Ray(normalization, seed, index)) for index in chosen]
        parts = search_one_by_one(lines, cutoff=cutoff, tolerance=tolerance, progress=progress)
        earlier = count_earlier(lines[:num_scanned], parts, cutoff=cutoff)
    else:
        parts, earlier = _in_blocks(landscape, center, normalization, seed, chosen, cutoff, tolerance, num_scanned)

    return dataset(
        "radius",
        {
            "ray": np.asarray(chosen),
            **measured(parts),
            "cutoff": cutoff,
            "center_loss": center_loss,
            "num_scanned": min(num_scanned, len(chosen)),
            "num_earlier": earlier,
            "num_moved": normalization.num_moved,
        },
        seed=str(seed),
        scheme=normalization.scheme,
    )


def _in_blocks(
    landscape: Landscape,
    center: Tensor,
    normalization: Normalization,
    seed: int,
    chosen: list[int],
    cutoff: float,
    tolerance: float,
    num_scanned: int,
) -> tuple[list[Rays], int]:
    """Walk many rays at once, block by block; count earlier crossings on the first `num_scanned`."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        start = _pilot(landscape, center, normalization, seed, cutoff)
    parts: list[Rays] = []
    earlier = 0
    at_once = rays_at_once(len(center), BLOCK)
    for first in range(0, len(chosen), at_once):
        block = chosen[first : first + at_once]
        rows = gaussian(seed, block, normalization.num_moved).to(center.device, center.dtype)
        directions = normalization.directions(rows, center)
        rays = _search(landscape, center, directions, cutoff, start, tolerance)
        parts.append(rays)
        scanned = max(0, min(len(block), num_scanned - first))
        earlier += _count_earlier(landscape, center, directions[:scanned], rays, cutoff)
    return parts, earlier


def _count_earlier(landscape: Landscape, center: Tensor, directions: Tensor, rays: Rays, cutoff: float) -> int:
    """Count the directions on which a fine scan finds the loss above the cutoff before the bracket."""
    count = 0
    for direction, low, status in zip(directions, rays.low, rays.status, strict=False):
        if status not in (OK, UNBOUNDED):
            continue
        distances = torch.linspace(0, math.exp(low), SCAN_POINTS, dtype=torch.float64)[1:-1]
        losses = landscape.along(center, direction[None], distances, torch.zeros(len(distances), dtype=torch.int64))
        count += bool((losses > cutoff).any())
    return count
