import pytest
import torch
from torch import nn

from basinscope.errors import InputError
from basinscope.landscape.module_objective import Objective
from basinscope.measure.points import moved_tensors, spanned
from tests.measure.problems import around, sample_losses, small_batches, small_net


def test_the_moved_tensors_are_picked_out_of_a_state_or_a_network_alike():
    objective, other = around(small_net()), small_net(3)
    wanted = [other[k].weight for k in (0, 2, 4)]
    for point in (other, other.state_dict()):
        found = moved_tensors(objective, point, "it")
        assert all(torch.equal(one, two) for one, two in zip(found, wanted, strict=True))
        assert not any(tensor.requires_grad for tensor in found)


def test_names_that_are_not_moved_need_not_be_there():
    state = {name: tensor for name, tensor in small_net(3).state_dict().items() if name.endswith("weight")}
    assert len(moved_tensors(around(small_net()), state, "it")) == 3


def test_the_first_three_mismatches_are_told_with_their_shapes():
    state = small_net(widths=(3, 7, 4, 2)).state_dict()
    del state["2.weight"]
    with pytest.raises(InputError) as caught:
        moved_tensors(around(small_net()), state, "points[1]")
    assert str(caught.value) == (
        "points[1] does not fit Sequential: 0.weight: (7, 3), not (4, 3); 2.weight: missing, not (4, 4); "
        "4.weight: (2, 4), not (3, 4)"
    )


def test_more_than_three_mismatches_are_counted():
    net = small_net(widths=(3, 4, 4, 4, 4, 3))
    with pytest.raises(InputError) as caught:
        moved_tensors(around(net), {}, "it")
    assert str(caught.value).count("missing") == 3
    assert str(caught.value).endswith("and 2 more")


def test_a_tied_tensor_is_found_under_its_first_name():
    net = nn.Sequential(nn.Linear(3, 3, bias=False), nn.Linear(3, 3, bias=False)).double().eval()
    net[1].weight = net[0].weight
    objective = Objective(net, sample_losses, small_batches())
    assert len(moved_tensors(objective, net, "it")) == 1


def test_directions_have_one_length_and_places_lead_to_the_points():
    objective, others = around(small_net()), [small_net(3), small_net(4), small_net(5)]
    moved = [moved_tensors(objective, other, "it") for other in others]
    here = torch.cat([tensor.detach().reshape(-1) for tensor in objective.center.tensors])
    ways = torch.stack([torch.cat([tensor.reshape(-1) for tensor in point]) - here for point in moved])
    for how, num, length in (("between", 2, float(ways[0].norm())), ("pca", 3, 1.0)):
        lines, places = spanned(objective, moved[:num], how)
        flat = torch.stack([torch.cat([line.block(k).reshape(-1) for k in range(3)]) for line in lines])
        torch.testing.assert_close(
            flat @ flat.T, length**2 * torch.eye(2, dtype=torch.float64), rtol=1e-9, atol=1e-9 * length**2
        )
        for way, (first, second, away) in zip(ways, places.tolist(), strict=False):
            rest = way - first * flat[0] - second * flat[1]
            assert float(rest.norm()) == pytest.approx(away * length, abs=1e-6)
            torch.testing.assert_close(flat @ rest, torch.zeros(2, dtype=torch.float64), rtol=0, atol=1e-8)


def test_points_in_another_precision_are_placed_as_well():
    objective = around(small_net())
    halves = [moved_tensors(objective, small_net(seed).half(), "it") for seed in (3, 4)]
    wholes = [moved_tensors(objective, small_net(seed), "it") for seed in (3, 4)]
    places = [spanned(objective, points, "between")[1] for points in (halves, wholes)]
    assert abs(places[0] - places[1]).max() < 0.01
