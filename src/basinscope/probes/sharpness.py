"""Sharpness of a minimum: the mean curvature along the directions in which its radius is measured."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
import xarray as xr
from jaxtyping import Float
from torch import Tensor

from basinscope.landscape.directions import gaussian, rays_at_once
from basinscope.landscape.normalize import Normalization, Scheme
from basinscope.landscape.objective import Landscape
from basinscope.landscape.rays import Ray
from basinscope.landscape.rescale import with_last_layer_scaled
from basinscope.landscape.streamed import StreamedLoss
from basinscope.probes.curvature import top_eigenvalue
from basinscope.probes.lanczos import top_eigenvalues
from basinscope.results.convert import dataset
from basinscope.seeds import generator

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
    landscape: Landscape,
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
    plain, some = _unnormalised(normalization), list(indices)[:num_trace]
    per_entry = curvature_along(landscape, center, plain, seed=seed, indices=some) / plain.num_moved
    top = top_eigenvalue(landscape, center, normalization.preconditioner(center))
    return _labelled(along, per_entry, top, seed, indices)


def sharpest_direction(
    landscape: Landscape,
    center: Float[Tensor, " params"],
    normalization: Normalization,
    *,
    tolerance: float = 1e-3,
    max_steps: int = 300,
) -> xr.Dataset:
    """Find the direction along which the loss bends most, for its length as the normalisation measures it.

    Formula: √n · D v, with v the unit eigenvector of DHD for its largest eigenvalue λ and n the moved entries. The
    factor makes it as long, measured by D⁻¹, as the normalisation's random directions are: its curvature n·λ stands
    beside their mean tr(DHD).

    Args:
        landscape: The loss.
        center: The minimum.
        normalization: The random directions with which this one is to be compared.
        tolerance: Residual at which the eigenvector counts as found, relative to λ.
        max_steps: Products with the Hessian at most.

    Returns:
        A `direction` dataset; all NaN where the eigenvector was not found in so many products.

    References:
        Lanczos 1950.
    """
    diagonal = normalization.preconditioner(center)
    found = top_eigenvalues(
        lambda vector: diagonal * landscape.hessian_vector_product(center, diagonal * vector),
        torch.randn(len(center), generator=generator(0, "top eigenvalue")).to(center),
        1,
        tolerance=tolerance,
        max_steps=min(max_steps, len(center)),
        vectors=True,
    )
    known = bool(found.residuals[0] <= found.bound)
    direction = math.sqrt(normalization.num_moved) * diagonal * found.vectors[0]
    return dataset(
        "direction",
        {
            "direction": direction if known else torch.full_like(direction, math.nan),
            "eigenvalue": float(found.values[0]) if known else math.nan,
        },
        scheme=normalization.scheme,
    )


def _unnormalised(normalization: Normalization) -> Normalization:
    """The directions of (b) beside those of (a)."""
    scheme: Scheme = "sphere" if normalization.scheme == "sphere" else "gaussian_filter"
    return Normalization(normalization.layout, scheme, normalization.one_dim)


def _labelled(along: np.ndarray, per_entry: np.ndarray, top: float, seed: int, indices: Sequence[int]) -> xr.Dataset:
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
        num_trace=len(per_entry),
    )


def streamed_sharpness(
    landscape: StreamedLoss,
    center: Float[Tensor, " params"],
    normalization: Normalization,
    *,
    scales: Sequence[float],
    seed: int,
    indices: Sequence[int],
    num_trace: int,
    tolerance: float = 0.02,
    max_steps: int = 40,
    progress: Callable[[float], None] | None = None,
) -> list[xr.Dataset]:
    """Measure `sharpness` of a large network, also with its last layer scaled, in few passes over the training set.

    Args:
        landscape: The loss.
        center: The minimum.
        normalization: The directions of (a), normally those along which the radius is measured.
        scales: Factors of the last layer; 1 is the minimum itself. The second derivatives of all of them come from
            the same passes.
        seed: Family of directions.
        indices: Members of the family for (a).
        num_trace: Members of the family for (b), from the front of `indices`.
        tolerance: Relative accuracy of the top eigenvalue.
        max_steps: Products that it may take; a vector as large as the network is kept for each. Six to ten are usual.
        progress: Called now and then with the finished share.

    Returns:
        A `sharpness` dataset for each scale, in order.
    """
    plain, some = _unnormalised(normalization), list(indices)[:num_trace]

    # An eigenvalue takes about as many passes as ten directions.
    total, done = len(indices) + len(some) + 10 * len(scales), 0

    def advance(by: int) -> None:
        nonlocal done
        done += by
        if progress:
            progress(done / total)

    def along(directions: Normalization, members: Sequence[int]) -> Float[np.ndarray, "scales rays"]:
        columns = []
        for k in members:
            # One direction at a time: nothing but a single one is held.
            direction = Ray(directions, seed, k).direction(center)[None]
            columns.append(landscape.second_derivatives(center, direction, scales=scales))
            advance(1)
        return torch.cat(columns, dim=1).numpy()

    normalised, unnormalised = along(normalization, list(indices)), along(plain, some) / plain.num_moved
    found = []
    for j, scale in enumerate(scales):
        scaled = with_last_layer_scaled(center, landscape.layout, scale)
        diagonal = normalization.preconditioner(scaled)
        top = _top(landscape, scaled, diagonal, tolerance=tolerance, max_steps=max_steps)
        found.append(_labelled(normalised[j], unnormalised[j], top, seed, indices))
        advance(10)
    return found


def _top(landscape: Landscape, center: Tensor, diagonal: Tensor, *, tolerance: float, max_steps: int) -> float:
    """The largest eigenvalue of DHD by Lanczos steps without restarts, which take fewer products; NaN if not found."""
    found = top_eigenvalues(
        lambda vector: diagonal * landscape.hessian_vector_product(center, diagonal * vector),
        torch.randn(len(center), generator=generator(0, "top eigenvalue")).to(center),
        1,
        tolerance=tolerance,
        max_steps=min(max_steps, len(center)),
    )
    return float(found.values[0]) if found.residuals[0] <= found.bound else float("nan")


def standard_error(values: Float[np.ndarray, " values"]) -> float:
    """Standard error of the mean; NaN for fewer than two values."""
    return float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else float("nan")
