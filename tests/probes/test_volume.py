import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from basinscope.errors import InputError
from basinscope.probes.radius import NONFINITE, OK, UNBOUNDED, basin_radius
from basinscope.probes.volume import log_unit_ball, log_volume
from basinscope.results.convert import check, dataset
from tests import reference
from tests.quadratics import (
    box,
    box_log_volume,
    box_radius,
    ellipsoid,
    ellipsoid_log_volume,
    ellipsoid_radius,
    origin,
    sphere,
    unit_directions,
)

CUTOFF = 0.1
ESTIMATE, LOWER_BOUND = 0, 1


def _radii(radius, n, status=None):
    radius = np.asarray(radius, dtype=float)
    num = len(radius)
    values = {name: np.zeros(num) for name in ("lower", "upper", "num_evaluations")}
    numbers = {"cutoff": CUTOFF, "center_loss": 0.0, "num_scanned": 0, "num_earlier": 0, "num_moved": n}
    status = np.zeros(num, np.int8) if status is None else np.asarray(status, np.int8)
    return dataset("radius", {"ray": np.arange(num), "radius": radius, "status": status} | values | numbers)


@pytest.mark.parametrize(("n", "volume"), [(1, 2), (2, math.pi), (3, 4 / 3 * math.pi), (4, math.pi**2 / 2)])
def test_the_unit_ball_has_its_known_volume(n, volume):
    assert log_unit_ball(n) == pytest.approx(math.log(volume), rel=1e-12)


@given(radius=st.floats(1e-3, 10), n=st.integers(1, 5000))
def test_constant_radii_give_the_volume_of_their_ball(radius, n):
    found = log_volume(_radii([radius] * 150, n))
    wanted = log_unit_ball(n) + n * math.log(radius)
    for name in ("log_volume", "log_volume_low", "log_volume_high"):
        assert float(found[name]) == pytest.approx(wanted, rel=1e-9, abs=1e-6)
    assert float(found["mean_n_log_r"]) == pytest.approx(n * math.log(radius), rel=1e-9, abs=1e-9)
    assert float(found["effective_rays"]) == pytest.approx(150)
    assert float(found["largest_share"]) == pytest.approx(1 / 150)
    assert int(found["status"]) == ESTIMATE


@given(st.lists(st.floats(0.1, 3), min_size=2, max_size=30), st.integers(1, 12))
def test_the_log_volume_is_its_plain_formula(radii, n):
    found = log_volume(_radii(radii, n))
    assert float(found["log_volume"]) == pytest.approx(reference.log_volume(np.array(radii), n), abs=1e-9)
    weights = np.array(radii) ** n
    assert float(found["effective_rays"]) == pytest.approx(weights.sum() ** 2 / (weights**2).sum())
    assert float(found["largest_share"]) == pytest.approx(weights.max() / weights.sum())
    logs = n * np.log(radii)
    assert float(found["mean_n_log_r"]) == pytest.approx(logs.mean(), abs=1e-9)
    assert float(found["mean_n_log_r_stderr"]) == pytest.approx(logs.std(ddof=1) / len(radii) ** 0.5, abs=1e-9)


def test_the_interval_is_that_of_the_delta_method():
    stream = np.random.default_rng(0)
    radii, n = stream.uniform(0.8, 1.2, 400), 5
    found = log_volume(_radii(radii, n))
    weights = radii**n
    half = 1.959964 * weights.std(ddof=1) / math.sqrt(400) / weights.mean()
    assert float(found["log_volume_high"] - found["log_volume"]) == pytest.approx(half, rel=1e-9)
    assert float(found["log_volume"] - found["log_volume_low"]) == pytest.approx(half, rel=1e-9)


@given(st.lists(st.floats(1e-4, 10), min_size=2, max_size=30), st.integers(1, 4000))
def test_the_mean_of_n_log_r_is_never_the_larger_one(radii, n):
    found = log_volume(_radii(radii, n))
    log_mean = float(found["log_volume"]) - log_unit_ball(n)
    assert float(found["mean_n_log_r"]) <= log_mean + 1e-9 * max(1, abs(log_mean))


