"""Many points around a center, generated chunk by chunk."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

Points = Callable[[int, int], Float[Tensor, "chunk moved"]]
"""Generates the points from one number to another, a row each."""


def on_rays(
    center: Float[Tensor, " moved"],
    matrix: Float[Tensor, "rays moved"],
    distances: Float[np.ndarray, " points"],
    rows: Int[np.ndarray, " points"],
) -> Points:
    """Points `center + distance · matrix[row]`."""
    steps = torch.from_numpy(np.asarray(distances, dtype=np.float64)).to(center)[:, None]
    chosen = torch.from_numpy(np.asarray(rows, dtype=np.int64)).to(center.device)
    return lambda begin, end: torch.addcmul(center, matrix[chosen[begin:end]], steps[begin:end])


def on_plane(
    center: Float[Tensor, " moved"],
    matrix: Float[Tensor, "2 moved"],
    a: Float[np.ndarray, " points"],
    b: Float[np.ndarray, " points"],
) -> Points:
    """Points `center + a · matrix[0] + b · matrix[1]`."""
    one, two = (torch.from_numpy(np.asarray(c, dtype=np.float64)).to(center)[:, None] for c in (a, b))
    return lambda begin, end: torch.addcmul(torch.addcmul(center, matrix[0], one[begin:end]), matrix[1], two[begin:end])
