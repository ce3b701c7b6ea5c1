"""Alignment recovers known permutations of units, and never leads to a wrong network or a higher barrier."""

import copy
import logging

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.nn.functional import cross_entropy
from torch.nn.utils import parametrizations

import basinscope as bs
from basinscope.errors import InputError


class Residual(nn.Module):
    """A residual network with BatchNorm, a projected and an identity shortcut."""

    def __init__(self, width=4):
        super().__init__()
        self.stem, self.norm = nn.Conv2d(1, width, 3, padding=1, bias=False), nn.BatchNorm2d(width)
        self.blocks = nn.ModuleList(
            [Block(width, width, 1), Block(width, 2 * width, 2), Block(2 * width, 2 * width, 1)]
        )
        self.out = nn.Linear(2 * width, 3)

    def forward(self, x):
        x = self.norm(self.stem(x)).relu_()
        for block in self.blocks:
            x = block(x)
        return self.out(functional.adaptive_avg_pool2d(x, 1).flatten(1))


class Block(nn.Module):
    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.one, self.two = nn.Conv2d(inputs, outputs, 3, stride, 1), nn.Conv2d(outputs, outputs, 3, 1, 1)
        self.first, self.second = nn.BatchNorm2d(outputs), nn.BatchNorm2d(outputs)
        self.short = None
        if inputs != outputs:
            self.short = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x):
        inner = self.second(self.two(self.first(self.one(x)).relu()))
        return (inner + (x if self.short is None else self.short(x))).relu()


class PaddedShortcut(nn.Module):
    """Channels of a shortcut padded with zeros, a depthwise convolution, and channels flattened with positions."""

    def __init__(self):
        super().__init__()
        self.one, self.two = nn.Conv2d(1, 3, 3, padding=1), nn.Conv2d(3, 7, 3, 2, 1)
        self.deep, self.norm, self.out = nn.Conv2d(7, 7, 3, 1, 1, groups=7), nn.GroupNorm(7, 7), nn.Linear(28, 3)

    def forward(self, x):
        x = self.one(x).relu()
        short = functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 2, 2))
        return self.out(self.norm(self.deep((self.two(x) + short).relu())).relu().flatten(1))


class Skipping(nn.Module):
    """Joins features of two depths, as a U-Net does."""

    def __init__(self):
        super().__init__()
        self.down, self.deep = nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 6, 3, 2, 1)
        self.up, self.last = nn.ConvTranspose2d(6, 5, 2, 2), nn.Conv2d(9, 3, 3, padding=1)

    def forward(self, x):
        x = self.down(x).relu()
        return self.last(torch.cat([x, self.up(self.deep(x).relu()).relu()], 1)).mean((2, 3))


class Recurrent(nn.Module):
    def __init__(self, kind):
        super().__init__()
        self.rnn, self.out = kind(4, 5, num_layers=2, batch_first=True), nn.Linear(5, 3)

    def forward(self, x):
        return self.out(self.rnn(x[:, 0])[0][:, -1])


class Attending(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed, self.place = nn.Linear(4, 8), nn.Parameter(torch.randn(4, 8))
        self.layer = nn.TransformerEncoderLayer(8, 2, 12, batch_first=True, activation="gelu")
        self.out = nn.Linear(8, 3)

    def forward(self, x):
        return self.out(self.layer(self.embed(x[:, 0]) + self.place).mean(1))


class Tied(nn.Module):
    """Two layers of one weight, on units that the first layer makes."""

    def __init__(self):
        super().__init__()
        self.first, self.a, self.b, self.out = nn.Linear(4, 5), nn.Linear(5, 5), nn.Linear(5, 5), nn.Linear(20, 3)
        self.b.weight = self.a.weight

    def forward(self, x):
        return self.out(self.b(self.a(self.first(x)).relu()).flatten(1))


KINDS = {
    "perceptron": lambda: nn.Sequential(
        nn.Flatten(), nn.Linear(16, 6), nn.Tanh(), nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3)
    ),
    "residual": Residual,
    "padded shortcut": PaddedShortcut,
    "skipping": Skipping,
    "rnn": lambda: Recurrent(nn.RNN),
    "gru": lambda: Recurrent(nn.GRU),
    "lstm": lambda: Recurrent(nn.LSTM),
    "attention": Attending,
}


