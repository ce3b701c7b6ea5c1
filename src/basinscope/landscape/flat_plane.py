"""Two orthogonal directions around a flat parameter vector."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from basinscope.landscape.gaussian import gaussian
from basinscope.landscape.normalize import Normalization


def plane(
    center: Float[Tensor, " params"], normalization: Normalization, *, seed: int, indices: tuple[int, int]
) -> Float[Tensor, "2 params"]:
    """Make two directions around a minimum that are orthogonal to each other and filter-normalised.

    The second Gaussian loses, filter by filter, its part along the first; both are then scaled to the filters'
    norms. A filter with a single entry has only one direction: there the second does not move.
    """
    rows = gaussian(seed, indices, normalization.num_moved).to(center.device, center.dtype)
    first, second = normalization.directions(rows, center)
    if normalization.scheme in ("sphere", "layer"):
        if normalization.scheme == "layer":
            return _by_layer(first, second, normalization)
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


def _by_layer(first: Tensor, second: Tensor, normalization: Normalization) -> Float[Tensor, "2 params"]:
    """Make the second direction orthogonal to the first within each tensor, and keep its length there."""
    second = second.clone()
    for where in normalization.moved_slices:
        a, b = first[where], second[where]
        rest = b - (a @ b) / (a @ a).clamp_min(torch.finfo(a.dtype).tiny) * a
        second[where] = rest * (b.norm() / rest.norm().clamp_min(torch.finfo(a.dtype).tiny))
    return torch.stack([first, second])
