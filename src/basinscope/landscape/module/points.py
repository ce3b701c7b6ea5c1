"""Many points around a center, given as directions and distances."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor


@dataclass(frozen=True)
class Points:
    """Points on rays or on a plane; their coordinates are computed chunk by chunk."""

    center: Float[Tensor, " moved"]
    directions: Float[Tensor, "directions moved"]
    steps: Float[Tensor, "points terms"]
    """Distance along one direction (rays), or along each of two (plane)."""
    rows: Int[Tensor, " points"] | None
    """Direction of each point; None on a plane."""

    def __len__(self) -> int:
        return len(self.steps)

    def part(self, begin: int, end: int) -> Points:
        """The points with indices `begin` to `end - 1`."""
        return replace(self, steps=self.steps[begin:end], rows=None if self.rows is None else self.rows[begin:end])

    def weights(self) -> Float[Tensor, "points moved"]:
        """The moved tensors at every point, one row each."""
        if self.rows is not None:
            return torch.addcmul(self.center, self.directions[self.rows], self.steps)
        first, second = self.directions
        return torch.addcmul(torch.addcmul(self.center, first, self.steps[:, :1]), second, self.steps[:, 1:])


def on_rays(
    center: Float[Tensor, " moved"],
    matrix: Float[Tensor, "rays moved"],
    distances: Float[np.ndarray, " points"],
    rows: Int[np.ndarray, " points"],
) -> Points:
    """Points `center + distance · matrix[row]`."""
    steps = torch.from_numpy(np.asarray(distances, dtype=np.float64)).to(center)[:, None]
    return Points(center, matrix, steps, torch.from_numpy(np.asarray(rows, dtype=np.int64)).to(center.device))


def on_plane(
    center: Float[Tensor, " moved"],
    matrix: Float[Tensor, "2 moved"],
    a: Float[np.ndarray, " points"],
    b: Float[np.ndarray, " points"],
) -> Points:
    """Points `center + a · matrix[0] + b · matrix[1]`."""
    return Points(center, matrix, torch.from_numpy(np.stack([a, b], axis=1)).to(center), None)
