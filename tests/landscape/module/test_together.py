"""Many points evaluated together agree with the same points evaluated one by one, or are evaluated one by one."""

import types

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.nn.functional import cross_entropy

import basinscope as bs
from basinscope.landscape.kernel import KernelError
from basinscope.landscape.module import together
from basinscope.landscape.module.chain import recognised
from basinscope.landscape.module.points import on_rays
from tests.anyones import (
    Attentive,
    Recurrent,
    Vision,
    drawn,
    images,
    labelled,
    mean_loss,
    perceptron,
    sample_losses,
    sum_and_count,
    tokens,
    untouched,
    vectors,
)

AGREE = {torch.float32: 1e-6, torch.float64: 1e-12}


class Own(nn.Module):
    """A forward of one's own, from functions."""

    def __init__(self):
        super().__init__()
        self.one, self.two = nn.Linear(4, 6), nn.Linear(6, 3)

    def forward(self, inputs):
        return functional.log_softmax(self.two(functional.relu(self.one(inputs))), dim=-1)


class Tied(nn.Module):
    """One weight in two layers."""

    def __init__(self):
        super().__init__()
        self.one, self.two, self.head = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 3)
        self.two.weight = self.one.weight

    def forward(self, inputs):
        return self.head(self.two(self.one(inputs).tanh()).relu())


class Residual(nn.Module):
    """A layer beside the identity."""

    def __init__(self):
        super().__init__()
        self.one, self.two = nn.Linear(4, 4), nn.Linear(4, 3)

    def forward(self, inputs):
        return self.two(inputs + self.one(inputs).relu())


class Branching(nn.Module):
    """Python decides by values."""

    def __init__(self):
        super().__init__()
        self.net = perceptron()

    def forward(self, inputs):
        found = self.net(inputs)
        return found if float(found.sum()) > 0 else 2 * found


def _layers(*layers):
    return lambda: drawn(nn.Sequential(*layers))


def _rows():
    return [(inputs.reshape(-1, 2, 2), labels) for inputs, labels in vectors()]


def _sequences():
    return labelled(torch.linspace(-1, 1, 108).sin().reshape(9, 3, 4))


# The kernel in C serves ReLU networks wherever it has been compiled before.
CHAIN, VMAP, ALONE = ("batched products, 8", "kernel in C, 8"), "vmap, 8", "one by one"
ZOO = {
    "relu": (_layers(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3)), vectors, {}, CHAIN),
    "tanh": (_layers(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3)), vectors, {}, CHAIN),
    "nested": (_layers(nn.Sequential(nn.Linear(4, 6), nn.GELU()), nn.Sequential(nn.Linear(6, 3))), vectors, {}, CHAIN),
    "own": (lambda: drawn(Own()), vectors, {}, CHAIN),
    "flatten": (_layers(nn.Flatten(), nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3)), _rows, {}, CHAIN),
    "no biases": (
        _layers(nn.Linear(4, 6, bias=False), nn.ReLU(), nn.Linear(6, 3, bias=False)),
        vectors,
        {},
        CHAIN,
    ),
    "dropout": (_layers(nn.Linear(4, 6), nn.Dropout(), nn.Sigmoid(), nn.Linear(6, 3)), vectors, {}, CHAIN),
    "some layers": (lambda: drawn(Own()), vectors, {"parameters": "two.*"}, CHAIN),
    "biases too": (lambda: drawn(Own()), vectors, {"one_dim": "moved"}, CHAIN),
    "layer norm": (_layers(nn.Linear(4, 6), nn.LayerNorm(6), nn.ReLU(), nn.Linear(6, 3)), vectors, {}, VMAP),
    "residual": (lambda: drawn(Residual()), vectors, {}, VMAP),
    "vision": (lambda: drawn(Vision()), images, {"one_dim": "moved"}, VMAP),
    "lstm": (lambda: drawn(Recurrent()), tokens, {}, None),
    "attention": (lambda: drawn(Attentive()), _sequences, {}, None),
    "tied": (lambda: drawn(Tied()), vectors, {}, None),
}


