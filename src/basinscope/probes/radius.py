"""The radius of a basin along a direction: the first distance at which the loss exceeds a cutoff.

Each ray is searched in steps of at most ×1.5 until one distance is below the crossing and the next beyond it; this
bracket is then narrowed to a relative width of `tolerance`. If the landscape evaluates points together, many rays are
searched at once; otherwise rays are searched one by one, each starting where the earlier ones crossed. The loss along a
ray is not monotone: some rays are scanned finely, and crossings that the steps missed are counted and reported.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr

from basinscope.errors import InputError
from basinscope.landscape.directions import Direction
from basinscope.landscape.given import Given, given_directions, unit_of
from basinscope.landscape.protocol import Evaluation, Landscape, Line, require, resolution_of
from basinscope.probes.labels import labelled
from basinscope.probes.search.bracket import (
    BELOW,
    INNERMOST,
    NONFINITE,
    OK,
    OUTERMOST,
    STRIDE,
    UNBOUNDED,
    measured,
    unresolved,
)
from basinscope.probes.search.sequential import count_earlier, search_one_by_one
from basinscope.probes.search.together import search_together
from basinscope.progress import Watcher, watched
from basinscope.settings import checks_settings

# Statuses and limits of the search, re-exported for users of the result.
__all__ = ["BELOW", "INNERMOST", "NONFINITE", "OK", "OUTERMOST", "STRIDE", "UNBOUNDED", "basin_radius"]
EVALUATIONS_PER_RAY = 6
RESOLVED = 10
"""Smallest rise that is searched for, in units of the loss's rounding."""
UNRESOLVED_RISE = (
    "basin_radius: a rise of %.3g is lost in rounding, which is about %.3g at a loss of %.4g: pass a larger rise, or "
    "measure in double precision (model.double(), float64 batches)"
)
_log = logging.getLogger(__name__)
RISE = 0.1
"""Default rise above the center's loss that bounds a basin."""


@dataclass(frozen=True)
class _Rise:
    """Rise of the loss above the center's along a line; see `landscape.protocol.Line`."""

    line: Line
    base: float
    rough_base: float

    def look(self, distance: float, *, limit: float) -> Evaluation:
        """Evaluate the rise."""
        evaluation = self.line.look(distance, limit=limit + self.base)
        return Evaluation(evaluation.loss - self.base, evaluation.share)

    def rough(self, distance: float, *, share: float) -> Evaluation:
        """Estimate the rise."""
        evaluation = self.line.rough(distance, share=share)
        return Evaluation(evaluation.loss - self.rough_base, evaluation.share)

    def worst_first(self, fraction: float) -> float:
        """See `Line`."""
        return self.line.worst_first(fraction)


