"""Input margin of a network in the plane: the distance from each sample to the decision boundary."""

from __future__ import annotations

import math

import torch
import xarray as xr
from jaxtyping import Bool, Float
from torch import Tensor

from basinscope.data.samples import Samples
from basinscope.errors import InputError
from basinscope.models.mlp import MLP
from basinscope.results.convert import dataset

INNERMOST = 1e-6
_HALVINGS = 24
_SAMPLES_AT_ONCE = 8


@torch.no_grad()
def input_margin(
    net: MLP,
    point: Float[Tensor, " params"],
    samples: Samples,
    *,
    reach: float,
    num_angles: int = 64,
    num_radii: int = 100,
) -> xr.Dataset:
    """Measure the distance from each sample to the nearest point of the plane that is classified differently.

    Rays leave each sample in all directions; along each, the first class change among log-spaced radii is located by
    bisection. For a straight boundary at distance m the result is m to m / cos(π / num_angles); a region narrower than
    the gap between two rays or radii can be missed, so the margin is an upper bound.

    Args:
        net: A network with two inputs.
        point: Its parameters.
        samples: Samples to measure; a misclassified one has margin 0.
        reach: Largest radius searched, in the data's units.
        num_angles: Rays per sample.
        num_radii: Radii per ray, from 1e-6 to `reach`.

    Returns:
        A `margin` dataset; a sample without a class change within `reach` has the margin `reach`.

    Raises:
        InputError: The network does not have two inputs, or `reach` is too small.

    Example:
        For a single linear unit, the margin is the distance to its decision line.
    """
    if net.widths[0] != 2:
        raise InputError(f"a margin in the plane needs 2 inputs; this network has {net.widths[0]}")
    if not reach > INNERMOST:
        raise InputError(f"reach = {reach}: must be above {INNERMOST:g}")
    known = samples.to(point.device, point.dtype)
    angle = 2 * math.pi * torch.arange(num_angles, device=point.device, dtype=point.dtype) / num_angles
    rays = torch.stack([angle.cos(), angle.sin()], dim=1)
    radii = torch.logspace(math.log10(INNERMOST), math.log10(reach), num_radii).to(point)
    wrong = _decide(net, point, known.inputs) != known.labels
    parts = []
    for inputs in known.inputs.split(_SAMPLES_AT_ONCE):
        own = _decide(net, point, inputs)
        points = inputs[:, None, None] + radii[:, None] * rays[:, None]
        changed = _decide(net, point, points) != own[:, None, None]
        crosses = changed.any(-1)
        first = changed.int().argmax(-1)
        high = radii[first]
        low = torch.where(first > 0, radii[(first - 1).clamp_min(0)], torch.zeros_like(high))
        for _ in range(_HALVINGS):
            middle = 0.5 * (low + high)
            beyond = _decide(net, point, inputs[:, None] + middle[..., None] * rays) != own[:, None]
            low, high = torch.where(beyond, low, middle), torch.where(beyond, middle, high)
        parts.append(torch.where(crosses, high, reach).amin(1))
    margin = torch.where(wrong, 0.0, torch.cat(parts))
    return dataset("margin", {"margin": margin.double(), "labels": known.labels, "reach": reach})


def _decide(net: MLP, point: Tensor, inputs: Float[Tensor, "*points 2"]) -> Tensor:
    """Predicted class of each input."""
    logits = net.logits(point[None], inputs.reshape(1, -1, 2))[0]
    decision: Bool[Tensor, " points"] | Tensor = logits[:, 0] > 0 if logits.shape[1] == 1 else logits.argmax(1)
    return decision.long().view(inputs.shape[:-1])
