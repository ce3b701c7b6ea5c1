"""Checkpoints fit a network whatever wraps either of them; two sets of weights that fit and differ are refused."""

import copy
import random
import re

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn.utils import parametrizations
from torch.optim.swa_utils import AveragedModel

import basinscope as bs
from basinscope.checkpoints.files import fill, read_state
from basinscope.errors import InputError
from basinscope.landscape.names import fitted, names_of
from tests.anyones import perceptron, sample_losses, untouched, vectors


class Holds(nn.Module):
    """Holds a network under a given name, as a LightningModule or a wrapper does."""

    def __init__(self, name, inner):
        super().__init__()
        self.name = name
        self.add_module(name, inner)

    def forward(self, *args):
        return self._modules[self.name](*args)


WRAPPERS = {
    "data parallel": nn.DataParallel,
    "compiled": lambda model: torch.compile(model, backend="eager"),
    "averaged": AveragedModel,
    "lightning": lambda model: Holds("model", model),
    "net": lambda model: Holds("net", model),
    "fsdp": lambda model: Holds("_fsdp_wrapped_module", model),
    "ema": lambda model: Holds("ema_model", model),
    "averaged lightning": lambda model: Holds("model", AveragedModel(model)),
    "compiled parallel": lambda model: torch.compile(nn.DataParallel(model), backend="eager"),
}


THIRD = perceptron(seed=9)


def _losses(objective, other):
    """The line to another minimum, the curve, the plane and the map through it, in numbers."""
    line = bs.linear_path(objective, other, resolution=5, progress=False)
    curve = bs.connect(objective, other, num_steps=1, resolution=3, progress=False)
    plane = bs.slice2d(objective, directions="between", points=[other, THIRD], resolution=3, progress=False)
    return [line["loss"].values, line.attrs["other_loss"], curve["loss"].values, plane["loss"].values]


def _same(one, two):
    for a, b in zip(one, two, strict=True):
        np.testing.assert_array_equal(a, b)


PLAIN = {}


def _plain_losses():
    if not PLAIN:
        objective = bs.Objective(perceptron(), sample_losses, vectors())
        PLAIN["losses"] = _losses(objective, perceptron(seed=1).state_dict())
    return PLAIN["losses"]


@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_a_wrapped_network_is_the_same_point(wrapper):
    objective = bs.Objective(perceptron(), sample_losses, vectors())
    other, wanted = WRAPPERS[wrapper](perceptron(seed=1)), _plain_losses()
    with untouched(other):
        _same(_losses(objective, other), wanted)
    network = perceptron()
    fill(network, other.state_dict(), "it")
    assert all(map(torch.equal, network.state_dict().values(), perceptron(seed=1).state_dict().values()))


@pytest.mark.parametrize("wrapper", [name for name in WRAPPERS if "ema" not in name])
def test_a_network_that_is_wrapped_takes_plain_points_and_others_wrapped_otherwise(wrapper):
    model = WRAPPERS[wrapper](perceptron()).eval()
    objective = bs.Objective(model, sample_losses, vectors())
    for other in (perceptron(seed=1), WRAPPERS["compiled parallel"](perceptron(seed=1))):
        line = bs.linear_path(objective, other, resolution=5, progress=False)
        np.testing.assert_array_equal(line["loss"].values, _plain_losses()[0])
    fill(model, perceptron(seed=1).state_dict(), "it")
    assert bs.Objective(model, sample_losses, vectors()).center_loss == pytest.approx(_plain_losses()[1], rel=1e-12)


def test_points_of_a_map_may_be_wrapped():
    objective = bs.Objective(perceptron(), sample_losses, vectors())
    plain = [perceptron(seed=seed) for seed in range(1, 7)]
    wrapped = [wrap(model) for wrap, model in zip(WRAPPERS.values(), plain, strict=False)]
    found, wanted = (bs.tsne(objective, points=points) for points in (wrapped, plain))
    np.testing.assert_array_equal(found["x"], wanted["x"])