@pytest.mark.parametrize(("n", "condition"), [(2, 10), (5, 10), (10, 1), (10, 10)])
def test_intervals_cover_the_volume_of_ellipsoids(n, condition):
    curvatures = torch.logspace(0, math.log10(condition), n, dtype=torch.float64)
    wanted = ellipsoid_log_volume(curvatures, CUTOFF)
    covered = []
    for seed in range(100):
        directions = unit_directions(n, seed=seed, indices=range(1000))
        found = log_volume(_radii(ellipsoid_radius(curvatures, directions, CUTOFF), n))
        if int(found["status"]) == LOWER_BOUND:
            continue
        slack = 1e-9  # a sphere's interval is a point
        covered.append(found["log_volume_low"] - slack <= wanted <= found["log_volume_high"] + slack)
    assert len(covered) >= 80
    assert np.mean(covered) >= 0.85


def test_intervals_are_not_so_wide_that_they_cover_anything():
    curvatures = torch.logspace(0, 1, 10, dtype=torch.float64)
    directions = unit_directions(10, seed=0, indices=range(1000))
    found = log_volume(_radii(ellipsoid_radius(curvatures, directions, CUTOFF), 10))
    assert 0.05 < float(found["log_volume_high"] - found["log_volume_low"]) < 0.6


def test_the_volume_of_a_box_is_within_a_few_intervals():
    half_sides = torch.tensor([0.5, 1.0, 1.5], dtype=torch.float64)
    radii = box_radius(half_sides, unit_directions(3, seed=0, indices=range(1000)), CUTOFF)
    found = log_volume(_radii(radii, 3))
    half = float(found["log_volume_high"] - found["log_volume"])
    assert abs(float(found["log_volume"]) - box_log_volume(half_sides, CUTOFF)) < 2 * half


@pytest.mark.parametrize("shape", ["ellipsoid", "box"])
def test_measured_radii_give_the_closed_form_volume(shape):
    sides = torch.tensor([1.0, 1.5, 2.0, 3.0], dtype=torch.float64)
    loss, closed = {"ellipsoid": (ellipsoid, ellipsoid_log_volume), "box": (box, box_log_volume)}[shape]
    radii = basin_radius(
        loss(sides).around(origin(4), sphere(4)),
        seed=0,
        indices=range(600),
        cutoff=CUTOFF,
        tolerance=1e-3,
        progress=False,
    )
    found = log_volume(radii)
    half = float(found["log_volume_high"] - found["log_volume"])
    assert abs(float(found["log_volume"]) - closed(sides, CUTOFF)) < 2 * half
    assert check(found) is found


def test_in_high_dimension_one_ray_decides_and_the_volume_is_called_a_bound():
    curvatures = torch.logspace(0, 1, 200, dtype=torch.float64)
    directions = unit_directions(200, seed=0, indices=range(1000))
    found = log_volume(_radii(ellipsoid_radius(curvatures, directions, CUTOFF), 200))
    assert int(found["status"]) == LOWER_BOUND
    assert found["log_volume_low"].isnull()
    assert found["log_volume_high"].isnull()
    assert float(found["effective_rays"]) < 100
    assert float(found["log_volume"]) < ellipsoid_log_volume(curvatures, CUTOFF)


def test_a_ray_that_never_crosses_counts_and_makes_a_bound():
    status = [OK] * 299 + [UNBOUNDED]
    found = log_volume(_radii([9.0] * 299 + [10.0], 2, status))
    assert int(found["num_rays"]) == 300
    assert int(found["num_unbounded"]) == 1
    assert float(found["effective_rays"]) > 100
    assert int(found["status"]) == LOWER_BOUND
    assert found["log_volume_high"].isnull()
    mean_square = (299 * 81 + 100) / 300
    assert float(found["log_volume"]) == pytest.approx(math.log(math.pi * mean_square))


def test_a_ray_without_a_radius_is_left_out_and_makes_a_bound():
    found = log_volume(_radii([2.0] * 299 + [math.nan], 2, [OK] * 299 + [NONFINITE]))
    assert float(found["log_volume"]) == pytest.approx(math.log(4 * math.pi))
    assert int(found["num_rays"]) == 299
    assert int(found["status"]) == LOWER_BOUND


@pytest.mark.parametrize("num", [99, 101])
def test_fewer_than_a_hundred_effective_rays_make_a_bound(num):
    assert int(log_volume(_radii([1.0] * num, 3))["status"]) == (LOWER_BOUND if num < 100 else ESTIMATE)


@pytest.mark.parametrize("usable", [0, 1])
def test_a_volume_needs_two_radii(usable):
    status = [OK] * usable + [NONFINITE] * (3 - usable)
    with pytest.raises(InputError, match=f"{usable} of 3 rays"):
        log_volume(_radii([1.0] * 3, 2, status))
