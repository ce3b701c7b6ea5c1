import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.functional import cross_entropy

from basinscope.errors import InputError
from basinscope.landscape.module.objective import Objective
from basinscope.probes.radius import basin_radius
from basinscope.probes.search.bracket import NONFINITE, OK, OUTERMOST, UNBOUNDED
from basinscope.results.convert import check
from tests.problems import around, at, bowl, radial, small_batches, small_net

TOLERANCE = 0.01
CURVATURES = torch.logspace(0, 2, 5)


def _measure(objective: Objective, **given_):
    return basin_radius(objective, **{"num_directions": 5, "progress": False} | given_)


def _flat(objective: Objective, index: int, seed: int = 0) -> torch.Tensor:
    """One direction as a vector."""
    line = objective.direction(seed, index)
    return torch.cat([line.block(place).reshape(-1) for place in range(len(objective.filters))])


@settings(max_examples=5)
@given(rise=st.floats(1e-4, 5), curvature=st.floats(0.5, 50), size=st.integers(1, 6))
def test_every_radius_of_a_round_bowl_is_the_root_of_twice_the_rise_over_the_curvature(rise, curvature, size):
    found = _measure(bowl([curvature] * size), rise=rise, num_directions=2)
    assert (found["status"] == OK).all()
    np.testing.assert_allclose(found["radius"], math.sqrt(2 * rise / curvature), rtol=TOLERANCE)


def test_radii_of_an_ellipsoid_are_those_of_the_closed_form():
    objective = bowl(CURVATURES)
    found = _measure(objective, rise=0.1, num_directions=20, tolerance=1e-3)
    wanted = [math.sqrt(0.2 / float(_flat(objective, k).square() @ CURVATURES.double())) for k in range(20)]
    np.testing.assert_allclose(found["radius"], wanted, rtol=1e-3)


@pytest.mark.parametrize("tolerance", [0.1, 1e-4])
def test_every_bracket_is_closed_and_true_when_both_ends_are_evaluated_again(tolerance):
    objective = around(small_net())
    found = _measure(objective, rise=0.2, num_directions=15, tolerance=tolerance)
    cutoff = float(found["cutoff"])
    assert cutoff == pytest.approx(objective.center_loss + 0.2)
    ok = found["status"].values == OK
    assert ok.sum() > 10
    for k in np.flatnonzero(ok):
        lower, upper, radius = (float(found[name][k]) for name in ("lower", "upper", "radius"))
        line = objective.direction(0, int(k))
        assert objective.loss_at((line, lower)) <= cutoff < objective.loss_at((line, upper))
        assert lower <= radius <= upper <= lower * (1 + tolerance * (1 + 1e-9))


def test_radii_of_a_net_are_first_crossings_by_a_fine_scan():
    objective = around(small_net(1))
    found = _measure(objective, rise=0.3, num_directions=5)
    for k in np.flatnonzero(found["status"].values == OK):
        line = objective.direction(0, int(k))
        scan = np.arange(0.05, 1.0, 0.05) * float(found["lower"][k])
        assert all(objective.loss_at((line, float(c))) <= float(found["cutoff"]) for c in scan)


@settings(max_examples=5)
@given(factor=st.floats(0.1, 10), power=st.sampled_from([1.0, 2.0, 4.0]))
def test_radii_shrink_as_the_landscape_is_squeezed(factor, power):
    plain, squeezed = (_measure(radial(lambda r, k=k: (k * r) ** power), num_directions=2) for k in (1.0, factor))
    np.testing.assert_allclose(squeezed["radius"] * factor, plain["radius"], rtol=2 * TOLERANCE)


@settings(max_examples=5)
@given(low=st.floats(0.02, 1), ratio=st.floats(1.1, 5))
def test_radii_grow_with_the_cutoff(low, ratio):
    objective = bowl(CURVATURES)
    small, large = (_measure(objective, cutoff=cutoff, num_directions=3) for cutoff in (low, low * ratio))
    assert (large["radius"] > small["radius"] * (1 - TOLERANCE)).all()
    np.testing.assert_allclose(large["radius"] / small["radius"], math.sqrt(ratio), rtol=2 * TOLERANCE)


def test_without_a_height_the_basin_is_bounded_a_tenth_above_the_network_itself():
    found = _measure(bowl([2.0] * 3, floor=0.7))
    assert (float(found["center_loss"]), float(found["cutoff"])) == pytest.approx((0.7, 0.8))
    np.testing.assert_allclose(found["radius"], math.sqrt(0.1), rtol=TOLERANCE)


