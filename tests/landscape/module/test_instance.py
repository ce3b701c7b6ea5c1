"""Networks that cannot be copied are measured in a second instance, with the numbers of the network itself."""

import threading

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import prune
from torch.nn.utils.parametrizations import weight_norm

import basinscope as bs
from basinscope.errors import InputError
from basinscope.landscape.module.instance import filled_instance
from basinscope.own.networks import of_model
from tests.anyones import Vision, drawn, images, mean_loss, perceptron, untouched, vectors

QUIET = {"progress": False}


class Locked(nn.Module):
    """Holds a lock and a generator, which cannot be copied, and settings, which can."""

    def __init__(self, *, scale: float = 1.0, seed: int = 7):
        super().__init__()
        self.net = perceptron(seed=seed)
        self.lock, self.numbers = threading.Lock(), (number for number in range(3))
        self.scale, self.kept = scale, []
        self.register_buffer("shift", torch.zeros(3, dtype=torch.float64))

    def forward(self, inputs: Tensor) -> Tensor:
        with self.lock:
            return self.net(inputs) * self.scale + self.shift


class Open(Locked):
    """The same network, which can be copied."""

    def __init__(self, **settings):
        super().__init__(**settings)
        del self.lock, self.numbers
        self.lock = Unlocked()


class Unlocked:
    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass


def _set(net: Locked) -> Locked:
    """The network as its user has trained it: other weights, buffers and settings than a new one, a frozen tensor."""
    net.net = perceptron(seed=0)
    net.scale = 2.0
    net.shift.add_(0.3)
    net.net[0].weight.requires_grad_(False)
    return net.eval()


GIVEN = {"function": Locked, "lambda": lambda: Locked(scale=5.0, seed=3), "instance": Locked()}


@pytest.mark.parametrize("given", GIVEN)
def test_numbers_are_those_of_a_copy(given):
    locked, plain = _set(Locked()), _set(Open())
    other, wanted_end = Locked(seed=5), Open(scale=2.0, seed=5).eval()
    with untouched(locked):
        one = bs.Objective(locked, mean_loss, vectors(), instance=GIVEN[given])
        two = bs.Objective(plain, mean_loss, vectors())
        assert [f.name for f in one.filters] == [f.name for f in two.filters] == ["net.2.weight"]
        assert one.center_loss == two.center_loss
        for probe, settings in (
            (bs.slice1d, {"resolution": 5}),
            (bs.basin_radius, {"num_directions": 2, "num_scanned": 0}),
            (bs.curvature, {"top": 2}),
        ):
            found, wanted = (probe(o, **settings, **QUIET) for o in (one, two))
            for name in wanted.data_vars:
                np.testing.assert_array_equal(found[name], wanted[name])
        path = bs.linear_path(one, other, resolution=3, beyond=0, **QUIET)
        wanted = bs.Objective(wanted_end, mean_loss, vectors()).center_loss
        assert float(path["loss"][0, -1]) == pytest.approx(wanted, rel=1e-12)
    locked.net[2].weight.data.mul_(1.5)
    plain.net[2].weight.data.mul_(1.5)
    assert one.center_loss == two.center_loss


def test_layers_with_statistics_and_modes_are_those_of_the_network():
    class Seen(Vision):
        def __init__(self):
            super().__init__()
            self.lock = threading.Lock()

    net = Seen()
    drawn(net)
    net.group.train()
    objective = bs.Objective(net, mean_loss, images(), instance=Seen)
    with torch.no_grad():
        wanted = [float(mean_loss(net, batch)) * len(batch[1]) for batch in images()]
    assert objective.center_loss == pytest.approx(sum(wanted) / 9, rel=1e-6)
    copied = objective._twin.copy
    assert [m.training for m in copied.modules()] == [m.training for m in net.modules()]


@pytest.mark.parametrize("kind", ["pruned", "weight_norm"])
def test_effective_weights_are_moved(kind):
    def made(seed: int = 7) -> Locked:
        net = Locked(seed=seed)
        for layer in (net.net[0], net.net[2]):
            if kind == "pruned":
                prune.random_unstructured(layer, "weight", amount=0.5)
            else:
                weight_norm(layer)
        return net.eval()

    net = made()
    plain = Open()
    plain.net.load_state_dict(_effective(net.net))
    one = bs.Objective(net, mean_loss, vectors(), instance=made)
    two = bs.Objective(plain.eval(), mean_loss, vectors(), masks="zeros" if kind == "pruned" else None)
    assert one.num_moved == two.num_moved
    assert one.center_loss == pytest.approx(two.center_loss, rel=1e-12)
    radii = [bs.basin_radius(o, num_directions=2, num_scanned=0, **QUIET)["radius"].values for o in (one, two)]
    np.testing.assert_allclose(*radii, rtol=1e-9)
    other = made(seed=3)
    line = bs.linear_path(one, other, resolution=3, beyond=0, **QUIET)
    plain.net.load_state_dict(_effective(other.net))
    assert float(line["loss"][0, -1]) == pytest.approx(two.center_loss, rel=1e-12)
    with pytest.raises(InputError, match="has parametrised or pruned weights: pass instance= a function"):
        bs.Objective(net, mean_loss, vectors(), instance=made())