def _built(name, dtype):
    make, batches, options, wanted = ZOO[name]
    cast = [(x.to(dtype) if x.is_floating_point() else x, y) for x, y in batches()]
    return make().to(dtype), cast, options, wanted


def _line(model, loss, batches, points_at_once=8, **options):
    objective = bs.Objective(model, loss, batches, points_at_once=points_at_once, **options)
    return bs.slice1d(objective, num_directions=2, resolution=9, extent=2, progress=False)


def _agree(found, wanted, dtype):
    assert np.abs(found - wanted).max() <= AGREE[dtype] * np.abs(wanted).max()


@pytest.mark.parametrize("dtype", AGREE)
@pytest.mark.parametrize("name", ZOO)
def test_lines_are_the_same_together_and_one_by_one_and_nothing_is_touched(name, dtype):
    model, batches, options, wanted = _built(name, dtype)
    with untouched(model):
        found = _line(model, sample_losses, batches, **options)
        alone = _line(model, sample_losses, batches, 1, **options)
    _agree(found["loss"].values, alone["loss"].values, dtype)
    assert alone.attrs["evaluation"] == "one by one (as asked)"
    if wanted:
        assert found.attrs["evaluation"].startswith(wanted)


@pytest.mark.parametrize("name", ["relu", "vision"])
@pytest.mark.parametrize("loss", [mean_loss, sample_losses, sum_and_count])
def test_planes_are_the_same_whatever_the_loss_returns(name, loss):
    model, batches, options, wanted = _built(name, torch.float64)
    found, alone = (
        bs.slice2d(
            bs.Objective(model, loss, batches, points_at_once=num, **options), resolution=5, extent=2, progress=False
        )
        for num in (8, 1)
    )
    _agree(found["loss"].values, alone["loss"].values, torch.float64)
    assert found.attrs["evaluation"].startswith(wanted)


@pytest.mark.parametrize("name", ["relu", "own", "vision"])
def test_radii_agree_within_their_brackets(name):
    model, batches, options, _ = _built(name, torch.float64)
    found, alone = (
        bs.basin_radius(
            bs.Objective(model, sample_losses, batches, points_at_once=num, **options),
            rise=0.3,
            num_directions=5,
            progress=False,
        )
        for num in (8, 1)
    )
    np.testing.assert_array_equal(found["status"], alone["status"])
    assert (found["lower"] <= alone["upper"]).all()
    assert (alone["lower"] <= found["upper"]).all()


# What cannot be batched, or only in another way.


def _asks_python(model, batch):
    losses = sample_losses(model, batch)
    return losses * (2.0 if losses.mean().item() > 1.1 else 1.0)


def _penalised(model, batch):
    return mean_loss(model, batch) + 0.01 * sum(tensor.square().sum() for tensor in model.parameters())


def _twice(model, batch):
    return sample_losses(model, batch) + model(-batch[0]).square().mean(1)


def _reads_a_layer(model, batch):
    return mean_loss(model, batch) + model[0].weight.square().sum()


def _of_the_batch_alone_first(model, batch):
    center = batch[0].mean(0)
    return cross_entropy(model(batch[0] - center), batch[1], reduction="none")


def _bound():
    model = perceptron()
    model[1].forward = types.MethodType(lambda _, inputs: inputs.square(), model[1])
    return model


def _hooked():
    model = perceptron()
    model[1].register_forward_hook(lambda module, inputs, outputs: outputs.square())
    return model


def _hooked_before():
    model = perceptron()
    model[2].register_forward_pre_hook(lambda module, inputs: (inputs[0] + 1,))
    return model


def _parametrised():
    model = perceptron()
    nn.utils.parametrizations.weight_norm(model[0])
    return model


