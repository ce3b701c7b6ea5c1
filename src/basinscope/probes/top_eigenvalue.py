"""The largest eigenvalue of DHD at a center, by ARPACK."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from scipy.sparse.linalg import ArpackError, ArpackNoConvergence, LinearOperator, eigsh
from threadpoolctl import threadpool_limits

from basinscope.errors import InputError
from basinscope.landscape.flat import FlatLandscape
from basinscope.landscape.protocol import Landscape, require
from basinscope.probes.flat_matrix import Hessian
from basinscope.probes.lanczos import EIGEN_TOLERANCE
from basinscope.settings import checks_settings


@checks_settings
def top_eigenvalue(
    landscape: Landscape, *, tolerance: float = EIGEN_TOLERANCE, num_vectors: int | None = None, seed: int = 0
) -> float:
    """Compute the largest eigenvalue of DHD by implicitly restarted Lanczos iteration.

    D is the diagonal of filter norms, ‖w_f‖ / √dim_f. `curvature(landscape, scale="filter")` returns several
    eigenvalues with their residuals.

    Args:
        landscape: The loss, around the center.
        tolerance: Relative accuracy of the eigenvalue.
        num_vectors: Lanczos vectors, at least 3; fewer take less memory and, if one eigenvalue stands out, fewer
            products. `None` takes scipy's default, 20.
        seed: Seed of the starting vector.

    Returns:
        The eigenvalue in the loss's unit; NaN if the iteration did not converge.

    Raises:
        InputError: A setting is out of range, or the landscape has no Hessian products.

    References:
        Lehoucq, Sorensen and Yang 1998 (ARPACK).
    """
    landscape = require(landscape, "top_eigenvalue", "hessian_vector_product")
    for name, value, least in (("tolerance", tolerance, 0), ("num_vectors", num_vectors, 3), ("seed", seed, 0)):
        if value is not None and value < least:
            raise InputError(f"top_eigenvalue: {name} = {value}: must be at least {least}")
    size, product = _product(landscape)
    operator = LinearOperator((size, size), matvec=product, dtype=np.float64)  # pyright: ignore[reportCallIssue]
    begin = np.random.default_rng(seed).standard_normal(size)
    try:
        # One thread, so that the last digits of long vectors' products do not depend on the number of threads.
        with landscape.held(), threadpool_limits({"blas": 1}):
            values = eigsh(
                operator,
                k=1,
                which="LA",
                tol=tolerance,  # pyright: ignore[reportArgumentType]
                v0=begin,
                ncv=min(size, num_vectors) if num_vectors else None,
                return_eigenvectors=False,
            )
    except ArpackNoConvergence:
        return math.nan
    except ArpackError:
        if product(begin).any():
            raise
        return 0.0  # of a matrix that is zero, such as DHD where all weights are
    return float(values[0])


def _product(landscape: Landscape) -> tuple[int, Any]:
    """Size of DHD, and a function that multiplies it by a vector; in flat landscapes, unmoved entries are 0."""
    if isinstance(landscape, FlatLandscape):
        center, diagonal, loss = (
            landscape.point,
            landscape.normalization.preconditioner(landscape.point),
            landscape.loss,
        )

        def flat(vector: np.ndarray) -> np.ndarray:
            scaled = torch.from_numpy(vector.ravel()).to(center) * diagonal
            return (diagonal * loss.hessian_vector_product(center, scaled)).double().cpu().numpy()

        return len(center), flat
    hessian = Hessian(landscape, "filter")

    def product(vector: np.ndarray) -> np.ndarray:
        return hessian.product(torch.from_numpy(vector.ravel()).to(hessian.like)).double().cpu().numpy()

    return hessian.size, product
