"""Loss along the straight line between two minima."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from basinscope.checkpoints import alignment
from basinscope.checkpoints.points import Minimum, moved_tensors, refuse_same, towards
from basinscope.errors import InputError
from basinscope.landscape.protocol import Landscape, require
from basinscope.probes.grid import refuse_coarse
from basinscope.probes.labels import labelled
from basinscope.probes.straight import BETWEEN, facts_of_alignment, lower, straight
from basinscope.progress import Watcher, watched
from basinscope.settings import checks_settings

PATH_POINTS = 25
"""Points between two minima, both included, unless told otherwise."""


@checks_settings
def linear_path(
    landscape: Landscape,
    other: Minimum,
    *,
    resolution: int = PATH_POINTS,
    beyond: float = 0.25,
    recalibrate: Any = None,
    align: bool = False,
    progress: Watcher = None,
) -> xr.Dataset:
    """Evaluate the loss along the straight line from a center to another minimum, and beyond both.

    All parameters are moved, biases and frozen ones included, and BatchNorm's running statistics are renewed at every
    point between: without, the path would end elsewhere. Both ends have their own losses.

    Args:
        landscape: The loss, around the center.
        other: The other minimum: a state dictionary, a network, or a safetensors file.
        resolution: Number of points on the line.
        beyond: How far the line extends past either end, as a share of the distance between them.
        recalibrate: Batches from which BatchNorm's statistics are renewed, or True for the probed ones, False for the
            network's own; default True if it has such layers. Takes a second pass per point.
        align: Whether to permute the other minimum's units first so that its weights are closest to the center's; see
            `bs.align`. The line without is evaluated, too, and returned if its barrier is lower.
        progress: True or None shows a line with the time left, False none; a function receives the finished share.

    Returns:
        A `slice1d` dataset of one ray; distance 0 is the center, 1 the other minimum. Their own losses are the
        attributes `center_loss` and `other_loss`. With alignment, `aligned`, `straight_barrier_aligned` and
        `straight_barrier_unaligned` are attributes, too: the largest rise above the linear interpolation of both ends.
        With metrics or several data sets also `values`.

    Raises:
        InputError: A setting is out of range, the minimum does not fit the network, or the loss cannot be measured.

    References:
        Goodfellow, Vinyals and Saxe 2015, arXiv 1412.6544.
    """
    landscape = require(landscape, "linear_path", "along", "loss_of")
    refuse_coarse("linear_path", resolution)
    if not 0 <= beyond < np.inf:
        raise InputError(f"linear_path: beyond = {beyond}: must be at least 0")
    distances = np.linspace(-beyond, 1 + beyond, resolution)
    reached = [
        other,
        *([alignment.align(landscape, other, progress=not callable(progress) and progress)] if align else []),
    ]
    paths = []
    with towards(landscape, recalibrate) as (needed, renewed), watched("linear_path", progress) as tell:
        for k, point in enumerate(reached):
            tensors = moved_tensors(landscape, point, "other", needed=needed)
            if not k:
                refuse_same(landscape, tensors, "linear_path")

            def report(share: float, k: int = k) -> None:
                tell((k + share) / len(reached))

            paths.append(straight(landscape, point, tensors, distances, report, needed, renewed=renewed))
        chosen = lower(paths, "linear_path") if align else paths[0]
        return labelled(
            "slice1d",
            landscape,
            {
                "ray": np.zeros(1, dtype=np.int64),
                "distance": distances,
                "loss": chosen.values[0, 0],
                **chosen.scored.variables(chosen.values),
            },
            units={"distance": BETWEEN, "loss": landscape.unit},
            scheme="between",
            directions="between",
            center_loss=landscape.center_loss,
            other_loss=chosen.other_loss,
            recalibrated=int(renewed),
            **(facts_of_alignment(paths, chosen) if align else {}),
        )
