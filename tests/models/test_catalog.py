import copy

import pytest
import torch
from torch import nn

from basinscope.errors import InputError
from basinscope.models.catalog import NETS, build, initialize, num_parameters
from basinscope.seeds import generator

EVERY = [*NETS, "polynomial"]


def _small(name):
    return build(name, width=1.0 if name == "polynomial" else 0.25, in_channels=2, size=8, num_classes=4, shrunk=4)


@pytest.mark.parametrize("name", EVERY)
def test_every_net_gives_one_logit_a_class(name):
    assert _small(name)(torch.zeros(3, 2, 8, 8)).shape == (3, 4)


@pytest.mark.parametrize("name", EVERY)
def test_a_start_depends_on_its_seed_alone(name):
    net = _small(name)
    used = copy.deepcopy(net)
    for tensor in used.state_dict().values():
        tensor.fill_(3)
    initialize(net, generator(0, "start"))
    initialize(used, generator(0, "start"))
    fresh, again = net.state_dict(), used.state_dict()
    assert all(torch.equal(fresh[key], again[key]) for key in fresh)
    initialize(used, generator(1, "start"))
    assert any(not torch.equal(fresh[key], tensor) for key, tensor in used.state_dict().items()) == (name in NETS)


def test_a_start_in_double_precision_is_the_same_start():
    net = _small("resnet8")
    double = copy.deepcopy(net).double()
    initialize(net, generator(0, "start"))
    initialize(double, generator(0, "start"))
    for one, other in zip(net.parameters(), double.parameters(), strict=True):
        assert torch.equal(one.double(), other)


def test_starting_weights_have_kaiming_s_variance():
    net = nn.Sequential(nn.Conv2d(32, 64, 3), nn.BatchNorm2d(64), nn.Linear(300, 200))
    initialize(net, generator(0, "start"))
    for layer, variance in ((net[0], 2 / (32 * 9)), (net[2], 1 / 300)):
        assert layer.weight.var().item() == pytest.approx(variance, rel=0.05)
        assert abs(layer.weight.mean().item()) < 4 * (variance / layer.weight.numel()) ** 0.5
        assert not layer.bias.any()


@pytest.mark.parametrize("name", EVERY)
def test_building_leaves_torch_s_global_stream_alone(name):
    before = torch.get_rng_state()
    _small(name)
    assert torch.equal(torch.get_rng_state(), before)


def test_the_linear_model_has_as_many_parameters_as_the_half_width_net():
    assert num_parameters(build("polynomial")) == pytest.approx(num_parameters(build("resnet18", width=0.5)), rel=0.1)


@pytest.mark.parametrize(
    ("name", "wrong", "says"),
    [
        ("resnet19", {}, "choose from resnet8, resnet14, resnet20, resnet18, vgg13, polynomial"),
        ("resnet20", {"width": 0.01}, "width"),
        ("polynomial", {"width": 0.5}, "width"),
        ("polynomial", {"size": 8}, "shrunk"),
        ("vgg13", {"in_channels": 0}, "in_channels"),
    ],
)
def test_what_cannot_be_built_is_refused_in_one_line(name, wrong, says):
    with pytest.raises(InputError, match=says) as caught:
        build(name, **wrong)
    assert "\n" not in str(caught.value)


def test_a_layer_whose_start_is_unknown_is_named():
    with pytest.raises(InputError, match=r"'1' is a LayerNorm"):
        initialize(nn.Sequential(nn.Linear(2, 2), nn.LayerNorm(2)), generator(0, "start"))
