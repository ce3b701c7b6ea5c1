"""The radius of a basin along a direction: the first distance at which the loss exceeds a cutoff.

Each ray is walked in steps of at most ×1.5 until one distance lies below the crossing and the next beyond it;
this bracket is then closed to a relative width of `tolerance`. A short pilot walks from 1e-4 outwards and tells
the other rays where to begin, so that most need four or five evaluations. Lines are not monotone: whether an
earlier crossing was stepped over is checked on a finely scanned sample of the rays and reported.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
import xarray as xr
from jaxtyping import Bool, Float, Int
from torch import Tensor

from basinscope.errors import InputError
from basinscope.landscape.directions import gaussian, rays_at_once
from basinscope.landscape.normalize import Normalization
from basinscope.landscape.objective import Landscape
from basinscope.results.convert import dataset
from basinscope.results.schema import RAY_STATUS

INNERMOST, OUTERMOST, STRIDE = 1e-4, 10.0, 1.5
NUM_PILOT = 32
BLOCK = 1024
MAX_EVALUATIONS = 100
SCAN_POINTS = 200
_CODES = {name: code for code, name in RAY_STATUS.items()}
OK, UNBOUNDED, NONFINITE, MAX_EVALS = (_CODES[n] for n in ("ok", "unbounded", "nonfinite", "max_evals"))
PATIENCE = 7
"""Evaluations after which a bracket that does not shrink is cut in half."""
_RUNNING = -1
_CLOSING = 0.97
"""Width of a closing bracket as a share of the tolerance."""


@dataclass(frozen=True)
class Start:
    """Where rays begin and how their lines bend, learned from a pilot.

    With x the log distance and f = log(loss / cutoff), the pilot's lines are summed up as x(f) near the crossing.
    """

    distance: float = INNERMOST
    slope: float = 1.0
    """Log distance still to go from the start, per unit of −f there."""
    bend: float = 0.0
    """Its change with f."""
    curvature: float = 0.0
    """Second divided difference of x(f) on the way from the start to the crossing."""


@dataclass
class _Rays:
    """A block of rays: for each its bracket, and the latest three points seen, newest first."""

    low: Float[np.ndarray, " rays"]
    """Log distance of the outermost point below the crossing; −inf where none is known."""
    high: Float[np.ndarray, " rays"]
    """Log distance of the innermost point beyond the crossing; inf where none is known."""
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

    @classmethod
    def start(cls, num: int) -> _Rays:
        return cls(
            low=np.full(num, -np.inf),
            high=np.full(num, np.inf),
            width=np.full(num, np.inf),
            x=np.full((3, num), np.nan),
            f=np.full((3, num), np.nan),
            undefined=np.zeros(num, dtype=bool),
            status=np.full(num, _RUNNING),
            evaluations=np.zeros(num, dtype=np.int64),
        )


def _estimate(x: np.ndarray, f: np.ndarray, start: Start) -> np.ndarray:
    """Estimate the log distance of the crossing from the one, two or three points seen; NaN from none.

    One point: the pilot's line. Two: the straight line x(f) through them, bent as the pilot's lines are.
    Three: inverse quadratic interpolation (Brent 1973, chapter 4), in Newton's form.
    """
    one = x[0] - start.slope * f[0] - start.bend * f[0] ** 2
    chord = (x[1] - x[0]) / (f[1] - f[0])
    two = x[0] - f[0] * chord + start.curvature * f[0] * f[1]
    second = ((x[2] - x[1]) / (f[2] - f[1]) - chord) / (f[2] - f[0])
    three = x[0] - f[0] * chord + second * f[0] * f[1]
    return np.where(np.isfinite(three), three, np.where(np.isfinite(two), two, one))


def _next(rays: _Rays, live: np.ndarray, start: Start, tolerance: float) -> Float[np.ndarray, " live"]:
    """Choose the log distance at which each live ray is evaluated next."""
    low, high = rays.low[live], rays.high[live]
    stride, nudge = math.log(STRIDE), 0.45 * tolerance
    estimate = _estimate(rays.x[:, live], rays.f[:, live], start)
    # Only one end known: follow the estimate, at most one stride; where it points back, a whole stride.
    outwards = np.where(estimate > low, np.minimum(estimate + nudge, low + stride), low + stride)
    inwards = np.where(estimate < high, np.maximum(estimate - nudge, high - stride), high - stride)
    # Both ends known: close the bracket from its end nearer to the estimate if that is near enough, else step past
    # the estimate towards the farther end, so that the next point closes it.
    from_low = estimate - low < high - estimate
    gap = np.where(from_low, estimate - low, high - estimate)
    side = np.where(from_low, 1.0, -1.0)
    closing = np.where(from_low, low, high) + side * _CLOSING * tolerance
    inside = np.where(gap < _CLOSING * tolerance, closing, estimate + side * nudge)
    late = (rays.evaluations[live] >= PATIENCE) & (high - low > 0.6 * rays.width[live])
    inside = np.where(late | ~((inside > low) & (inside < high)), 0.5 * (low + high), inside)
    has_low, has_high = np.isfinite(low), np.isfinite(high)
    beginning = np.full(len(live), math.log(start.distance))
    target = np.select([has_low & has_high, has_low, has_high], [inside, outwards, inwards], beginning)
    return np.minimum(target, math.log(OUTERMOST))


def _record(rays: _Rays, live: np.ndarray, x: np.ndarray, loss: np.ndarray, cutoff: float) -> None:
    """Enter the losses found at log distances `x`; a NaN bounds the search from beyond, and is remembered."""
    rays.evaluations[live] += 1
    rays.width[live] = rays.high[live] - rays.low[live]
    height = np.log(np.clip(np.nan_to_num(loss, nan=1e30), 1e-30, 1e30) / cutoff)
    for memory, latest in ((rays.x, x), (rays.f, height)):
        memory[1:, live] = memory[:-1, live]
        memory[0, live] = latest
    below = loss <= cutoff
    rays.low[live[below]] = x[below]
    rays.high[live[~below]] = x[~below]
    rays.undefined[live[~below]] = np.isnan(loss[~below])


def _settle(rays: _Rays, live: np.ndarray, tolerance: float) -> None:
    """Close the rays that are done."""
    status = rays.status[live]
    width = rays.high[live] - rays.low[live]
    running = status == _RUNNING
    unbounded = running & (rays.low[live] >= math.log(OUTERMOST))
    status[unbounded] = UNBOUNDED
    # A bracket that closes on a NaN is no crossing; nor is a NaN as far in as any search begins.
    undefined = rays.undefined[live]
    closed = running & ~unbounded & (np.expm1(width) <= tolerance)
    status[closed] = np.where(undefined, NONFINITE, OK)[closed]
    status[running & undefined & (rays.high[live] <= math.log(INNERMOST))] = NONFINITE
    status[(status == _RUNNING) & (rays.evaluations[live] >= MAX_EVALUATIONS)] = MAX_EVALS
    rays.status[live] = status


@torch.no_grad()
def _search(
    landscape: Landscape,
    center: Tensor,
    directions: Tensor,
    cutoff: float,
    start: Start,
    tolerance: float,
) -> _Rays:
    """Find the crossing of each direction."""
    rays = _Rays.start(len(directions))
    live = np.arange(len(directions))
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        while len(live):
            x = _next(rays, live, start, tolerance)
            loss = landscape.along(center, directions, torch.from_numpy(np.exp(x)), torch.from_numpy(live)).numpy()
            _record(rays, live, x, loss, cutoff)
            _settle(rays, live, tolerance)
            live = live[rays.status[live] == _RUNNING]
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
        return np.log(np.clip(loss, 1e-30, 1e30) / cutoff)

    begin = np.full(NUM_PILOT, first)
    f0 = height(begin)
    near = done & (np.abs(crossing - first) < math.log(STRIDE)) & (f0 != 0) & np.isfinite(f0)
    if near.sum() < NUM_PILOT // 4:
        return Start(math.exp(first))
    columns = np.stack([-f0, -(f0**2)], axis=1)
    slope, bend = np.linalg.lstsq(columns[near], crossing[near] - first, rcond=None)[0]
    line = Start(math.exp(first), float(slope), float(bend))
    # The same steps as the other rays will take, to see what the straight line through two points misses.
    second = _estimate(
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
        num_scanned: How many of the rays are also scanned at 200 points for an earlier crossing.

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
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        start = _pilot(landscape, center, normalization, seed, cutoff)
    parts: list[_Rays] = []
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

    def joined(name: str) -> np.ndarray:
        return np.concatenate([getattr(part, name) for part in parts])

    status = joined("status")
    with np.errstate(invalid="ignore", over="ignore"):
        lower, upper = np.exp(joined("low")), np.exp(joined("high"))
        middle = np.sqrt(lower * upper)
    radius = np.where(status == OK, middle, np.where(status == UNBOUNDED, OUTERMOST, np.nan))
    return dataset(
        "radius",
        {
            "ray": np.asarray(chosen),
            "radius": radius,
            "lower": lower,
            "upper": upper,
            "status": status.astype(np.int8),
            "num_evaluations": joined("evaluations"),
            "cutoff": cutoff,
            "center_loss": center_loss,
            "num_scanned": min(num_scanned, len(chosen)),
            "num_earlier": earlier,
            "num_moved": normalization.num_moved,
        },
        seed=str(seed),
        scheme=normalization.scheme,
    )


def _count_earlier(landscape: Landscape, center: Tensor, directions: Tensor, rays: _Rays, cutoff: float) -> int:
    """Count the directions on which a fine scan finds the loss above the cutoff before the bracket."""
    count = 0
    for direction, low, status in zip(directions, rays.low, rays.status, strict=False):
        if status not in (OK, UNBOUNDED):
            continue
        distances = torch.linspace(0, math.exp(low), SCAN_POINTS, dtype=torch.float64)[1:-1]
        losses = landscape.along(center, direction[None], distances, torch.zeros(len(distances), dtype=torch.int64))
        count += bool((losses > cutoff).any())
    return count
