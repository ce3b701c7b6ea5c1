import math

import pytest
import torch

from basinscope.data.samples import Samples
from basinscope.errors import InputError
from basinscope.landscape.rescale import scale_last_layer, scale_of_logits, with_last_layer_scaled
from basinscope.landscape.stacked import CleanLoss
from basinscope.models.mlp import MLP
from tests.images import CLASSES, flat_loss, flat_parameters, image_set, layout_of, random_net, trained_net

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


@pytest.mark.parametrize("scale", [0.0, 0.3, 1.0, 7.0])
def test_a_scaled_last_layer_gives_scaled_logits(scale):
    net, images = random_net(), image_set(10, 1)
    point = flat_parameters(net)
    scaled = with_last_layer_scaled(point, layout_of(net), scale)
    assert torch.equal(point, flat_parameters(net))
    logits = []
    with torch.no_grad():
        for flat in (point, scaled):
            torch.nn.utils.vector_to_parameters(flat, net.parameters())
            logits.append(net.eval()(images.inputs(dtype=torch.float64)))
    torch.testing.assert_close(logits[1], scale * logits[0], rtol=1e-12, atol=1e-12)


def test_only_as_many_tensors_as_asked_for_are_scaled():
    net = random_net()
    point, layout = flat_parameters(net), layout_of(net)
    scaled = with_last_layer_scaled(point, layout, 3.0, num_tensors=1)
    torch.testing.assert_close(scaled[-CLASSES:], 3 * point[-CLASSES:])
    assert torch.equal(scaled[:-CLASSES], point[:-CLASSES])


@pytest.mark.parametrize("loss", [0.5, 1e-3, 1e-6])
def test_the_factor_of_the_logits_is_the_scale_of_the_last_layer(loss):
    images = image_set(20, 1)
    net = trained_net(images, steps=40)
    point, layout = flat_parameters(net), layout_of(net)
    with torch.no_grad():
        logits = net.eval()(images.inputs(dtype=torch.float64))
    scale = scale_of_logits(logits, images.labels, loss)
    scaled = with_last_layer_scaled(point, layout, scale)
    assert float(flat_loss(net, images, scaled)) == pytest.approx(loss, rel=1e-4)
    assert scale_of_logits(scale * logits.float(), images.labels, loss) == pytest.approx(1, rel=1e-4)


def test_the_factor_is_that_of_the_slow_way():
    point, landscape = _fitted()
    logits, labels = NET.as_module(point)(INPUTS).detach(), torch.tensor([1, 1, 0, 0])
    wanted = scale_last_layer(landscape, point, 0.01)
    found = with_last_layer_scaled(point, NET.layout, scale_of_logits(logits, labels, 0.01))
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=0)


def test_the_factor_of_two_logits_has_a_closed_form():
    # log(1 + exp(−2s)) = loss.
    found = scale_of_logits(torch.tensor([[1.0, -1.0], [-1.0, 1.0]]), torch.tensor([0, 1]), 0.02)
    assert found == pytest.approx(-0.5 * math.log(math.expm1(0.02)), rel=1e-5)


@pytest.mark.parametrize(("labels", "loss", "message"), [([0, 0], 0.1, "down to"), ([0, 1], 0.8, "up to")])
def test_a_loss_that_no_factor_gives_is_refused(labels, loss, message):
    with pytest.raises(InputError, match=message):
        scale_of_logits(torch.tensor([[1.0, -1.0], [-1.0, 1.0]]), torch.tensor(labels), loss)