def _model(kind, seed=0):
    torch.manual_seed(seed)
    model = KINDS[kind]().double().eval()
    with torch.no_grad():
        for tensor in model.parameters():
            tensor.add_(0.1 * torch.randn_like(tensor))
        for name, buffer in model.named_buffers():
            if name.endswith("running_mean"):
                buffer.normal_()
            elif name.endswith("running_var"):
                buffer.uniform_(0.5, 2.0)
    return model


def _batches(num=2):
    stream = torch.Generator().manual_seed(0)
    return [(torch.randn(4, 1, 4, 4, generator=stream).double(), torch.arange(4) % 3) for _ in range(num)]


def _loss(model, batch):
    return cross_entropy(model(batch[0]), batch[1], reduction="none")


def _trained(kind, seed):
    """A network that fits the batches."""
    model = _model(kind, seed)
    optimizer = torch.optim.Adam(model.parameters(), 0.02)
    for _ in range(100):
        optimizer.zero_grad()
        sum(_loss(model, batch).mean() for batch in _batches()).backward()
        optimizer.step()
    return model


def _shuffled(objective, model, seed):
    """The same network with its units in another order."""
    symmetry = objective.permutable().symmetry
    stream = np.random.default_rng(seed)
    return symmetry.permuted(model.state_dict(), [stream.permutation(size) for size in symmetry.sizes])


@pytest.mark.parametrize("kind", KINDS)
def test_known_permutations_are_recovered(kind):
    model, batches = _model(kind), _batches()
    objective = bs.Objective(model, _loss, batches)
    own, changed = model.state_dict(), 0
    for seed in range(6):
        shuffled = _shuffled(objective, model, seed)
        other = copy.deepcopy(model)
        other.load_state_dict(shuffled)
        with torch.no_grad():
            torch.testing.assert_close(other(batches[0][0]), model(batches[0][0]), rtol=1e-9, atol=1e-9)
        found = bs.align(objective, shuffled)
        assert all(torch.equal(found[name], own[name]) for name in own)
        changed += any(not torch.equal(shuffled[name], own[name]) for name in own)
    assert changed > 3


def test_every_hidden_unit_of_a_residual_network_is_permuted():
    symmetry = bs.Objective(_model("residual"), _loss, _batches()).permutable().symmetry
    # The stream of each width, and the inner units of each block.
    assert sorted(symmetry.sizes) == [4, 4, 8, 8, 8]


def test_gates_share_the_order_of_their_units():
    symmetry = bs.Objective(_model("lstm"), _loss, _batches()).permutable().symmetry
    assert symmetry.sizes == (5, 5)
    gates = [piece for piece in symmetry.pieces if piece.name == "rnn.weight_hh_l0"]
    assert [piece.axes for piece in gates] == [(0, 0)] * 4


def test_networks_whose_units_are_no_symmetry_are_refused():
    class Sorted(nn.Module):
        def __init__(self):
            super().__init__()
            self.one, self.two = nn.Linear(16, 5), nn.Linear(5, 3)

        def forward(self, x):
            return self.two(self.one(x.flatten(1)).cumsum(1))

    objective = bs.Objective(Sorted().double(), _loss, _batches())
    with pytest.raises(InputError, match=r"^align: no units of Sorted can be permuted \(.*cumsum"):
        bs.align(objective, Sorted().double())


