"""VGG-13 with BatchNorm, for small images."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import max_pool2d, relu

from basinscope.models.resnet import CHANNELS, CLASSES, scaled_channels

_CHANNELS = (64, 64, 128, 128, 256, 256, 512, 512, 512, 512)
"""Outputs of each convolution at width 1; the image is halved after every second one."""


class VGG13(nn.Module):
    """Ten 3×3 convolutions with BatchNorm and ReLU in five pairs, a 2×2 max-pooling after each, one linear layer.

    Poolings that would leave no pixel are skipped, so that images below 32×32 work; remaining pixels are averaged.
    Convolutions have no bias, which the BatchNorm after them would cancel.

    Args:
        num_classes: Number of logits per sample.
        in_channels: Channels of an image.
        width: Factor on every channel count.

    Raises:
        InputError: The width leaves a layer without a channel.

    References:
        Simonyan and Zisserman 2015, arXiv 1409.1556, configuration B, with one linear layer in place of three.

    Example:
        >>> sum(parameter.numel() for parameter in VGG13().parameters())
        9413066
    """

    def __init__(self, num_classes: int = CLASSES, in_channels: int = CHANNELS, width: float = 1.0) -> None:
        super().__init__()
        outputs = scaled_channels(_CHANNELS, width)
        inputs = (in_channels, *outputs[:-1])
        self.convs = nn.ModuleList(
            nn.Conv2d(fan_in, fan_out, kernel_size=3, padding=1, bias=False)
            for fan_in, fan_out in zip(inputs, outputs, strict=True)
        )
        self.norms = nn.ModuleList(nn.BatchNorm2d(count) for count in outputs)
        self.head = nn.Linear(outputs[-1], num_classes)

    def forward(self, images: Float[Tensor, "samples channels height width"]) -> Float[Tensor, "samples classes"]:
        """Compute the logits of each image."""
        hidden = images
        for layer, (conv, norm) in enumerate(zip(self.convs, self.norms, strict=True)):
            hidden = relu(norm(conv(hidden)))
            if layer % 2 == 1 and min(hidden.shape[-2:]) > 1:
                hidden = max_pool2d(hidden, 2)
        return self.head(hidden.mean((2, 3)))
