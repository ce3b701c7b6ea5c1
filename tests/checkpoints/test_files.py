import pickle
import re

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from basinscope.checkpoints.files import fill, read_state
from basinscope.errors import InputError


def _net(seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))


class _Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(5, 3)
        self.head = nn.Linear(3, 5, bias=False)
        self.head.weight = self.embed.weight


def _same(first, second):
    assert set(first) == set(second)
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("wrapper", [None, "state_dict", "model_state_dict", "model"])
def test_weights_come_back_however_they_were_kept(tmp_path, wrapper):
    state = _net().state_dict()
    path = tmp_path / "a.pt"
    torch.save({wrapper: state, "epoch": 3, "optimizer": {"lr": 0.1}} if wrapper else state, path)
    _same(read_state(path), state)
    save_file(state, tmp_path / "a.safetensors")
    _same(read_state(tmp_path / "a.safetensors"), state)


class _Evil:
    def __reduce__(self):
        return print, ("run",)


def test_nothing_is_unpickled(tmp_path, capsys):
    path = tmp_path / "evil.pt"
    path.write_bytes(pickle.dumps({"state_dict": _Evil()}))
    torch.save({"state_dict": _Evil()}, tmp_path / "evil2.pt")
    torch.save(_net(), tmp_path / "whole.pt")
    for name in ("evil.pt", "evil2.pt", "whole.pt"):
        with pytest.raises(InputError, match=r"never unpickled; save model.state_dict\(\)"):
            read_state(tmp_path / name)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("none.pt", "not found"),
        ("cut.safetensors", "cannot be read as safetensors"),
        ("cut.pt", "damaged"),
        ("number.pt", "contains an int, not a state dictionary"),
        ("empty.pt", "contains a dict, not a state dictionary"),
    ],
)
def test_files_that_hold_no_weights(tmp_path, name, says):
    save_file(_net().state_dict(), tmp_path / "cut.safetensors")
    torch.save(_net().state_dict(), tmp_path / "cut.pt")
    for cut in ("cut.safetensors", "cut.pt"):
        (tmp_path / cut).write_bytes((tmp_path / cut).read_bytes()[:50])
    torch.save(5, tmp_path / "number.pt")
    torch.save({}, tmp_path / "empty.pt")
    with pytest.raises(InputError, match=re.escape(says)) as caught:
        read_state(tmp_path / name)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod."])
def test_a_network_is_filled_whatever_wrapped_it(prefix):
    wanted, net = _net(1).state_dict(), _net(2)
    fill(net, {prefix + name: tensor for name, tensor in wanted.items()}, "a.pt")
    _same(net.state_dict(), wanted)


def test_a_tied_tensor_may_be_missing():
    net, weight = _Tied(), torch.arange(15.0).view(5, 3)
    fill(net, {"embed.weight": weight}, "a.pt")
    assert torch.equal(net.head.weight, weight)


def test_mismatches_are_told_with_shapes_and_nothing_is_changed():
    net = _net()
    state = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    wrong = dict(state)
    del wrong["0.weight"]
    wrong["2.weight"] = torch.zeros(2, 9)
    wrong["3.weight"] = wrong["4.weight"] = torch.zeros(1)
    with pytest.raises(InputError) as caught:
        fill(net, wrong, "a.pt")
    told = str(caught.value)
    assert told.startswith("a.pt does not fit Sequential: 0.weight: missing; 3.weight: not in the network; 2.weight")
    assert "and 1 more; it holds 0.bias, 1.weight, 1.bias and " in told
    _same(net.state_dict(), state)
    with pytest.raises(InputError, match=re.escape("2.weight: (2, 9), not (2, 4)")):
        fill(net, {**state, "2.weight": torch.zeros(2, 9)}, "a.pt")


def test_a_prefix_shows_in_what_is_missing_and_what_is_foreign() -> None:
    net = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
    state = {f"core.{name}": tensor for name, tensor in net.state_dict().items()}
    with pytest.raises(InputError) as caught:
        fill(net, state, "a.pt")
    assert str(caught.value) == (
        "a.pt does not fit Sequential: 0.weight: missing; core.0.weight: not in the network; 0.bias: missing and 5 "
        "more; it holds core.0.weight, core.0.bias, core.1.weight and 1 more"
    )
