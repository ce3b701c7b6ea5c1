import json

import pytest
import torch
from safetensors.torch import load, save
from torch import nn
from torch.nn.functional import cross_entropy

from basinscope.errors import InputError
from basinscope.models.catalog import initialize
from basinscope.seeds import generator
from basinscope.training.optimizer_state import pack_state, unpack
from basinscope.training.proxprop import ProxProp
from basinscope.training.torch_optimizers import TORCH_OPTIMIZERS

every_row = pytest.mark.parametrize("name", TORCH_OPTIMIZERS)


def _net(dtype=torch.float32):
    net = nn.Sequential(nn.Conv2d(1, 3, 3, stride=2), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten(), nn.Linear(27, 3))
    initialize(net, generator(0, "start"))
    return net.to(dtype)


def _make(name, net):
    return TORCH_OPTIMIZERS[name].make(net, TORCH_OPTIMIZERS[name].learning_rate)


def _train(net, optimizer, steps):
    parameter = next(net.parameters())
    for step in steps:
        images = torch.randn(6, 1, 8, 8, generator=generator(0, "images", step)).to(parameter.dtype)

        def closure(images=images):
            optimizer.zero_grad()
            loss = cross_entropy(net(images), torch.arange(6) % 3)
            loss.backward()
            return loss

        optimizer.step(closure)


@every_row
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_five_steps_stored_and_five_more_are_ten(name, dtype):
    whole = _net(dtype)
    _train(whole, _make(name, whole), range(10))
    first = _net(dtype)
    optimizer = _make(name, first)
    _train(first, optimizer, range(5))
    tensors, note = pack_state(optimizer)
    stored = load(save(tensors))
    second = _net(dtype)
    second.load_state_dict(first.state_dict())
    resumed = _make(name, second)
    unpack(resumed, stored, note)
    _train(second, resumed, range(5, 10))
    for key, tensor in whole.state_dict().items():
        assert torch.equal(second.state_dict()[key], tensor), key


@every_row
def test_packing_again_gives_the_same(name):
    net = _net()
    optimizer = _make(name, net)
    _train(net, optimizer, range(3))
    tensors, note = pack_state(optimizer)
    other = _make(name, _net())
    unpack(other, tensors, note)
    again, same = pack_state(other)
    assert same == note
    assert again.keys() == tensors.keys()
    for key, tensor in tensors.items():
        assert again[key].dtype == tensor.dtype
        assert torch.equal(again[key], tensor)


@every_row
def test_what_was_packed_is_copies_without_shared_memory(name):
    net = _net()
    optimizer = _make(name, net)
    _train(net, optimizer, range(3))
    tensors, note = pack_state(optimizer)
    frozen = {key: tensor.clone() for key, tensor in tensors.items()}
    _train(net, optimizer, range(3, 5))
    resumed = _make(name, net)
    unpack(resumed, tensors, note)
    _train(net, resumed, range(5, 7))
    assert all(torch.equal(tensors[key], tensor) for key, tensor in frozen.items())
    assert all(tensor.is_contiguous() for tensor in tensors.values())
    assert len({tensor.untyped_storage().data_ptr() for tensor in tensors.values()}) == len(tensors)


@every_row
def test_an_optimizer_that_has_not_stepped_travels_too(name):
    tensors, note = pack_state(_make(name, _net()))
    resumed, net = _make(name, _net()), _net()
    unpack(resumed, load(save(tensors)), note)
    resumed, whole = _make(name, net), _net()
    unpack(resumed, tensors, note)
    _train(net, resumed, range(2))
    _train(whole, _make(name, whole), range(2))
    assert all(torch.equal(one, other) for one, other in zip(net.parameters(), whole.parameters(), strict=True))


def test_a_changed_rate_is_part_of_the_state():
    net = _net()
    optimizer = _make("adam", net)
    torch.optim.lr_scheduler.LambdaLR(optimizer, lambda _: 1 / 3)
    resumed = _make("adam", net)
    unpack(resumed, *pack_state(optimizer))
    assert resumed.param_groups[0]["lr"] == optimizer.param_groups[0]["lr"] == 0.01 * (1 / 3)
    assert resumed.param_groups[0]["betas"] == (0.9, 0.999)


def test_numbers_that_json_does_not_know_return_too():
    weight = nn.Parameter(torch.zeros(2))
    optimizer = torch.optim.SGD([weight], lr=0.1)
    optimizer.state[weight] = {"best": float("inf"), "many": [None, True, (1, 0.1), {"x": torch.tensor(2.5)}]}
    resumed = torch.optim.SGD([weight], lr=0.1)
    unpack(resumed, *pack_state(optimizer))
    assert resumed.state[weight] == optimizer.state[weight]
    assert isinstance(resumed.state[weight]["many"][2], tuple)


def test_a_tensor_keeps_its_dtype_beside_a_parameter_of_another():
    weight = nn.Parameter(torch.zeros(2))
    optimizer = torch.optim.SGD([weight], lr=0.1)
    third = torch.tensor(1 / 3, dtype=torch.float64)
    optimizer.state[weight] = {"sum": third, "history": [None, third]}
    resumed = torch.optim.SGD([weight], lr=0.1)
    unpack(resumed, *pack_state(optimizer))
    for tensor in (resumed.state[weight]["sum"], resumed.state[weight]["history"][1]):
        assert tensor.dtype == torch.float64
        assert torch.equal(tensor, third)


def test_a_value_of_another_kind_is_refused_with_its_place():
    weight = nn.Parameter(torch.zeros(2))
    optimizer = torch.optim.SGD([weight], lr=0.1)
    optimizer.state[weight] = {"callable": len}
    with pytest.raises(InputError, match=r"'optimizer.state.0.callable' is a builtin"):
        pack_state(optimizer)


def _packed():
    net = _net()
    optimizer = _make("adam", net)
    _train(net, optimizer, range(2))
    return pack_state(optimizer)


def test_a_state_goes_into_its_own_kind_of_optimizer_and_net_only():
    tensors, note = _packed()
    with pytest.raises(InputError, match="Adam for SGD"):
        unpack(_make("sgd", _net()), tensors, note)
    with pytest.raises(InputError, match="other shapes"):
        unpack(_make("adam", nn.Linear(2, 2)), tensors, note)
    net = _net()
    with pytest.raises(InputError, match="lacks the setting"):
        unpack(ProxProp(net, 0.1, base="nesterov"), *pack_state(ProxProp(net, 0.1, base="adam")))


def test_damage_is_told_in_one_line():
    tensors, note = _packed()
    short = dict(tensors)
    lost = short.popitem()[0]
    empty = {key: value for key, value in json.loads(note).items() if key != "shapes"}
    for some, text, says in ((short, note, lost), (tensors, note[:-9], "note"), (tensors, json.dumps(empty), "shapes")):
        with pytest.raises(InputError, match=says) as caught:
            unpack(_make("adam", _net()), some, text)
        assert "\n" not in str(caught.value)
