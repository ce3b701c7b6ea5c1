"""Optimizers that update many networks at once, one per row, each with its own learning rate."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor


@dataclass
class RowOptimizer(ABC):
    """Base of a stack's optimizers; the state is a few tensors of the parameters' shape."""

    state: dict[str, Tensor]
    """Each of shape (members, params)."""
    slots: ClassVar[tuple[str, ...]]
    """Names of the tensors in `state`."""

    @classmethod
    def start(cls, points: Float[Tensor, "members params"]) -> RowOptimizer:
        """Create the optimizer with zero state."""
        return cls({name: torch.zeros_like(points) for name in cls.slots})

    @abstractmethod
    def update(
        self,
        rows: slice,
        points: Float[Tensor, "rows params"],
        gradient: Float[Tensor, "rows params"],
        rate: Float[Tensor, "rows 1"],
        step: int,
    ) -> None:
        """Apply update number `step` (from 0) in place to `points`, which are these rows of the stack."""

    def keep(self, rows: Tensor) -> None:
        """Drop the state of all members but `rows`."""
        self.state = {name: tensor[rows] for name, tensor in self.state.items()}


class Adam(RowOptimizer):
    """Adam (Kingma and Ba 2015, arXiv 1412.6980, algorithm 1): β₁ = 0.9, β₂ = 0.999, ε = 1e-8."""

    slots = ("mean", "square")
    beta1, beta2, epsilon = 0.9, 0.999, 1e-8

    def update(
        self,
        rows: slice,
        points: Float[Tensor, "rows params"],
        gradient: Float[Tensor, "rows params"],
        rate: Float[Tensor, "rows 1"],
        step: int,
    ) -> None:
        """See `RowOptimizer.update`."""
        mean, square = self.state["mean"][rows], self.state["square"][rows]
        mean.lerp_(gradient, 1 - self.beta1)
        square.mul_(self.beta2).addcmul_(gradient, gradient, value=1 - self.beta2)
        scale = square.div(1 - self.beta2 ** (step + 1)).sqrt_().add_(self.epsilon)
        points.sub_(mean.div(scale).mul_(rate / (1 - self.beta1 ** (step + 1))))


class RMSprop(RowOptimizer):
    """RMSprop (Tieleman and Hinton 2012) with the constants of Keras, which the published runs used.

    The decay is 0.9 and ε = 1e-7, where torch's defaults are 0.99 and 1e-8.
    """

    slots = ("square",)
    decay, epsilon = 0.9, 1e-7

    def update(
        self,
        rows: slice,
        points: Float[Tensor, "rows params"],
        gradient: Float[Tensor, "rows params"],
        rate: Float[Tensor, "rows 1"],
        step: int,  # noqa: ARG002
    ) -> None:
        """See `RowOptimizer.update`."""
        square = self.state["square"][rows]
        square.mul_(self.decay).addcmul_(gradient, gradient, value=1 - self.decay)
        points.sub_(gradient.div(square.sqrt().add_(self.epsilon)).mul_(rate))


OPTIMIZERS: Mapping[str, type[RowOptimizer]] = {"adam": Adam, "rmsprop": RMSprop}


def clip_gradient(gradient: Float[Tensor, "rows params"], limit: float) -> Float[Tensor, " rows"]:
    """Scale each network's gradient in place to at most `limit` in norm; return the original norms."""
    norms = gradient.norm(dim=1)
    gradient.mul_((limit / norms).clamp_(max=1).unsqueeze(1))
    return norms
