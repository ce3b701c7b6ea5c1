import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from basinscope.landscape.gaussian import gaussian
from basinscope.landscape.normalize import Normalization
from basinscope.landscape.stacked import CleanLoss
from basinscope.models.mlp import MLP
from basinscope.parameters import ParameterLayout
from tests.reference import filter_normalised, small_problem

SWISSROLL = MLP((2, 23, 16, 26, 32, 28, 31, 1))
CONVOLUTION = ParameterLayout(
    ("conv", "scale", "temperature", "linear"),
    (torch.Size([4, 3, 2, 2]), torch.Size([4]), torch.Size([]), torch.Size([2, 4])),
)
DISTANCES = torch.linspace(-1.5, 1.5, 13, dtype=torch.float64)


def _center(layout, dtype=torch.float64):
    stream = torch.Generator().manual_seed(0)
    return torch.randn(layout.num_parameters, generator=stream, dtype=torch.float64).to(dtype)


def _directions(normalization, center, indices, seed=0):
    rows = gaussian(seed, indices, normalization.num_moved).to(center.dtype)
    return normalization.directions(rows, center)


def _filters(flat, layout):
    return [view.reshape(len(view), -1) for view in layout.views(flat) if view.ndim > 1]


def test_each_filter_of_a_direction_is_as_long_as_its_weights():
    center = _center(CONVOLUTION)
    (direction,) = _directions(Normalization(CONVOLUTION), center, [0])
    for moved, weights in zip(_filters(direction, CONVOLUTION), _filters(center, CONVOLUTION), strict=True):
        torch.testing.assert_close(moved.norm(dim=1), weights.norm(dim=1), rtol=1e-12, atol=0)


@pytest.mark.parametrize("one_dim", ["fixed", "moved"])
@given(widths=st.lists(st.integers(1, 5), min_size=2, max_size=4).map(tuple), index=st.integers(0, 99))
def test_directions_are_those_of_loops_over_named_tensors(one_dim, widths, index):
    net, _, center = small_problem(widths)
    normalization = Normalization(net.layout, one_dim=one_dim)
    rows = gaussian(1, [index], normalization.num_moved).double()
    wanted = filter_normalised(rows[0], center, net.layout, biases=one_dim == "moved")
    torch.testing.assert_close(normalization.directions(rows, center)[0], wanted, rtol=1e-12, atol=1e-12)


def test_biases_stay_at_rest_unless_asked():
    center = _center(CONVOLUTION)
    (direction,) = _directions(Normalization(CONVOLUTION), center, [0])
    _, scale, temperature, _ = CONVOLUTION.views(direction)
    assert not scale.any()
    assert not temperature.any()


def test_a_tensor_with_one_axis_moves_by_its_norm_when_asked():
    center = _center(CONVOLUTION)
    (direction,) = _directions(Normalization(CONVOLUTION, one_dim="moved"), center, [0])
    for moved, weights in zip(CONVOLUTION.views(direction), CONVOLUTION.views(center), strict=True):
        torch.testing.assert_close(moved.norm(), weights.norm(), rtol=1e-12, atol=0)


def test_what_moves_is_counted():
    assert Normalization(SWISSROLL.layout).num_moved == 3457
    assert Normalization(SWISSROLL.layout).num_filters == 23 + 16 + 26 + 32 + 28 + 31 + 1
    assert Normalization(SWISSROLL.layout, one_dim="moved").num_moved == 3614
    assert Normalization(SWISSROLL.layout, one_dim="moved").num_filters == 157 + 7
    assert Normalization(CONVOLUTION).num_moved == 48 + 8
    assert Normalization(CONVOLUTION).num_filters == 4 + 2


@pytest.mark.parametrize("scheme", ["filter", "gaussian_filter", "sphere"])
def test_a_direction_is_the_same_alone_in_a_batch_and_in_another_order(scheme):
    normalization, center = Normalization(CONVOLUTION, scheme), _center(CONVOLUTION)
    batch = _directions(normalization, center, range(10))
    assert torch.equal(_directions(normalization, center, range(9, -1, -1)).flip(0), batch)
    for index in (0, 4, 9):
        assert torch.equal(_directions(normalization, center, [index])[0], batch[index])


@pytest.mark.parametrize("scheme", ["filter", "gaussian_filter", "sphere"])
def test_a_direction_is_the_same_in_float32_and_float64(scheme):
    normalization = Normalization(CONVOLUTION, scheme)
    single = _directions(normalization, _center(CONVOLUTION, torch.float32), [3])
    double = _directions(normalization, _center(CONVOLUTION), [3])
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), double, rtol=1e-5, atol=1e-6)


def test_two_directions_are_nearly_orthogonal():
    center = SWISSROLL.initialize(torch.Generator().manual_seed(0))
    rows = torch.nn.functional.normalize(_directions(Normalization(SWISSROLL.layout), center, range(60)), dim=1)
    cosines = (rows @ rows.T)[~torch.eye(60, dtype=torch.bool)]
    assert cosines.abs().max() < 0.2
    assert abs(cosines.mean()) < 0.005


def test_a_filter_without_weights_stays_at_rest_and_makes_no_nan():
    center = _center(CONVOLUTION)
    CONVOLUTION.views(center)[0][1] = 0
    CONVOLUTION.views(center)[1].zero_()
    (direction,) = _directions(Normalization(CONVOLUTION, one_dim="moved"), center, [0])
    conv, scale, _, linear = CONVOLUTION.views(direction)
    assert direction.isfinite().all()
    assert not conv[1].any()
    assert not scale.any()
    assert conv[0].all()
    assert linear.all()


