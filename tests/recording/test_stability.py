"""The stability limit, against the optimizer itself on a parabola."""

import math

import pytest
import torch
from torch import nn

from basinscope.errors import InputError
from basinscope.recording.stability import limit_of, plain_optimizer

SETTINGS = [
    {},
    {"weight_decay": 0.5},
    {"momentum": 0.9},
    {"momentum": 0.9, "weight_decay": 2.0},
    {"momentum": 0.8, "dampening": 0.3},
    {"momentum": 0.7, "nesterov": True},
    {"momentum": 0.7, "nesterov": True, "weight_decay": 1.0},
    {"dampening": 0.3},
]


def _size_after(curvature, steps=2500, **settings):
    """|w| after gradient descent on ½ λ w² from w = 1."""
    weight = nn.Parameter(torch.ones((), dtype=torch.float64))
    optimizer = torch.optim.SGD([weight], lr=0.1, **settings)
    for _ in range(steps):
        weight.grad = curvature * weight.detach()
        optimizer.step()
    return abs(float(weight.detach()))


def _limit(kind=torch.optim.SGD, **settings):
    return limit_of(kind([nn.Parameter(torch.zeros(2))], lr=0.1, **settings))


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_descent_converges_below_the_limit_and_diverges_above(settings):
    limit = _limit(**settings).threshold
    assert _size_after(0.99 * limit, **settings) < 1e-2
    assert _size_after(1.01 * limit, **settings) > 1e2


def test_formulas():
    assert _limit().formula == "2/η"
    assert _limit().threshold == pytest.approx(20.0)
    assert _limit(momentum=0.9).formula == "(2 + 2β)/η, β = 0.9"
    assert _limit(momentum=0.9).threshold == pytest.approx(38.0)
    assert _limit(momentum=0.9, nesterov=True, weight_decay=0.1).formula == (
        "(2 + 2β)/((1 + 2β)·η) − λ, β = 0.9, λ = 0.1"
    )


@pytest.mark.parametrize("kind", [torch.optim.Adam, torch.optim.AdamW, torch.optim.RMSprop])
def test_adaptive_optimizers_have_none(kind):
    found = _limit(kind)
    assert found.learning_rate == 0.1
    assert math.isnan(found.threshold)
    assert not found.formula
    assert kind.__name__ in found.note


def test_a_subclass_may_step_otherwise():
    class Mine(torch.optim.SGD):
        pass

    assert math.isnan(_limit(Mine).threshold)
    assert _limit(maximize=True).note == "no limit: the optimizer maximizes"


def test_of_several_groups_the_lowest_limit_and_the_largest_rate():
    groups = [{"params": [nn.Parameter(torch.zeros(2))], "lr": rate} for rate in (0.1, 0.5, 0.0)]
    found = limit_of(torch.optim.SGD(groups, lr=1.0))
    assert found.learning_rate == 0.5
    assert found.threshold == pytest.approx(4.0)
    assert "from 4 to inf" in found.note
    assert limit_of(torch.optim.SGD(groups[2:], lr=1.0)).threshold == math.inf


def test_wrapped_optimizers_are_read():
    inner = torch.optim.SGD([nn.Parameter(torch.zeros(2))], lr=0.1)

    class Wrapper:
        optimizer = inner

    assert plain_optimizer(Wrapper()) is inner
    with pytest.raises(InputError, match="optimizer is a float"):
        plain_optimizer(0.1)
