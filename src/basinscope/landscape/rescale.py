"""Scaling a network's last layer until its clean loss has a given value."""

from __future__ import annotations

import math
from typing import Any

import torch
from jaxtyping import Float
from scipy.optimize import brentq
from torch import Tensor

from basinscope.errors import InputError
from basinscope.landscape.objective import PointObjective

_WIDEST = math.log(1e6)


def scale_last_layer(
    landscape: PointObjective, point: Float[Tensor, " params"], loss: float, *, num_tensors: int = 2
) -> Float[Tensor, " params"]:
    """Scale the last layer, bias included, until the clean loss equals `loss`.

    The scale multiplies all logits: predictions stay, only the confidence changes. Curvature at near-zero loss
    mostly measures that loss; at one common loss, networks compare.

    Args:
        landscape: The clean loss.
        point: Parameters of a network that gets every training sample right.
        loss: The wanted clean loss in nats.
        num_tensors: How many tensors, from the end of the layout, make up the last layer.

    Returns:
        The scaled parameters.

    Raises:
        InputError: No scale between 1e-6 and 1e6 gives that loss.
    """
    last = landscape.layout.slices[-num_tensors].start

    def scaled(log_scale: float) -> Tensor:
        return torch.cat([point[:last], point[last:] * math.exp(log_scale)])

    def excess(log_scale: float) -> float:
        found = float(landscape.at(scaled(log_scale)[None])[0])
        return math.log(max(found, 1e-300) / loss)

    # Small scales give log 2 or more; walk outwards to the first scale whose loss is small enough.
    high = 0.0
    while excess(high) > 0:
        high += 1.0
        if high > _WIDEST:
            raise InputError(f"no scale of the last layer brings the clean loss down to {loss:g}")
    low = high - 1.0
    while excess(low) < 0:
        low -= 1.0
        if low < -_WIDEST:
            raise InputError(f"no scale of the last layer brings the clean loss up to {loss:g}")
    log_scale: Any = brentq(excess, low, high, xtol=1e-6)
    return scaled(float(log_scale))
