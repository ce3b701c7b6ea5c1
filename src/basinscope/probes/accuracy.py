"""Accuracy of a network on a set of samples."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from basinscope.data.samples import Samples
from basinscope.losses import is_correct
from basinscope.models.mlp import MLP


@torch.no_grad()
def accuracy(net: MLP, points: Float[Tensor, "points params"], samples: Samples) -> Float[Tensor, " points"]:
    """Compute the accuracy of many parameter vectors on one set of samples, one by one.

    Args:
        net: The architecture.
        points: Parameter vectors.
        samples: Inputs and labels, in any dtype.

    Returns:
        Accuracies from 0 to 1, float64 on the points' device.
    """
    known = samples.to(points.device, points.dtype)
    shares = [is_correct(net.logits(p[None], known.inputs[None]), known.labels).double().mean() for p in points]
    return torch.stack(shares) if shares else torch.zeros(0, dtype=torch.float64, device=points.device)
