"""Basin radii of a network: how far its loss stays low along random directions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr

from basinscope.errors import InputError
from basinscope.landscape.module_objective import Objective
from basinscope.landscape.steps import Direction
from basinscope.landscape.streamed import Evaluation
from basinscope.measure.labels import labelled
from basinscope.probes.bracket import measured
from basinscope.probes.one_by_one import count_earlier, search_one_by_one
from basinscope.progress import Watcher, watched


@dataclass(frozen=True)
class _Rise:
    """How much higher than at the network itself the loss lies along a direction; see `one_by_one.Line`."""

    objective: Objective
    direction: Direction
    base: float
    rough_base: float
    count: float

    def look(self, distance: float, *, limit: float) -> Evaluation:
        """Evaluate the rise; every pass goes to its end, because losses may be negative."""
        del limit
        return Evaluation(self.objective.loss_at((self.direction, distance)) - self.base, 1.0)

    def rough(self, distance: float, *, share: float) -> Evaluation:
        """Evaluate the rise over the first batch."""
        del share
        loss, count = self.objective.rough_loss_at((self.direction, distance))
        return Evaluation(loss - self.rough_base, count / self.count)

    def worst_first(self, fraction: float) -> float:
        """Keep the order of the batches."""
        del fraction
        return 0.0


def basin_radius(
    objective: Objective,
    *,
    rise: float | None = None,
    cutoff: float | None = None,
    num_directions: int = 100,
    indices: Sequence[int] | None = None,
    seed: int = 0,
    tolerance: float = 0.01,
    num_scanned: int = 0,
    progress: Watcher = None,
) -> xr.Dataset:
    """Measure how far the basin around a network reaches along random directions.

    Formula: r(d) = min {c > 0 : L(θ + c·d) > cutoff}, searched in [1e-4, 10]. The first ray begins below
    where the first batch crosses, every later one where the earlier ones crossed, and is walked from there in steps of
    at most ×1.5. Lines are not monotone, so an earlier crossing, nearer than where a ray begins or between two steps,
    can be missed; of the rays that are scanned, those with one wider than a twentieth of the radius are counted.

    Args:
        objective: The network's loss.
        rise: Height above the network's own loss that bounds the basin; default 0.1.
        cutoff: Absolute loss that bounds it instead, as in the paper.
        num_directions: Random directions.
        indices: Which members of the family of directions, instead of the first `num_directions`.
        seed: Family of directions; one depends on (seed, index) alone.
        tolerance: Relative width of the bracket around each radius, verified on both sides.
        num_scanned: How many of the rays are also scanned at 20 points for an earlier crossing.
        progress: True or None shows a line with the time left, False none; a function gets the finished share.

    Returns:
        A `radius` dataset with a status for each ray: `ok`; `unbounded`, no crossing up to 10; `nonfinite`, not a
        number before the loss exceeds the cutoff, radius NaN; `max_evals`.

    Raises:
        InputError: The network's loss is already above the cutoff, a setting is out of range, or the loss cannot be
            measured.

    References:
        Huang et al. 2019, arXiv 1906.03291, section 5.
    """
    if rise is not None and cutoff is not None:
        raise InputError("basin_radius: give rise or cutoff, not both")
    chosen = list(range(num_directions) if indices is None else indices)
    if not chosen:
        raise InputError("basin_radius: no directions to measure")
    if not 0 < tolerance <= 0.5:
        raise InputError(f"basin_radius: tolerance = {tolerance}: must lie above 0 and at most at 0.5")
    if num_scanned < 0:
        raise InputError(f"basin_radius: num_scanned = {num_scanned}: must be at least 0")
    for name, value in (("rise", rise), ("cutoff", cutoff)):
        if value is not None and not math.isfinite(value):
            raise InputError(f"basin_radius: {name} = {value}: must be finite")
    base = objective.center_loss
    height = cutoff - base if cutoff is not None else (0.1 if rise is None else rise)
    if not height > 0:
        above = f"rise = {rise}: must be above 0"
        if cutoff is not None:
            above = f"the network's loss is {base:.4g}, not below cutoff = {cutoff:g}"
        raise InputError(f"basin_radius: {above}")
    rough_base, _ = objective.rough_loss_at()
    count = objective.num_samples
    lines = [_Rise(objective, objective.direction(seed, index), base, rough_base, count) for index in chosen]
    with objective.held(), watched("basin_radius", progress) as tell:
        parts = search_one_by_one(lines, cutoff=height, tolerance=tolerance, progress=tell)
        earlier = count_earlier(lines[:num_scanned], parts, cutoff=height)
    return labelled(
        "radius",
        objective,
        {
            "ray": np.asarray(chosen),
            **measured(parts),
            "cutoff": base + height,
            "center_loss": base,
            "num_scanned": min(num_scanned, len(chosen)),
            "num_earlier": earlier,
            "num_moved": objective.num_moved,
        },
        units=dict.fromkeys(("radius", "lower", "upper"), objective.units)
        | {"cutoff": objective.unit, "center_loss": objective.unit},
        seed=str(seed),
        scheme=objective.scheme,
    )
