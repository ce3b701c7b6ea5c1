import math

import numpy as np
import pytest
import torch

from basinscope.landscape.flat_plane import plane
from basinscope.landscape.gaussian import gaussian
from basinscope.landscape.normalize import Normalization
from basinscope.landscape.stacked import CleanLoss, PointObjective
from basinscope.models.mlp import MLP
from basinscope.parameters import ParameterLayout
from basinscope.probes.slices import slice1d, slice2d
from basinscope.results.convert import check
from basinscope.seeds import generator
from tests.quadratics import landscape, origin, sphere, unit_directions
from tests.reference import small_problem

DISTANCES = torch.arange(-10, 11, dtype=torch.float64) / 10
SWISSROLL = MLP((2, 23, 16, 26, 32, 28, 31, 1))
CONVOLUTION = ParameterLayout(("c", "b", "l"), (torch.Size([3, 2, 2, 2]), torch.Size([3]), torch.Size([2, 3])))


def _net():
    net, train, center = small_problem((2, 6, 5, 1))
    return CleanLoss(net, train), center, Normalization(net.layout)


def _norms(flat, layout):
    return torch.cat([view.reshape(len(view), -1).norm(dim=1) for view in layout.views(flat) if view.ndim > 1])


def test_the_middle_of_every_slice_is_the_stored_loss():
    loss, center, normalization = _net()
    stored = loss.at(center[None]).item()
    lines = slice1d(loss.around(center, normalization), seed=0, indices=range(3), distances=DISTANCES, progress=False)
    square = slice2d(loss.around(center, normalization), seed=0, indices=(0, 1), distances=DISTANCES, progress=False)
    middle = [*lines["loss"].sel(distance=0).values, float(square["loss"].sel(first=0, second=0))]
    assert middle == pytest.approx([stored] * 4, rel=1e-14)


def test_a_line_does_not_drift():
    loss, center, normalization = _net()
    directions = normalization.directions(gaussian(0, [4, 2], normalization.num_moved).double(), center)
    found = slice1d(loss.around(center, normalization), seed=0, indices=[4, 2], distances=DISTANCES, progress=False)
    points = center + DISTANCES[:, None] * directions[:, None]
    wanted = loss.at(points.reshape(-1, len(center))).view(2, 21)
    np.testing.assert_allclose(found["loss"], wanted, rtol=1e-13)
    np.testing.assert_array_equal(found["ray"], [4, 2])
    np.testing.assert_array_equal(found["distance"], DISTANCES)


def test_a_plane_does_not_drift_and_its_first_axis_is_the_first_direction():
    loss, center, normalization = _net()
    first, second = plane(center, normalization, seed=0, indices=(3, 8))
    distances = torch.tensor([-0.7, 0.0, 0.2, 1.1], dtype=torch.float64)
    found = slice2d(loss.around(center, normalization), seed=0, indices=(3, 8), distances=distances, progress=False)
    assert found["loss"].dims == ("first", "second")
    for a in distances:
        for b in distances:
            wanted = loss.at((center + a * first + b * second)[None]).item()
            assert float(found["loss"].sel(first=float(a), second=float(b))) == pytest.approx(wanted, rel=1e-12)


