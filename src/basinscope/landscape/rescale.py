"""Scales a network's last layer until its clean loss has a given value."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float, Int
from scipy.optimize import brentq
from torch import Tensor

from basinscope.errors import InputError
from basinscope.landscape.stacked import PointObjective
from basinscope.losses import cross_entropy
from basinscope.parameters import ParameterLayout
from basinscope.settings import checks_settings

LAST_LAYER = 2
"""Tensors of the last layer: weights and biases."""
_WIDEST = math.log(1e6)


@checks_settings
def scale_last_layer(
    landscape: PointObjective, point: Float[Tensor, " params"], loss: float, *, num_tensors: int = LAST_LAYER
) -> Float[Tensor, " params"]:
    """Scale the last layer, bias included, until the clean loss equals `loss`.

    The scale multiplies all logits: only the confidence changes, not the predictions. Near zero loss, curvature
    mostly measures the loss itself, so networks are compared at one common loss.

    Args:
        landscape: The clean loss.
        point: Parameters of a network that classifies every training sample correctly.
        loss: Target clean loss in nats.
        num_tensors: Number of tensors at the end of the layout that form the last layer.

    Returns:
        The scaled parameters.

    Raises:
        InputError: No scale between 1e-6 and 1e6 gives that loss.
    """

    def scaled(scale: float) -> Tensor:
        return with_last_layer_scaled(point, landscape.layout, scale, num_tensors=num_tensors)

    return scaled(_scale_for(lambda scale: float(landscape.at(scaled(scale)[None])[0]), loss))


def with_last_layer_scaled(
    point: Float[Tensor, " params"], layout: ParameterLayout, scale: float, *, num_tensors: int = LAST_LAYER
) -> Float[Tensor, " params"]:
    """Copy parameters with the last layer, the layout's last `num_tensors` tensors, multiplied by `scale`."""
    last = layout.slices[-num_tensors].start
    return torch.cat([point[:last], point[last:] * scale])


def scale_of_logits(logits: Float[Tensor, "samples classes"], labels: Int[Tensor, " samples"], loss: float) -> float:
    """Find the factor of the logits, and so of the last layer, that gives a mean cross-entropy of `loss`.

    Gives the same scale as `scale_last_layer`, from one forward pass.

    Args:
        logits: Outputs of a network that classifies every sample correctly.
        labels: True classes.
        loss: Target clean loss in nats.

    Returns:
        The factor.

    Raises:
        InputError: No scale between 1e-6 and 1e6 gives that loss.
    """
    exact = logits.double()
    return _scale_for(lambda scale: float(cross_entropy(scale * exact, labels).mean()), loss)


def _scale_for(loss_at: Callable[[float], float], loss: float) -> float:
    """Find the scale at which a loss has a given value."""

    def excess(log_scale: float) -> float:
        return math.log(max(loss_at(math.exp(log_scale)), 1e-300) / loss)

    # At small scales the loss is log(classes); step up to the first scale at which it is small enough.
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
    return math.exp(float(log_scale))