def _shared_activation():
    # Near the weights the bound is out of reach, so that a trial there cannot tell whether the second use is left out.
    shared = nn.Hardtanh(-1.5, 1.5)
    model = drawn(nn.Sequential(nn.Linear(4, 5), shared, nn.Linear(5, 3), shared, nn.Linear(3, 3))).double()
    with torch.no_grad():
        for tensor in model.parameters():
            tensor.mul_(0.3)
    return model


def _shared_layer():
    shared = nn.Linear(4, 4)
    return drawn(nn.Sequential(shared, nn.Tanh(), shared, nn.ReLU(), nn.Linear(4, 3))).double()


def _counts_what_is_sure(model, batch):
    outputs = model(batch[0])
    sure = outputs.softmax(1).amax(1) > 0.4
    return (cross_entropy(outputs, batch[1], reduction="none") * sure).sum(), sure.sum()


@pytest.mark.parametrize(
    "loss", [_asks_python, _penalised, _twice, _reads_a_layer, _of_the_batch_alone_first, _counts_what_is_sure]
)
def test_losses_that_ask_more_than_outputs_keep_their_numbers(loss):
    found, alone = (_line(perceptron(), loss, vectors(), num) for num in (8, 1))
    _agree(found["loss"].values, alone["loss"].values, torch.float64)


@pytest.mark.parametrize(
    "make",
    [
        _bound,
        _hooked,
        _hooked_before,
        _parametrised,
        _shared_activation,
        _shared_layer,
        lambda: Branching().eval(),
    ],
    ids=["bound", "hooked", "hooked before", "parametrised", "shared", "shared layer", "branching"],
)
def test_networks_that_only_look_like_a_chain_keep_their_numbers(make):
    model = make()
    with untouched(model):
        found, alone = (
            bs.slice1d(
                bs.Objective(model, sample_losses, vectors(), points_at_once=num),
                num_directions=2,
                resolution=7,
                extent=6,
                progress=False,
            )
            for num in (8, 1)
        )
    _agree(found["loss"].values, alone["loss"].values, torch.float64)


def test_what_cannot_be_batched_says_so():
    found = _line(Branching().eval(), sample_losses, vectors())
    assert found.attrs["evaluation"].startswith(ALONE)
    assert "\n" not in found.attrs["evaluation"]


def test_memory_that_runs_out_halves_the_points_and_moves_no_number(monkeypatch, caplog):
    wanted = _line(perceptron(), sample_losses, vectors())
    objective = bs.Objective(perceptron(), sample_losses, vectors(), points_at_once=8)
    assert objective.points_at_once == 8
    plain, left = together.ByOutputs.totals, [1]

    def totals(self, *args, **options):
        if left[0]:
            left[0] -= 1
            raise torch.OutOfMemoryError("CUDA out of memory")
        return plain(self, *args, **options)

    monkeypatch.setattr(together.ByOutputs, "totals", totals)
    found = bs.slice1d(objective, num_directions=2, resolution=9, extent=2, progress=False)
    assert objective.points_at_once == 4
    assert found.attrs["evaluation"] == "batched products, 4 points at once"
    _agree(found["loss"].values, wanted["loss"].values, torch.float64)
    assert "4 points at once" in caplog.text


def test_memory_that_stays_short_ends_in_one_by_one(monkeypatch):
    objective = bs.Objective(perceptron(), sample_losses, vectors(), points_at_once=8)
    assert objective.points_at_once == 8

    def totals(self, *args, **options):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(together.ByOutputs, "totals", totals)
    found = bs.slice1d(objective, num_directions=2, resolution=9, extent=2, progress=False)
    assert found.attrs["evaluation"].startswith(ALONE)
    _agree(found["loss"].values, _line(perceptron(), sample_losses, vectors(), 1)["loss"].values, torch.float64)