def test_layers_inside_may_be_wrapped():
    objective = bs.Objective(perceptron(), sample_losses, vectors())
    other = perceptron(seed=1)
    other[0], other[2] = torch.compile(other[0], backend="eager"), nn.DataParallel(other[2])
    assert set(other.state_dict()) == {"0._orig_mod.weight", "0._orig_mod.bias", "2.module.weight", "2.module.bias"}
    _same(_losses(objective, other), _plain_losses())


def _other(key):
    """Content of a file that a training script saved."""
    state = perceptron(seed=1).state_dict()
    if key == "lightning":
        state = {f"model.{name}": tensor for name, tensor in state.items()}
        return {"state_dict": {**state, "criterion.weight": torch.ones(3)}, "epoch": 3, "optimizer_states": [{"a": 1}]}
    return {key: state, "epoch": torch.tensor(3), "optimizer": {"state": {0: {"exp_avg": torch.ones(2)}}}}


KEYS = ["state_dict", "model_state_dict", "model", "module", "net", "ema", "ema_state_dict", "weights", "params"]


@pytest.mark.parametrize("key", [*KEYS, "lightning"])
def test_weights_are_found_among_what_a_training_script_saves(key, tmp_path):
    path = tmp_path / "a.pt"
    torch.save(_other(key), path)
    objective = bs.Objective(perceptron(), sample_losses, vectors())
    for point in (path, _other(key)):
        found = bs.linear_path(objective, point, resolution=5, progress=False)
        np.testing.assert_array_equal(found["loss"].values, _plain_losses()[0])
    network = perceptron()
    fill(network, read_state(path), "a.pt")
    assert torch.equal(network[0].weight, perceptron(seed=1)[0].weight)


def _prefixed(**parts):
    return {f"{key}.{name}": tensor for key, state in parts.items() for name, tensor in state.items()}


@pytest.mark.parametrize(
    ("one", "two"), [("model", "ema_model"), ("module", "averaged_model"), ("online_model", "ema_model"), ("", "ema")]
)
@pytest.mark.parametrize("nested", [False, True])
def test_two_sets_of_weights_that_differ_are_refused_and_both_named(one, two, nested, tmp_path):
    first, second = (perceptron(seed=seed).state_dict() for seed in (1, 2))
    both = {**(_prefixed(**{one: first}) if one else first), **_prefixed(**{two: second})}
    if nested:
        both = {"state_dict": {**both, "n_averaged": torch.tensor(3)}, "epoch": 2}
    objective = bs.Objective(perceptron(), sample_losses, vectors())
    save = tmp_path / "a.pt"
    torch.save(both, save)
    for load in (
        lambda: bs.linear_path(objective, both, progress=False),
        lambda: bs.slice2d(objective, directions="pca", points=[both, first], progress=False),
        lambda: fill(perceptron(), both, "it"),
        lambda: fill(perceptron(), read_state(save), "it"),
        lambda: objective.loss_of(both),
    ):
        with pytest.raises(InputError, match=r"holds two sets of weights that fit Sequential and differ") as caught:
            load()
        assert all(f"under '{name}'" in str(caught.value) for name in (one, two) if name)
        assert "\n" not in str(caught.value)
    same = {**(_prefixed(**{one: first}) if one else first), **_prefixed(**{two: copy.deepcopy(first)})}
    found = bs.linear_path(objective, same, resolution=5, progress=False)
    np.testing.assert_array_equal(found["loss"].values, _plain_losses()[0])


def test_weights_under_several_keys_of_a_file_are_refused_if_they_differ(tmp_path):
    first, second = (perceptron(seed=seed).state_dict() for seed in (1, 2))
    torch.save({"model": first, "ema": second, "optimizer": {}}, tmp_path / "a.pt")
    with pytest.raises(InputError, match="differ: names under 'model' and names under 'ema'"):
        fill(perceptron(), read_state(tmp_path / "a.pt"), "a.pt")
    # Those that are no weights of this network do not count.
    torch.save({"model": first, "ema": {"decay": torch.tensor(0.9)}}, tmp_path / "b.pt")
    network = perceptron()
    fill(network, read_state(tmp_path / "b.pt"), "b.pt")
    assert torch.equal(network[0].weight, first["0.weight"])


