"""One- and two-dimensional slices of the loss through a minimum."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import xarray as xr
from jaxtyping import Float
from torch import Tensor

from basinscope.landscape.directions import gaussian
from basinscope.landscape.normalize import Normalization
from basinscope.landscape.objective import Landscape
from basinscope.results.convert import dataset


def symmetric_grid(extent: float, num: int) -> Float[Tensor, " num"]:
    """Space `num` distances evenly from −extent to extent; of an odd number the middle one is exactly 0."""
    half = 0.5 * (num - 1)
    return (torch.arange(num, dtype=torch.float64) - half) * (extent / half)


def slice1d(
    landscape: Landscape,
    center: Float[Tensor, " params"],
    normalization: Normalization,
    *,
    seed: int,
    indices: Sequence[int],
    distances: Float[Tensor, " distances"],
) -> xr.Dataset:
    """Evaluate the loss along random lines through a minimum.

    Args:
        landscape: The loss.
        center: The minimum.
        normalization: How Gaussian vectors become directions.
        seed: Family of directions.
        indices: Members of the family, one line each.
        distances: Where on the lines, in filter norms; 0 is the minimum itself.

    Returns:
        A `slice1d` dataset; every point is made from the minimum itself, so that no rounding adds up.
    """
    rows = gaussian(seed, indices, normalization.num_moved).to(center.device, center.dtype)
    lines = normalization.directions(rows, center)
    losses = [landscape.along(center, lines, distances, torch.full((len(distances),), k)) for k in range(len(lines))]
    values = {"ray": torch.tensor(list(indices)), "distance": distances, "loss": torch.stack(losses)}
    return dataset("slice1d", values, seed=str(seed), scheme=normalization.scheme)


def plane(
    center: Float[Tensor, " params"], normalization: Normalization, *, seed: int, indices: tuple[int, int]
) -> Float[Tensor, "2 params"]:
    """Make two directions around a minimum that are orthogonal to each other and filter-normalised.

    The second Gaussian loses, filter by filter, its part along the first; both are then scaled to the filters'
    norms. A filter with a single entry has only one direction: there the second does not move.
    """
    rows = gaussian(seed, indices, normalization.num_moved).to(center.device, center.dtype)
    first, second = normalization.directions(rows, center)
    if normalization.scheme == "sphere":
        second = second - (second @ first) * first
        return torch.stack([first, second / second.norm()])
    norms = normalization.preconditioner(center)
    for where, shape in zip(normalization.layout.slices, normalization.layout.shapes, strict=True):
        if not norms[where].any():
            continue
        filters = (shape[0], -1) if len(shape) > 1 else (1, -1)
        a, b = first[where].view(filters), second[where].view(filters)
        square = a.square().sum(1, keepdim=True)
        rest = b - (a * b).sum(1, keepdim=True) / square.clamp_min(torch.finfo(a.dtype).tiny) * a
        length = rest.norm(dim=1, keepdim=True)
        # What rounding leaves of a filter with one entry is no direction.
        keep = length > 1e-5 * square.sqrt()
        second[where] = torch.where(keep, rest * square.sqrt() / length, 0).flatten()
    return torch.stack([first, second])


def slice2d(
    landscape: Landscape,
    center: Float[Tensor, " params"],
    normalization: Normalization,
    *,
    seed: int,
    indices: tuple[int, int],
    distances: Float[Tensor, " distances"],
    progress: Callable[[float], None] | None = None,
) -> xr.Dataset:
    """Evaluate the loss on a square of the plane through a minimum that two random directions span.

    Args:
        landscape: The loss.
        center: The minimum.
        normalization: How Gaussian vectors become directions.
        seed: Family of directions.
        indices: The two members of the family; the second is made orthogonal to the first.
        distances: Grid lines along both directions, in filter norms.
        progress: Called after each grid line with the finished share.

    Returns:
        A `slice2d` dataset; the loss has its first axis along the first direction.

    References:
        Li et al. 2018, arXiv 1712.09913.
    """
    first, second = plane(center, normalization, seed=seed, indices=indices)
    steps = distances.to(center.device, center.dtype)
    along_second = torch.zeros(len(steps), dtype=torch.int64)
    rows = []
    for step in steps:
        rows.append(landscape.along(center + step * first, second[None], distances, along_second))
        if progress:
            progress(len(rows) / len(steps))
    cosine = float(first @ second / (first.norm() * second.norm()))
    values = {"first": distances, "second": distances, "loss": torch.stack(rows), "cosine": cosine}
    return dataset("slice2d", values, seed=str(seed), scheme=normalization.scheme)
