"""Decision boundary of a two-class network in the plane, in Cartesian or polar coordinates."""

from __future__ import annotations

import torch
import xarray as xr
from jaxtyping import Float
from torch import Tensor

from basinscope.errors import InputError
from basinscope.models.mlp import MLP
from basinscope.results.convert import dataset

_ROWS_AT_ONCE = 32


@torch.no_grad()
def decision_boundary(net: MLP, point: Float[Tensor, " params"], *, extent: float, resolution: int) -> xr.Dataset:
    """Evaluate a two-class network on a square grid around the origin.

    Args:
        net: A network with two inputs and one or two outputs.
        point: Its parameters.
        extent: Half the side of the square, in the data's units.
        resolution: Grid points along each side.

    Returns:
        A `boundary` dataset: log-odds of class 1; the boundary is its zero line.

    Raises:
        InputError: The network does not have 2 inputs and 1 or 2 outputs.
    """
    axis = torch.linspace(-extent, extent, resolution, device=point.device, dtype=point.dtype)
    rows = [_log_odds(net, point, torch.cartesian_prod(y, axis).flip(1)) for y in axis.split(_ROWS_AT_ONCE)]
    return dataset("boundary", {"x": axis, "y": axis, "logit": torch.cat(rows).view(resolution, resolution)})


@torch.no_grad()
def unrolled_boundary(
    net: MLP,
    point: Float[Tensor, " params"],
    *,
    angles: tuple[float, float],
    radii: tuple[float, float],
    resolution: int,
) -> xr.Dataset:
    """Evaluate a two-class network on a grid of angles and radii around the origin: rings become straight lines.

    Args:
        net: A network with two inputs and one or two outputs.
        point: Its parameters.
        angles: First and last angle, in degrees.
        radii: Smallest and largest radius, in the data's units.
        resolution: Grid points along each side.

    Returns:
        An `unrolled` dataset: log-odds of class 1; the boundary is its zero line.

    Raises:
        InputError: The network does not have 2 inputs and 1 or 2 outputs.
    """
    angle = torch.linspace(*angles, resolution, device=point.device, dtype=point.dtype)
    radius = torch.linspace(*radii, resolution, device=point.device, dtype=point.dtype)
    ray = torch.stack([angle.deg2rad().cos(), angle.deg2rad().sin()], dim=1)
    blocks = [(rows[:, None, None] * ray).reshape(-1, 2) for rows in radius.split(_ROWS_AT_ONCE)]
    logit = torch.cat([_log_odds(net, point, block) for block in blocks]).view(resolution, resolution)
    return dataset("unrolled", {"angle": angle, "radius": radius, "logit": logit})


def _log_odds(net: MLP, point: Tensor, inputs: Float[Tensor, "inputs 2"]) -> Float[Tensor, " inputs"]:
    """Log-odds of class 1.

    Raises:
        InputError: The network does not have 2 inputs and 1 or 2 outputs.
    """
    if net.widths[0] != 2 or net.widths[-1] > 2:
        shape = f"{net.widths[0]} inputs and {net.widths[-1]} outputs"
        raise InputError(f"a decision boundary needs 2 inputs and 1 or 2 outputs; this network has {shape}")
    logits = net.logits(point[None], inputs[None])[0]
    return logits[:, 0] if logits.shape[1] == 1 else logits[:, 1] - logits[:, 0]
