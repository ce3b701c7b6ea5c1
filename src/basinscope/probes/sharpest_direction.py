"""The direction of largest curvature of the loss."""

from __future__ import annotations

import math
from typing import Any

import torch
import xarray as xr

from basinscope.landscape.protocol import Landscape, require
from basinscope.probes.labels import labelled
from basinscope.probes.lanczos import EIGEN_TOLERANCE, top_eigenvalues
from basinscope.seeds import generator


def sharpest_direction(
    landscape: Landscape,
    *,
    tolerance: float = EIGEN_TOLERANCE,
    max_steps: int = 300,
) -> xr.Dataset:
    """Find the direction of largest curvature, relative to its length as the normalisation measures it.

    Formula: √n · D v, with v the unit eigenvector of DHD for its largest eigenvalue λ and n the number of moved
    entries. Measured by D⁻¹, it has the length of the normalisation's random directions, so its curvature n·λ
    compares with their mean tr(DHD).

    Args:
        landscape: The loss, around a flat parameter vector.
        tolerance: Residual at which the eigenvector has converged, relative to λ.
        max_steps: Maximum number of Hessian-vector products.

    Returns:
        A `direction` dataset; all NaN if the eigenvector did not converge.

    References:
        Lanczos 1950.
    """
    around: Any = require(landscape, "sharpest_direction", "point", "normalization")
    center, normalization, loss = around.point, around.normalization, around.loss
    diagonal = normalization.preconditioner(center)
    pairs = top_eigenvalues(
        lambda vector: diagonal * loss.hessian_vector_product(center, diagonal * vector),
        torch.randn(len(center), generator=generator(0, "top eigenvalue")).to(center),
        1,
        tolerance=tolerance,
        max_steps=min(max_steps, len(center)),
        vectors=True,
    )
    converged = bool(pairs.residuals[0] <= pairs.bound)
    direction = math.sqrt(normalization.num_moved) * diagonal * pairs.vectors[0]
    return labelled(
        "direction",
        landscape,
        {
            "direction": direction if converged else torch.full_like(direction, math.nan),
            "eigenvalue": float(pairs.values[0]) if converged else math.nan,
        },
        scheme=normalization.scheme,
    )
