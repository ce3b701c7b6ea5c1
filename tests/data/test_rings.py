import math

import pytest
import torch

from basinscope.data import rings


@pytest.mark.parametrize("gap", [0.3, 0.001])
def test_the_rings_have_their_counts_and_radii(gap):
    samples = rings.training_points(gap)
    radius = samples.inputs.norm(dim=1)
    assert samples.labels.tolist() == [0] * 40 + [1] * 90
    torch.testing.assert_close(radius[:40], torch.full((40,), 0.4).double())
    torch.testing.assert_close(radius[40:50], torch.full((10,), 0.4 + gap).double())
    torch.testing.assert_close(radius[50:], torch.full((80,), 0.95).double())


def test_each_middle_point_is_halfway_between_two_blue_neighbours():
    samples = rings.training_points(0.01)
    angle = torch.atan2(samples.inputs[:, 1], samples.inputs[:, 0])
    apart = (angle[40:50, None] - angle[None, :40] + math.pi) % (2 * math.pi) - math.pi
    nearest = apart.abs().sort(1).values[:, :2]
    torch.testing.assert_close(nearest, torch.full((10, 2), math.pi / 40).double())
    assert len({round(float(a), 6) for a in angle[40:50]}) == 10


def test_points_of_a_ring_are_evenly_spaced():
    points = rings.ring(2.0, 12, turn=0.3)
    sides = (points - points.roll(1, 0)).norm(dim=1)
    torch.testing.assert_close(sides, torch.full((12,), 4 * math.sin(math.pi / 12)).double())


def test_dense_rings_avoid_the_training_points():
    dense, train = rings.dense_rings(0.01, 400), rings.training_points(0.01)
    assert torch.cdist(dense.inputs, train.inputs).min() > 1e-4
    assert dense.labels.tolist() == [0] * 400 + [1] * 400
    torch.testing.assert_close(dense.inputs.norm(dim=1), torch.tensor([0.4, 0.41]).double().repeat_interleave(400))
