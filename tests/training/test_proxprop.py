import copy
import gc

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from basinscope.errors import InputError
from basinscope.models.catalog import build, initialize
from basinscope.seeds import generator
from basinscope.training.proxprop import LayerMap, ProxProp, conjugate_gradient_step, exact_step, hidden_layers

LAYERS = {
    "linear": (nn.Linear(5, 4), (7, 5)),
    "linear on sequences": (nn.Linear(5, 4), (3, 6, 5)),
    "conv": (nn.Conv2d(2, 3, 3, bias=False), (4, 2, 6, 6)),
    "strided and padded": (nn.Conv2d(2, 3, 3, stride=2, padding=1), (4, 2, 7, 6)),
    "uneven": (nn.Conv2d(2, 3, (3, 2), stride=(1, 2), padding=(2, 0), dilation=(1, 2)), (3, 2, 6, 7)),
    "grouped": (nn.Conv2d(4, 6, 3, padding=1, groups=2), (3, 4, 5, 5)),
}
every_layer = pytest.mark.parametrize("name", LAYERS)


def _draw(name, *shape):
    return torch.randn(shape, generator=generator(0, name), dtype=torch.float64)


def _problem(name):
    """A layer in float64, its inputs, the gradient at its outputs of a mean loss, and the weight's gradient."""
    layer, shape = LAYERS[name]
    layer = copy.deepcopy(layer).double()
    inputs = _draw("inputs", *shape)
    outputs = layer(inputs)
    pull = _draw("pull", *outputs.shape) / len(inputs)
    (outputs * pull).sum().backward()
    return layer, inputs, pull, layer.weight.grad


def _brute_force(layer, inputs, pull, tau):
    """Minimise the layer's quadratic over the weight, its matrix read off by putting in unit weights."""
    units = torch.eye(layer.weight.numel(), dtype=torch.float64).view(-1, *layer.weight.shape)

    def outputs(weight):
        parameters = {"weight": weight} | ({} if layer.bias is None else {"bias": torch.zeros_like(layer.bias)})
        return torch.func.functional_call(layer, parameters, (inputs,)).detach().flatten()

    matrix = torch.stack([outputs(unit) for unit in units], 1)
    start, num = layer.weight.detach().flatten(), len(inputs)
    target = matrix @ start - num * pull.flatten()
    rows = torch.cat([matrix / num**0.5, torch.eye(len(start), dtype=torch.float64) / tau**0.5])
    right = torch.cat([target / num**0.5, start / tau**0.5])
    best = torch.linalg.lstsq(rows, right.unsqueeze(1)).solution.squeeze(1)
    return (start - best).view_as(layer.weight)


@every_layer
@pytest.mark.parametrize("tau", [0.1, 10.0])
def test_many_conjugate_gradients_and_the_exact_solve_reach_the_minimum(name, tau):
    layer, inputs, pull, gradient = _problem(name)
    expected = _brute_force(layer, inputs, pull, tau)
    torch.testing.assert_close(exact_step(LayerMap(layer, inputs), gradient, tau), expected, rtol=1e-9, atol=1e-11)
    steps = conjugate_gradient_step(LayerMap(layer, inputs), gradient, tau, 40)
    torch.testing.assert_close(steps, expected, rtol=1e-8, atol=1e-10)


@every_layer
def test_a_small_tau_gives_tau_times_the_gradient(name):
    layer, inputs, _, gradient = _problem(name)
    for step in (
        exact_step(LayerMap(layer, inputs), gradient, 1e-7),
        conjugate_gradient_step(LayerMap(layer, inputs), gradient, 1e-7, 1),
    ):
        torch.testing.assert_close(step / 1e-7, gradient, rtol=1e-4, atol=1e-5)


@every_layer
def test_every_conjugate_gradient_brings_the_quadratic_down_along_descent_directions(name):
    layer, inputs, _, gradient = _problem(name)
    linear_map = LayerMap(layer, inputs)
    values = []
    for num in range(1, 6):
        step = conjugate_gradient_step(linear_map, gradient, 5.0, num)
        assert (step * gradient).sum() > 0
        values.append((step * (linear_map.curvature(step) + step / 5.0) / 2 - step * gradient).sum())
    assert values == sorted(values, reverse=True)
    assert values[-1] < values[0] < 0


def test_a_dead_unit_stands_still():
    layer, inputs, _, gradient = _problem("conv")
    gradient[1] = 0
    for num in (1, 30):
        step = conjugate_gradient_step(LayerMap(layer, inputs), gradient, 5.0, num)
        assert step.isfinite().all()
        assert not step[1].any()


def _net():
    net = nn.Sequential(nn.Conv2d(2, 3, 3, padding=1), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten(), nn.Linear(48, 4))
    initialize(net, generator(0, "start"))
    return net.double()


def _backward(net, images, labels):
    net.zero_grad()
    loss = cross_entropy(net(images), labels)
    loss.backward()
    return loss


IMAGES, LABELS = _draw("images", 6, 2, 4, 4), torch.tensor([0, 1, 2, 3, 0, 1])


