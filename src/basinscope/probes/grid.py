"""Grids of distances on which slices are evaluated."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from basinscope.errors import InputError

EXTENT, NEAR_EXTENT = 1.0, 0.1
"""Default extent of a slice along random directions, and along eigenvectors, in filter norms."""
MARGIN = 0.25
"""Margin around marked points, as a share of their range."""


def symmetric_grid(extent: float, num: int) -> Float[Tensor, " num"]:
    """Space `num` distances evenly from −extent to extent; if `num` is odd, the middle one is exactly 0."""
    half = 0.5 * (num - 1)
    return (torch.arange(num, dtype=torch.float64) - half) * (extent / half)


def refuse_coarse(probe: str, resolution: int) -> None:
    """Refuse a resolution that is too low for a grid.

    Raises:
        InputError: It is below 2, or not a whole number.
    """
    if not isinstance(resolution, int | np.integer) or resolution < 2:
        raise InputError(f"{probe}: resolution = {resolution}: must be a whole number of at least 2")


def plane_coordinates(
    probe: str, extent: float | None, directions: str, resolution: int
) -> Float[np.ndarray, " points"]:
    """Distances from −extent to extent; None takes the default for these directions.

    Raises:
        InputError: The extent is not a number above 0.
    """
    if extent is None:
        extent = NEAR_EXTENT if directions == "hessian" else EXTENT
    if not (isinstance(extent, int | float | np.number) and extent > 0 and np.isfinite(extent)):
        raise InputError(f"{probe}: extent = {extent}: must be a number above 0")
    return symmetric_grid(extent, resolution).numpy()


def around(values: Float[np.ndarray, " values"], resolution: int) -> Float[np.ndarray, " points"]:
    """Grid lines that reach beyond the smallest and the largest value by a quarter of their range."""
    low, high = float(values.min()), float(values.max())
    margin = MARGIN * (high - low) or 1.0
    return np.linspace(low - margin, high + margin, resolution)