def _effective(net: nn.Sequential) -> dict[str, Tensor]:
    with torch.no_grad():
        net(torch.zeros(1, 4, dtype=torch.float64))
    return {f"{k}.{n}": getattr(net[k], n).detach() for k in (0, 2) for n in ("weight", "bias")}


def test_hooks_of_the_network_run_in_the_instance():
    net, calls = _set(Locked()), []
    net.net[0].register_forward_hook(lambda module, inputs, outputs: outputs + 0.5)
    net.net[2].register_forward_hook(lambda module, inputs, outputs: calls.append(1))
    with torch.no_grad():
        wanted = [float(mean_loss(net, batch)) * len(batch[1]) for batch in vectors()]
    calls.clear()
    objective = bs.Objective(net, mean_loss, vectors(), instance=Locked)
    assert objective.center_loss == pytest.approx(sum(wanted) / 9, rel=1e-12)
    assert not calls


def test_a_wrapped_network_takes_a_plain_instance():
    net = _set(Locked())
    wrapped = nn.DataParallel(net)
    one, two = (bs.Objective(m, mean_loss, vectors(), instance=Locked) for m in (wrapped, net))
    assert one.filters[0].name == "module.net.2.weight"
    assert one.center_loss == two.center_loss


def test_making_an_instance_leaves_random_states_alone():
    net = _set(Locked())
    before = torch.get_rng_state()
    bs.Objective(net, mean_loss, vectors(), instance=Locked)
    assert torch.equal(torch.get_rng_state(), before)


def test_an_instance_that_another_objective_fills_is_refused():
    shared, first, second = Locked(), _set(Locked()), Locked(seed=2).eval()
    one = bs.Objective(first, mean_loss, vectors(), instance=shared)
    one.check()
    two = bs.Objective(second, mean_loss, vectors(), instance=shared)
    with pytest.raises(InputError, match="in use by another Objective: pass a function"):
        one.loss_at((one.direction(0, 0), 0.1))
    assert two.center_loss == bs.Objective(second, mean_loss, vectors(), instance=Locked).center_loss


def test_checkpoints_of_a_survey_are_further_instances():
    net, other = _set(Locked()), Locked(seed=5, scale=2.0).eval()
    objective = bs.Objective(net, mean_loss, vectors(), instance=Locked)
    (network,) = of_model(objective, {"other": other.state_dict()}, name=None)
    assert network.opened().center_loss == bs.Objective(other, mean_loss, vectors(), instance=Locked).center_loss
    single = bs.Objective(net, mean_loss, vectors(), instance=Locked())
    with pytest.raises(InputError, match="pass instance= a function"):
        of_model(single, {"other": other.state_dict()}, name=None)


class Deeper(Locked):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(*self.net, nn.Tanh())


class Wider(Locked):
    def __init__(self):
        super().__init__()
        self.net[2] = nn.Linear(5, 4, dtype=torch.float64)


class Smoother(Locked):
    def __init__(self):
        super().__init__()
        self.net[1] = nn.Sigmoid()


class Unshifted(Locked):
    def __init__(self):
        super().__init__()
        self.shift = None


def _other(made: type[Locked]):
    """A network that differs, under the name of the class that is wanted."""

    def make() -> nn.Module:
        net = made()
        net.__class__ = Locked
        return net

    return make


def _sharing(net: Locked):
    def make() -> nn.Module:
        other = Locked()
        other.net[0].bias = nn.Parameter(net.net[0].bias.detach())
        return other

    return make


def _tied():
    net = Locked()
    net.net[2].bias = nn.Parameter(torch.zeros(3, dtype=torch.float64))
    net.shift = None
    net.shift = net.net[2].bias.data
    net._buffers["shift"] = net.net[2].bias
    return net


NET = _set(Locked())
WRONG = {
    "itself": (NET, r"instance is the network itself or shares layers"),
    "returns itself": (lambda: NET, r"instance\(\) is the network itself"),
    "shares a layer": (lambda: nn.Sequential(NET.net), r"shares layers with it"),
    "fails": (lambda: 1 / 0, r"instance\(\) fails: ZeroDivisionError: division by zero"),
    "no network": (lambda: 3, r"instance\(\) gives an int: it must make another Locked"),
    "class": (perceptron, r"instance is another network than Locked: layer net is missing"),
    "layers": (_other(Deeper), r"layer net\.3 is not in the network"),
    "shapes": (_other(Wider), r"net\.2\.weight: \(4, 5\), not \(3, 5\)"),
    "layer": (_other(Smoother), r"layer net\.1 is a Sigmoid, not a Tanh"),
    "buffer": (_other(Unshifted), r"shift is missing"),
    "memory": (_sharing(NET), r"net\.0\.bias is in the memory of the network's net\.0\.bias"),
    "ties": (_tied, r"net\.2\.bias and shift are the same in it|shift and net\.2\.bias are the same in it"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_mistakes_are_told_in_one_line(kind):
    given, told = WRONG[kind]
    with untouched(NET), pytest.raises(InputError, match=told) as caught:
        filled_instance(NET, given, {})
    assert "\n" not in str(caught.value)


def test_a_network_that_cannot_be_copied_says_what_to_pass():
    with pytest.raises(InputError, match=r"Locked cannot be copied: .*; pass instance=make_model") as caught:
        bs.Objective(NET, mean_loss, vectors())
    assert "\n" not in str(caught.value)
