"""Mean curvature of the loss along random directions: the paper's sharpness."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import xarray as xr
from jaxtyping import Float

from basinscope.errors import InputError
from basinscope.landscape.directions import RandomDirection
from basinscope.landscape.flat import FlatLandscape
from basinscope.landscape.gaussian import gaussian, rays_at_once
from basinscope.landscape.normalize import Normalization
from basinscope.landscape.protocol import Landscape, products_of, require
from basinscope.probes.labels import labelled
from basinscope.probes.top_eigenvalue import top_eigenvalue
from basinscope.progress import Watcher, watched
from basinscope.settings import checks_settings

BLOCK = 512


def curvature_along(
    landscape: Landscape, *, seed: int, indices: Sequence[int], gaussian_filter: bool = False
) -> Float[np.ndarray, " rays"]:
    """Compute dᵀHd for members of a family of directions, in the loss's unit.

    Args:
        landscape: The loss, around the center.
        seed: Seed of the family of directions.
        indices: Members of the family.
        gaussian_filter: Use the same Gaussians without dividing by their norm: g · ‖w‖.
    """
    if isinstance(landscape, FlatLandscape):
        normalization = without_division(landscape.normalization) if gaussian_filter else landscape.normalization
        return _flat_curvature(landscape, normalization, seed, list(indices))
    curvatures = []
    for index in indices:
        scheme = "gaussian_filter" if gaussian_filter and landscape.scheme != "sphere" else landscape.scheme
        direction = RandomDirection(landscape.center, seed, index, scheme)  # pyright: ignore[reportArgumentType]
        blocks = [direction.block(place) for place in range(len(landscape.filters))]
        product = landscape.hessian_vector_product(blocks)
        curvatures.append(sum(float((a.double() * b.double()).sum()) for a, b in zip(blocks, product, strict=True)))
    return np.array(curvatures)


def _flat_curvature(
    landscape: FlatLandscape, normalization: Normalization, seed: int, chosen: Sequence[int]
) -> Float[np.ndarray, " rays"]:
    center, parts = landscape.point, []
    at_once = rays_at_once(len(center), BLOCK)
    for first in range(0, len(chosen), at_once):
        rows = gaussian(seed, chosen[first : first + at_once], normalization.num_moved)
        directions = normalization.directions(rows.to(center.device, center.dtype), center)
        parts.append(landscape.loss.second_derivative(center, directions))
    return torch.cat(parts).numpy()


@checks_settings
def mean_curvature(
    landscape: Landscape,
    *,
    num_directions: int = 20,
    indices: Sequence[int] | None = None,
    num_trace: int = 300,
    seed: int = 0,
    progress: Watcher = None,
) -> xr.Dataset:
    """Measure the mean curvature of the loss along random directions: the paper's sharpness.

    Formulas: (a) the mean of dᵀHd over the directions, = tr(DHD) with D_ii = ‖w_f‖/√dim_f; (b) tr(DHD)/n with
    D_ii = ‖w_f‖, from the same Gaussians without dividing by their norm; and the top eigenvalue of DHD
    with the D of (a). For the rise of the loss within a ball see `sharpness`.

    Args:
        landscape: The loss, around the center.
        num_directions: Number of random directions for (a), from the same family as those of `basin_radius`.
        indices: Members of the family of directions, instead of the first `num_directions`.
        num_trace: Number of directions for (b), from the front of `indices`.
        seed: Seed of the family of directions.
        progress: True or None shows a line with the time left, False none; a function receives the finished share.

    Returns:
        A `mean_curvature` dataset with standard errors.

    Raises:
        InputError: There are no directions, or the loss cannot be differentiated twice.

    References:
        Huang et al. 2019, arXiv 1906.03291, section 5; Hutchinson 1990 (trace by random vectors).

    Example:
        On L = ½ Σ λ_i θ_i², with directions of length 1, (a) is the mean of λ.
    """
    landscape = require(landscape, "mean_curvature", "hessian_vector_product")
    chosen = list(range(num_directions) if indices is None else indices)
    if not chosen:
        raise InputError("mean_curvature: no directions to measure")
    if num_trace < 1:
        raise InputError(f"mean_curvature: num_trace = {num_trace}: must be at least 1")
    with landscape.held(), watched("mean_curvature", progress) as tell:
        along = curvature_along(landscape, seed=seed, indices=chosen)
        tell(0.4)
        per_entry = curvature_along(landscape, seed=seed, indices=chosen[:num_trace], gaussian_filter=True)
        tell(0.8)
        top = top_eigenvalue(landscape)
    return summarised(landscape, along, per_entry / landscape.num_moved, top, seed, chosen, eigensolver="arpack")


def without_division(normalization: Normalization) -> Normalization:
    """The normalization of (b), given that of (a)."""
    scheme = "sphere" if normalization.scheme == "sphere" else "gaussian_filter"
    return Normalization(normalization.layout, scheme, normalization.one_dim)


def summarised(
    landscape: Landscape,
    along: Float[np.ndarray, " rays"],
    per_entry: Float[np.ndarray, " trace"],
    top: float,
    seed: int,
    indices: Sequence[int],
    *,
    eigensolver: str,
) -> xr.Dataset:
    """Build a `mean_curvature` dataset: curvatures along directions, their means and standard errors."""
    unit = landscape.unit
    names = (
        "curvature",
        "mean_curvature",
        "mean_curvature_stderr",
        "trace_per_entry",
        "trace_per_entry_stderr",
        "top_eigenvalue",
    )
    return labelled(
        "mean_curvature",
        landscape,
        {
            "ray": np.asarray(list(indices)),
            "curvature": along,
            "mean_curvature": float(along.mean()),
            "mean_curvature_stderr": standard_error(along),
            "trace_per_entry": float(per_entry.mean()),
            "trace_per_entry_stderr": standard_error(per_entry),
            "top_eigenvalue": top,
        },
        units=dict.fromkeys(names, unit),
        seed=str(seed),
        num_trace=len(per_entry),
        eigensolver=eigensolver,
        products=products_of(landscape),
    )


def standard_error(values: Float[np.ndarray, " values"]) -> float:
    """Standard error of the mean; NaN for fewer than two values."""
    return float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else float("nan")