class Own(nn.Module):
    """A network whose children have the names that wrappers use."""

    def __init__(self, seed):
        super().__init__()
        torch.manual_seed(seed)
        self.model, self.net, self.module, self.out = (nn.Linear(4, 4) for _ in range(4))
        self.out = nn.Linear(4, 3)

    def forward(self, x):
        return self.out(self.module(self.net(self.model(x).tanh()).tanh()).tanh())


@pytest.mark.parametrize("wrap", [lambda model: model, *WRAPPERS.values()])
def test_a_network_with_children_of_such_names_is_read_rightly(wrap):
    network, other = Own(0).double().eval(), Own(1).double().eval()
    objective = bs.Objective(network, sample_losses, vectors())
    wanted = bs.Objective(other, sample_losses, vectors()).center_loss
    assert objective.loss_of(wrap(other).state_dict()) == pytest.approx(wanted, rel=1e-12)
    twin = Own(2).double()
    fill(twin, wrap(other).state_dict(), "it")
    assert all(map(torch.equal, twin.state_dict().values(), other.state_dict().values()))


SEGMENTS = ("module", "_orig_mod", "model", "net", "network", "_fsdp_wrapped_module", "_forward_module", "ema_model")


def _tree(stream, depth):
    """A random network whose children may have the names of wrappers; every tensor has one shape, but its own value."""
    node = nn.Module()
    if stream.random() < 0.5 or not depth:
        node.register_parameter("weight", nn.Parameter(torch.randn(2)))
    names = stream.sample(["module", "model", "net", "layer", "head", "encoder"], k=stream.randint(1, 3))
    for name in names if depth else ():
        node.add_module(name, _tree(stream, depth - 1))
    if not list(node.parameters()):
        node.register_parameter("weight", nn.Parameter(torch.randn(2)))
    return node


def _wrapped(stream, state, inner):
    """A state dictionary under random wrappers, and with wrappers around a random layer."""
    prefix = "".join(f"{stream.choice(SEGMENTS)}." for _ in range(stream.randint(0, 4)))
    layers = sorted({name.rpartition(".")[0] for name in state} - {""})
    layer = stream.choice(layers) if inner and layers and stream.random() < 0.5 else None
    segment = stream.choice(("_orig_mod", "_checkpoint_wrapped_module", "module"))

    def renamed(name):
        path, _, last = name.rpartition(".")
        within = layer is not None and (path == layer or path.startswith(f"{layer}."))
        return f"{layer}.{segment}{path[len(layer) :]}.{last}" if within else name

    return {prefix + renamed(name): tensor for name, tensor in state.items()}


@pytest.mark.parametrize("inner", [False, True])
def test_random_nestings_of_wrappers_come_back_or_are_refused(inner):
    right = 0
    for seed in range(150):
        stream = random.Random(seed)
        torch.manual_seed(seed)
        network = _tree(stream, 2)
        values = {name: torch.randn(2) for name in network.state_dict()}
        names = names_of(network)
        try:
            found = fitted(_wrapped(stream, values, inner), names, required=list(values), what="it", network="Tree")
        except InputError:
            assert inner, f"seed {seed}: prefixes alone are never ambiguous"
            continue
        assert found.keys() == values.keys()
        assert all(found[name] is values[name] for name in values), seed
        right += 1
    assert right >= (140 if inner else 150)


@pytest.mark.parametrize("seed", range(10))
def test_a_network_and_its_checkpoint_may_be_wrapped_differently(seed):
    stream = random.Random(seed)
    values = {name: torch.randn(2, 2) for name in ("a.weight", "b.c.weight", "b.c.bias", "d.bias")}
    prefix = f"{stream.choice(SEGMENTS)}."
    own = {prefix + name: tensor for name, tensor in values.items()}
    network = nn.Module()
    for name, tensor in own.items():
        path, _, last = name.rpartition(".")
        node = network
        for part in path.split("."):
            if part not in node._modules:
                node.add_module(part, nn.Module())
            node = node._modules[part]
        node.register_parameter(last, nn.Parameter(torch.zeros_like(tensor)))
    found = fitted(_wrapped(stream, values, True), names_of(network), required=list(own), what="it", network="it")
    assert all(found[prefix + name] is tensor for name, tensor in values.items())


