"""Image networks by name, and their initialisation."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from typing import Protocol

import torch
from torch import Tensor, nn

from basinscope.errors import InputError, check_choice, kind_of
from basinscope.models.polynomial import SHRUNK, PolynomialLinear
from basinscope.models.resnet import CHANNELS, CLASSES, CifarResNet18, PreActResNet
from basinscope.models.vgg import VGG13


class Net(Protocol):
    """Builds a convolutional network of the catalog."""

    def __call__(self, *, num_classes: int, in_channels: int, width: float) -> nn.Module:
        """Build it for images of `in_channels`, with every channel count times `width`."""
        ...


NETS: Mapping[str, Net] = {
    "resnet8": partial(PreActResNet, 8),
    "resnet14": partial(PreActResNet, 14),
    "resnet20": partial(PreActResNet, 20),
    "resnet18": CifarResNet18,
    "vgg13": VGG13,
}
"""Convolutional networks by name; `build` also accepts "polynomial"."""


def build(
    name: str,
    *,
    width: float = 1.0,
    in_channels: int = CHANNELS,
    size: int = 32,
    num_classes: int = CLASSES,
    shrunk: int = SHRUNK,
) -> nn.Module:
    """Build the network `name`; `initialize` sets its initial weights.

    Args:
        name: One of `NETS`, or "polynomial".
        width: Factor on every channel count of a convolutional network.
        in_channels: Channels of an image.
        size: Height and width of an image, in pixels; convolutional networks take any.
        num_classes: Number of logits per sample.
        shrunk: Height and width of the image whose pixels "polynomial" multiplies; others ignore it.

    Returns:
        The network in training mode, on the CPU. Torch's global random stream is not advanced.

    Raises:
        InputError: There is no such network, or this width or size is invalid for it.

    Example:
        >>> num_parameters(build("resnet20"))
        269722
    """
    check_choice("net", name, (*NETS, "polynomial"))
    for what, count in (("in_channels", in_channels), ("size", size), ("num_classes", num_classes)):
        if count < 1:
            raise InputError(f"{what} = {count}: a network for images needs at least 1")
    if name == "polynomial":
        if width != 1:
            raise InputError(f"width = {width:g}: the polynomial has no width, leave it at 1 and set shrunk instead")
        return PolynomialLinear(num_classes, in_channels, size, shrunk)
    with torch.random.fork_rng(devices=[]):
        return NETS[name](num_classes=num_classes, in_channels=in_channels, width=width)


def num_parameters(module: nn.Module) -> int:
    """Count the entries of all parameters, without buffers."""
    return sum(parameter.numel() for parameter in module.parameters())


def _draw(weight: Tensor, gain: float, generator: torch.Generator) -> None:
    """Fill with normal random numbers of variance gain / fan_in, the same on every device and in every dtype."""
    std = math.sqrt(gain / weight[0].numel())
    weight.copy_(torch.randn(weight.shape, generator=generator, dtype=torch.float32).mul_(std))


@torch.no_grad()
def initialize(module: nn.Module, generator: torch.Generator) -> None:
    """Reset every parameter and buffer of a network in place; the outcome depends on the generator alone.

    Convolutions get normal weights of variance 2 / fan_in, linear layers of variance 1 / fan_in; biases are 0. A
    BatchNorm is reset to the identity, without statistics. The polynomial starts at 0.

    Args:
        module: Consists of Conv2d, Linear, BatchNorm2d, PolynomialLinear and layers without tensors, on any device.
        generator: A CPU stream, used layer by layer in the order of `module.modules()`.

    Raises:
        InputError: A layer of another kind has tensors.

    References:
        He, Zhang, Ren and Sun 2015, arXiv 1502.01852, equation 10 (convolutions).
    """
    for name, layer in module.named_modules():
        match layer:
            case nn.Conv2d() | nn.Linear():
                _draw(layer.weight, 2 if isinstance(layer, nn.Conv2d) else 1, generator)
                if layer.bias is not None:
                    layer.bias.zero_()
            case nn.BatchNorm2d():
                layer.reset_parameters()
            case PolynomialLinear():
                for parameter in layer.parameters():
                    parameter.zero_()
            case _ if [*layer.parameters(recurse=False), *layer.buffers(recurse=False)]:
                kind = kind_of(layer)
                raise InputError(
                    f"layer {name!r} is {kind}, which cannot be initialised: use Conv2d, Linear or BatchNorm2d"
                )
