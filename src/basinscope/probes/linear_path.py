"""Loss along the straight line between two minima."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from basinscope.checkpoints.points import Minimum, moved_tensors, own_loss, refuse_same, towards
from basinscope.errors import InputError
from basinscope.landscape.directions import Combination
from basinscope.landscape.protocol import Landscape, require
from basinscope.probes.grid import refuse_coarse
from basinscope.probes.labels import labelled
from basinscope.probes.scoring import Scored, in_blocks
from basinscope.progress import Watcher, watched
from basinscope.settings import checks_settings

PATH_POINTS = 25
"""Points between two minima, both included, unless told otherwise."""
BETWEEN = "share of the way"


@checks_settings
def linear_path(
    landscape: Landscape,
    other: Minimum,
    *,
    resolution: int = PATH_POINTS,
    beyond: float = 0.25,
    recalibrate: Any = None,
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
        progress: True or None shows a line with the time left, False none; a function receives the finished share.

    Returns:
        A `slice1d` dataset of one ray; distance 0 is the center, 1 the other minimum. Their own losses are the
        attributes `center_loss` and `other_loss`. With metrics or several data sets also `values`.

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
    with towards(landscape, recalibrate) as (needed, renewed), watched("linear_path", progress) as tell:
        tensors = moved_tensors(landscape, other, "other", needed=needed)
        refuse_same(landscape, tensors, "linear_path")
        direction = Combination(landscape.center, [tensors], [1.0], BETWEEN)
        scored, directions, rows = Scored(landscape), (direction,), np.zeros(resolution, dtype=np.int64)
        values = in_blocks(
            landscape, resolution, lambda here: scored.along(directions, distances[here], rows[here]), tell
        )[:, :, None]
        other_loss = own_loss(
            landscape, other, landscape.loss_at((direction, 1.0)), "other", needed=needed, renewed=renewed
        )
        center, end = (np.isclose(distances, place, rtol=0, atol=1e-9) for place in (0.0, 1.0))
        if renewed:
            values[0, 0, 0, center], values[0, 0, 0, end] = landscape.center_loss, other_loss
        return labelled(
            "slice1d",
            landscape,
            {
                "ray": np.zeros(1, dtype=np.int64),
                "distance": distances,
                "loss": values[0, 0],
                **scored.variables(values),
            },
            units={"distance": BETWEEN, "loss": landscape.unit},
            scheme="between",
            directions="between",
            center_loss=landscape.center_loss,
            other_loss=other_loss,
            recalibrated=int(renewed),
        )
