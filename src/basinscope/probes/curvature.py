"""Curvature of the loss at a minimum: along given directions, and the largest there is."""

from __future__ import annotations

import math

import numpy as np
import torch
from jaxtyping import Float
from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigsh
from threadpoolctl import threadpool_limits
from torch import Tensor

from basinscope.landscape.objective import Landscape


def top_eigenvalue(
    landscape: Landscape,
    center: Float[Tensor, " params"],
    preconditioner: Float[Tensor, " params"],
    *,
    tolerance: float = 1e-3,
    num_vectors: int | None = None,
    seed: int = 0,
) -> float:
    """Find the largest eigenvalue of DHD by Lanczos iteration.

    Args:
        landscape: The loss; its second derivative is taken at `center`.
        center: The minimum.
        preconditioner: The diagonal D, see `Normalization.preconditioner`.
        tolerance: Relative accuracy of the eigenvalue.
        num_vectors: Vectors that the iteration keeps, at least 3; fewer take less memory and, where one eigenvalue
            stands out, fewer products. `None` takes scipy's choice, 20.
        seed: Starting vector.

    Returns:
        The eigenvalue in nats; NaN where the iteration did not converge.

    References:
        Lehoucq, Sorensen and Yang 1998 (ARPACK).
    """

    def product(vector: np.ndarray) -> np.ndarray:
        moved = torch.from_numpy(vector.ravel()).to(center) * preconditioner
        return (preconditioner * landscape.hessian_vector_product(center, moved)).double().cpu().numpy()

    size = len(center)
    operator = LinearOperator((size, size), matvec=product, dtype=np.float64)  # pyright: ignore[reportCallIssue]
    begin = np.random.default_rng(seed).standard_normal(size)
    try:
        # One thread, so that the last digits of long vectors' products do not depend on how many there are.
        with threadpool_limits({"blas": 1}):
            found = eigsh(
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
    return float(found[0])
