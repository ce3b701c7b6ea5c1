import numpy as np
import pytest
import torch

from basinscope.errors import InputError
from basinscope.models.mlp import MLP
from basinscope.probes.boundary import decision_boundary, unrolled_boundary
from basinscope.results.convert import check
from tests.reference import small_problem


def test_logits_stand_at_their_x_and_y():
    linear = torch.tensor([1.0, 10.0, 0.5], dtype=torch.float64)
    found = decision_boundary(MLP((2, 1)), linear, extent=2.0, resolution=5)
    assert found["logit"].dims == ("y", "x")
    assert float(found["logit"].sel(x=2, y=-1)) == pytest.approx(2 - 10 + 0.5)
    wanted = found["x"] + 10 * found["y"] + 0.5
    np.testing.assert_allclose(found["logit"], wanted.transpose("y", "x"))


def test_the_grid_spans_the_square_with_its_edges():
    found = decision_boundary(MLP((2, 1)), torch.zeros(3), extent=18.0, resolution=7)
    for axis in ("x", "y"):
        assert found[axis].values.tolist() == pytest.approx([-18, -12, -6, 0, 6, 12, 18])
    assert check(found) is found


def test_two_logits_give_the_log_odds_of_class_1():
    point = torch.tensor([1.0, 0.0, 0.0, 3.0, 0.25, 0.5], dtype=torch.float64)
    found = decision_boundary(MLP((2, 2)), point, extent=1.0, resolution=3)
    wanted = 3 * found["y"] + 0.5 - found["x"] - 0.25
    np.testing.assert_allclose(found["logit"], wanted.transpose("y", "x"))


@pytest.mark.parametrize("resolution", [31, 32, 33, 70])
def test_rows_beyond_one_batch_are_those_of_the_module(resolution):
    net, _, center = small_problem((2, 6, 5, 1))
    found = decision_boundary(net, center, extent=3.0, resolution=resolution)
    y, x = np.meshgrid(found["y"], found["x"], indexing="ij")
    inputs = torch.from_numpy(np.stack([x.ravel(), y.ravel()], 1))
    with torch.no_grad():
        wanted = net.as_module(center)(inputs).view(resolution, resolution)
    np.testing.assert_allclose(found["logit"], wanted, rtol=1e-10, atol=1e-12)


def test_unrolled_places_are_those_of_angle_and_radius():
    # log-odds = x, and = y: cos and sin of the angle, times the radius.
    for weights, along in (([1.0, 0.0, 0.0], np.cos), ([0.0, 1.0, 0.0], np.sin)):
        point = torch.tensor(weights, dtype=torch.float64)
        found = unrolled_boundary(MLP((2, 1)), point, angles=(-30.0, 200.0), radii=(0.5, 2.0), resolution=40)
        assert found["angle"].values[[0, -1]].tolist() == [-30.0, 200.0]
        wanted = found["radius"].values[:, None] * along(np.radians(found["angle"].values))
        np.testing.assert_allclose(found["logit"].transpose("radius", "angle"), wanted, atol=1e-12)


def test_only_plane_networks_are_unrolled():
    with pytest.raises(InputError, match="3 inputs"):
        unrolled_boundary(MLP((3, 1)), torch.zeros(4), angles=(0.0, 9.0), radii=(0.1, 1.0), resolution=3)
