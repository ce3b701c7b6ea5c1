"""Radius, volume and mean curvature of a minimum, as measured by several experiments."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import get_args

import numpy as np
import xarray as xr
from jaxtyping import Float
from torch import Tensor

from basinscope.errors import InputError
from basinscope.landscape.backend import choose_backend
from basinscope.landscape.normalize import Normalization
from basinscope.landscape.rescale import scale_last_layer
from basinscope.landscape.stacked import Backend, CleanLoss
from basinscope.probes.mean_curvature import mean_curvature
from basinscope.probes.radius import basin_radius
from basinscope.probes.volume import log_volume
from basinscope.results.convert import unmeasured
from basinscope.runs.engine import Context

KINDS = ("radius", "volume", "mean_curvature")
EVALUATIONS_PER_RAY = 5.5
TOLERANCE = 1e-3
"""Relative width of the bracket around a radius."""


@dataclass(frozen=True, kw_only=True)
class Probing:
    """Settings of the probes."""

    seed: int
    """Seed of the family of directions."""
    num_directions: int
    cutoff: float
    """Clean loss in nats that bounds a basin."""
    num_scanned: int
    """Directions scanned finely for an earlier crossing."""
    scaled_loss: float | None = None
    """Clean loss in nats to which the last layer is scaled first; None leaves the minimum as trained."""


def open_landscape(
    context: Context, make: Callable[[Backend], CleanLoss], center: Float[Tensor, " params"], *, num_rays: int
) -> CleanLoss:
    """Open the clean loss, eager or compiled, whichever the run's first trial found faster.

    Args:
        context: Context of the current task; the trial's outcome is stored in its run.
        make: Builds the landscape.
        center: Parameter vector for the trial.
        num_rays: Number of radii that the whole run measures.
    """
    stored = context.folder.take_json("backend.json")
    if stored is None or stored.get("backend") not in get_args(Backend):
        planned = int(EVALUATIONS_PER_RAY * num_rays)
        stored = asdict(choose_backend(make, center, planned=planned, reproducible=context.reproducible))
        stored = context.folder.settle_json("backend.json", stored)
    return make(stored["backend"])


def probe(
    landscape: CleanLoss, minimum: Float[Tensor, " params"], normalization: Normalization, settings: Probing
) -> list[xr.Dataset]:
    """Measure radius, volume and mean curvature of one network; all NaN if its loss is not below the cutoff."""
    indices = range(settings.num_directions)
    try:
        center = minimum
        if settings.scaled_loss is not None:
            center = scale_last_layer(landscape, minimum, settings.scaled_loss)
        around = landscape.around(center, normalization)
        radius = basin_radius(
            around,
            seed=settings.seed,
            indices=indices,
            cutoff=settings.cutoff,
            tolerance=TOLERANCE,
            num_scanned=settings.num_scanned,
            progress=False,
        )
    except InputError:
        return [unmeasured(kind, ray=np.arange(settings.num_directions)) for kind in KINDS]
    curvature = mean_curvature(around, seed=settings.seed, indices=indices, progress=False)
    return [radius, log_volume(radius), curvature]
