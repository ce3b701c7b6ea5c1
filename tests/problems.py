"""Objectives with closed forms, and small nets, in float64."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from basinscope.landscape.module.objective import Objective


class Point(nn.Module):
    """A network whose only weights are one row of numbers."""

    def __init__(self, weights: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(weights.double().clone()[None])

    def forward(self) -> Tensor:
        return self.weight[0]


def at(weights: Tensor | list[float], loss: Callable[[Tensor], Tensor], **settings: Any) -> Objective:
    """The objective of a loss that is a function of a vector, at some place; directions are of length 1."""
    batches = [torch.zeros(1)]
    return Objective(
        Point(torch.as_tensor(weights)).eval(),
        lambda model, batch: loss(model()) + 0 * batch.sum(),
        batches,
        **{"normalization": "sphere"} | settings,
    )


def bowl(curvatures: Tensor | list[float], *, floor: float = 0.0, **settings: Any) -> Objective:
    """L = floor + ½ Σ λ_i θ_i² at the origin: Hessian diag(λ)."""
    scales = torch.as_tensor(curvatures).double()
    return at(torch.zeros_like(scales), lambda w: floor + 0.5 * (scales * w.square()).sum(), **settings)


def radial(profile: Callable[[Tensor], Tensor], *, size: int = 4, **settings: Any) -> Objective:
    """L = profile(|θ|) at the origin: the same line in every direction."""
    return at(torch.zeros(size), lambda w: profile(w.detach().norm()) + 0 * w.sum(), **settings)


def small_net(seed: int = 0, widths: tuple[int, ...] = (3, 4, 4, 3)) -> nn.Sequential:
    """A ReLU net in float64."""
    stream = torch.Generator().manual_seed(seed)
    layers: list[nn.Module] = []
    for fan_in, fan_out in pairwise(widths):
        layers += [nn.Linear(fan_in, fan_out).double(), nn.ReLU()]
    net = nn.Sequential(*layers[:-1]).eval()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=stream) * parameter.shape[-1] ** -0.5)
    return net


def small_batches(seed: int = 0, *, features: int = 3, classes: int = 3) -> list[tuple[Tensor, Tensor]]:
    """Batches of unlike lengths."""
    stream = torch.Generator().manual_seed(100 + seed)
    return [
        (
            torch.randn(length, features, generator=stream, dtype=torch.float64),
            torch.randint(classes, (length,), generator=stream),
        )
        for length in (9, 4)
    ]


def sample_losses(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
    """Cross-entropy of each sample."""
    return cross_entropy(model(batch[0]), batch[1], reduction="none")


def around(net: nn.Module, seed: int = 0, **settings: Any) -> Objective:
    """The objective of a small net on small batches."""
    return Objective(net, sample_losses, small_batches(seed), **{"unit": "nat"} | settings)


def whole_loss(net: nn.Module, seed: int = 0) -> float:
    """Mean loss of a net over all samples at once."""
    inputs, labels = (torch.cat(parts) for parts in zip(*small_batches(seed), strict=True))
    with torch.no_grad():
        return float(cross_entropy(net(inputs), labels))


def rescaled(net: nn.Sequential, factor: float) -> nn.Sequential:
    """The same function with the first layer scaled up and the second one down."""
    twin = small_net()
    twin.load_state_dict(net.state_dict())
    with torch.no_grad():
        twin[0].weight.mul_(factor)
        twin[0].bias.mul_(factor)
        twin[2].weight.div_(factor)
    return twin
