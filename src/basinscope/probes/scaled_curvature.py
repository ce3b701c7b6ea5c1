"""Mean curvatures of a streamed network at several scales of its last layer, from the same passes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
import xarray as xr
from jaxtyping import Float
from torch import Tensor

from basinscope.landscape.flat import FlatLoss
from basinscope.landscape.normalize import Normalization
from basinscope.landscape.rescale import with_last_layer_scaled
from basinscope.landscape.seeded_ray import Ray
from basinscope.landscape.streamed import StreamedLandscape
from basinscope.probes.lanczos import top_eigenvalues
from basinscope.probes.mean_curvature import summarised, without_division
from basinscope.seeds import generator


def mean_curvatures(
    landscape: StreamedLandscape,
    *,
    scales: Sequence[float],
    seed: int,
    indices: Sequence[int],
    num_trace: int,
    tolerance: float = 0.02,
    max_steps: int = 40,
    progress: Callable[[float], None] | None = None,
) -> list[xr.Dataset]:
    """Measure `mean_curvature` of a large network at several scales of its last layer, in few passes.

    Args:
        landscape: Landscape of a streamed network, around its minimum.
        scales: Factors of the last layer; 1 is the minimum itself. The second derivatives at all scales come from
            the same passes.
        seed: Seed of the family of directions.
        indices: Members of the family for (a).
        num_trace: Number of members for (b), from the front of `indices`.
        tolerance: Relative accuracy of the top eigenvalue.
        max_steps: Maximum number of products for it, each of which stores a vector; six to ten are usual.
        progress: Called repeatedly with the finished share.

    Returns:
        A `mean_curvature` dataset for each scale, in order.
    """
    loss, center, normalization = landscape.streamed, landscape.point, landscape.normalization
    plain, trace_indices = without_division(normalization), list(indices)[:num_trace]

    # An eigenvalue takes about as many passes as ten directions.
    total, done = len(indices) + len(trace_indices) + 10 * len(scales), 0

    def advance(by: int) -> None:
        nonlocal done
        done += by
        if progress:
            progress(done / total)

    def along(directions: Normalization, members: Sequence[int]) -> Float[np.ndarray, "scales rays"]:
        columns = []
        for k in members:
            # One direction at a time, to save memory.
            direction = Ray(directions, seed, k).direction(center)[None]
            columns.append(loss.second_derivatives(center, direction, scales=scales))
            advance(1)
        return torch.cat(columns, dim=1).numpy()

    normalised, unnormalised = along(normalization, list(indices)), along(plain, trace_indices) / plain.num_moved
    results = []
    for j, scale in enumerate(scales):
        scaled = with_last_layer_scaled(center, loss.layout, scale)
        diagonal = normalization.preconditioner(scaled)
        top = _top(loss, scaled, diagonal, tolerance=tolerance, max_steps=max_steps)
        results.append(summarised(landscape, normalised[j], unnormalised[j], top, seed, indices, eigensolver="lanczos"))
        advance(10)
    return results


def _top(loss: FlatLoss, center: Tensor, diagonal: Tensor, *, tolerance: float, max_steps: int) -> float:
    """The largest eigenvalue of DHD by Lanczos iteration without restarts (fewer products); NaN if not converged."""
    pairs = top_eigenvalues(
        lambda vector: diagonal * loss.hessian_vector_product(center, diagonal * vector),
        torch.randn(len(center), generator=generator(0, "top eigenvalue")).to(center),
        1,
        tolerance=tolerance,
        max_steps=min(max_steps, len(center)),
    )
    return float(pairs.values[0]) if pairs.residuals[0] <= pairs.bound else float("nan")
