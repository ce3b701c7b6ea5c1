import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from basinscope.errors import InputError
from basinscope.landscape.gaussian import gaussian
from basinscope.landscape.normalize import Normalization
from basinscope.landscape.stacked import CleanLoss
from basinscope.probes.radius import BELOW, INNERMOST, NONFINITE, OK, OUTERMOST, STRIDE, UNBOUNDED, basin_radius
from basinscope.results.convert import check
from tests import quadratics
from tests.quadratics import bowl, ellipsoid, ellipsoid_radius, landscape, origin, radial, sphere, unit_directions
from tests.reference import scan_radius, small_problem

TOLERANCE = 1e-3
CURVATURES = torch.logspace(0, 3, 6, dtype=torch.float64)


def _measure(loss, size, *, center=None, num=20, seed=0, cutoff=0.1, **settings):
    center = origin(size) if center is None else center
    settings = {"indices": range(num), "tolerance": TOLERANCE, "progress": False} | settings
    return basin_radius(loss.around(center, sphere(size)), seed=seed, cutoff=cutoff, **settings)


def _measure_net(loss, center, normalization, **settings):
    around = loss.around(center, normalization)
    return basin_radius(around, tolerance=TOLERANCE, progress=False, **settings)


def _small_net(seed=0):
    net, train, center = small_problem((2, 6, 5, 1), seed=seed)
    normalization = Normalization(net.layout)
    rows = gaussian(seed, range(60), normalization.num_moved).double()
    return CleanLoss(net, train), center, normalization, normalization.directions(rows, center)


@given(cutoff=st.floats(1e-6, 50), size=st.integers(1, 8))
def test_every_radius_of_a_bowl_is_the_root_of_the_cutoff(cutoff, size):
    found = _measure(bowl(size), size, cutoff=cutoff, num=3)
    assert (found["status"] == OK).all()
    np.testing.assert_allclose(found["radius"], math.sqrt(cutoff), rtol=TOLERANCE)


@pytest.mark.parametrize("tolerance", [1e-2, 1e-3, 1e-5])
def test_radii_of_an_ellipsoid_are_those_of_the_closed_form(tolerance):
    found = _measure(ellipsoid(CURVATURES), 6, num=100, tolerance=tolerance)
    wanted = ellipsoid_radius(CURVATURES, unit_directions(6, seed=0, indices=range(100)), 0.1)
    np.testing.assert_allclose(found["radius"], wanted, rtol=tolerance)


def test_radii_of_a_box_are_those_of_the_closed_form():
    half_sides = torch.tensor([0.3, 1.0, 5.0], dtype=torch.float64)
    found = _measure(quadratics.box(half_sides), 3, num=50)
    wanted = quadratics.box_radius(half_sides, unit_directions(3, seed=0, indices=range(50)), 0.1)
    np.testing.assert_allclose(found["radius"], wanted, rtol=TOLERANCE)


@pytest.mark.parametrize("seed", range(3))
def test_every_bracket_is_closed_and_true_when_evaluated_again(seed):
    loss, center, normalization, directions = _small_net(seed)
    cutoff = float(loss.at(center[None])) + 0.3
    found = _measure_net(loss, center, normalization, seed=seed, indices=range(60), cutoff=cutoff)
    ok = found["status"].values == OK
    assert ok.sum() > 50
    lower, upper, radius = (torch.from_numpy(found[name].values[ok]) for name in ("lower", "upper", "radius"))
    rays = directions[torch.from_numpy(ok)]
    assert (loss.at(center + lower[:, None] * rays) <= cutoff).all()
    assert (loss.at(center + upper[:, None] * rays) > cutoff).all()
    assert (upper / lower - 1 <= TOLERANCE * (1 + 1e-9)).all()
    assert ((lower <= radius) & (radius <= upper)).all()


@pytest.mark.parametrize("seed", range(3))
def test_radii_of_nets_are_first_crossings_by_a_fine_scan(seed):
    loss, center, normalization, directions = _small_net(seed)
    cutoff = float(loss.at(center[None])) + 0.3
    found = _measure_net(loss, center, normalization, seed=seed, indices=range(60), cutoff=cutoff)
    scanned = np.array([scan_radius(loss, center, direction, cutoff) for direction in directions])
    radius = np.where(found["status"] == UNBOUNDED, math.inf, found["radius"])
    same = np.isclose(radius, scanned, rtol=0.021)
    assert same.mean() >= 0.95
    assert (scanned[~same] < radius[~same]).all()


def _hump(first, second, third):
    """A line that exceeds 0.1 between `first` and `second` and again from `third`."""

    def profile(distance):
        above = ((distance > first) & (distance < second)) | (distance > third)
        return torch.where(above, 0.2, 0.05) * (distance > 0)

    return profile


