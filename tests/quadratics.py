"""Landscapes with closed forms, in float64, for directions of length 1 (`scheme="sphere"`) around the origin."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from basinscope.landscape.gaussian import gaussian
from basinscope.landscape.normalize import Normalization
from basinscope.landscape.stacked import PointObjective
from basinscope.parameters import ParameterLayout


def vector_layout(size: int) -> ParameterLayout:
    return ParameterLayout(("w",), (torch.Size([1, size]),))


def sphere(size: int) -> Normalization:
    return Normalization(vector_layout(size), scheme="sphere")


def origin(size: int) -> Tensor:
    return torch.zeros(size, dtype=torch.float64)


def unit_directions(size: int, *, seed: int, indices: range | list[int]) -> Tensor:
    return sphere(size).directions(gaussian(seed, indices, size).double(), origin(size))


def landscape(loss: Callable[[Tensor], Tensor], size: int, *, chunk_size: int = 512) -> PointObjective:
    return PointObjective(loss, vector_layout(size), chunk_size=chunk_size)


def bowl(size: int) -> PointObjective:
    """L = |θ|²: every radius is √cutoff."""
    return landscape(lambda points: points.square().sum(1), size)


def ellipsoid(curvatures: Tensor) -> PointObjective:
    """L = ½ Σ λ_i θ_i²: Hessian diag(λ)."""
    return landscape(lambda points: 0.5 * points.square() @ curvatures, len(curvatures))


def ellipsoid_radius(curvatures: Tensor, directions: Tensor, cutoff: float) -> Tensor:
    return (2 * cutoff / (directions.square() @ curvatures)).sqrt()


def ellipsoid_log_volume(curvatures: Tensor, cutoff: float) -> float:
    n = len(curvatures)
    semi_axes = (2 * cutoff / curvatures).sqrt()
    return n / 2 * math.log(math.pi) - math.lgamma(n / 2 + 1) + float(semi_axes.log().sum())


def box(half_sides: Tensor) -> PointObjective:
    """L = max |θ_i / a_i|: below the cutoff lies a box of sides 2 · a_i · cutoff."""
    return landscape(lambda points: (points / half_sides).abs().amax(1), len(half_sides))


def box_radius(half_sides: Tensor, directions: Tensor, cutoff: float) -> Tensor:
    return cutoff / (directions / half_sides).abs().amax(1)


def box_log_volume(half_sides: Tensor, cutoff: float) -> float:
    return float((2 * cutoff * half_sides).log().sum())


def radial(profile: Callable[[Tensor], Tensor], size: int = 3) -> PointObjective:
    """L = profile(|θ|): the same line in every direction."""
    return landscape(lambda points: profile(points.norm(dim=1)), size)
