"""Predictions of a network for a few images as its weights move along random lines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import xarray as xr
from jaxtyping import Float
from torch import Tensor

from basinscope.data.images import Images
from basinscope.landscape.protocol import Landscape, require
from basinscope.landscape.seeded_ray import Ray
from basinscope.probes.labels import labelled


def pushed_images(
    landscape: Landscape,
    seen: Images,
    unseen: Images,
    *,
    seed: int,
    indices: Sequence[int],
    distances: Float[Tensor, " distances"],
) -> xr.Dataset:
    """Evaluate a network on a few images along random lines through a minimum.

    Args:
        landscape: Landscape of a streamed network, around the minimum.
        seen: Images from its training set.
        unseen: Images it was not trained on.
        seed: Seed of the family of directions.
        indices: Members of the family, one line each.
        distances: Distances along the lines, in filter norms.

    Returns:
        A `pushed_images` dataset, seen images first.
    """
    around: Any = require(landscape, "pushed_images", "streamed")
    loss, center, normalization = around.streamed, around.point, around.normalization
    images = Images(
        torch.cat([seen.pixels, unseen.pixels]),
        torch.cat([seen.labels, unseen.labels]),
        seen.mean,
        seen.std,
        seen.num_classes,
    )
    logits = [
        torch.stack([loss.logits_along(center, ray, distance, images) for distance in distances.tolist()])
        for ray in (Ray(normalization, seed, index) for index in indices)
    ]
    return labelled(
        "pushed_images",
        landscape,
        {
            "ray": torch.tensor(list(indices)),
            "distance": distances,
            "pixels": images.pixels,
            "labels": images.labels,
            "seen": (torch.arange(len(images)) < len(seen)).to(torch.int8),
            "logits": torch.stack(logits),
        },
        seed=str(seed),
        scheme=landscape.scheme,
    )