def test_a_sphere_direction_has_length_one_and_moves_weights_alone():
    rows = _directions(Normalization(CONVOLUTION, "sphere"), _center(CONVOLUTION), range(5))
    torch.testing.assert_close(rows.norm(dim=1), torch.ones(5, dtype=torch.float64), rtol=1e-12, atol=0)
    assert not CONVOLUTION.views(rows)[1].any()


@pytest.mark.parametrize("scheme", ["filter", "gaussian_filter", "sphere"])
@pytest.mark.parametrize("one_dim", ["fixed", "moved"])
def test_the_preconditioner_is_the_spread_of_the_directions(scheme, one_dim):
    layout = ParameterLayout(("w", "b"), (torch.Size([3, 4]), torch.Size([3])))
    normalization, center = Normalization(layout, scheme, one_dim), _center(layout)
    rows = _directions(normalization, center, range(4000))
    spread = rows.square().mean(0)
    wanted = normalization.preconditioner(center).square()
    # Entries are at most as long-tailed as a Gaussian: the relative error has sd √(2/4000).
    torch.testing.assert_close(spread, wanted, rtol=5 * (2 / 4000) ** 0.5, atol=0)
    products = rows.T @ rows / len(rows)
    scale = wanted.sqrt()
    off = products - products.diag().diag()
    assert (off.abs() <= 5 / 4000**0.5 * scale[:, None] * scale).all()


def _slice(net, train, center, normalization):
    directions = _directions(normalization, center, range(6))
    landscape = CleanLoss(net, train)
    return torch.stack([landscape.along(center, d.expand(len(DISTANCES), -1), DISTANCES) for d in directions])


def _layers_rescaled(net, center, layer, factors):
    """Multiply a layer's units by `factors` and divide the next layer's weights, so that the function stays."""
    moved = center.clone()
    views = net.layout.views(moved)
    views[2 * layer].mul_(factors[:, None])
    views[2 * layer + 1].mul_(factors)
    views[2 * layer + 2].div_(factors)
    return moved


@pytest.mark.parametrize("one_dim", ["fixed", "moved"])
@given(layer=st.integers(0, 1), log_factor=st.floats(-5, 5))
def test_slices_do_not_change_under_rescaling_of_a_whole_layer(one_dim, layer, log_factor):
    net, train, center = small_problem((2, 6, 5, 1))
    normalization = Normalization(net.layout, one_dim=one_dim)
    factors = torch.full((net.widths[layer + 1],), log_factor, dtype=torch.float64).exp()
    rescaled = _layers_rescaled(net, center, layer, factors)
    before, after = (_slice(net, train, c, normalization) for c in (center, rescaled))
    torch.testing.assert_close(after, before, rtol=1e-9, atol=1e-12)


def test_slices_do_change_under_rescaling_of_single_units():
    net, train, center = small_problem((2, 6, 5, 1))
    factors = torch.tensor([100.0, 1, 1, 0.01, 1, 1], dtype=torch.float64)
    rescaled = _layers_rescaled(net, center, 0, factors)
    before, after = (_slice(net, train, c, Normalization(net.layout)) for c in (center, rescaled))
    torch.testing.assert_close(after[:, 6], before[:, 6], rtol=1e-9, atol=0)
    assert (after - before).abs().max() > 0.1


SHAPES = st.lists(st.sampled_from([(), (3,), (1,), (2, 3), (3, 1), (2, 2, 2), (1, 4)]), min_size=1, max_size=6)


@pytest.mark.parametrize("scheme", ["filter", "gaussian_filter", "sphere"])
@pytest.mark.parametrize("one_dim", ["fixed", "moved"])
@given(shapes=SHAPES, index=st.integers(0, 99), distance=st.floats(-3, 3))
def test_a_displaced_point_is_the_centre_and_a_multiple_of_the_direction(scheme, one_dim, shapes, index, distance):
    # One moved tensor at least, with fixed ones before, between and behind as they come.
    shapes = [*map(torch.Size, shapes), torch.Size([2, 2])]
    layout = ParameterLayout(tuple(f"tensor {k}" for k in range(len(shapes))), tuple(shapes))
    normalization, center = Normalization(layout, scheme, one_dim), _center(layout)
    rows = gaussian(4, [index], normalization.num_moved).double()
    wanted = center + distance * normalization.directions(rows, center)[0]
    point, kept = torch.full_like(center, torch.nan), center.clone()
    point[: normalization.num_moved] = rows[0]
    normalization.displace(point, center, distance)
    torch.testing.assert_close(point, wanted, rtol=1e-12, atol=1e-12)
    assert torch.equal(center, kept)


def test_a_filter_without_weights_stays_where_it_is_when_displaced():
    center = _center(CONVOLUTION)
    CONVOLUTION.views(center)[0][1] = 0
    normalization = Normalization(CONVOLUTION)
    point = torch.cat([gaussian(0, [0], normalization.num_moved)[0].double(), torch.full((5,), torch.nan).double()])
    normalization.displace(point, center, 2.0)
    assert point.isfinite().all()
    assert not CONVOLUTION.views(point)[0][1].any()
