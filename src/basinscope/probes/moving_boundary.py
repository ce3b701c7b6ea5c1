"""Decision boundary of a network as its weights move along a direction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import xarray as xr
from jaxtyping import Float
from torch import Tensor

from basinscope.errors import InputError
from basinscope.landscape.protocol import Landscape, require
from basinscope.landscape.stacked import CleanLoss
from basinscope.losses import is_correct
from basinscope.probes.boundary import decision_boundary
from basinscope.probes.labels import labelled
from basinscope.settings import checks_settings


@checks_settings
@torch.no_grad()
def moving_boundary(
    landscape: Landscape,
    *,
    seed: int,
    indices: Sequence[int],
    distances: Float[Tensor, " distances"],
    extent: float,
    resolution: int,
) -> xr.Dataset:
    """Evaluate the boundary, the loss and the correct training samples at distances from a minimum.

    Args:
        landscape: The clean loss of a network with two inputs and one or two outputs, around the minimum.
        seed: Seed of the family of directions.
        indices: The one member of the family to follow.
        distances: Distance of each frame, in filter norms.
        extent: Half the side of the square, in the data's units.
        resolution: Grid points along each side.

    Returns:
        A `frames` dataset; every frame is computed from the minimum itself.

    Raises:
        InputError: `indices` names more than one direction.
    """
    if len(indices) != 1:
        raise InputError(f"{len(indices)} directions: an animation follows one")
    around: Any = require(landscape, "moving_boundary", "loss", "point")
    if not isinstance(around.loss, CleanLoss):
        raise InputError(
            f"moving_boundary: {landscape.network} has no inputs in the plane: pass CleanLoss(…).around(…)"
        )
    net, center = around.loss.net, around.point
    rows = landscape.random_directions(seed, indices)
    direction, samples = around.flat(rows[0]), around.loss.train.to(center.device, center.dtype)
    boundaries, correct = [], []
    for distance in distances.tolist():
        point = center + distance * direction
        boundaries.append(decision_boundary(net, point, extent=extent, resolution=resolution))
        correct.append(is_correct(net.logits(point[None], samples.inputs[None])[0], samples.labels))
    return labelled(
        "frames",
        landscape,
        {
            "distance": distances,
            "x": boundaries[0]["x"].values,
            "y": boundaries[0]["y"].values,
            "logit": torch.stack([torch.from_numpy(b["logit"].values) for b in boundaries]),
            "loss": landscape.along(rows, distances.numpy(), np.zeros(len(distances), dtype=np.int64)),
            "right": torch.stack(correct).to(torch.int8),
        },
        seed=str(seed),
        scheme=landscape.scheme,
    )