@pytest.mark.parametrize("floor", [-50.0, -0.05, 3.0])
def test_only_the_rise_counts_whether_losses_are_negative_or_not(floor):
    by_rise = _measure(bowl(CURVATURES, floor=floor), rise=0.4, num_directions=3)
    by_cutoff = _measure(bowl(CURVATURES, floor=floor), cutoff=floor + 0.4, num_directions=3)
    plain = _measure(bowl(CURVATURES), rise=0.4, num_directions=3)
    for found in (by_rise, by_cutoff):
        np.testing.assert_allclose(found["radius"], plain["radius"], rtol=TOLERANCE)


def test_a_landscape_that_is_flat_is_unbounded():
    found = _measure(radial(torch.zeros_like), num_directions=2)
    assert (found["status"] == UNBOUNDED).all()
    assert (found["radius"] == OUTERMOST).all()
    assert (found["lower"] >= OUTERMOST * (1 - 1e-9)).all()
    assert np.isinf(found["upper"]).all()


def test_one_flat_ray_does_not_spoil_the_others():
    objective = bowl([1.0, 1.0, 1.0])
    flat = _flat(objective, 2)

    def loss(w: torch.Tensor) -> torch.Tensor:
        along = (w @ flat) / w.detach().norm().clamp_min(1e-300)
        return torch.where(along > 0.999, 0.0, 0.5 * w.square().sum())

    found = _measure(at(torch.zeros(3), loss), rise=0.1)
    assert found["status"].values.tolist() == [OK, OK, UNBOUNDED, OK, OK]
    np.testing.assert_allclose(found["radius"][[0, 1, 3, 4]], math.sqrt(0.2), rtol=TOLERANCE)


def test_nan_before_the_crossing_is_no_crossing():
    found = _measure(radial(lambda r: torch.where(r > 0.05, math.nan, r)), rise=0.1, num_directions=3)
    assert (found["status"] == NONFINITE).all()
    assert np.isnan(found["radius"]).all()


def test_nan_everywhere_but_at_the_network_ends_the_search():
    found = _measure(radial(lambda r: torch.where(r > 0, math.nan, 0.0)), rise=0.1, num_directions=2)
    assert (found["status"] == NONFINITE).all()
    assert (found["num_evaluations"] < 60).all()


def test_one_ray_of_nan_does_not_spoil_the_others():
    broken = _flat(bowl([1.0, 1.0, 1.0]), 0)

    def loss(w: torch.Tensor) -> torch.Tensor:
        along = (w @ broken) / w.detach().norm().clamp_min(1e-300)
        return torch.where((along > 0.999) & (w.norm() > 0), math.nan, 0.5 * w.square().sum())

    found = _measure(at(torch.zeros(3), loss), rise=0.1)
    assert found["status"].values.tolist() == [NONFINITE, OK, OK, OK, OK]
    np.testing.assert_allclose(found["radius"][1:], math.sqrt(0.2), rtol=TOLERANCE)


def test_nan_beyond_the_crossing_does_no_harm():
    found = _measure(radial(lambda r: torch.where(r > 2.0, math.nan, r.square())), rise=0.1)
    np.testing.assert_allclose(found["radius"], math.sqrt(0.1), rtol=TOLERANCE)


@pytest.mark.parametrize("edge", [3e-4, 0.7, 6.0])
def test_a_cliff_to_infinity_is_a_crossing(edge):
    found = _measure(radial(lambda r: torch.where(r > edge, math.inf, 0.0)), rise=0.1, num_directions=3)
    assert (found["status"] == OK).all()
    np.testing.assert_allclose(found["radius"], edge, rtol=TOLERANCE)


def _hump(first: float, second: float, third: float):
    """Above the cutoff between the first and the second distance, and again from the third."""
    return lambda r: torch.where(((r > first) & (r < second)) | (r > third), 0.2, 0.0)


@pytest.mark.parametrize("first", [0.05, 0.3, 2.0])
def test_the_first_of_two_crossings_is_found_where_the_hump_is_wider_than_a_stride(first):
    found = _measure(radial(_hump(first, 2 * first, 4 * first)), rise=0.1, num_directions=3)
    np.testing.assert_allclose(found["radius"], first, rtol=TOLERANCE)