@pytest.mark.parametrize("base", ["sgd", "nesterov", "adam"])
def test_only_hidden_weights_take_the_implicit_step_and_the_base_method_does_the_rest(base):
    net = _net()
    twin = copy.deepcopy(net)
    optimizer = ProxProp(net, 0.1, tau=3.0, num_cg="exact", base=base, momentum=0.8)
    parameters = list(twin.parameters())
    plain = {
        "sgd": torch.optim.SGD(parameters, lr=0.1),
        "nesterov": torch.optim.SGD(parameters, lr=0.1, momentum=0.8, nesterov=True),
        "adam": torch.optim.Adam(parameters, lr=0.1),
    }[base]
    for _ in range(3):
        _backward(net, IMAGES, LABELS)
        _backward(twin, IMAGES, LABELS)
        gradients = [parameter.grad.clone() for parameter in net.parameters()]
        twin[0].weight.grad = exact_step(LayerMap(twin[0], IMAGES), twin[0].weight.grad, 3.0)
        optimizer.step()
        plain.step()
        for one, other, gradient in zip(net.parameters(), parameters, gradients, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-14)
            assert torch.equal(one.grad, gradient)


def _moved(images, labels, passes=1):
    net = _net()
    before = net[0].weight.detach().clone()
    optimizer = ProxProp(net, 1.0, tau=50.0, base="sgd")
    parts = zip(images.chunk(passes), labels.chunk(passes), strict=True)
    sum(cross_entropy(net[4](net[3](net[0](some))), these) / passes for some, these in parts).backward()
    optimizer.step()
    return net[0].weight.detach() - before


def test_a_batch_repeated_gives_the_same_step():
    torch.testing.assert_close(_moved(IMAGES.repeat(3, 1, 1, 1), LABELS.repeat(3)), _moved(IMAGES, LABELS))


def test_several_passes_before_a_step_are_one_batch():
    torch.testing.assert_close(_moved(IMAGES, LABELS, passes=2), _moved(IMAGES, LABELS))


def test_passes_without_a_gradient_and_in_eval_mode_leave_no_trace():
    net, quiet = _net(), _net()
    one, other = ProxProp(net, 0.1), ProxProp(quiet, 0.1)
    net(10 * IMAGES).detach()
    with torch.no_grad():
        net.train()(10 * IMAGES)
    net.eval()(10 * IMAGES).sum().backward()
    twin = copy.deepcopy(net).train()
    twin(10 * IMAGES).sum().backward()
    assert not any(one._seen.values())
    net.load_state_dict(quiet.state_dict())
    for each, optimizer in ((net.train(), one), (quiet, other)):
        _backward(each, IMAGES, LABELS)
        optimizer.step()
    assert torch.equal(net[0].weight, quiet[0].weight)


def test_one_step_forgets_the_inputs_of_the_last():
    optimizer = ProxProp(_net(), 0.1)
    optimizer2 = ProxProp(net := _net(), 0.1)
    _backward(net, IMAGES, LABELS)
    optimizer2.step()
    assert not any(optimizer2._seen.values())
    with pytest.raises(InputError, match="'0' has a gradient but no recorded input"):
        optimizer2.step()
    optimizer.step()  # no gradients, nothing to do


def test_a_closure_is_evaluated_before_the_step():
    net, twin = _net(), _net()
    one, other = ProxProp(net, 0.1), ProxProp(twin, 0.1)
    _backward(net, 5 * IMAGES, LABELS)
    net.load_state_dict(twin.state_dict())
    loss = one.step(lambda: _backward(net, IMAGES, LABELS))
    assert loss == _backward(twin, IMAGES, LABELS)
    other.step()
    assert torch.equal(net[0].weight, twin[0].weight)


@pytest.mark.parametrize("way", ["close", "drop"])
def test_hooks_leave_with_the_optimizer(way):
    net = _net()
    optimizer = ProxProp(net, 0.1)
    assert net[0]._forward_hooks
    if way == "close":
        optimizer.close()
        optimizer.close()
    else:
        del optimizer
        gc.collect()
    assert not net[0]._forward_hooks


def test_a_schedule_reaches_the_base_method():
    net = _net()
    before = copy.deepcopy(net.state_dict())
    optimizer = ProxProp(net, 0.1)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda _: 0.0)
    _backward(net, IMAGES, LABELS)
    optimizer.step()
    schedule.step()
    assert all(torch.equal(parameter, before[name]) for name, parameter in net.named_parameters())


def test_all_layers_but_the_last_are_hidden():
    net = build("resnet8", width=0.25)
    assert list(hidden_layers(net)) == [
        name for name, layer in net.named_modules() if isinstance(layer, nn.Conv2d)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("wrong", "says"),
    [({"tau": 0.0}, "tau"), ({"num_cg": 0}, "num_cg")],
)
def test_settings_that_cannot_be_are_refused(wrong, says):
    with pytest.raises(InputError, match=says):
        ProxProp(_net(), 0.1, **wrong)


@pytest.mark.parametrize("conv", [nn.Conv2d(2, 2, 3, padding="same"), nn.Conv2d(2, 2, 3, padding_mode="circular")])
def test_other_paddings_are_refused_by_name(conv):
    with pytest.raises(InputError, match="layer '0'"):
        ProxProp(nn.Sequential(conv, nn.Conv2d(2, 2, 3)), 0.1)
