"""The decision boundary while a network's weights go out along a direction."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import xarray as xr
from jaxtyping import Float
from torch import Tensor

from basinscope.data.samples import Samples
from basinscope.errors import InputError
from basinscope.landscape.directions import gaussian
from basinscope.landscape.normalize import Normalization
from basinscope.landscape.objective import Landscape
from basinscope.losses import is_correct
from basinscope.models.mlp import MLP
from basinscope.probes.boundary import decision_boundary
from basinscope.results.convert import dataset


@torch.no_grad()
def moving_boundary(
    net: MLP,
    landscape: Landscape,
    center: Float[Tensor, " params"],
    normalization: Normalization,
    train: Samples,
    *,
    seed: int,
    indices: Sequence[int],
    distances: Float[Tensor, " distances"],
    extent: float,
    resolution: int,
) -> xr.Dataset:
    """Draw the boundary, and find the loss and the right training samples, at distances from a minimum.

    Args:
        net: A network with two inputs and one or two outputs.
        landscape: Its clean loss.
        center: The minimum.
        normalization: How the Gaussian vector becomes a direction.
        train: The samples of the clean loss.
        seed: Family of directions.
        indices: The one member of the family to follow.
        distances: How far out each frame is, in filter norms.
        extent: Half the side of the drawn square, in the data's units.
        resolution: Grid points along each side.

    Returns:
        A `frames` dataset; every frame is made from the minimum itself.

    Raises:
        InputError: `indices` names more than one direction.
    """
    if len(indices) != 1:
        raise InputError(f"{len(indices)} directions: an animation follows one")
    rows = gaussian(seed, indices, normalization.num_moved).to(center.device, center.dtype)
    (direction,) = normalization.directions(rows, center)
    along = torch.zeros(len(distances), dtype=torch.int64)
    known = train.to(center.device, center.dtype)
    boundaries, right = [], []
    for distance in distances.tolist():
        point = center + distance * direction
        boundaries.append(decision_boundary(net, point, extent=extent, resolution=resolution))
        right.append(is_correct(net.logits(point[None], known.inputs[None])[0], known.labels))
    return dataset(
        "frames",
        {
            "distance": distances,
            "x": boundaries[0]["x"].values,
            "y": boundaries[0]["y"].values,
            "logit": torch.stack([torch.from_numpy(b["logit"].values) for b in boundaries]),
            "loss": landscape.along(center, direction[None], distances, along),
            "right": torch.stack(right).to(torch.int8),
        },
        seed=str(seed),
        scheme=normalization.scheme,
    )