def test_earlier_crossings_that_were_stepped_over_are_counted_on_the_scanned_rays():
    # Narrower than a stride, wider than the distance of two points of the scan.
    found = _measure(radial(_hump(0.2, 0.24, 0.6), points_at_once=1), rise=0.1, num_directions=6, num_scanned=4)
    missed = int((found["radius"].values > 0.5).sum())
    assert missed > 0
    assert int(found["num_scanned"]) == 4
    assert int(found["num_earlier"]) == int((found["radius"].values[:4] > 0.5).sum())
    # One that lies nearer than where rays begin is seen by the scan alone.
    near = _measure(radial(_hump(0.010, 0.016, 0.06), points_at_once=1), rise=0.1, num_directions=2, num_scanned=2)
    np.testing.assert_allclose(near["radius"], 0.06, rtol=TOLERANCE)
    assert int(near["num_earlier"]) == 2
    none = _measure(bowl(CURVATURES), num_directions=3, num_scanned=10)
    assert (int(none["num_scanned"]), int(none["num_earlier"])) == (3, 0)


def test_a_dip_before_the_crossing_is_walked_through():
    found = _measure(radial(lambda r: 0.5 - 0.4 * (r / 0.1).clamp(max=1) + (r - 0.1).clamp(min=0) ** 2), rise=0.1)
    np.testing.assert_allclose(found["radius"], 0.1 + math.sqrt(0.5), rtol=TOLERANCE)


def test_chosen_members_have_the_radii_that_they_have_among_all():
    whole = _measure(bowl(CURVATURES), num_directions=12)
    chosen = [11, 3, 7]
    part = _measure(bowl(CURVATURES), indices=chosen)
    assert part["ray"].values.tolist() == chosen
    np.testing.assert_allclose(part["radius"], whole["radius"].sel(ray=chosen), rtol=TOLERANCE)
    other = _measure(bowl(CURVATURES), indices=chosen, seed=1)
    assert not np.allclose(part["radius"], other["radius"], rtol=2 * TOLERANCE)


def _smooth_minimum() -> nn.Sequential:
    stream = torch.Generator().manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 8).double(), nn.Tanh(), nn.Linear(8, 3).double()).eval()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=stream))
    optimizer = torch.optim.Adam(net.parameters(), lr=0.1)
    inputs, labels = (torch.cat(parts) for parts in zip(*small_batches(), strict=True))
    for _ in range(100):
        optimizer.zero_grad()
        cross_entropy(net(inputs), labels).backward()
        optimizer.step()
    return net


def test_a_ray_of_a_smooth_net_takes_at_most_five_evaluations():
    objective = around(_smooth_minimum(), points_at_once=1)
    objective.check()
    before = objective.num_evaluations
    found = _measure(objective, num_directions=20)
    assert (found["status"] == OK).sum() > 15
    assert float(found["num_evaluations"].mean()) <= 5
    # What is told is what was spent; looks at the first batch alone are shares of an evaluation.
    passes = objective.num_evaluations - before
    assert passes <= float(found["num_evaluations"].sum()) < passes + 10


def test_the_result_says_its_units_and_the_model_stays_as_found():
    net = small_net()
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    found = _measure(around(net), num_directions=2)
    assert check(found) is found
    assert {found[name].attrs["units"] for name in ("radius", "lower", "upper")} == {"filter norms"}
    assert {found[name].attrs["units"] for name in ("cutoff", "center_loss")} == {"nat"}
    assert _measure(bowl([1.0]), num_directions=1)["radius"].attrs["units"] == "Euclidean length"
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())


def test_progress_tells_of_every_ray():
    shares: list[float] = []
    _measure(bowl(CURVATURES, points_at_once=1), num_directions=4, progress=shares.append)
    assert shares == [0.25, 0.5, 0.75, 1.0]


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ({"rise": 0.1, "cutoff": 0.2}, "give rise or cutoff, not both"),
        ({"cutoff": 0.5}, "the network's loss is 0.5, not below cutoff = 0.5"),
        ({"cutoff": -1.0}, "not below cutoff = -1"),
        ({"rise": 0.0}, "rise = 0.0"),
        ({"rise": -0.1}, "rise = -0.1"),
        ({"rise": math.nan}, "rise = nan"),
        ({"rise": math.inf}, "rise = inf"),
        ({"cutoff": math.nan}, "cutoff = nan"),
        ({"tolerance": 0.0}, "tolerance = 0.0"),
        ({"tolerance": 0.6}, "tolerance = 0.6"),
        ({"num_directions": 0}, "no directions"),
        ({"indices": []}, "no directions"),
        ({"num_scanned": -3}, "num_scanned = -3"),
    ],
)
def test_a_setting_out_of_range_is_refused_in_one_line(setting, says):
    with pytest.raises(InputError, match=says) as caught:
        _measure(bowl(CURVATURES, floor=0.5), **setting)
    assert "\n" not in str(caught.value)
