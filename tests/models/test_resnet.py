import pytest
import torch
from torch.func import functional_call, jvp

from basinscope.errors import InputError
from basinscope.models.catalog import initialize, num_parameters
from basinscope.models.resnet import CifarResNet18, PreActResNet, scaled_channels
from basinscope.models.vgg import VGG13
from basinscope.seeds import generator


def _started(net):
    initialize(net, generator(0, "start"))
    return net.double().eval()


def _images(num, channels, size):
    return torch.randn(num, channels, size, size, generator=generator(0, "images"), dtype=torch.float64)


def test_the_nets_have_the_published_numbers_of_parameters():
    assert num_parameters(PreActResNet(20)) == 269_722
    assert num_parameters(CifarResNet18()) == 11_173_962
    assert num_parameters(CifarResNet18(width=0.5)) == pytest.approx(2.8e6, rel=0.01)


def test_the_slim_net_s_parameters_are_those_counted_by_kind():
    shapes = [parameter.shape for parameter in PreActResNet(20).parameters()]
    assert sum(shape.numel() for shape in shapes if len(shape) == 4) == 267_696
    assert sum(shape.numel() for shape in shapes if len(shape) == 2) == 640
    assert sum(shape.numel() for shape in shapes if len(shape) == 1) == 10 + 1_376


@pytest.mark.parametrize(("depth", "convs"), [(8, 7), (14, 13), (20, 19)])
def test_depth_counts_the_weighted_layers(depth, convs):
    shapes = [parameter.shape for parameter in PreActResNet(depth).parameters()]
    assert sum(len(shape) == 4 for shape in shapes) == convs
    assert sum(len(shape) == 2 for shape in shapes) == 1


@pytest.mark.parametrize("size", [8, 9, 32])
def test_images_of_any_size_and_channels_are_taken(size):
    for net in (PreActResNet(8, 4, 1, 0.25), CifarResNet18(4, 1, 1 / 16)):
        assert _started(net)(_images(2, 1, size)).shape == (2, 4)


def test_without_its_branches_the_slim_net_sees_every_fourth_pixel_of_the_stem():
    net = _started(PreActResNet(8, 3, 2, 0.25))
    with torch.no_grad():
        for block in net.blocks:
            block.conv2.weight.zero_()
        images = _images(2, 2, 9)
        kept = net.stem(images)[:, :, ::4, ::4]
        thin = net.head.weight[:, 6:10] @ kept.relu().mean((2, 3)).T / (1 + net.norm.eps) ** 0.5
    # 4 channels, 2 + 2 zeros around them at 8, 4 + 4 more at 16: they lie at 6…9.
    torch.testing.assert_close(net(images), thin.T, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("net", [PreActResNet(8, 3, 1, 0.25), CifarResNet18(3, 1, 1 / 16), VGG13(3, 1, 1 / 16)])
def test_the_jvp_of_a_jvp_is_the_second_difference_along_the_line(net):
    _started(net)
    weights, images = dict(net.named_parameters()), _images(3, 1, 8)
    stream = generator(0, "direction")
    move = {
        name: torch.randn(w.shape, generator=stream, dtype=w.dtype) * w.std(correction=0) for name, w in weights.items()
    }

    def at(point):
        return functional_call(net, point, (images,))

    def slope(point):
        return jvp(at, (point,), (move,))[1]

    second = jvp(slope, (weights,), (move,))[1].detach()
    step = 1e-5  # short enough that no ReLU changes sides
    near = [at({name: w + s * step * move[name] for name, w in weights.items()}).detach() for s in (-1, 0, 1)]
    torch.testing.assert_close(second, (near[0] - 2 * near[1] + near[2]) / step**2, rtol=1e-3, atol=1e-5)
    assert second.abs().max() > 1e-3


@pytest.mark.parametrize("depth", [2, 7, 18])
def test_other_depths_are_refused(depth):
    with pytest.raises(InputError, match="6n"):
        PreActResNet(depth)


def test_widths_scale_and_round():
    assert scaled_channels((16, 32, 64), 1.25) == (20, 40, 80)
    assert scaled_channels((16, 32), 1 / 16) == (1, 2)


@pytest.mark.parametrize("width", [0.0, 0.01, -1.0, float("nan"), float("inf")])
def test_a_width_that_leaves_no_channel_is_refused(width):
    with pytest.raises(InputError, match="width"):
        scaled_channels((16, 32), width)
