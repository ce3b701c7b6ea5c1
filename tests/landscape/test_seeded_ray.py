import dataclasses

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from basinscope.landscape.normalize import Normalization
from basinscope.landscape.seeded_ray import Ray
from basinscope.landscape.streamed import StreamedLoss
from tests.images import flat_parameters, image_set, layout_of, random_net

NET = random_net()
LAYOUT, CENTER = layout_of(NET), flat_parameters(NET)


@pytest.mark.parametrize("scheme", ["filter", "gaussian_filter", "sphere"])
@pytest.mark.parametrize("one_dim", ["fixed", "moved"])
@given(seed=st.integers(0, 2**40), index=st.integers(0, 10**6), distance=st.floats(-5, 5))
def test_a_point_on_a_ray_is_the_centre_moved_along_its_direction(scheme, one_dim, seed, index, distance):
    normalization = Normalization(LAYOUT, scheme, one_dim)
    ray, point = Ray(normalization, seed, index), torch.full_like(CENTER, torch.nan)
    ray.place(point, CENTER, distance)
    torch.testing.assert_close(point, CENTER + distance * ray.direction(CENTER), rtol=1e-12, atol=1e-12)


def test_points_in_single_precision_are_those_of_the_direction_too():
    center = CENTER.float()
    ray, point = Ray(Normalization(LAYOUT), 3, 5), torch.empty_like(center)
    ray.place(point, center, 0.5)
    torch.testing.assert_close(point, center + 0.5 * ray.direction(center), rtol=1e-6, atol=1e-6)


def test_a_ray_keeps_no_tensors():
    ray = Ray(Normalization(LAYOUT), 0, 1)
    point = torch.empty_like(CENTER)
    ray.place(point, CENTER, 1.0)
    ray.direction(CENTER)
    held = [vars(ray), vars(ray.normalization), vars(ray.normalization.layout)]
    assert not [value for fields in held for value in fields.values() if isinstance(value, torch.Tensor)]


def test_walking_along_a_ray_leaves_nothing_behind_as_large_as_the_network():
    landscape, center = StreamedLoss(NET, image_set(4, 0)), CENTER.clone()
    known = {id(value) for value in vars(landscape).values()}
    large = landscape.minimum.numel()
    ray = Ray(Normalization(LAYOUT), 0, 0)
    for distance in (0.1, 0.2, 0.3):
        landscape.look_along(center, ray, distance)
        ray = dataclasses.replace(ray, index=ray.index + 1)
    new = [v for v in vars(landscape).values() if isinstance(v, torch.Tensor) and id(v) not in known]
    assert all(tensor.numel() < large for tensor in new)
    assert torch.equal(center, CENTER)
