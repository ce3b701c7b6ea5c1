import torch

from basinscope.losses import is_correct
from basinscope.probes.accuracy import accuracy
from tests.reference import small_problem


def test_accuracy_is_the_share_of_right_samples_of_each_module():
    for widths in ((2, 5, 4, 1), (2, 5, 3)):
        net, train, center = small_problem(widths)
        points = torch.stack([center, -center, torch.zeros_like(center)])
        wanted = [is_correct(net.as_module(p)(train.inputs), train.labels).double().mean().item() for p in points]
        assert accuracy(net, points, train).tolist() == wanted
        assert accuracy(net, points[:0], train).shape == (0,)
