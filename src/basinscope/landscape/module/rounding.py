"""Rounding of the loss, estimated next to the center."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch

from basinscope.landscape.directions import Center, RandomDirection
from basinscope.landscape.protocol import Step

ROUNDINGS = 16
"""Length of the steps, relative to the weights, in units of their precision."""
_FINE = 1e-6
"""Precision of weights up to which such steps are too short for the loss to change otherwise than by rounding."""


def rounding_of(mean: Callable[[Sequence[Step]], float], center: Center, loss: float) -> float:
    """Estimate the rounding of the loss from its second difference along a very short step.

    A smooth loss changes by its slope there, which cancels. Takes two passes for weights in single precision or higher;
    otherwise the estimate is the precision of the weights times the loss.

    Args:
        mean: Mean loss at a point.
        center: The moved tensors.
        loss: Mean loss at the center.
    """
    precision = max(torch.finfo(tensor.dtype).eps for tensor in center.tensors)
    floor = precision * abs(loss)
    if precision > _FINE:
        return floor
    direction = RandomDirection(center, 0, 0)
    blocks = [direction.block(place).double() for place in range(len(center.filters))]
    length = math.sqrt(sum(float(block.square().sum()) for block in blocks))
    weights = math.sqrt(sum(float(center.exact(k).double().square().sum()) for k in range(len(center.filters))))
    if not length > 0:
        return floor
    step = ROUNDINGS * precision * max(weights, 1e-3) / length
    ahead, behind = (mean([(direction, sign * step)]) for sign in (1.0, -1.0))
    noise = abs(ahead + behind - 2 * loss) / 2
    return max(floor, noise) if math.isfinite(noise) else floor
