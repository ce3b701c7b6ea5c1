"""Optimizers that update many networks at once, one row a network, each with its own learning rate."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8


@dataclass
class Adam:
    """Adam for a stack of networks (Kingma and Ba 2015, arXiv 1412.6980, algorithm 1)."""

    mean: Float[Tensor, "members params"]
    square: Float[Tensor, "members params"]

    @classmethod
    def start(cls, points: Float[Tensor, "members params"]) -> Adam:
        """Open with both moments at zero."""
        return cls(torch.zeros_like(points), torch.zeros_like(points))

    def update(
        self,
        rows: slice,
        points: Float[Tensor, "rows params"],
        gradient: Float[Tensor, "rows params"],
        rate: Float[Tensor, "rows 1"],
        step: int,
    ) -> None:
        """Move `points` in place along update number `step` (from 0)."""
        mean, square = self.mean[rows], self.square[rows]
        mean.lerp_(gradient, 1 - BETA1)
        square.mul_(BETA2).addcmul_(gradient, gradient, value=1 - BETA2)
        scale = square.div(1 - BETA2 ** (step + 1)).sqrt_().add_(EPSILON)
        points.sub_(mean.div(scale).mul_(rate / (1 - BETA1 ** (step + 1))))

    def keep(self, rows: Tensor) -> None:
        """Drop the state of all members but `rows`."""
        self.mean, self.square = self.mean[rows], self.square[rows]


def clip_gradient(gradient: Float[Tensor, "rows params"], limit: float) -> Float[Tensor, " rows"]:
    """Scale each network's gradient in place to at most `limit` in norm; return the norms before."""
    norms = gradient.norm(dim=1)
    gradient.mul_((limit / norms).clamp_(max=1).unsqueeze(1))
    return norms