def test_axes_keep_their_order_where_the_loss_is_not_symmetric():
    first, second = plane(origin(4), sphere(4), seed=0, indices=(0, 1))
    loss = landscape(lambda points: points @ first + 10 * (points @ second), 4)
    distances = torch.tensor([-1.0, 0.5, 2.0], dtype=torch.float64)
    found = slice2d(loss.around(origin(4), sphere(4)), seed=0, indices=(0, 1), distances=distances, progress=False)
    np.testing.assert_allclose(found["loss"], distances[:, None] + 10 * distances[None], atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("indices", [(0, 1), (5, 2)])
def test_the_two_directions_of_a_plane_are_orthogonal_and_filter_normalised(dtype, indices):
    center = SWISSROLL.initialize(generator(0, "start")).to(dtype)
    pair = plane(center, Normalization(SWISSROLL.layout), seed=0, indices=indices)
    assert torch.cosine_similarity(*pair.double(), dim=0).abs() < 1e-6
    for direction in pair:
        norms = [_norms(flat, SWISSROLL.layout) for flat in (direction, center)]
        torch.testing.assert_close(*norms, rtol=1e-5, atol=1e-7)


def test_planes_of_convolutions_are_orthogonal_filter_by_filter():
    center = torch.randn(CONVOLUTION.num_parameters, generator=generator(0, "c"), dtype=torch.float64)
    first, second = plane(center, Normalization(CONVOLUTION), seed=0, indices=(0, 1))
    for a, b in zip(CONVOLUTION.views(first), CONVOLUTION.views(second), strict=True):
        products = (a * b).reshape(len(a), -1).sum(1)
        torch.testing.assert_close(products, torch.zeros_like(products), rtol=0, atol=1e-12)
    assert not CONVOLUTION.views(second)[1].any()


def test_the_first_direction_of_a_plane_is_that_of_the_line():
    _, center, normalization = _net()
    (line,) = normalization.directions(gaussian(0, [3], normalization.num_moved).double(), center)
    assert torch.equal(plane(center, normalization, seed=0, indices=(3, 4))[0], line)


def test_a_filter_with_one_entry_moves_along_the_first_direction_alone():
    layout = ParameterLayout(("w", "v"), (torch.Size([3, 1]), torch.Size([1, 4])))
    center = torch.arange(1.0, 8.0)
    first, second = plane(center, Normalization(layout), seed=0, indices=(0, 1))
    assert first[:3].all()
    assert not second[:3].any()
    assert second[3:].norm() == pytest.approx(center[3:].norm().item())


def test_a_filter_of_zeros_makes_no_nan():
    _, center, normalization = _net()
    normalization.layout.views(center)[0][1] = 0
    pair = plane(center, normalization, seed=0, indices=(0, 1))
    assert pair.isfinite().all()
    assert not normalization.layout.views(pair)[0][:, 1].any()


def test_a_plane_of_a_sphere_is_spanned_by_two_unit_vectors():
    first, second = plane(origin(3), sphere(3), seed=0, indices=(0, 1))
    assert abs(float(first @ second)) < 1e-12
    assert float(first.norm()) == pytest.approx(1)
    assert float(second.norm()) == pytest.approx(1)


def test_the_cosine_is_stored():
    loss, center, normalization = _net()
    found = slice2d(loss.around(center, normalization), seed=0, indices=(0, 1), distances=DISTANCES, progress=False)
    assert abs(float(found["cosine"])) < 1e-6
    assert check(found) is found


def test_nan_is_kept_where_it_is():
    def broken(points):
        return torch.where(points[:, 0] > 0, math.nan, points.square().sum(1))

    (direction,) = unit_directions(3, seed=0, indices=[0])
    lost = (DISTANCES * direction[0] > 0).numpy()
    line = slice1d(
        landscape(broken, 3).around(origin(3), sphere(3)), seed=0, indices=[0], distances=DISTANCES, progress=False
    )
    np.testing.assert_array_equal(line["loss"][0].isnull(), lost)
    np.testing.assert_allclose(line["loss"][0][~lost], DISTANCES[~lost].square())
    square = slice2d(
        landscape(broken, 3).around(origin(3), sphere(3)), seed=0, indices=(0, 1), distances=DISTANCES, progress=False
    )
    first, second = plane(origin(3), sphere(3), seed=0, indices=(0, 1))
    height = DISTANCES[:, None] * first[0] + DISTANCES * second[0]
    np.testing.assert_array_equal(square["loss"].isnull(), height > 0)


def test_the_center_stays_as_found_bit_for_bit():
    loss, center, normalization = _net()
    before = center.clone()
    slice1d(loss.around(center, normalization), seed=0, indices=range(3), distances=DISTANCES, progress=False)
    slice2d(loss.around(center, normalization), seed=0, indices=(0, 1), distances=DISTANCES, progress=False)
    assert torch.equal(center, before)
    assert not center.requires_grad


def test_a_point_of_a_slice_is_evaluated_once_and_the_center_once_for_all():
    loss, center, normalization = _net()
    around = loss.around(center, normalization)
    assert math.isfinite(around.center_loss)
    assert loss.num_evaluations == 1
    slice2d(around, seed=0, indices=(0, 1), distances=DISTANCES, progress=False)
    assert loss.num_evaluations == 1 + 21 * 21
    slice1d(around, seed=0, indices=range(3), distances=DISTANCES, progress=False)
    assert loss.num_evaluations == 1 + 21 * 21 + 3 * 21


def test_any_landscape_can_be_sliced():
    bowl = PointObjective(lambda points: points.square().sum(1), CONVOLUTION)
    center = torch.ones(CONVOLUTION.num_parameters)
    found = slice1d(
        bowl.around(center, Normalization(CONVOLUTION)), seed=0, indices=[0], distances=DISTANCES, progress=False
    )
    assert float(found["loss"].sel(ray=0, distance=0)) == CONVOLUTION.num_parameters