def test_an_architecture_that_only_contains_the_network_is_refused():
    longer = nn.Sequential(*perceptron(seed=1), nn.Linear(3, 3)).double()
    objective = bs.Objective(perceptron(), sample_losses, vectors())
    words = "does not fit Sequential: 3.weight: not in the network; 3.bias: not in the network; it holds 0.weight"
    with pytest.raises(InputError, match=re.escape(f"other {words}")):
        bs.linear_path(objective, longer, progress=False)
    with pytest.raises(InputError, match=re.escape(f"the state {words}")):
        objective.loss_of(longer.state_dict())
    with pytest.raises(InputError, match=re.escape(words)):
        fill(perceptron(), longer.state_dict(), "it")


@pytest.mark.parametrize(("name", "shape"), [("2.weight", (3, 4)), ("0.bias", (4,)), ("0.weight", (5, 4, 1))])
def test_the_loss_of_a_state_with_another_shape_is_refused(name, shape):
    objective = bs.Objective(perceptron(), sample_losses, vectors())
    state = {**perceptron(seed=1).state_dict(), name: torch.zeros(shape, dtype=torch.float64)}
    with pytest.raises(InputError, match=re.escape(f"{name}: {shape}, not")):
        objective.loss_of(state)


def test_tied_tensors_may_be_missing_under_any_name_but_must_agree():
    def tied():
        net = nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 4)).double().eval()
        net[2].weight = net[0].weight
        return net

    torch.manual_seed(0)
    one, two = tied(), tied()
    objective = bs.Objective(one, sample_losses, vectors())
    wanted = bs.Objective(two, sample_losses, vectors()).center_loss
    for missing in ("0.weight", "2.weight"):
        state = {name: tensor for name, tensor in two.state_dict().items() if name != missing}
        found = bs.linear_path(objective, state, resolution=3, progress=False)
        assert found.attrs["other_loss"] == pytest.approx(wanted, rel=1e-12)
    untied = {**two.state_dict(), "2.weight": two[2].weight.detach() + 1}
    for load in (lambda: bs.linear_path(objective, untied, progress=False), lambda: fill(tied(), untied, "it")):
        with pytest.raises(InputError, match=r"0\.weight and 2\.weight: one tensor in the network, but .* differ"):
            load()


@pytest.mark.parametrize("change", [parametrizations.weight_norm, nn.utils.weight_norm, parametrizations.spectral_norm])
@pytest.mark.filterwarnings("ignore:.*weight_norm.*deprecated")
def test_plain_weights_are_points_of_a_parametrised_network(change):
    model, other = perceptron(), perceptron(seed=1)
    change(model[0])
    objective = bs.Objective(model.eval(), sample_losses, vectors())
    wanted = bs.Objective(other, sample_losses, vectors()).center_loss
    for point in (other, nn.DataParallel(other)):
        found = bs.linear_path(objective, point, resolution=5, beyond=0, progress=False)
        assert found.attrs["other_loss"] == pytest.approx(wanted, rel=1e-12)
        assert float(found["loss"][0, -1]) == pytest.approx(wanted, rel=1e-12)
    half = {
        name: t for name, t in model.state_dict().items() if not name.endswith(("original0", "weight_g", "original"))
    }
    with pytest.raises(InputError, match=r"0\.weight: missing"):
        bs.linear_path(objective, half, progress=False)


def test_a_safetensors_file_of_a_wrapped_network_is_read_alike(tmp_path):
    state = _prefixed(_orig_mod=_prefixed(module=perceptron(seed=1).state_dict()))
    save_file(state, tmp_path / "a.safetensors")
    network = perceptron()
    fill(network, read_state(tmp_path / "a.safetensors"), "it")
    assert torch.equal(network[0].weight, perceptron(seed=1)[0].weight)
    objective = bs.Objective(perceptron(), sample_losses, vectors())
    torch.save({"generator": perceptron().state_dict(), "epoch": 1}, tmp_path / "b.pt")
    with pytest.raises(InputError, match="contains a dict with the keys generator, epoch, not a state dictionary"):
        bs.linear_path(objective, tmp_path / "b.pt", progress=False)