@pytest.mark.parametrize("first", [2e-4, 0.01, 0.3, 1.0])
@pytest.mark.parametrize("wider", [1.05, 2.0])
def test_the_first_of_two_crossings_is_found_where_the_hump_is_wider_than_a_stride(first, wider):
    second = first * STRIDE * wider
    found = _measure(radial(_hump(first, second, second * 2)), 3, num=5)
    np.testing.assert_allclose(found["radius"], first, rtol=TOLERANCE)


def test_a_hump_that_was_stepped_over_is_counted_among_the_scanned_rays():
    found = _measure(radial(_hump(0.2, 0.206, 0.5)), 3, num=10, num_scanned=4)
    np.testing.assert_allclose(found["radius"], 0.5, rtol=TOLERANCE)
    assert int(found["num_scanned"]) == 4
    assert int(found["num_earlier"]) == 4


def test_a_smooth_bowl_has_no_earlier_crossings():
    found = _measure(bowl(3), 3, num=10, num_scanned=50)
    assert int(found["num_scanned"]) == 10
    assert int(found["num_earlier"]) == 0


def test_a_dip_before_the_crossing_is_walked_through():
    loss = radial(lambda r: 0.05 - 0.04 * (r / 0.1).clamp(max=1) + (r - 0.1).clamp(min=0) ** 2)
    found = _measure(loss, 3, num=5)
    np.testing.assert_allclose(found["radius"], 0.1 + 0.3, rtol=TOLERANCE)


def _some_rays(special, value, *, size=3):
    """A bowl that has `value` on the rays for which `special` holds."""

    def loss(points):
        length = points.norm(dim=1)
        hit = special(points / length.clamp_min(1e-300)[:, None]) & (length > 0)
        return torch.where(hit, value, length.square())

    return landscape(loss, size)


@pytest.mark.parametrize("share", [0.0, 0.8])
def test_a_flat_ray_is_unbounded_and_does_not_fail_the_others(share):
    directions = unit_directions(3, seed=0, indices=range(40))
    flat = (directions[:, 0] > share).numpy()
    found = _measure(_some_rays(lambda d: d[:, 0] > share, 0.0), 3, num=40)
    assert flat.any()
    np.testing.assert_array_equal(found["status"], np.where(flat, UNBOUNDED, OK))
    np.testing.assert_allclose(found["radius"], np.where(flat, OUTERMOST, math.sqrt(0.1)), rtol=TOLERANCE)


def test_a_landscape_that_is_flat_everywhere_is_unbounded_everywhere():
    found = _measure(radial(torch.zeros_like), 3)
    assert (found["status"] == UNBOUNDED).all()
    assert (found["radius"] == OUTERMOST).all()


@pytest.mark.parametrize("share", [-0.5, 0.5])
def test_a_nan_ray_is_nonfinite_and_has_no_radius_while_others_do(share):
    directions = unit_directions(3, seed=0, indices=range(40))
    lost = (directions[:, 0] > share).numpy()
    found = _measure(_some_rays(lambda d: d[:, 0] > share, math.nan), 3, num=40)
    assert lost.any()
    np.testing.assert_array_equal(found["status"], np.where(lost, NONFINITE, OK))
    np.testing.assert_array_equal(found["radius"].isnull(), lost)
    np.testing.assert_allclose(found["radius"][~lost], math.sqrt(0.1), rtol=TOLERANCE)


def test_a_ray_that_is_nan_beyond_its_crossing_does_not_fail_the_others():
    def loss(points):
        length = points.norm(dim=1)
        crossing = 0.3 + 0.2 * points[:, 0].abs() / length.clamp_min(1e-300)
        return torch.where(length > 1.1 * crossing, math.nan, 0.1 * (length / crossing) ** 2)

    found = _measure(landscape(loss, 3), 3, num=40)
    wanted = 0.3 + 0.2 * unit_directions(3, seed=0, indices=range(40))[:, 0].abs().numpy()
    ok = found["status"].values == OK
    assert ok.sum() > 10
    assert set(found["status"].values[~ok]) <= {NONFINITE}
    np.testing.assert_allclose(found["radius"][ok], wanted[ok], rtol=TOLERANCE)


def test_an_infinite_loss_lies_beyond_the_crossing():
    found = _measure(radial(lambda r: torch.where(r > 0.7, math.inf, 0.0)), 3, num=5)
    assert (found["status"] == OK).all()
    np.testing.assert_allclose(found["radius"], 0.7, rtol=TOLERANCE)


@pytest.mark.parametrize("center_loss", [0.2, math.nan, math.inf])
def test_a_center_that_is_not_below_the_cutoff_is_refused(center_loss):
    with pytest.raises(InputError, match=f"network's loss is {center_loss:.4g}, not below cutoff = 0.1"):
        _measure(radial(lambda r: r + center_loss), 3)


