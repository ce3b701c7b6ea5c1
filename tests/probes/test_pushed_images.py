import numpy as np
import torch
from torch.func import functional_call

from basinscope.landscape.normalize import Normalization
from basinscope.landscape.seeded_ray import Ray
from basinscope.landscape.streamed import StreamedLoss
from basinscope.parameters import unflatten
from basinscope.probes.pushed_images import pushed_images
from basinscope.results.convert import check
from tests.images import image_set, trained_net

TRAIN, OTHERS = image_set(40, 2, noise=90.0), image_set(7, 3, noise=90.0)
NET = trained_net(TRAIN)
DISTANCES = torch.tensor([-0.5, 0.0, 0.7], dtype=torch.float64)


def test_logits_are_those_of_the_network_at_each_place():
    landscape = StreamedLoss(NET, TRAIN, batch_size=16)
    normalization, center = Normalization(landscape.layout), landscape.minimum.clone()
    seen = TRAIN.subset(torch.arange(5))
    found = check(
        pushed_images(
            landscape.around(center, normalization), seen, OTHERS, seed=4, indices=[2, 0], distances=DISTANCES
        )
    )
    assert found["seen"].values.tolist() == [1] * 5 + [0] * 7
    np.testing.assert_array_equal(found["labels"], torch.cat([seen.labels, OTHERS.labels]))
    np.testing.assert_array_equal(found["pixels"], torch.cat([seen.pixels, OTHERS.pixels]))
    inputs = torch.cat([seen.inputs(dtype=torch.float64), OTHERS.inputs(dtype=torch.float64)])
    for row, index in enumerate((2, 0)):
        direction = Ray(normalization, 4, index).direction(center)
        for place, distance in enumerate(DISTANCES.tolist()):
            moved = unflatten(center + distance * direction, landscape.layout)
            with torch.no_grad():
                wanted = functional_call(NET.eval(), moved, (inputs,))
            np.testing.assert_allclose(found["logits"][row, place], wanted, rtol=1e-9, atol=1e-9)


def test_the_network_stays_where_it_was():
    landscape = StreamedLoss(NET, TRAIN, batch_size=16)
    before = float(landscape.at(landscape.minimum[None])[0])
    normalization = Normalization(landscape.layout)
    pushed_images(
        landscape.around(landscape.minimum, normalization), OTHERS, OTHERS, seed=4, indices=[0], distances=DISTANCES
    )
    assert float(landscape.at(landscape.minimum[None])[0]) == before
