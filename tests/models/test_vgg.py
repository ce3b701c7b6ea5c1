from itertools import pairwise

import pytest
import torch

from basinscope.models.catalog import initialize, num_parameters
from basinscope.models.vgg import VGG13
from basinscope.seeds import generator


@pytest.mark.parametrize(("classes", "channels", "width"), [(10, 3, 1.0), (7, 1, 0.5)])
def test_the_number_of_parameters_has_a_closed_form(classes, channels, width):
    outputs = [int(width * count) for count in (64, 64, 128, 128, 256, 256, 512, 512, 512, 512)]
    convs = sum(9 * fan_in * fan_out for fan_in, fan_out in pairwise([channels, *outputs]))
    expected = convs + 2 * sum(outputs) + (outputs[-1] + 1) * classes
    assert num_parameters(VGG13(classes, channels, width)) == expected


def _layers_by_hand(net, images, pools):
    """Run the same layers as a plain sequence with the pools at given places."""
    hidden = images
    for layer, (conv, norm) in enumerate(zip(net.convs, net.norms, strict=True)):
        hidden = torch.nn.functional.batch_norm(
            torch.nn.functional.conv2d(hidden, conv.weight, padding=1),
            norm.running_mean, norm.running_var, norm.weight, norm.bias, eps=norm.eps,
        ).clamp(min=0)  # fmt: skip
        if layer in pools:
            hidden = hidden.unfold(2, 2, 2).unfold(3, 2, 2).amax((-1, -2))
    return hidden.flatten(1) @ net.head.weight.T + net.head.bias


@pytest.mark.parametrize(("size", "pools"), [(32, (1, 3, 5, 7, 9)), (16, (1, 3, 5, 7)), (4, (1, 3))])
def test_pools_that_would_leave_nothing_are_skipped(size, pools):
    net = VGG13(5, 2, 1 / 16)
    initialize(net, generator(0, "start"))
    net.double().eval()
    images = torch.randn(3, 2, size, size, generator=generator(0, "images"), dtype=torch.float64)
    torch.testing.assert_close(net(images), _layers_by_hand(net, images, pools), rtol=1e-10, atol=1e-12)


def test_what_larger_images_leave_is_averaged():
    net = VGG13(5, 2, 1 / 16)
    initialize(net, generator(0, "start"))
    assert net.eval()(torch.zeros(1, 2, 64, 64)).shape == (1, 5)
