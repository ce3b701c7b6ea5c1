import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from basinscope.checkpoints.points import moved_tensors, spanned
from basinscope.errors import InputError
from basinscope.landscape.module.objective import Objective
from basinscope.probes.slices import slice2d
from basinscope.recording.recorder import Recorder
from tests.problems import around, sample_losses, small_batches, small_net


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
        "points[1] does not fit Sequential: 2.weight: missing; 0.weight: (7, 3), not (4, 3); 0.bias: (7,), not (4,) "
        "and 2 more; it holds 0.weight, 0.bias, 2.bias and 2 more"
    )


def test_more_than_three_mismatches_are_counted():
    net = small_net(widths=(3, 4, 4, 4, 4, 3))
    with pytest.raises(InputError) as caught:
        moved_tensors(around(net), {}, "it")
    assert str(caught.value).count("missing") == 3
    assert str(caught.value).endswith("and 2 more; it holds no tensors")


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


def test_points_are_read_from_files_and_from_the_folder_of_a_recorder(tmp_path):
    objective, other = around(small_net()), small_net(3)
    save_file(other.state_dict(), tmp_path / "other.safetensors")
    for place in (tmp_path / "other.safetensors", str(tmp_path / "other.safetensors")):
        found = moved_tensors(objective, place, "it")
        assert all(map(torch.equal, found, moved_tensors(objective, other, "it")))
    recorder = Recorder(other, folder=tmp_path / "path")
    for _ in range(3):
        with torch.no_grad():
            other[0].weight.mul_(1.1)
            other[2].weight[0].add_(0.1)
        recorder.step()
    wanted = slice2d(objective, directions="pca", points=recorder, resolution=3, progress=False)
    for points in (tmp_path / "path", str(tmp_path / "path")):
        assert slice2d(objective, directions="pca", points=points, resolution=3, progress=False).identical(wanted)
    named = slice2d(objective, directions="pca", points={"sgd": tmp_path / "path"}, resolution=3, progress=False)
    assert named["marker"].values.tolist() == ["model"] + ["sgd"] * 4
    with pytest.raises(InputError, match="contains no copies of a Recorder"):
        slice2d(objective, directions="pca", points=tmp_path, resolution=3)
    with pytest.raises(InputError, match=r"other: .*nowhere.safetensors: not found"):
        moved_tensors(objective, tmp_path / "nowhere.safetensors", "other")


def test_the_point_whose_weights_are_not_finite_is_named():
    objective = around(small_net())
    points = [small_net(seed).state_dict() for seed in (1, 2, 3)]
    points[1]["2.weight"] = points[1]["2.weight"] * torch.nan
    with pytest.raises(InputError, match=r"^points\[1\] contains weights that are not finite$"):
        slice2d(objective, directions="pca", points=points, resolution=3)


def test_the_loss_of_another_network_is_its_own_and_leaves_no_trace():
    objective, other = around(small_net()), small_net(3)
    with torch.no_grad():
        other[0].bias.add_(1.0)  # not moved, but its own
    before = objective.loss_at()
    assert objective.loss_of(other.state_dict()) == pytest.approx(around(other).center_loss, rel=1e-12)
    assert objective.loss_at() == before
    assert objective.loss_of({}) == before