def test_the_cutoff_is_an_absolute_loss_and_the_center_s_stands_beside():
    found = _measure(radial(lambda r: 0.04 + r), 3, cutoff=0.1)
    assert float(found["center_loss"]) == pytest.approx(0.04)
    assert float(found["cutoff"]) == 0.1
    np.testing.assert_allclose(found["radius"], 0.06, rtol=TOLERANCE)


powers = st.sampled_from([0.5, 1.0, 2.0, 4.0, 8.0])


@given(power=powers, log_scale=st.floats(-2, 2))
def test_a_radius_scales_as_the_inverse_of_the_landscape(power, log_scale):
    scale = math.exp(log_scale)
    plain, scaled = (
        _measure(landscape(lambda p, k=k: (k * p).norm(dim=1) ** power, 3), 3, num=3) for k in (1.0, scale)
    )
    np.testing.assert_allclose(scaled["radius"] * scale, plain["radius"], rtol=2 * TOLERANCE)


@given(power=powers, low=st.floats(1e-2, 1.0), ratio=st.floats(1.0, 5.0))
def test_a_radius_grows_with_the_cutoff(power, low, ratio):
    loss = radial(lambda r: r**power)
    small, large = (_measure(loss, 3, num=3, cutoff=cutoff) for cutoff in (low, low * ratio))
    assert (large["radius"].values >= small["radius"].values * (1 - TOLERANCE)).all()
    np.testing.assert_allclose(large["radius"] / small["radius"], ratio ** (1 / power), rtol=2 * TOLERANCE)


def test_a_crossing_below_the_searched_range_is_none_but_a_bound():
    found = _measure(radial(lambda r: (r / 1e-6).square()), 3, num=3)
    assert (found["status"] == BELOW).all()
    assert (found["radius"] == INNERMOST).all()
    assert (found["upper"] == INNERMOST).all()
    assert (found["lower"] == 0).all()


@pytest.mark.parametrize("edge", [9.9, 10.1])
def test_the_search_ends_at_the_outermost_distance(edge):
    found = _measure(radial(lambda r: 1.0 * (r > edge)), 3, num=3)
    assert (found["status"] == (OK if edge < OUTERMOST else UNBOUNDED)).all()


def test_finished_rays_are_not_evaluated_again():
    spent = []
    for num in (10, 150):
        loss = ellipsoid(CURVATURES)
        found = _measure(loss, 6, num=num)
        spent.append(loss.num_evaluations - int(found["num_evaluations"].sum()))
        assert found["num_evaluations"].values.std() > 0
    # What is left, the centre and the pilot, does not depend on how many rays are measured.
    assert spent[0] == spent[1]


def test_a_hard_ray_costs_the_others_nothing():
    plain = _measure(bowl(3), 3, num=40)
    with_nan = _measure(_some_rays(lambda d: d[:, 0] > 0.9, math.nan), 3, num=40)
    ok = with_nan["status"].values == OK
    assert 0 < (~ok).sum() < len(ok)
    assert (with_nan["num_evaluations"].values[~ok] < 30).all()
    np.testing.assert_array_equal(with_nan["num_evaluations"][ok], plain["num_evaluations"][ok])


def test_a_ray_does_not_depend_on_which_others_are_measured():
    whole = _measure(ellipsoid(CURVATURES), 6, num=30)
    chosen = [29, 3, 17]
    part = _measure(ellipsoid(CURVATURES), 6, indices=chosen)
    np.testing.assert_array_equal(part["ray"], chosen)
    np.testing.assert_allclose(part["radius"], whole["radius"].sel(ray=chosen), rtol=TOLERANCE)


def test_more_rays_than_a_block_are_measured_in_order():
    found = _measure(ellipsoid(CURVATURES), 6, num=1100, tolerance=1e-2)
    wanted = ellipsoid_radius(CURVATURES, unit_directions(6, seed=0, indices=range(1100)), 0.1)
    np.testing.assert_allclose(found["radius"], wanted, rtol=1e-2)


def test_a_seed_names_a_family_of_directions():
    one, again, other = (_measure(ellipsoid(CURVATURES), 6, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one["radius"], again["radius"])
    assert not np.allclose(one["radius"], other["radius"])


def test_filter_norms_are_those_of_the_minimum():
    loss, center, normalization, directions = _small_net()
    cutoff = float(loss.at(center[None])) + 0.3
    found = _measure_net(loss, center, normalization, seed=0, indices=range(20), cutoff=cutoff)
    ray = int((found["status"].values == OK).argmax())
    assert scan_radius(loss, center, directions[ray], cutoff) == pytest.approx(float(found["radius"][ray]), rel=0.021)


def test_the_result_keeps_to_its_schema_and_the_center_stays_as_found():
    center = torch.full((3,), 0.1, dtype=torch.float64)
    found = _measure(bowl(3), 3, center=center)
    assert check(found) is found
    assert int(found["num_moved"]) == 3
    assert found.attrs["scheme"] == "sphere"
    assert center.tolist() == [0.1, 0.1, 0.1]
