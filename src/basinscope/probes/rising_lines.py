"""Loss along many random lines from a minimum outwards, each followed until it leaves the picture."""

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


def rising_lines(
    landscape: Landscape,
    *,
    seed: int,
    indices: Sequence[int],
    distances: Float[Tensor, " distances"],
    ceiling: float,
    progress: Callable[[float], None] | None = None,
) -> xr.Dataset:
    """Follow each line outwards until its loss exceeds a ceiling.

    Points beyond the ceiling are left as soon as that is known, and points farther out on the line are not
    evaluated.

    Args:
        landscape: The loss, around the minimum.
        seed: Family of directions; the same lines as radii are measured along.
        indices: Members of the family, one line each.
        distances: Where on the lines, rising, in filter norms.
        ceiling: Loss in nats at which a line is left.
        progress: Called after each line with the finished share.

    Returns:
        A `slice1d` dataset; the loss is infinite from the first point above the ceiling on.
    """
    landscape = require(landscape, "rising_lines", "line")
    losses = np.full((len(indices), len(distances)), math.inf)
    for row, index in enumerate(indices):
        line = landscape.line(landscape.direction(seed, index))
        for place, distance in enumerate(distances.tolist()):
            loss = line.look(distance, limit=ceiling).loss
            if not loss <= ceiling:
                break
            losses[row, place] = loss
        if progress:
            progress((row + 1) / len(indices))
    values = {"ray": torch.tensor(list(indices)), "distance": distances, "loss": losses}
    units = {"distance": landscape.units, "loss": landscape.unit}
    return labelled("slice1d", landscape, values, units=units, seed=str(seed), scheme=landscape.scheme, ceiling=ceiling)
