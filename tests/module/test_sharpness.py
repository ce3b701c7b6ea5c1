import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from basinscope.errors import InputError
from basinscope.landscape.module.objective import Objective
from basinscope.probes.sharpness import sharpness
from basinscope.results.convert import check
from tests.problems import around, at, bowl, radial, rescaled, small_net

CURVATURES = torch.tensor([9.0, 4.0, 2.0, 1.0, 0.5, -1.0])


def _measure(objective: Objective, **given_):
    return sharpness(objective, **{"progress": False} | given_)


@pytest.mark.parametrize("rho", [1e-3, 0.05, 2.0])
@pytest.mark.parametrize("num_restarts", [1, 3])
def test_the_worst_rise_of_a_quadratic_is_half_its_largest_curvature_times_the_radius_squared(rho, num_restarts):
    found = _measure(bowl(CURVATURES), rho=rho, num_restarts=num_restarts)
    exact = rho**2 * 9 / 2
    assert float(found["worst"]) == pytest.approx(exact, rel=0.01)
    assert float(found["worst"]) <= exact * (1 + 1e-9)


def test_the_average_rise_of_a_quadratic_is_its_trace_within_the_error():
    exact = 0.05**2 * float(CURVATURES.sum()) / (2 * len(CURVATURES))
    off = []
    for seed in range(15):
        found = _measure(bowl(CURVATURES), rho=0.05, seed=seed, num_restarts=1, num_steps=1, num_random=20)
        off.append((float(found["average"]) - exact) / float(found["average_stderr"]))
    assert abs(np.mean(off)) < 4 / math.sqrt(len(off))
    assert 0.5 < np.std(off) < 1.7


@settings(max_examples=8)
@given(rho=st.floats(0.01, 1), slope=st.floats(0.1, 10))
def test_the_rise_of_a_linear_loss_is_its_slope_times_the_radius(rho, slope):
    found = _measure(at([1.0, -2.0], lambda w: slope * (w @ torch.tensor([0.6, 0.8]).double())), rho=rho, num_random=0)
    assert float(found["worst"]) == pytest.approx(rho * slope, rel=1e-6)
    assert np.isnan(found["average"])
    assert np.isnan(found["average_stderr"])


def test_the_adaptive_rise_of_a_linear_loss_has_room_in_proportion_to_each_weight():
    weights, slopes = torch.tensor([1.0, -2.0, 0.0]).double(), torch.tensor([0.5, 3.0, 100.0]).double()
    found = _measure(at(weights, lambda w: w @ slopes), rho=0.1, adaptive=True)
    # Entries of weight 0 have no room at all.
    assert float(found["worst"]) == pytest.approx(0.1 * float((weights * slopes).norm()), rel=1e-6)
    assert found["rho"].attrs["units"] == "multiples of the weights"


def test_only_the_adaptive_ball_does_not_change_when_a_layer_is_scaled_up_and_the_next_down():
    net = small_net()
    for adaptive, rho in ((True, 0.2), (False, 0.3)):
        one, other = (_measure(around(n), adaptive=adaptive, rho=rho) for n in (net, rescaled(net, 8.0)))
        for name in ("worst", "average"):
            assert math.isclose(float(one[name]), float(other[name]), rel_tol=1e-6) is adaptive


@pytest.mark.parametrize("adaptive", [False, True])
@pytest.mark.parametrize("seed", range(2))
def test_no_point_of_the_ball_rises_above_the_worst(adaptive, seed):
    objective = around(small_net(seed), seed)
    found = _measure(objective, adaptive=adaptive, rho=0.3, num_random=20)
    assert float(found["worst"]) == found["rise"].values.max()
    assert float(found["worst"]) > max(0, float(found["average"]))
    assert float(found["center_loss"]) == pytest.approx(objective.center_loss)


def test_at_a_maximum_nothing_rises():
    found = _measure(bowl([-1.0, -3.0]))
    assert float(found["worst"]) == 0
    assert float(found["average"]) < 0


def test_a_cliff_within_the_ball_is_infinite_and_one_beyond_is_not():
    def wall(w: torch.Tensor) -> torch.Tensor:
        return torch.where(w.norm() > 0.1, math.inf, w.square().sum())

    assert float(_measure(at([0.0, 0.0], wall), rho=0.2)["worst"]) == math.inf
    assert float(_measure(at([0.0, 0.0], wall), rho=0.09)["worst"]) == pytest.approx(0.09**2)


def test_nan_within_the_ball_is_not_passed_over():
    found = _measure(radial(lambda r: torch.where(r > 0.1, math.nan, r)), rho=0.2)
    assert np.isnan(found["worst"])
    assert np.isnan(found["average"])


def test_the_same_seed_gives_the_same_result_and_the_model_stays_as_found():
    net = small_net()
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    # Which way points are evaluated is tried anew by each objective.
    one, again, other = (_measure(around(net, points_at_once=1), seed=seed) for seed in (1, 1, 2))
    assert one.identical(again)
    assert float(one["average"]) != float(other["average"])
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())
    assert check(one) is one
    assert {one[name].attrs["units"] for name in ("rise", "worst", "average", "average_stderr")} == {"nat"}
    assert one["rho"].attrs["units"] == "Euclidean length"


def test_progress_grows_to_1():
    shares: list[float] = []
    _measure(bowl(CURVATURES), progress=shares.append)
    assert shares == sorted(shares)
    assert shares[-1] == pytest.approx(1)


@pytest.mark.parametrize(
    "setting",
    [
        {"rho": 0.0},
        {"rho": -1.0},
        {"rho": math.nan},
        {"rho": math.inf},
        {"num_restarts": 0},
        {"num_steps": 0},
        {"num_random": -1},
    ],
)
def test_a_setting_out_of_range_is_refused_in_one_line_that_names_it(setting):
    with pytest.raises(InputError, match=next(iter(setting))) as caught:
        _measure(bowl(CURVATURES), **setting)
    assert "\n" not in str(caught.value)
