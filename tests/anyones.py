"""Tiny networks of the kinds that people bring, their batches, and a guard that sees any change to them."""

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.functional import cross_entropy

from basinscope.seeds import generator

CLASSES = 3


@torch.no_grad()
def drawn(model: nn.Module, seed: int = 0) -> nn.Module:
    """Draw every tensor of a network anew from a seed, whatever the layers drew; variances stay above 0."""
    stream = generator(seed, "anyone's net")
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        if not tensor.is_floating_point():
            continue
        noise = torch.randn(tensor.shape, generator=stream)
        if name.endswith("running_var"):
            tensor.copy_(0.5 + noise.abs())
        else:
            tensor.copy_(noise / max(1, tensor[0].numel() if tensor.ndim else 1) ** 0.5)
    return model.eval()


def perceptron(*, dtype: torch.dtype = torch.float64, activation: type[nn.Module] = nn.Tanh, seed: int = 0):
    net = drawn(nn.Sequential(nn.Linear(4, 5), activation(), nn.Linear(5, CLASSES)), seed)
    return net.to(dtype)


class Vision(nn.Module):
    """Convolutions both ways with BatchNorm and GroupNorm."""

    def __init__(self):
        super().__init__()
        self.down = nn.Conv2d(2, 4, 3, stride=2, padding=1)
        self.batch = nn.BatchNorm2d(4)
        self.up = nn.ConvTranspose2d(4, 6, 2, stride=2, groups=2)
        self.group = nn.GroupNorm(2, 6)
        self.head = nn.Linear(6, CLASSES)

    def forward(self, images: Tensor) -> Tensor:
        hidden = self.batch(self.down(images)).relu()
        return self.head(self.group(self.up(hidden)).relu().mean((2, 3)))


class Recurrent(nn.Module):
    """An LSTM that classifies sequences of tokens."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(10, 4, padding_idx=0)
        self.lstm = nn.LSTM(4, 5, batch_first=True)
        self.head = nn.Linear(5, CLASSES)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(self.lstm(self.embed(tokens))[0][:, -1])


class Attentive(nn.Module):
    """One layer of attention over a sequence of vectors."""

    def __init__(self):
        super().__init__()
        self.attention = nn.MultiheadAttention(4, 2, batch_first=True)
        self.head = nn.Linear(4, CLASSES)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.head(self.attention(inputs, inputs, inputs, need_weights=False)[0].mean(1))


def labelled(inputs: Tensor, *, sizes: tuple[int, ...] = (5, 3, 1), seed: int = 0) -> list[tuple[Tensor, Tensor]]:
    """Cut inputs into batches of unequal length, with random labels."""
    labels = torch.randint(CLASSES, (len(inputs),), generator=generator(seed, "labels"))
    return list(zip(inputs.split(list(sizes)), labels.split(list(sizes)), strict=True))


def vectors(*, dtype: torch.dtype = torch.float64) -> list[tuple[Tensor, Tensor]]:
    return labelled(torch.randn(9, 4, generator=generator(1, "vectors")).to(dtype))


def images() -> list[tuple[Tensor, Tensor]]:
    return labelled(torch.randn(9, 2, 4, 4, generator=generator(1, "images")))


def tokens() -> list[tuple[Tensor, Tensor]]:
    return labelled(torch.randint(10, (9, 3), generator=generator(1, "tokens")))


def mean_loss(model: Any, batch: Any) -> Tensor:
    return cross_entropy(model(batch[0]), batch[1])


def sample_losses(model: Any, batch: Any) -> Tensor:
    return cross_entropy(model(batch[0]), batch[1], reduction="none")


def sum_and_count(model: Any, batch: Any) -> tuple[Tensor, int]:
    return cross_entropy(model(batch[0]), batch[1], reduction="sum"), len(batch[1])


def twin_loss(model: nn.Module, batches: list[tuple[Tensor, Tensor]], moved: dict[str, Tensor]) -> Tensor:
    """Mean cross-entropy with some tensors replaced, the whole data in one pass."""
    inputs, labels = (torch.cat(parts) for parts in zip(*batches, strict=True))
    return cross_entropy(functional_call(model, moved, (inputs,)), labels)


def twin_value(model: nn.Module, batches: list[tuple[Tensor, Tensor]], moved: dict[str, Tensor]) -> float:
    with torch.no_grad():
        return float(twin_loss(model, batches, moved))


def _everything(model: nn.Module) -> dict[str, Any]:
    tensors = dict((*model.named_parameters(), *model.named_buffers()))
    return {
        "values": {name: tensor.detach().clone() for name, tensor in tensors.items()},
        "gradients": {name: None if t.grad is None else t.grad.clone() for name, t in model.named_parameters()},
        "places": {name: (id(tensor), tensor.data_ptr(), tensor.requires_grad) for name, tensor in tensors.items()},
        "versions": {name: 0 if tensor.is_inference() else tensor._version for name, tensor in tensors.items()},
        "layers": [(id(module), module.training) for module in model.modules()],
        "hooks": [
            (sorted(map(id, module._forward_hooks.values())), sorted(map(id, module._forward_pre_hooks.values())))
            for module in model.modules()
        ],
        # Python's own is left out, because the checker of annotations draws from it.
        "random": [str(np.random.get_state()), torch.get_rng_state()],
    }


@contextlib.contextmanager
def untouched(model: nn.Module) -> Iterator[None]:
    """Assert that a network and the random states are bit for bit as before, however the context is left."""
    before = _everything(model)
    try:
        yield
    finally:
        _same(before, _everything(model))


def _same(first: Any, second: Any) -> None:
    if isinstance(first, Tensor):
        assert torch.equal(first, second)
    elif isinstance(first, dict):
        assert first.keys() == second.keys()
        for name, value in first.items():
            _same(value, second[name])
    elif isinstance(first, list):
        assert len(first) == len(second)
        for one, other in zip(first, second, strict=True):
            _same(one, other)
    else:
        assert first == second