def test_the_network_trained_on_is_measured_anew():
    model = perceptron()
    objective = bs.Objective(model, sample_losses, vectors(), points_at_once=8)
    bs.slice1d(objective, num_directions=1, resolution=5, progress=False)
    with torch.no_grad():
        model[0].weight.add_(0.5)
    found = bs.slice1d(objective, num_directions=1, resolution=5, progress=False)
    wanted = bs.slice1d(
        bs.Objective(model, sample_losses, vectors(), points_at_once=1), num_directions=1, resolution=5, progress=False
    )
    _agree(found["loss"].values, wanted["loss"].values, torch.float64)


class Stops:
    """A loss that is interrupted after so many calls."""

    def __init__(self, calls):
        self.left = calls

    def __call__(self, model, batch):
        if not self.left:
            raise KeyboardInterrupt
        self.left -= 1
        return sample_losses(model, batch)


@pytest.mark.parametrize("resolution", [9, 12])
def test_an_interrupted_slice_is_resumed_bit_for_bit_from_the_journal(tmp_path, resolution):
    path = tmp_path / "evaluations.jsonl"

    def measured(loss, journal):
        objective = bs.Objective(perceptron(), loss, vectors(), journal=journal, points_at_once=8)
        return bs.slice2d(objective, resolution=resolution, progress=False), objective

    whole, plain = measured(sample_losses, tmp_path / "uninterrupted.jsonl")
    total = Stops(10**9)
    measured(total, tmp_path / "counted.jsonl")
    with pytest.raises(KeyboardInterrupt):
        measured(Stops(10**9 - total.left - 20), path)
    kept = len(path.read_text().splitlines())
    assert 0 < kept < resolution**2
    found, again = measured(sample_losses, path)
    assert found.identical(whole)
    assert again.num_evaluations == plain.num_evaluations - kept
    assert measured(sample_losses, path)[0].identical(whole)


@pytest.mark.parametrize("vmapped", [False, True])
def test_the_kernel_in_c_agrees_with_batched_products(vmapped):
    model, batches, _, _ = _built("relu", torch.float32)
    objective = bs.Objective(model, sample_losses, batches)
    objective.check()
    twin = objective._twin
    chain = recognised(twin.copy, twin.filters)
    assert chain is not None
    assert chain.rectifies
    try:
        kernel = together.ByKernel(twin, chain, 8, vmapped=vmapped)
        center = torch.cat([tensor.reshape(-1) for tensor in twin.exact])
        matrix = torch.randn(3, len(center), generator=torch.Generator().manual_seed(0))
        points = on_rays(center, matrix, np.linspace(-0.5, 0.5, 21), np.arange(21) % 3)
        ways = [kernel, together.ByOutputs(twin, chain, 8, vmapped=vmapped)]
        function = objective._functions["loss"]
        for batch in batches:
            (found, counts), (wanted, same) = (way.totals(points, batch, [function]) for way in ways)
            assert counts == same == [len(batch[1])]
            _agree(found.numpy(), wanted.numpy(), torch.float32)
    except KernelError as error:
        pytest.skip(str(error))


class Attends(nn.Module):
    """Attention by torch's fused function, which `vmap` does not batch on the CPU."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.project, self.head = nn.Linear(4, 12), nn.Linear(4, 3)

    def forward(self, x):
        query, key, value = self.project(x)[:, None].chunk(3, dim=-1)
        return self.head(nn.functional.scaled_dot_product_attention(query, key, value)[:, 0].mean(1))


def test_operations_that_are_not_batched_are_not_told_of():
    """Warnings are errors here, so that one would end the joint evaluation."""
    model = Attends().double().eval()
    batches = [(torch.randn(3, 5, 4).double(), torch.arange(3))]
    found, wanted = (
        bs.slice1d(
            bs.Objective(model, sample_losses, batches, points_at_once=num),
            num_directions=2,
            resolution=5,
            progress=False,
        )
        for num in (4, 1)
    )
    assert found.attrs["evaluation"] == "vmap, 4 points at once"
    np.testing.assert_allclose(found["loss"], wanted["loss"], rtol=1e-10)
