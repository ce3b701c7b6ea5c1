"""Loss along random lines outwards from a minimum, each up to a ceiling."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
import xarray as xr
from jaxtyping import Float
from torch import Tensor

from basinscope.landscape.protocol import Landscape, require
from basinscope.probes.labels import labelled
from basinscope.settings import checks_settings


@checks_settings
def rising_lines(
    landscape: Landscape,
    *,
    seed: int,
    indices: Sequence[int],
    distances: Float[Tensor, " distances"],
    ceiling: float,
    progress: Callable[[float], None] | None = None,
) -> xr.Dataset:
    """Evaluate the loss along each line until it exceeds a ceiling.

    Evaluation stops early at the first point above the ceiling; points farther out are not evaluated.

    Args:
        landscape: The loss, around the minimum.
        seed: Seed of the family of directions, the same as for radii.
        indices: Members of the family, one line each.
        distances: Increasing distances along the lines, in filter norms.
        ceiling: Loss in nats at which a line ends.
        progress: Called after each line with the finished share.

    Returns:
        A `slice1d` dataset; the loss is infinite from the first point above the ceiling on.
    """
    landscape = require(landscape, "rising_lines", "line")
    losses = np.full((len(indices), len(distances)), math.inf)
    for row, index in enumerate(indices):
        line = landscape.line(landscape.direction(seed, index))
        for column, distance in enumerate(distances.tolist()):
            loss = line.look(distance, limit=ceiling).loss
            if not loss <= ceiling:
                break
            losses[row, column] = loss
        if progress:
            progress((row + 1) / len(indices))
    values = {"ray": torch.tensor(list(indices)), "distance": distances, "loss": losses}
    units = {"distance": landscape.units, "loss": landscape.unit}
    return labelled("slice1d", landscape, values, units=units, seed=str(seed), scheme=landscape.scheme, ceiling=ceiling)
