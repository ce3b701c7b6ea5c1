"""Slow, obviously right twins, in float64."""

import math

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits as bce
from torch.nn.functional import cross_entropy

from basinscope.data.samples import Sampler, Samples
from basinscope.landscape.stacked import PointObjective
from basinscope.models.mlp import MLP
from basinscope.parameters import ParameterLayout
from basinscope.seeds import generator
from basinscope.training.ensemble import BLOCK
from basinscope.training.members import Member


def clean_loss(logits: Tensor, labels: Tensor) -> Tensor:
    if logits.shape[1] == 1:
        return bce(logits[:, 0], labels.to(logits.dtype))
    return cross_entropy(logits, labels)


def poison(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean of −log(1 − p_y): for one logit the cross-entropy with flipped labels."""
    if logits.shape[1] == 1:
        return bce(logits[:, 0], 1 - labels.to(logits.dtype))
    true = logits.log_softmax(1).exp().gather(1, labels[:, None])[:, 0]
    return -torch.log1p(-true).mean()


def train_alone(
    net: MLP,
    member: Member,
    *,
    steps: int,
    sampler: Sampler | None,
    num_unseen: int,
    clip: float,
    optimizer_name: str = "adam",
    l2: float = 0.0,
    batch_size: int | None = None,
) -> Tensor:
    """Train one ordinary module with torch's own optimizer; return its flat parameters."""
    start = net.initialize(generator(member.seed, "start")) if member.start is None else member.start
    module = net.as_module(start.double())
    parameters = list(module.parameters())
    if optimizer_name == "adam":
        optimizer = torch.optim.Adam(parameters, lr=1.0)
    else:
        optimizer = torch.optim.RMSprop(parameters, lr=1.0, alpha=0.9, eps=1e-7)
    train = member.train.to("cpu", torch.float64)
    order, epoch = torch.arange(len(train)), -1
    for step in range(steps):
        rows = torch.arange(len(train))
        if batch_size:
            in_epoch = math.ceil(len(train) / batch_size)
            if step // in_epoch > epoch:
                epoch += 1
                order = torch.randperm(len(train), generator=generator(member.seed, "order", epoch))
            rows = order[step % in_epoch * batch_size :][:batch_size]
        loss = clean_loss(module(train.inputs[rows]), train.labels[rows])
        loss = loss + l2 * sum(p.square().sum() for p in parameters if p.ndim == 2)
        if num_unseen:
            inputs, labels = _unseen(member, step, sampler, num_unseen)
            loss = loss + member.schedule.poison_at(step) * poison(module(inputs), labels)
        optimizer.zero_grad()
        loss.backward()
        norm = math.sqrt(sum(float(p.grad.square().sum()) for p in parameters))
        for parameter in parameters:
            parameter.grad *= min(1.0, clip / norm)
        optimizer.param_groups[0]["lr"] = member.schedule.rate_at(step)
        optimizer.step()
    return torch.cat([p.detach().reshape(-1) for p in parameters])


def _unseen(member: Member, step: int, sampler: Sampler | None, num: int) -> tuple[Tensor, Tensor]:
    if member.unseen is not None:
        return member.unseen.inputs.double(), member.unseen.labels
    block = step // BLOCK * BLOCK
    drawn = sampler(BLOCK * num, generator(member.seed, "unseen", block))
    rows = slice((step - block) * num, (step - block + 1) * num)
    return drawn.inputs[rows].double(), drawn.labels[rows]


def filter_normalised(gaussian: Tensor, center: Tensor, layout: ParameterLayout, *, biases: bool) -> Tensor:
    """Scale one Gaussian vector filter by filter, tensor after tensor, in loops."""
    pieces, taken, position = [], 0, 0
    for shape in layout.shapes:
        size = math.prod(shape)
        weights = center[position : position + size].reshape(shape)
        position += size
        if len(shape) < 2 and not biases:
            pieces.append(torch.zeros(size, dtype=center.dtype))
            continue
        noise = gaussian[taken : taken + size].reshape(shape)
        taken += size
        if len(shape) < 2:
            pieces.append((noise * weights.norm() / noise.norm()).reshape(-1))
            continue
        for weight, entries in zip(weights, noise, strict=True):
            pieces.append((entries * weight.norm() / entries.norm()).reshape(-1))
    return torch.cat(pieces)


def scan_radius(
    landscape: PointObjective, center: Tensor, direction: Tensor, cutoff: float, *, ratio: float = 1.02
) -> float:
    """First distance of a fine geometric scan at which the loss exceeds the cutoff; infinite for none."""
    num = math.ceil(math.log(10 / 1e-4) / math.log(ratio)) + 1
    distances = torch.logspace(-4, 1, num, dtype=torch.float64)
    losses = landscape.at(center + distances[:, None] * direction)
    beyond = (losses > cutoff).nonzero()
    return float(distances[beyond[0, 0]]) if len(beyond) else math.inf


def hessian(net: MLP, train: Samples, center: Tensor) -> Tensor:
    """Explicit Hessian of the clean loss."""

    def loss(flat: Tensor) -> Tensor:
        hidden, position = train.inputs, 0
        pairs = list(zip(net.widths[:-1], net.widths[1:], strict=True))
        for layer, (fan_in, fan_out) in enumerate(pairs):
            weight = flat[position : position + fan_in * fan_out].reshape(fan_out, fan_in)
            position += fan_in * fan_out
            hidden = hidden @ weight.T + flat[position : position + fan_out]
            position += fan_out
            if layer < len(pairs) - 1:
                hidden = hidden.clamp_min(0)
        return clean_loss(hidden, train.labels)

    return torch.autograd.functional.hessian(loss, center)


def log_volume(radii: np.ndarray, n: int) -> float:
    """Log ω_n + log mean rⁿ, for n and radii small enough to need no logarithms."""
    return math.log(math.pi ** (n / 2) / math.gamma(n / 2 + 1) * float(np.mean(radii**n)))


def mix_of_blobs(num: int, stream: torch.Generator, *, classes: int = 2) -> Samples:
    """Draw points of `classes` overlapping Gaussian blobs on a circle."""
    labels = torch.randint(classes, (num,), generator=stream)
    angle = 2 * math.pi * labels / classes
    centers = torch.stack([angle.cos(), angle.sin()], dim=1)
    return Samples(centers + 0.5 * torch.randn(num, 2, generator=stream), labels)


def small_problem(widths: tuple[int, ...], *, seed: int = 0, samples: int = 20) -> tuple[MLP, Samples, Tensor]:
    """Make a small random net with non-zero biases and a few samples, in float64."""
    net = MLP(widths)
    stream = generator(seed, "small problem")
    center = net.initialize(stream).double()
    center += 0.1 * torch.randn(len(center), generator=stream, dtype=torch.float64)
    train = mix_of_blobs(samples, stream, classes=max(2, widths[-1])).to("cpu", torch.float64)
    return net, train, center
