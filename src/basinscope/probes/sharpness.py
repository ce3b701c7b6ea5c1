"""Sharpness of a minimum: the mean curvature along the directions in which its radius is measured."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import xarray as xr
from jaxtyping import Float
from torch import Tensor

from basinscope.landscape.directions import gaussian, rays_at_once
from basinscope.landscape.normalize import Normalization, Scheme
from basinscope.landscape.objective import Landscape, PointObjective
from basinscope.probes.curvature import top_eigenvalue
from basinscope.results.convert import dataset

BLOCK = 512


def curvature_along(
    landscape: Landscape,
    center: Float[Tensor, " params"],
    normalization: Normalization,
    *,
    seed: int,
    indices: Sequence[int],
) -> Float[np.ndarray, " rays"]:
    """Compute dᵀHd for members of a family of directions, in nats."""
    chosen = list(indices)
    parts = []
    at_once = rays_at_once(len(center), BLOCK)
    for first in range(0, len(chosen), at_once):
        rows = gaussian(seed, chosen[first : first + at_once], normalization.num_moved)
        directions = normalization.directions(rows.to(center.device, center.dtype), center)
        parts.append(landscape.second_derivative(center, directions))
    return torch.cat(parts).numpy()


def sharpness(
    landscape: PointObjective,
    center: Float[Tensor, " params"],
    normalization: Normalization,
    *,
    seed: int,
    indices: Sequence[int],
    num_trace: int = 300,
) -> xr.Dataset:
    """Measure how sharply the loss bends at a minimum.

    Formulas: (a) the mean of dᵀHd over the directions, = tr(DHD) with D_ii = ‖w_f‖/√dim_f; (b) tr(DHD)/n with
    D_ii = ‖w_f‖, from the same Gaussians without the division by their norm; and the top eigenvalue of DHD
    with the D of (a).

    Args:
        landscape: The loss.
        center: The minimum.
        normalization: The directions of (a), normally those along which the radius is measured.
        seed: Family of directions.
        indices: Members of the family for (a).
        num_trace: Members of the family for (b), from the front of `indices`.

    Returns:
        A `sharpness` dataset with standard errors.

    References:
        Huang et al. 2019, arXiv 1906.03291, section 5; Hutchinson 1990 (trace by random vectors).

    Example:
        On L = ½ Σ λ_i θ_i² with `scheme="sphere"`, (a) is the mean of λ.
    """
    along = curvature_along(landscape, center, normalization, seed=seed, indices=indices)
    unnormalised: Scheme = "sphere" if normalization.scheme == "sphere" else "gaussian_filter"
    plain = Normalization(normalization.layout, unnormalised, normalization.one_dim)
    some = list(indices)[:num_trace]
    per_entry = curvature_along(landscape, center, plain, seed=seed, indices=some) / plain.num_moved
    top = top_eigenvalue(landscape, center, normalization.preconditioner(center))
    return dataset(
        "sharpness",
        {
            "ray": np.asarray(list(indices)),
            "curvature": along,
            "sharpness": float(along.mean()),
            "sharpness_stderr": standard_error(along),
            "trace_per_entry": float(per_entry.mean()),
            "trace_per_entry_stderr": standard_error(per_entry),
            "top_eigenvalue": top,
        },
        seed=str(seed),
        num_trace=len(some),
    )


def standard_error(values: Float[np.ndarray, " values"]) -> float:
    """Standard error of the mean; NaN for fewer than two values."""
    return float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else float("nan")
