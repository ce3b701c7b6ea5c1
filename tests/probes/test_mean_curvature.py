import math

import numpy as np
import pytest
import torch

from basinscope.landscape.gaussian import gaussian
from basinscope.landscape.normalize import Normalization
from basinscope.landscape.rescale import with_last_layer_scaled
from basinscope.landscape.stacked import CleanLoss
from basinscope.landscape.streamed import StreamedLoss
from basinscope.probes import mean_curvature as module
from basinscope.probes.mean_curvature import curvature_along, mean_curvature, standard_error
from basinscope.probes.scaled_curvature import mean_curvatures
from basinscope.probes.sharpest_direction import sharpest_direction
from basinscope.results.convert import check
from tests.images import flat_hessian, image_set, random_net
from tests.quadratics import ellipsoid, origin, sphere, unit_directions
from tests.reference import hessian, small_problem

CURVATURES = torch.logspace(-1, 1, 6, dtype=torch.float64)


def _quadratic(num=500):
    around = ellipsoid(CURVATURES).around(origin(6), sphere(6))
    return mean_curvature(around, seed=0, indices=range(num), num_trace=200, progress=False)


def _net(widths=(2, 5, 4, 1), one_dim="fixed"):
    net, train, center = small_problem(widths)
    return CleanLoss(net, train), center, Normalization(net.layout, one_dim=one_dim), hessian(net, train, center)


def _within_four_errors(found, name, wanted):
    assert float(found[f"{name}_stderr"]) > 0
    return abs(float(found[name]) - wanted) < 4 * float(found[f"{name}_stderr"])


def test_curvature_along_the_directions_of_a_quadratic_is_exact():
    directions = unit_directions(6, seed=0, indices=range(500))
    np.testing.assert_allclose(_quadratic()["curvature"], directions.square() @ CURVATURES, rtol=1e-10)


def test_the_mean_curvature_of_a_quadratic_is_that_of_its_axes():
    found = _quadratic()
    assert _within_four_errors(found, "mean_curvature", float(CURVATURES.mean()))
    assert _within_four_errors(found, "trace_per_entry", float(CURVATURES.mean()) / 6)
    assert float(found["top_eigenvalue"]) == pytest.approx(float(CURVATURES.max()) / 6, rel=1e-3)


def test_mean_curvature_is_the_mean_of_its_rays_with_its_standard_error():
    found = _quadratic()
    rays = found["curvature"].values
    assert float(found["mean_curvature"]) == pytest.approx(rays.mean())
    assert float(found["mean_curvature_stderr"]) == pytest.approx(rays.std(ddof=1) / math.sqrt(500))


@pytest.mark.parametrize("widths", [(2, 5, 4, 1), (2, 5, 3)])
@pytest.mark.parametrize("one_dim", ["fixed", "moved"])
def test_both_traces_are_those_of_the_explicit_hessian(widths, one_dim):
    landscape, center, normalization, matrix = _net(widths, one_dim)
    found = mean_curvature(
        landscape.around(center, normalization), progress=False, seed=0, indices=range(4000), num_trace=1000
    )
    squares = normalization.preconditioner(center).square()
    assert _within_four_errors(found, "mean_curvature", float((matrix.diag() * squares).sum()))
    plain = Normalization(normalization.layout, "gaussian_filter", one_dim).preconditioner(center).square()
    wanted = float((matrix.diag() * plain).sum()) / normalization.num_moved
    assert _within_four_errors(found, "trace_per_entry", wanted)
    assert float(found["mean_curvature_stderr"]) < 0.2 * float(found["mean_curvature"])


def test_each_ray_is_that_of_the_explicit_hessian():
    landscape, center, normalization, matrix = _net()
    indices = [5, 0, 9]
    rows = gaussian(3, indices, normalization.num_moved).double()
    directions = normalization.directions(rows, center)
    found = curvature_along(landscape.around(center, normalization), seed=3, indices=indices)
    np.testing.assert_allclose(found, ((directions @ matrix) * directions).sum(1), rtol=1e-9)


def test_the_top_eigenvalue_is_that_of_the_preconditioned_hessian():
    landscape, center, normalization, matrix = _net()
    found = mean_curvature(landscape.around(center, normalization), progress=False, seed=0, indices=range(4))
    diagonal = normalization.preconditioner(center)
    wanted = torch.linalg.eigvalsh(diagonal[:, None] * matrix * diagonal)[-1].item()
    assert float(found["top_eigenvalue"]) == pytest.approx(wanted, rel=1e-3)


def test_rays_do_not_depend_on_how_they_are_blocked(monkeypatch):
    landscape, center, normalization, _ = _net()
    whole = curvature_along(landscape.around(center, normalization), seed=0, indices=range(20))
    monkeypatch.setattr(module, "BLOCK", 7)
    blocked = curvature_along(landscape.around(center, normalization), seed=0, indices=range(20))
    np.testing.assert_allclose(blocked, whole, rtol=1e-10)


def test_the_second_trace_uses_the_front_of_the_family():
    landscape, center, normalization, _ = _net()
    few, many = (
        mean_curvature(
            landscape.around(center, normalization), progress=False, seed=0, indices=range(num), num_trace=10
        )
        for num in (10, 30)
    )
    assert float(few["trace_per_entry"]) == pytest.approx(float(many["trace_per_entry"]))
    assert few.attrs["num_trace"] == many.attrs["num_trace"] == 10
    assert check(many) is many


