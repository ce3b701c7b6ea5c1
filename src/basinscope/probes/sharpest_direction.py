"""The direction along which the loss bends most."""

from __future__ import annotations

import math
from typing import Any

import torch
import xarray as xr

from basinscope.landscape.protocol import Landscape, require
from basinscope.probes.labels import labelled
from basinscope.probes.lanczos import top_eigenvalues
from basinscope.seeds import generator


def sharpest_direction(
    landscape: Landscape,
    *,
    tolerance: float = 1e-3,
    max_steps: int = 300,
) -> xr.Dataset:
    """Find the direction along which the loss bends most, for its length as the normalisation measures it.

    Formula: √n · D v, with v the unit eigenvector of DHD for its largest eigenvalue λ and n the moved entries. The
    factor makes it as long, measured by D⁻¹, as the normalisation's random directions are: its curvature n·λ stands
    beside their mean tr(DHD).

    Args:
        landscape: The loss, around a flat parameter vector.
        tolerance: Residual at which the eigenvector counts as found, relative to λ.
        max_steps: Products with the Hessian at most.

    Returns:
        A `direction` dataset; all NaN where the eigenvector was not found in so many products.

    References:
        Lanczos 1950.
    """
    around: Any = require(landscape, "sharpest_direction", "point", "normalization")
    center, normalization, loss = around.point, around.normalization, around.loss
    diagonal = normalization.preconditioner(center)
    found = top_eigenvalues(
        lambda vector: diagonal * loss.hessian_vector_product(center, diagonal * vector),
        torch.randn(len(center), generator=generator(0, "top eigenvalue")).to(center),
        1,
        tolerance=tolerance,
        max_steps=min(max_steps, len(center)),
        vectors=True,
    )
    known = bool(found.residuals[0] <= found.bound)
    direction = math.sqrt(normalization.num_moved) * diagonal * found.vectors[0]
    return labelled(
        "direction",
        landscape,
        {
            "direction": direction if known else torch.full_like(direction, math.nan),
            "eigenvalue": float(found.values[0]) if known else math.nan,
        },
        scheme=normalization.scheme,
    )
