import math

import numpy as np
import pytest
import torch
from torch import nn

from basinscope.errors import InputError
from basinscope.plots.measured import plot
from basinscope.probes.connect import connect
from basinscope.probes.linear_path import linear_path
from basinscope.probes.slices import slice2d
from basinscope.results.convert import check
from tests.problems import Point, around, at, small_net, whole_loss


def _ring(angle: float):
    """A valley along a circle: L = (|θ| − 1)², with a hill of height 1 in the middle."""
    place = torch.tensor([math.cos(angle), math.sin(angle), 0.0])
    return at(place, lambda w: (w.norm() - 1).square())


def test_a_curve_goes_around_a_hill_that_the_straight_line_climbs():
    objective = _ring(0.0)
    other = Point(torch.tensor([math.cos(2.4), math.sin(2.4), 0.0])).state_dict()
    found = connect(objective, other, num_steps=200, resolution=41)
    assert check(found) is found
    # The chord's middle lies cos(1.2) from the origin.
    assert float(found["straight_barrier"]) == pytest.approx((1 - math.cos(1.2)) ** 2, rel=0.02)
    assert float(found["barrier"]) < 0.1 * float(found["straight_barrier"])
    assert float(found["distance"]) == pytest.approx(2 * math.sin(1.2))
    for variable in ("loss", "straight_loss"):
        np.testing.assert_allclose(found[variable][[0, -1]], 0, atol=1e-9)


def test_without_steps_the_curve_is_the_straight_line():
    objective = around(small_net(1))
    found = connect(objective, small_net(2), num_steps=0, resolution=9)
    np.testing.assert_allclose(found["loss"], found["straight_loss"], rtol=1e-9)
    assert float(found["straight_loss"][0]) == pytest.approx(objective.center_loss)


def test_both_ends_are_the_minima_and_fitting_lowers_the_mean_loss():
    objective, other = around(small_net(1)), small_net(1)
    with torch.no_grad():
        for parameter in (other[0].weight, other[2].weight, other[4].weight):
            parameter.neg_()
    before = [parameter.clone() for parameter in objective.model.parameters()]
    found = connect(objective, other, num_steps=60)
    assert float(found["loss"][0]) == pytest.approx(objective.center_loss)
    assert float(found["loss"][-1]) == pytest.approx(whole_loss(other))
    assert float(found["loss"].mean()) < float(found["straight_loss"].mean())
    assert all(torch.equal(a, b) for a, b in zip(before, objective.model.parameters(), strict=True))
    figure = plot(found)
    axes = figure.axes[0]
    assert axes.get_ylabel() == "loss [nat]"
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [
        "fitted curve",
        "straight line",
        "other minimum's own loss",
    ]
    assert axes.get_title().endswith("moved entries\nfitted curve to another minimum")


def _normed(seed: int, mean: float) -> nn.Module:
    """A net whose running mean differs from that of others."""
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Linear(3, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 3)).double().eval()
    net[1].running_mean.fill_(mean)
    return net


def test_where_running_statistics_differ_barriers_count_from_the_minimas_own_losses_and_it_is_said(caplog):
    objective, other = around(_normed(0, 0.0)), _normed(1, 4.0)
    own = around(other).center_loss
    found = connect(objective, other, num_steps=5, progress=False)
    assert float(found["other_loss"]) == pytest.approx(own, rel=1e-12)
    assert float(found["straight_loss"][-1]) == found["other_loss"]
    ends = objective.center_loss + found["place"].values * (own - objective.center_loss)
    assert float(found["straight_barrier"]) == pytest.approx(float((found["straight_loss"].values - ends).max()))
    assert f"other has a loss of {own:.4g}, but " in caplog.text
    assert "with renewed running statistics" in caplog.text
    caplog.clear()
    line = linear_path(objective, other, resolution=5, beyond=0, progress=False)
    assert line.attrs["other_loss"] == pytest.approx(own, rel=1e-12)
    assert "other has a loss of" in caplog.text
    caplog.clear()
    slice2d(objective, directions="between", points=[other, _normed(2, 0.0)], resolution=2, progress=False)
    assert "points[0] has a loss of" in caplog.text
    # All of it went through a copy.
    assert objective.loss_at() == objective.center_loss == pytest.approx(around(objective.model).center_loss)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"num_steps": -1}, "num_steps = -1: must be at least 0"),
        ({"resolution": 2}, "resolution = 2: must be at least 3"),
        ({"learning_rate": 0.0}, "learning_rate = 0.0: must be above 0"),
    ],
)
def test_settings_out_of_range(settings, says):
    with pytest.raises(InputError, match=says):
        connect(around(small_net(1)), small_net(2), **settings)


def test_the_same_minimum_is_refused():
    with pytest.raises(InputError, match="connect: the other minimum has the same weights"):
        connect(around(small_net(1)), small_net(1))
