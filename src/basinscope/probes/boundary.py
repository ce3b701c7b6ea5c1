"""The decision boundary of a network on the plane."""

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
def decision_boundary(
    net: MLP,
    point: Float[Tensor, " params"],
    *,
    extent: float,
    resolution: int,
    middle: tuple[float, float] = (0.0, 0.0),
) -> xr.Dataset:
    """Evaluate a two-class network on a square grid.

    Args:
        net: A network with two inputs and one or two outputs.
        point: Its parameters.
        extent: Half the side of the square, in the data's units.
        resolution: Grid points along each side.
        middle: Centre of the square.

    Returns:
        A `boundary` dataset: log-odds of class 1; the boundary is its zero line.

    Raises:
        InputError: The network has other inputs or outputs.
    """
    if net.widths[0] != 2 or net.widths[-1] > 2:
        shape = f"{net.widths[0]} inputs and {net.widths[-1]} outputs"
        raise InputError(f"a decision boundary needs 2 inputs and 1 or 2 outputs; this network has {shape}")
    axis = torch.linspace(-extent, extent, resolution, device=point.device, dtype=point.dtype)
    rows = []
    x, y = axis + middle[0], axis + middle[1]
    for some in y.split(_ROWS_AT_ONCE):
        grid = torch.cartesian_prod(some, x).flip(1)
        logits = net.logits(point[None], grid[None])[0]
        odds = logits[:, 0] if logits.shape[1] == 1 else logits[:, 1] - logits[:, 0]
        rows.append(odds.view(len(some), resolution))
    return dataset("boundary", {"x": x, "y": y, "logit": torch.cat(rows)})
