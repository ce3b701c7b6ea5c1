import pytest
import torch

from basinscope.data.samples import Samples
from basinscope.errors import InputError
from basinscope.landscape.objective import CleanLoss
from basinscope.landscape.rescale import scale_last_layer
from basinscope.models.mlp import MLP

NET = MLP((2, 4, 1))
INPUTS = torch.tensor([[1.0, 0.2], [0.5, -1.0], [-1.0, 0.3], [-0.7, -0.4]], dtype=torch.float64)


def _fitted():
    """A net whose logit is the first coordinate, and samples labelled by its sign."""
    point = torch.zeros(NET.layout.num_parameters, dtype=torch.float64)
    first, _, last, _ = NET.layout.views(point)
    first[:2, 0] = torch.tensor([1.0, -1.0])
    last[0, :2] = torch.tensor([1.0, -1.0])
    return point, CleanLoss(NET, Samples(INPUTS, torch.tensor([1, 1, 0, 0])))


@pytest.mark.parametrize("loss", [0.5, 0.1, 1e-3, 1e-6])
def test_the_scaled_net_has_the_wanted_loss(loss):
    point, landscape = _fitted()
    scaled = scale_last_layer(landscape, point, loss)
    assert landscape.at(scaled[None]).item() == pytest.approx(loss, rel=1e-4)


def test_only_the_last_layer_changes_and_all_of_it_by_one_positive_factor():
    point, landscape = _fitted()
    NET.layout.views(point)[3].fill_(0.1)
    before = point.clone()
    scaled = scale_last_layer(landscape, point, 0.01)
    start = NET.layout.slices[2].start
    assert torch.equal(point, before)
    assert torch.equal(scaled[:start], point[:start])
    moved = point[start:] != 0
    factors = scaled[start:][moved] / point[start:][moved]
    assert factors[0] > 1
    torch.testing.assert_close(factors, factors[:1].expand_as(factors), rtol=1e-12, atol=0)


def test_scaling_to_its_own_loss_changes_nothing():
    point, landscape = _fitted()
    loss = landscape.at(point[None]).item()
    torch.testing.assert_close(scale_last_layer(landscape, point, loss), point, rtol=1e-5, atol=0)


def test_a_loss_above_that_of_guessing_cannot_be_had():
    point, landscape = _fitted()
    with pytest.raises(InputError, match=r"up to 0\.8"):
        scale_last_layer(landscape, point, 0.8)


def test_a_net_with_a_wrong_answer_cannot_be_scaled_to_a_small_loss():
    point, _ = _fitted()
    landscape = CleanLoss(NET, Samples(INPUTS, torch.tensor([1, 0, 0, 0])))
    with pytest.raises(InputError, match=r"down to 0\.001"):
        scale_last_layer(landscape, point, 1e-3)
