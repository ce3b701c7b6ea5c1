"""What a network says about some images while its weights go out along lines."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import xarray as xr
from jaxtyping import Float
from torch import Tensor

from basinscope.data.images import Images
from basinscope.landscape.normalize import Normalization
from basinscope.landscape.rays import Ray
from basinscope.landscape.streamed import StreamedLoss
from basinscope.results.convert import dataset


def pushed_images(
    landscape: StreamedLoss,
    center: Float[Tensor, " params"],
    normalization: Normalization,
    seen: Images,
    unseen: Images,
    *,
    seed: int,
    indices: Sequence[int],
    distances: Float[Tensor, " distances"],
) -> xr.Dataset:
    """Evaluate a network on a few images along random lines through a minimum.

    Args:
        landscape: The network.
        center: The minimum.
        normalization: How Gaussian vectors become directions.
        seen: Images on which it was trained.
        unseen: Others.
        seed: Family of directions.
        indices: Members of the family, one line each.
        distances: Where on the lines, in filter norms.

    Returns:
        A `pushed_images` dataset, seen images first.
    """
    images = Images(
        torch.cat([seen.pixels, unseen.pixels]),
        torch.cat([seen.labels, unseen.labels]),
        seen.mean,
        seen.std,
        seen.num_classes,
    )
    logits = [
        torch.stack([landscape.logits_along(center, ray, distance, images) for distance in distances.tolist()])
        for ray in (Ray(normalization, seed, index) for index in indices)
    ]
    return dataset(
        "pushed_images",
        {
            "ray": torch.tensor(list(indices)),
            "distance": distances,
            "pixels": images.pixels,
            "labels": images.labels,
            "seen": (torch.arange(len(images)) < len(seen)).to(torch.int8),
            "logits": torch.stack(logits),
        },
        seed=str(seed),
        scheme=normalization.scheme,
    )
