import numpy as np
import pytest
import torch

from basinscope.errors import InputError
from basinscope.landscape.gaussian import gaussian
from basinscope.landscape.normalize import Normalization
from basinscope.landscape.stacked import CleanLoss
from basinscope.losses import is_correct
from basinscope.probes.boundary import decision_boundary
from basinscope.probes.moving_boundary import moving_boundary
from basinscope.probes.slices import slice1d
from tests.reference import small_problem

DISTANCES = torch.tensor([0.0, 0.1, 0.4, 1.0], dtype=torch.float64)


def _moving(**changes):
    net, train, center = small_problem((2, 5, 4, 1))
    normalization = Normalization(net.layout)
    settings = {"seed": 3, "indices": (2,), "distances": DISTANCES, "extent": 2.0, "resolution": 9} | changes
    landscape = CleanLoss(net, train)
    return net, train, center, normalization, moving_boundary(landscape.around(center, normalization), **settings)


def test_frames_agree_with_the_slice_along_the_same_direction():
    net, train, center, normalization, found = _moving()
    line = slice1d(
        CleanLoss(net, train).around(center, normalization), seed=3, indices=(2,), distances=DISTANCES, progress=False
    )
    np.testing.assert_array_equal(found["loss"], line["loss"].isel(ray=0))


def test_each_frame_is_the_boundary_of_the_moved_network():
    net, train, center, normalization, found = _moving()
    (direction,) = normalization.directions(gaussian(3, (2,), normalization.num_moved).double(), center)
    for k, distance in enumerate(DISTANCES.tolist()):
        point = center + distance * direction
        alone = decision_boundary(net, point, extent=2.0, resolution=9)
        np.testing.assert_array_equal(found["logit"].isel(distance=k), alone["logit"])
        right = is_correct(net.as_module(point)(train.inputs), train.labels)
        assert found["right"].isel(distance=k).values.tolist() == right.int().tolist()


def test_the_first_frame_is_the_minimum_itself():
    net, train, center, _, found = _moving()
    assert found["loss"][0] == CleanLoss(net, train).at(center[None])[0].item()


def test_an_animation_follows_one_direction():
    with pytest.raises(InputError, match="follows one"):
        _moving(indices=(0, 1))