def test_what_the_first_batch_does_not_show_is_refused():
    class Late(nn.Module):
        """Uses the order of its units only on positive inputs."""

        def __init__(self):
            super().__init__()
            self.one, self.two = nn.Linear(16, 5), nn.Linear(5, 3)

        def forward(self, x):
            hidden = self.one(x.flatten(1))
            return self.two(hidden.cumsum(1) if x.mean() > 10 else hidden)

    batches = _batches()
    batches[1] = (batches[1][0] + 20, batches[1][1])
    torch.manual_seed(0)
    model = Late().double()
    objective = bs.Objective(model, _loss, batches)
    shuffled = {**model.state_dict(), "one.weight": model.one.weight.flip(0), "one.bias": model.one.bias.flip(0)}
    with pytest.raises(InputError, match=r"^align: permuting the units of other changes its loss"):
        bs.align(objective, shuffled)


def test_a_path_between_two_orders_of_one_network_is_flat():
    model = _trained("residual", 0)
    objective = bs.Objective(model, _loss, _batches())
    shuffled = _shuffled(objective, model, 3)
    for measure in (bs.linear_path, lambda *args, **kwargs: bs.connect(*args, num_steps=0, **kwargs)):
        found = measure(objective, shuffled, resolution=5, align=True, recalibrate=False, progress=False)
        np.testing.assert_allclose(found["loss"].values.ravel(), objective.center_loss, rtol=1e-9)
        assert found.attrs["aligned"] == 1
        assert found.attrs["straight_barrier_aligned"] < 1e-9
        assert found.attrs["straight_barrier_unaligned"] > 0.1


def test_the_inner_product_never_falls_and_the_other_network_keeps_its_function():
    one, two = _model("residual", 0), _model("residual", 1)
    objective = bs.Objective(one, _loss, _batches())
    found = bs.align(objective, two)
    other = copy.deepcopy(two)
    other.load_state_dict(found)
    with torch.no_grad():
        torch.testing.assert_close(other(_batches()[0][0]), two(_batches()[0][0]), rtol=1e-9, atol=1e-9)
    names = [name for name, _ in one.named_parameters()]
    ours = one.state_dict()
    before, after = (sum(float((ours[n] * s[n]).sum()) for n in names) for s in (two.state_dict(), found))
    assert after > before


@pytest.mark.parametrize("verb", [bs.linear_path, bs.connect])
def test_alignment_that_raises_the_barrier_is_not_used(verb, caplog, monkeypatch):
    one = _trained("perceptron", 0)
    objective = bs.Objective(one, _loss, _batches())
    near = {name: tensor + 1e-3 for name, tensor in one.state_dict().items()}
    settings = {"num_steps": 2} if verb is bs.connect else {}
    plain = verb(objective, near, resolution=9, progress=False, **settings)
    worse = objective.permutable().symmetry.permuted(near, [np.arange(n)[::-1].copy() for n in (6, 5)])
    monkeypatch.setattr("basinscope.checkpoints.alignment.align", lambda *_, **__: worse)
    with caplog.at_level(logging.WARNING):
        found = verb(objective, near, resolution=9, align=True, progress=False, **settings)
    np.testing.assert_array_equal(found["loss"], plain["loss"])
    assert found.attrs["straight_barrier_unaligned"] + 0.1 < found.attrs["straight_barrier_aligned"]
    assert found.attrs["aligned"] == 0
    assert "alignment raises the barrier of the straight line" in caplog.text


def test_tied_and_parametrised_weights():
    torch.manual_seed(0)
    tied = Tied().double()
    objective = bs.Objective(tied, _loss, [(x[:, 0], y) for x, y in _batches()])
    shuffled = {**(found := _shuffled(objective, tied, 1)), "b.weight": found["a.weight"]}
    found = bs.align(objective, shuffled)
    assert not torch.equal(shuffled["a.weight"], tied.a.weight)
    assert torch.equal(found["a.weight"], tied.a.weight)
    assert torch.equal(found["b.weight"], tied.a.weight)
    layers = [nn.Sequential(nn.Flatten(), nn.Linear(16, 6), nn.Tanh(), nn.Linear(6, 3)).double() for _ in range(2)]
    plain = [copy.deepcopy(model) for model in layers]
    for model in layers:
        parametrizations.weight_norm(model[1])
    paths = [
        bs.linear_path(bs.Objective(one, _loss, _batches()), two, resolution=5, align=True, progress=False)
        for one, two in (plain, layers)
    ]
    np.testing.assert_allclose(paths[0]["loss"], paths[1]["loss"], rtol=1e-9)


