"""Tiny image sets and tiny networks with and without BatchNorm."""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.functional import cross_entropy

from basinscope.data.images import Images, ImageTask
from basinscope.models.catalog import initialize
from basinscope.parameters import ParameterLayout
from basinscope.seeds import generator

CLASSES, CHANNELS, SIZE = 3, 2, 4


def image_set(num: int, seed: int, *, noise: float = 40.0) -> Images:
    """Images of three classes: a fixed random pattern each, and noise in units of intensities."""
    patterns = torch.rand(CLASSES, CHANNELS, SIZE, SIZE, generator=generator(0, "patterns")) * 255
    stream = generator(seed, "images")
    labels = torch.randint(CLASSES, (num,), generator=stream)
    pixels = patterns[labels] + noise * torch.randn(num, CHANNELS, SIZE, SIZE, generator=stream)
    return Images(pixels.clamp(0, 255).to(torch.uint8), labels, (0.5,) * CHANNELS, (0.25,) * CHANNELS, CLASSES)


def image_task(num_train: int = 36, *, num_unseen: int = 60, num_test: int = 60, noise: float = 40.0) -> ImageTask:
    """Three sets drawn alike."""
    train, unseen, test = (
        image_set(n, seed, noise=noise) for seed, n in enumerate((num_train, num_unseen, num_test), start=1)
    )
    return ImageTask("tiny images", train, unseen, test)


def conv_net(width: int = 3, *, norm: bool = True) -> nn.Sequential:
    """Two convolutions, with BatchNorm or with biases, and a linear layer: fixed tensors lie between moved ones."""

    def block(fan_in: int, stride: int) -> list[nn.Module]:
        conv = nn.Conv2d(fan_in, width, 3, stride=stride, padding=1, bias=not norm)
        return [conv, *([nn.BatchNorm2d(width)] if norm else []), nn.Softplus()]

    features = (SIZE // 2) ** 2 * width
    return nn.Sequential(*block(CHANNELS, 1), *block(width, 2), nn.Flatten(), nn.Linear(features, CLASSES))


@torch.no_grad()
def random_net(seed: int = 0, *, dtype: torch.dtype = torch.float64, norm: bool = True) -> nn.Sequential:
    """Draw every tensor of a tiny net at random, statistics of BatchNorm too; in training mode, as users leave them."""
    net, stream = conv_net(norm=norm), generator(seed, "random net")
    initialize(net, stream)
    for name, tensor in net.state_dict().items():
        if tensor.ndim == 1:
            noise = torch.rand(tensor.shape, generator=stream)
            tensor.copy_(noise - 0.5 if name.endswith(("bias", "mean")) else noise + 0.5)
    return net.to(dtype)


def trained_net(
    images: Images, *, width: int = 3, steps: int = 80, seed: int = 0, dtype: torch.dtype = torch.float64
) -> nn.Sequential:
    """Train a tiny net with BatchNorm to a small loss, by torch's own Adam on the whole set."""
    net = conv_net(width)
    initialize(net, generator(seed, "start"))
    net = net.to(dtype)
    optimizer = torch.optim.Adam(net.parameters(), lr=0.05)
    for _ in range(steps):
        optimizer.zero_grad()
        cross_entropy(net(images.inputs(dtype=dtype)), images.labels).backward()
        optimizer.step()
    with torch.no_grad():
        for _ in range(80):
            net(images.inputs(dtype=dtype))
    return net


def flat_loss(net: nn.Module, images: Images, flat: Tensor) -> Tensor:
    """Mean cross-entropy at a flat parameter vector, the whole set in one pass, BatchNorm statistics frozen."""
    parameters, position = {}, 0
    for name, tensor in net.named_parameters():
        parameters[name] = flat[position : position + tensor.numel()].reshape(tensor.shape)
        position += tensor.numel()
    was_training = net.training
    net.eval()
    logits = functional_call(net, parameters, (images.inputs(dtype=flat.dtype),))
    net.train(was_training)
    return cross_entropy(logits, images.labels)


def flat_hessian(net: nn.Module, images: Images, flat: Tensor) -> Tensor:
    """Explicit Hessian of `flat_loss`."""
    return torch.func.hessian(lambda point: flat_loss(net, images, point))(flat.detach())


def flat_parameters(net: nn.Module) -> Tensor:
    return torch.cat([tensor.detach().reshape(-1) for tensor in net.parameters()])


def layout_of(net: nn.Module) -> ParameterLayout:
    return ParameterLayout.of(dict(net.named_parameters()))


def snapshot(net: nn.Module) -> dict[str, Any]:
    """Everything of a network that a measurement must leave alone."""
    tensors: Mapping[str, Tensor] = net.state_dict()
    return {
        "values": {name: tensor.clone() for name, tensor in tensors.items()},
        "places": {name: tensor.data_ptr() for name, tensor in tensors.items()},
        "modes": [module.training for module in net.modules()],
        "gradients": [(tensor.requires_grad, tensor.grad) for tensor in net.parameters()],
    }


class MemoryCheckpoint:
    """Keeps what is saved, and may end the run after a number of saves, as a power cut would."""

    class KilledError(Exception):
        """The end of the run."""

    def __init__(self, saves_left: float = math.inf) -> None:
        self.kept: tuple[dict[str, Tensor], str] | None = None
        self.saves_left = saves_left

    def load(self) -> tuple[dict[str, Tensor], str] | None:
        if self.kept is None:
            return None
        tensors, note = self.kept
        return {name: tensor.clone() for name, tensor in tensors.items()}, note

    def save(self, tensors: dict[str, Tensor], note: str) -> None:
        self.kept = {name: tensor.clone() for name, tensor in tensors.items()}, note
        self.saves_left -= 1
        if self.saves_left <= 0:
            raise self.KilledError
