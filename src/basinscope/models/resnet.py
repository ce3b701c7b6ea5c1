"""Residual networks for small images: the wide ResNet-18 and the slim pre-activation family."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import pad, relu

from basinscope.errors import InputError

CHANNELS, CLASSES = 3, 10
"""Of images and labels, unless told otherwise."""


def scaled_channels(channels: Sequence[int], width: float) -> tuple[int, ...]:
    """Multiply channel counts by `width` and round each to a whole number.

    Args:
        channels: Counts at width 1.
        width: Factor, above 0.

    Returns:
        The scaled counts, each at least 1.

    Raises:
        InputError: The width is not a positive number, or leaves a layer without a channel.

    Example:
        >>> scaled_channels((64, 128), 0.5)
        (32, 64)
    """
    if not (math.isfinite(width) and round(width * min(channels)) >= 1):
        raise InputError(f"width = {width:g} leaves a layer without channels: give at least {1 / min(channels):g}")
    return tuple(round(width * count) for count in channels)


def _conv3x3(inputs: int, outputs: int, stride: int = 1) -> nn.Conv2d:
    """Build a 3×3 convolution with padding 1 and no bias, which BatchNorm would make redundant."""
    return nn.Conv2d(inputs, outputs, kernel_size=3, stride=stride, padding=1, bias=False)


class _BasicBlock(nn.Module):
    """Two convolutions, each followed by BatchNorm; ReLU after the first and after the sum."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.norm1 = _conv3x3(inputs, outputs, stride), nn.BatchNorm2d(outputs)
        self.conv2, self.norm2 = _conv3x3(outputs, outputs), nn.BatchNorm2d(outputs)
        self.shortcut = nn.Sequential()
        if stride != 1 or inputs != outputs:
            projection = nn.Conv2d(inputs, outputs, kernel_size=1, stride=stride, bias=False)
            self.shortcut = nn.Sequential(projection, nn.BatchNorm2d(outputs))

    def forward(self, inputs: Float[Tensor, "samples _ _ _"]) -> Float[Tensor, "samples _ _ _"]:
        """Add the two layers' output to the shortcut's."""
        # No in-place ReLU anywhere: it breaks the jvp of a jvp.
        hidden = relu(self.norm1(self.conv1(inputs)))
        return relu(self.norm2(self.conv2(hidden)) + self.shortcut(inputs))


class CifarResNet18(nn.Module):
    """ResNet-18 for small images: a 3×3 stem without pooling, then stages of 64, 128, 256 and 512 channels.

    Each stage has two basic blocks; every stage but the first halves the image, with a projection and BatchNorm on
    that block's shortcut. Global average pooling and one linear layer follow.

    Args:
        num_classes: Number of logits per sample.
        in_channels: Channels of an image.
        width: Factor on every channel count.

    Raises:
        InputError: The width leaves a layer without a channel.

    References:
        He, Zhang, Ren and Sun 2016, arXiv 1512.03385, table 1, with the stem usual on 32×32 images.

    Example:
        >>> sum(parameter.numel() for parameter in CifarResNet18().parameters())
        11173962
    """

    def __init__(self, num_classes: int = CLASSES, in_channels: int = CHANNELS, width: float = 1.0) -> None:
        super().__init__()
        channels = scaled_channels((64, 64, 128, 256, 512), width)
        self.stem, self.norm = _conv3x3(in_channels, channels[0]), nn.BatchNorm2d(channels[0])
        blocks: list[nn.Module] = []
        for stage, (inputs, outputs) in enumerate(pairwise(channels)):
            blocks += [_BasicBlock(inputs, outputs, 1 if stage == 0 else 2), _BasicBlock(outputs, outputs, 1)]
        self.blocks = nn.Sequential(*blocks)
        self.head = nn.Linear(channels[-1], num_classes)

    def forward(self, images: Float[Tensor, "samples channels height width"]) -> Float[Tensor, "samples classes"]:
        """Compute the logits of each image."""
        return self.head(self.blocks(relu(self.norm(self.stem(images)))).mean((2, 3)))


class _PreActBlock(nn.Module):
    """BatchNorm, ReLU and convolution, twice; the shortcut has no parameters."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.norm1, self.conv1 = nn.BatchNorm2d(inputs), _conv3x3(inputs, outputs, stride)
        self.norm2, self.conv2 = nn.BatchNorm2d(outputs), _conv3x3(outputs, outputs)
        self.stride, self.added = stride, outputs - inputs

    def forward(self, inputs: Float[Tensor, "samples _ _ _"]) -> Float[Tensor, "samples _ _ _"]:
        """Add the two layers' output to the input, subsampled and padded with zero channels."""
        hidden = self.conv1(relu(self.norm1(inputs)))
        hidden = self.conv2(relu(self.norm2(hidden)))
        # Every other pixel: the same size as the strided convolution's output, also for odd sizes.
        subsampled = inputs[:, :, :: self.stride, :: self.stride]
        before = self.added // 2
        return hidden + pad(subsampled, (0, 0, 0, 0, before, self.added - before))


class PreActResNet(nn.Module):
    """The pre-activation residual network of small images: stages of 16, 32 and 64 channels, depth 6n + 2.

    Convolutions have no bias, the stem no BatchNorm, shortcuts no parameters (every other pixel, zero channels); a last
    BatchNorm and ReLU precede global average pooling and the linear layer.

    Args:
        depth: Weighted layers: 8, 14, 20, and so on.
        num_classes: Number of logits per sample.
        in_channels: Channels of an image.
        width: Factor on every channel count.

    Raises:
        InputError: The depth is not 6n + 2, or the width leaves a layer without a channel.

    References:
        He, Zhang, Ren and Sun 2016, arXiv 1603.05027 (the blocks); arXiv 1512.03385, section 4.2 (stages, shortcuts).

    Example:
        >>> sum(parameter.numel() for parameter in PreActResNet(20).parameters())
        269722
    """

    def __init__(
        self, depth: int = 20, num_classes: int = CLASSES, in_channels: int = CHANNELS, width: float = 1.0
    ) -> None:
        super().__init__()
        if depth < 8 or depth % 6 != 2:
            raise InputError(f"depth = {depth}: a pre-activation ResNet has 6n + 2 layers, for example 8, 14 or 20")
        channels = scaled_channels((16, 16, 32, 64), width)
        self.stem = _conv3x3(in_channels, channels[0])
        blocks: list[nn.Module] = []
        for stage, (inputs, outputs) in enumerate(pairwise(channels)):
            blocks.append(_PreActBlock(inputs, outputs, 1 if stage == 0 else 2))
            blocks += [_PreActBlock(outputs, outputs, 1) for _ in range((depth - 2) // 6 - 1)]
        self.blocks = nn.Sequential(*blocks)
        self.norm = nn.BatchNorm2d(channels[-1])
        self.head = nn.Linear(channels[-1], num_classes)

    def forward(self, images: Float[Tensor, "samples channels height width"]) -> Float[Tensor, "samples classes"]:
        """Compute the logits of each image."""
        return self.head(relu(self.norm(self.blocks(self.stem(images)))).mean((2, 3)))
