import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from basinscope.errors import InputError
from basinscope.models.mlp import MLP
from basinscope.parameters import flatten
from basinscope.seeds import generator

SWISSROLL = MLP((2, 23, 16, 26, 32, 28, 31, 1))
widths = st.lists(st.integers(1, 6), min_size=2, max_size=5).map(tuple)


def _points(net, num):
    shape = (num, net.layout.num_parameters)
    return torch.randn(shape, generator=generator(0, "points"), dtype=torch.float64)


def test_the_paper_s_net_has_3614_parameters_of_which_3457_are_weights():
    assert SWISSROLL.layout.num_parameters == 3614
    assert sum(s.numel() for s in SWISSROLL.layout.shapes if len(s) == 2) == 3457


def test_the_layout_is_that_of_the_module():
    parameters = dict(SWISSROLL.as_module(SWISSROLL.initialize(generator(0, "start"))).named_parameters())
    assert tuple(parameters) == SWISSROLL.layout.names
    assert tuple(p.shape for p in parameters.values()) == SWISSROLL.layout.shapes


@given(widths, st.integers(1, 4))
def test_stacked_logits_are_those_of_each_module(widths, num):
    net = MLP(widths)
    points = _points(net, num)
    inputs = torch.randn(7, widths[0], generator=generator(0, "inputs"), dtype=torch.float64)
    stacked = net.logits(points, inputs[None])
    assert stacked.shape == (num, 7, widths[-1])
    for row, point in zip(stacked, points, strict=True):
        torch.testing.assert_close(row, net.as_module(point)(inputs), rtol=1e-12, atol=1e-12)


def test_each_point_may_have_inputs_of_its_own():
    net = MLP((2, 5, 3))
    points, inputs = _points(net, 4), torch.randn(4, 6, 2, dtype=torch.float64)
    stacked = net.logits(points, inputs)
    for k in range(4):
        torch.testing.assert_close(stacked[k], net.as_module(points[k])(inputs[k]), rtol=1e-12, atol=1e-12)


def test_evaluating_changes_neither_points_nor_inputs():
    net = MLP((2, 5, 3, 1))
    points, inputs = _points(net, 3), torch.randn(1, 6, 2, dtype=torch.float64)
    copies = points.clone(), inputs.clone()
    net.logits(points, inputs)
    assert torch.equal(points, copies[0])
    assert torch.equal(inputs, copies[1])


def test_the_module_holds_a_copy_of_the_parameters():
    point = _points(SWISSROLL, 1)[0]
    module = SWISSROLL.as_module(point)
    assert torch.equal(flatten(dict(module.named_parameters())), point)
    with torch.no_grad():
        module[0].weight.zero_()
    assert point[0] != 0


@pytest.mark.parametrize("glorot", ["uniform", "normal"])
def test_starting_weights_have_glorot_s_variance_and_biases_are_zero(glorot):
    net = MLP((60, 100, 40), glorot)
    for view in net.layout.views(net.initialize(generator(0, "start"))):
        if view.ndim == 1:
            assert not view.any()
            continue
        variance = 2 / sum(view.shape)
        assert view.var().item() == pytest.approx(variance, rel=0.1)
        assert abs(view.mean().item()) < 5 * (variance / view.numel()) ** 0.5
        widest = view.abs().max().item() / variance**0.5
        assert widest <= 3**0.5 * (1 + 1e-6) if glorot == "uniform" else widest > 3


def test_the_start_depends_on_the_generator_alone():
    one, again, other = (SWISSROLL.initialize(generator(0, "start", run)) for run in (0, 0, 1))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)


@pytest.mark.parametrize("widths", [(), (2,), (2, 0, 1)])
def test_a_net_needs_inputs_and_outputs(widths):
    with pytest.raises(InputError, match="widths"):
        MLP(widths)
