"""Planes around a flat parameter vector: two orthogonal random directions."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from basinscope.landscape.gaussian import gaussian
from basinscope.landscape.normalize import Normalization


def plane(
    center: Float[Tensor, " params"], normalization: Normalization, *, seed: int, indices: tuple[int, int]
) -> Float[Tensor, "2 params"]:
    """Return two orthogonal random directions around a minimum.

    The second Gaussian is orthogonalised to the first filter by filter; both are then scaled to the filters' norms.
    A filter with a single entry has no orthogonal direction: the second does not perturb it.
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
        # In a filter with one entry, the rest is rounding error.
        valid = length > 1e-5 * square.sqrt()
        second[where] = torch.where(valid, rest * square.sqrt() / length, 0).flatten()
    return torch.stack([first, second])


def _by_layer(first: Tensor, second: Tensor, normalization: Normalization) -> Float[Tensor, "2 params"]:
    """Orthogonalise the second direction to the first within each tensor, preserving its norm."""
    second = second.clone()
    for where in normalization.moved_slices:
        a, b = first[where], second[where]
        rest = b - (a @ b) / (a @ a).clamp_min(torch.finfo(a.dtype).tiny) * a
        second[where] = rest * (b.norm() / rest.norm().clamp_min(torch.finfo(a.dtype).tiny))
    return torch.stack([first, second])