def test_one_value_has_no_standard_error():
    assert math.isnan(standard_error(np.array([1.0])))
    assert standard_error(np.array([1.0, 3.0])) == pytest.approx(1.0)


def _streamed(batch_size=7):
    landscape = StreamedLoss(random_net(), image_set(20, 1), batch_size=batch_size)
    return landscape, landscape.minimum, Normalization(landscape.layout)


def test_streamed_mean_curvature_is_the_plain_one():
    landscape, center, normalization = _streamed()
    settings = {"seed": 2, "indices": [3, 0, 7], "num_trace": 2}
    wanted = mean_curvature(landscape.around(center, normalization), progress=False, **settings)
    (found,) = mean_curvatures(landscape.around(center, normalization), scales=(1.0,), tolerance=1e-3, **settings)
    # Nothing differs but how the eigenvalue was found.
    assert (found.attrs["eigensolver"], wanted.attrs["eigensolver"]) == ("lanczos", "arpack")
    assert found.attrs | {"eigensolver": "arpack"} == wanted.attrs
    for name, values in wanted.items():
        np.testing.assert_allclose(found[name], values, rtol=2e-3 if name == "top_eigenvalue" else 1e-12)
    np.testing.assert_array_equal(found["ray"], [3, 0, 7])


def test_streamed_mean_curvature_at_scales_is_that_of_the_scaled_nets():
    landscape, center, normalization = _streamed()
    settings = {"seed": 0, "indices": range(3), "num_trace": 3}
    found = mean_curvatures(landscape.around(center, normalization), scales=(0.5, 2.0), tolerance=1e-3, **settings)
    assert len(found) == 2
    for scale, one in zip((0.5, 2.0), found, strict=True):
        scaled = with_last_layer_scaled(center, landscape.layout, scale)
        wanted = mean_curvature(landscape.around(scaled, normalization), progress=False, **settings)
        for name, values in wanted.items():
            np.testing.assert_allclose(one[name], values, rtol=2e-3 if name == "top_eigenvalue" else 1e-9)


def test_streamed_mean_curvature_is_that_of_the_explicit_hessian():
    net, images = random_net(), image_set(20, 1)
    landscape, center, normalization = _streamed()
    matrix = flat_hessian(net, images, center)
    (found,) = mean_curvatures(
        landscape.around(center, normalization), scales=(1.0,), seed=0, indices=range(25), num_trace=2
    )
    diagonal = normalization.preconditioner(center)
    assert _within_four_errors(found, "mean_curvature", float((matrix.diag() * diagonal.square()).sum()))
    wanted = torch.linalg.eigvalsh(diagonal[:, None] * matrix * diagonal)[-1].item()
    assert float(found["top_eigenvalue"]) == pytest.approx(wanted, rel=0.02)


def test_progress_of_streamed_mean_curvature_rises_to_one():
    landscape, center, normalization = _streamed()
    shares = []
    mean_curvatures(
        landscape.around(center, normalization),
        scales=(1.0, 0.5),
        seed=0,
        indices=range(3),
        num_trace=2,
        progress=shares.append,
    )
    assert shares == sorted(shares)
    assert shares[-1] == 1
    assert len(shares) == 3 + 2 + 2


def test_the_sharpest_direction_of_a_quadratic_is_its_steepest_axis():
    found = check(sharpest_direction(ellipsoid(CURVATURES).around(origin(6), sphere(6))))
    steepest = torch.nn.functional.one_hot(CURVATURES.argmax(), 6).double()
    np.testing.assert_allclose(np.abs(found["direction"]), steepest, atol=2e-2)
    assert float(found["eigenvalue"]) == pytest.approx(float(CURVATURES.max()) / 6, rel=1e-3)


@pytest.mark.parametrize("one_dim", ["fixed", "moved"])
def test_the_sharpest_direction_is_that_of_the_explicit_hessian_and_as_long_as_random_ones(one_dim):
    landscape, center, normalization, matrix = _net(one_dim=one_dim)
    found = sharpest_direction(landscape.around(center, normalization), tolerance=1e-8)
    direction, diagonal = torch.from_numpy(found["direction"].values), normalization.preconditioner(center)
    top = torch.linalg.eigvalsh(diagonal[:, None] * matrix * diagonal)[-1]
    num = normalization.num_moved
    assert float(found["eigenvalue"]) == pytest.approx(float(top), rel=1e-6)
    assert float(direction @ matrix @ direction) == pytest.approx(num * float(top), rel=1e-6)
    moved = diagonal > 0
    assert (direction[~moved] == 0).all()
    assert float((direction[moved] / diagonal[moved]).norm()) == pytest.approx(math.sqrt(num), rel=1e-9)
    random = normalization.directions(gaussian(0, [0], num).double(), center)[0]
    assert float((random[moved] / diagonal[moved]).norm()) == pytest.approx(math.sqrt(num), rel=1e-9)


def test_a_sharpest_direction_that_was_not_found_is_not_a_number():
    landscape, center, normalization, _ = _net()
    found = sharpest_direction(landscape.around(center, normalization), tolerance=1e-12, max_steps=2)
    assert np.isnan(found["direction"]).all()
    assert np.isnan(found["eigenvalue"])