def test_other_landscapes_are_refused_in_one_line():
    net = bs.MLP((2, 3, 1))
    samples = bs.Samples(torch.randn(8, 2), torch.tensor([0, 1] * 4))
    landscape = bs.CleanLoss(net, samples).around(torch.randn(net.layout.num_parameters))
    with pytest.raises(InputError, match=r"^align: not available for FlatLandscape"):
        bs.align(landscape, torch.randn(net.layout.num_parameters))


def test_losses_that_differentiate_by_their_inputs():
    def residual(model, batch):
        points = batch[0][:, 0, 0, :2].detach().requires_grad_(True)
        (slope,) = torch.autograd.grad(model(points).sum(), points, create_graph=True)
        return (slope.sum(1) - batch[1]).square()

    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(2, 5), nn.Tanh(), nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 1)).double()
    objective = bs.Objective(model, residual, _batches())
    shuffled = _shuffled(objective, model, 2)
    assert sorted(objective.permutable().symmetry.sizes) == [4, 5]
    found = bs.align(objective, shuffled)
    assert all(torch.equal(found[name], tensor) for name, tensor in model.state_dict().items())


class Heads(nn.Module):
    """A second head that only some batches reach."""

    def __init__(self):
        super().__init__()
        self.body, self.one, self.two = nn.Linear(16, 5), nn.Linear(5, 3), nn.Linear(5, 3)

    def forward(self, x, *, second=False):
        return (self.two if second else self.one)(self.body(x.flatten(1)).tanh())


def _second(model, batch):
    return cross_entropy(model(batch[0], second=True), batch[1], reduction="none")


def test_metrics_and_further_data_sets_are_followed_too():
    torch.manual_seed(0)
    model, batches = Heads().double(), _batches()
    plain = bs.Objective(model, _loss, batches)
    shuffled = plain.permutable().symmetry.permuted(model.state_dict(), [np.array([4, 2, 0, 1, 3])])
    torch.testing.assert_close(shuffled["two.weight"], model.two.weight)
    both = bs.Objective(model, _loss, {"train": batches, "test": batches[:1]}, metrics={"second": _second})
    (size,) = both.permutable().symmetry.sizes
    assert size == 5
    shuffled = both.permutable().symmetry.permuted(model.state_dict(), [np.array([4, 2, 0, 1, 3])])
    path = bs.linear_path(both, shuffled, resolution=3, beyond=0, align=True, progress=False)
    values = path["values"].values[:, :, 0]
    np.testing.assert_allclose(values, np.repeat(values[..., :1], 3, axis=-1), rtol=1e-12)


def test_tensors_that_no_batch_reaches_are_named_and_outputs_keep_their_order(caplog):
    torch.manual_seed(0)
    model, batches = Heads().double(), _batches()
    objective = bs.Objective(model, _loss, batches)
    assert objective.permutable().symmetry.names == [["body.weight", "body.bias", "one.weight"]]
    with caplog.at_level(logging.WARNING):
        bs.align(objective, Heads().double())
    assert "align: the batches do not reach two.weight, two.bias: what the network computes" in caplog.text

    def gram(model, batch):
        outputs = model(batch[0])
        return (outputs @ outputs.T - 1).square().mean(1)

    net = nn.Sequential(nn.Flatten(), nn.Linear(16, 5), nn.Tanh(), nn.Linear(5, 4)).double()
    symmetry = bs.Objective(net, gram, batches).permutable().symmetry
    assert symmetry.sizes == (5,)
    assert symmetry.names == [["1.weight", "1.bias", "3.weight"]]