@checks_settings
def basin_radius(
    landscape: Landscape,
    *,
    rise: float | None = None,
    cutoff: float | None = None,
    num_directions: int = 100,
    indices: Sequence[int] | None = None,
    directions: Sequence[Given] | None = None,
    seed: int = 0,
    tolerance: float = 0.01,
    num_scanned: int = 0,
    progress: Watcher = None,
) -> xr.Dataset:
    """Measure how far the basin around a center extends along random directions, or along your own.

    Formula: r(d) = min {c > 0 : L(θ + c·d) > cutoff}, searched in [1e-4, 10]. The loss along a ray is not monotone, so
    a crossing before its first point or between two points can be missed; `num_scanned` rays are scanned for one.

    Args:
        landscape: The loss, around the center θ; filter norms are taken from the center alone.
        rise: Rise above the center's loss that bounds the basin; default 0.1.
        cutoff: Absolute loss that bounds it instead, as in the paper.
        num_directions: Number of random directions.
        indices: Members of the family of directions, instead of the first `num_directions`.
        directions: Your own directions instead, as in `slice1d`; radii are then in lengths of each direction.
        seed: Seed of the family of directions; a direction depends only on (seed, index).
        tolerance: Relative width of the bracket around each radius, verified on both sides.
        num_scanned: Number of rays also scanned for an earlier crossing: at 200 points if points are evaluated
            together, else at 20.
        progress: True or None shows a line with the time left, False none; a function receives the finished share.

    Returns:
        A `radius` dataset. Each ray has a verified bracket [lower, upper] and a status: `ok`; `unbounded`, no crossing
        up to 10, counted with radius 10; `below`, a crossing below 1e-4, counted with radius 1e-4; `nonfinite`, the
        loss turns NaN before it exceeds the cutoff, radius NaN; `max_evals`; `unresolved`, radius NaN: the rise is
        less than ten times the rounding of the loss, and no ray was searched.

    Raises:
        InputError: The center's loss is not finite or already above the cutoff, a setting is out of range, or the loss
            cannot be measured.

    References:
        Huang et al. 2019, arXiv 1906.03291, section 5; Li et al. 2018, arXiv 1712.09913.

    Example:
        On L = |θ|², with directions of length 1, every radius is the square root of the rise.
    """
    landscape = require(landscape, "basin_radius", "along", "line")
    if directions is not None and indices is not None:
        raise InputError("basin_radius: give indices of random directions or your own directions, not both")
    num = num_directions if directions is None else len(directions)
    chosen = list(range(num) if indices is None else indices)
    _refuse(rise, cutoff, chosen, tolerance, num_scanned)
    base = landscape.center_loss
    level = base + RISE if rise is None and cutoff is None else (base + rise if rise is not None else cutoff)
    assert level is not None
    height = level - base if cutoff is not None else (RISE if rise is None else rise)
    # The log of a non-negative loss is nearly linear; for other losses only the log of the rise is defined.
    absolute = landscape.nonnegative
    if not (height >= 0 if absolute else height > 0):
        raise InputError(f"basin_radius: the network's loss is {base:.4g}, not below cutoff = {level:g}")
    bound, shift = (level, 0.0) if absolute else (height, base)
    resolution = resolution_of(landscape)
    with landscape.held(), watched("basin_radius", progress) as tell:
        given = None if directions is None else given_directions(landscape, directions, "basin_radius")
        if height < RESOLVED * resolution:
            _log.warning(UNRESOLVED_RISE, height, resolution, base)
            found, earlier = unresolved(len(chosen)), 0
        elif given is None and landscape.plan(EVALUATIONS_PER_RAY * len(chosen)) > 1:

            def heights(directions: Sequence[Direction], distances: np.ndarray, rows: np.ndarray) -> np.ndarray:
                return landscape.along(directions, distances, rows) - shift

            parts, earlier = search_together(
                landscape,
                heights,
                seed=seed,
                indices=chosen,
                cutoff=bound,
                tolerance=tolerance,
                num_scanned=num_scanned,
                walked_in=absolute,
                progress=tell,
            )
            found = measured(parts)
        else:
            rays = given or [landscape.direction(seed, index) for index in chosen]
            lines = _lines(landscape, rays, absolute=absolute)
            parts = search_one_by_one(lines, cutoff=bound, tolerance=tolerance, progress=tell)
            earlier = count_earlier(lines[:num_scanned], parts, cutoff=bound)
            found = measured(parts)
    return labelled(
        "radius",
        landscape,
        {
            "ray": np.asarray(chosen),
            **found,
            "cutoff": level,
            "center_loss": base,
            "num_scanned": min(num_scanned, len(chosen)),
            "num_earlier": earlier,
            "num_moved": landscape.num_moved,
        },
        units=dict.fromkeys(("radius", "lower", "upper"), landscape.units if given is None else unit_of(given))
        | {"cutoff": landscape.unit, "center_loss": landscape.unit},
        seed=str(seed),
        scheme=landscape.scheme,
        **({} if given is None else {"directions": "given"}),
    )


def _lines(landscape: Landscape, rays: Sequence[Direction], *, absolute: bool) -> list[Line]:
    """The loss, or its rise, along each ray."""
    lines = [landscape.line(ray) for ray in rays]
    if absolute:
        return lines
    rough_base = lines[0].rough(0.0, share=0.0).loss
    return [_Rise(line, landscape.center_loss, rough_base) for line in lines]


def _refuse(
    rise: float | None, cutoff: float | None, chosen: Sequence[int], tolerance: float, num_scanned: int
) -> None:
    """Refuse settings that are out of range."""
    if rise is not None and cutoff is not None:
        raise InputError("basin_radius: give rise or cutoff, not both")
    if not chosen:
        raise InputError("basin_radius: no directions to measure")
    if not 0 < tolerance <= 0.5:
        raise InputError(f"basin_radius: tolerance = {tolerance}: must be above 0 and at most 0.5")
    if num_scanned < 0:
        raise InputError(f"basin_radius: num_scanned = {num_scanned}: must be at least 0")
    for name, value in (("rise", rise), ("cutoff", cutoff)):
        if value is not None and not math.isfinite(value):
            raise InputError(f"basin_radius: {name} = {value}: must be finite")
    if rise is not None and not rise > 0:
        raise InputError(f"basin_radius: rise = {rise}: must be above 0")
