import math

import pytest
import torch

from basinscope.data.samples import Samples
from basinscope.errors import InputError
from basinscope.models.mlp import MLP
from basinscope.probes.margin import input_margin

LINE = MLP((2, 1))


@pytest.mark.parametrize("angle", [0.0, 0.3, 2.0])
@pytest.mark.parametrize("classes", [1, 2])
def test_the_margin_of_a_line_is_the_distance_to_it(angle, classes):
    normal = torch.tensor([math.cos(angle), math.sin(angle)], dtype=torch.float64)
    inputs = torch.randn(20, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    height = inputs @ normal - 0.2
    if classes == 1:
        net, point = LINE, torch.cat([5 * normal, torch.tensor([-1.0]).double()])
    else:
        net, point = MLP((2, 2)), torch.cat([-normal, normal, torch.tensor([0.2, -0.2], dtype=torch.float64)])
    found = input_margin(net, point, Samples(inputs, (height > 0).long()), reach=10.0, num_angles=256)
    wanted = height.abs().numpy()
    assert (found["margin"] >= wanted * (1 - 1e-6)).all()
    assert (found["margin"] <= wanted / math.cos(math.pi / 256) * (1 + 1e-6)).all()


def test_the_nearer_of_two_boundaries_counts():
    # |x| < 1 is class 1: hidden units relu(x) and relu(-x).
    net = MLP((2, 2, 1))
    point = torch.tensor([1.0, 0, -1, 0, 0, 0, -1, -1, 1], dtype=torch.float64)
    inputs = torch.tensor([[0.0, 0.0], [0.7, 5.0], [-3.0, 1.0]], dtype=torch.float64)
    found = input_margin(net, point, Samples(inputs, torch.tensor([1, 1, 0])), reach=10.0)
    torch.testing.assert_close(torch.from_numpy(found["margin"].values), torch.tensor([1.0, 0.3, 2.0]).double())


def test_a_wrong_sample_has_no_margin_and_a_safe_one_that_of_the_reach():
    point = torch.tensor([1.0, 0.0, 0.0], dtype=torch.float64)
    inputs = torch.tensor([[1.0, 0.0], [3.0, 0.0]], dtype=torch.float64)
    found = input_margin(LINE, point, Samples(inputs, torch.tensor([0, 1])), reach=2.0)
    assert found["margin"].values.tolist() == [0.0, 2.0]


def test_only_plane_inputs_and_a_real_reach_are_taken():
    samples = Samples(torch.zeros(1, 3), torch.zeros(1, dtype=torch.long))
    with pytest.raises(InputError, match="2 inputs"):
        input_margin(MLP((3, 1)), torch.zeros(4), samples, reach=1.0)
    with pytest.raises(InputError, match="reach"):
        input_margin(LINE, torch.zeros(3), Samples(torch.zeros(1, 2), samples.labels), reach=0.0)
