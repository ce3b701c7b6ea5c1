"""Entries that rest: the numbers are those of a network whose only parameters are the other entries."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.nn.utils import prune
from transformers.pytorch_utils import Conv1D

import basinscope as bs
from basinscope.errors import InputError
from basinscope.landscape.directions import Orthogonal, RandomDirection
from basinscope.landscape.filters import moved_filters
from basinscope.landscape.masks import check_masks, masked_filters
from basinscope.own.networks import of_model
from basinscope.probes.curvature import Hessian
from tests.anyones import Recurrent, drawn, mean_loss, perceptron, tokens, untouched, vectors

WEIGHTS = ("0.weight", "2.weight")
QUIET = {"progress": False}


def _whole() -> list[tuple[Tensor, Tensor]]:
    """All samples in one batch, for which probes are fastest."""
    inputs, labels = zip(*vectors(), strict=True)
    return [(torch.cat(inputs), torch.cat(labels))]


def _masks(seed: int = 0) -> dict[str, Tensor]:
    """Random masks of the perceptron's weights, with a whole filter that rests."""
    stream = torch.Generator().manual_seed(seed)
    masks = {n: torch.rand(s, generator=stream) < 0.6 for n, s in zip(WEIGHTS, ((5, 4), (3, 5)), strict=True)}
    masks["0.weight"][1] = False
    for mask in masks.values():
        mask[0, :2] = torch.tensor([True, False])
    return masks


def _pruned(masks: dict[str, Tensor], seed: int = 0) -> nn.Sequential:
    net = perceptron(seed=seed)
    for name, mask in masks.items():
        prune.custom_from_mask(net[int(name[0])], "weight", mask)
    return net


class Small(nn.Module):
    """The perceptron, written anew; its only parameters are the entries that move, the others are constants."""

    def __init__(self, net: nn.Sequential, masks: dict[str, Tensor], *, resting: bool = False):
        super().__init__()
        self.masks = masks
        whole = {name: net[int(name[0])].weight.detach() for name in masks}
        self.rest = {name: torch.where(masks[name], 0.0, whole[name]) * resting for name in masks}
        self.first, self.second = (nn.Parameter(whole[name][masks[name]][None]) for name in masks)
        self.biases = [net[k].bias.detach() for k in (0, 2)]

    def forward(self, inputs: Tensor) -> Tensor:
        return self.at(inputs, self.first, self.second)

    def at(self, inputs: Tensor, *entries: Tensor) -> Tensor:
        weights = []
        for (name, mask), vector in zip(self.masks.items(), entries, strict=True):
            weights.append(self.rest[name].masked_scatter(mask, vector.reshape(-1)))
        hidden = torch.tanh(inputs @ weights[0].T + self.biases[0])
        return hidden @ weights[1].T + self.biases[1]

    def flat(self) -> Tensor:
        return torch.cat([self.first, self.second], dim=1)[0].detach()

    def loss(self, flat: Tensor) -> Tensor:
        """Mean loss over all samples at a vector of the entries that move."""
        inputs, labels = (torch.cat(parts) for parts in zip(*vectors(), strict=True))
        return cross_entropy(self.at(inputs, *flat.split([self.first.numel(), self.second.numel()])), labels)

    def filters(self) -> list[Tensor]:
        """Indices of the entries of each filter: each row of either matrix."""
        numbers, found, begin = torch.arange(len(self.flat())), [], 0
        for mask in self.masks.values():
            for row in mask:
                found.append(numbers[begin : begin + int(row.sum())])
                begin += int(row.sum())
        return [entries for entries in found if len(entries)]


def _entries(objective: bs.Objective, direction, masks) -> Tensor:
    """The entries of a direction that move; the others must be zero."""
    parts = []
    for place, f in enumerate(objective.filters):
        block = direction.block(place)
        assert not block[~masks[f.name]].any()
        parts.append(block[masks[f.name]])
    return torch.cat(parts)


CASES = {
    "pruned": lambda masks: ((_pruned(masks), {}), Small(_pruned(masks), masks)),
    "masked": lambda masks: ((perceptron(), {"masks": masks}), Small(perceptron(), masks, resting=True)),
    "zeros": lambda masks: ((_removed(masks), {"masks": "zeros"}), Small(_removed(masks), masks)),
}


def _removed(masks):
    """A pruned network without the masks: its zeros are ordinary entries."""
    net = _pruned(masks)
    for name in masks:
        prune.remove(net[int(name[0])], "weight")
    return net


@pytest.fixture(params=CASES)
def case(request):
    masks = _masks()
    (net, extra), small = CASES[request.param](masks)
    return net, extra, small, masks


def test_directions_have_random_numbers_only_where_entries_move(case):
    net, extra, small, masks = case
    for scheme in ("filter", "layer", "gaussian_filter", "sphere"):
        objective = bs.Objective(net, mean_loss, _whole(), normalization=scheme, **extra)
        first, second = objective.direction(0, 3), objective.direction(0, 4)
        found, weights = _entries(objective, first, masks), small.flat()
        if scheme == "filter":
            for entries in small.filters():
                assert float(found[entries].norm()) == pytest.approx(float(weights[entries].norm()), rel=1e-6)
        elif scheme == "layer":
            for part in (slice(0, small.first.numel()), slice(small.first.numel(), None)):
                assert float(found[part].norm()) == pytest.approx(float(weights[part].norm()), rel=1e-6)
        elif scheme == "sphere":
            assert float(found.norm()) == pytest.approx(1, rel=1e-6)
        else:
            plain = _entries(objective, RandomDirection(objective.center, 0, 3, "sphere"), masks)
            for entries in small.filters():
                ratio = found[entries] / (plain[entries] * weights[entries].norm())
                torch.testing.assert_close(ratio, ratio[:1].expand(len(ratio)))
        orthogonal = _entries(objective, Orthogonal(first, second), masks)
        if scheme == "filter":
            for entries in small.filters():
                assert abs(float(orthogonal[entries] @ found[entries])) < 1e-9
        else:
            assert abs(objective.cosine(first, Orthogonal(first, second))) < 1e-9


def test_slices_and_radii_are_those_of_the_small_network(case):
    net, extra, small, masks = case
    objective = bs.Objective(net, mean_loss, _whole(), points_at_once=1, **extra)
    assert objective.num_moved == len(small.flat()) == sum(int(mask.sum()) for mask in masks.values())
    center = small.flat()
    with torch.no_grad():
        line = bs.slice1d(objective, num_directions=2, resolution=7, **QUIET)
        for ray in range(2):
            way = _entries(objective, objective.direction(0, ray), masks)
            wanted = [float(small.loss(center + c * way)) for c in line["distance"].values]
            np.testing.assert_allclose(line["loss"][ray], wanted, rtol=1e-11)
        radii = bs.basin_radius(objective, num_directions=3, tolerance=1e-6, rise=0.05, num_scanned=0, **QUIET)
        assert int(radii["num_moved"]) == len(center)
        cutoff = float(small.loss(center)) + 0.05
        for ray, radius in enumerate(radii["radius"].values):
            way = _entries(objective, objective.direction(0, ray), masks)
            assert float(small.loss(center + radius * (1 - 1e-5) * way)) < cutoff
            assert float(small.loss(center + radius * (1 + 1e-5) * way)) > cutoff
    volume = bs.log_volume(radii)
    n = len(center)
    assert float(volume["mean_n_log_r"]) == pytest.approx(n * float(np.log(radii["radius"]).mean()), rel=1e-12)


def test_many_points_at_once_are_those_one_by_one(case):
    net, extra, _, _ = case
    for net_at, name in ((net, "batched products"), (Wrapped(net), "vmap")):
        prefix = "" if net_at is net else "net."
        masks = extra.get("masks")
        given = {prefix + n: m for n, m in masks.items()} if isinstance(masks, dict) else masks
        one, many = (bs.Objective(net_at, mean_loss, _whole(), points_at_once=k, masks=given) for k in (1, 16))
        lines = [bs.slice1d(o, resolution=17, num_directions=1, **QUIET) for o in (one, many)]
        assert many.evaluation.startswith(name)
        np.testing.assert_allclose(lines[0]["loss"], lines[1]["loss"], rtol=1e-12)


class Wrapped(nn.Module):
    """Not a chain: a layer's input is used twice."""

    def __init__(self, net: nn.Module):
        super().__init__()
        self.net = net

    def forward(self, inputs: Tensor) -> Tensor:
        outputs = self.net(inputs)
        return outputs + 0.1 * outputs.mean(1, keepdim=True) * inputs.sum(1, keepdim=True)


def test_hessians_are_those_of_the_small_network(case):
    net, extra, small, _ = case
    objective = bs.Objective(net, mean_loss, _whole(), **extra)
    matrix = torch.autograd.functional.hessian(small.loss, small.flat())
    scales = torch.empty(len(matrix), dtype=torch.float64)
    for entries in small.filters():
        scales[entries] = small.flat()[entries].norm() / math.sqrt(len(entries))
    for scale, wanted in (("plain", matrix), ("filter", scales[:, None] * matrix * scales)):
        found = bs.curvature(objective, scale=scale, top=4, tolerance=1e-9, trace_vectors=20, **QUIET)
        np.testing.assert_allclose(found["eigenvalue"], torch.linalg.eigvalsh(wanted).flip(0)[:4], rtol=1e-6, atol=1e-9)
        assert float(found["trace"]) == pytest.approx(float(wanted.trace()), rel=1e-9)
        hessian = Hessian(objective, scale)
        assert hessian.size == len(matrix)
        columns = [hessian.product(row) for row in torch.eye(hessian.size, dtype=torch.float64)]
        torch.testing.assert_close(torch.stack(columns, dim=1), wanted, rtol=1e-9, atol=1e-11)


def test_the_mean_curvature_is_that_of_the_small_network(case):
    net, extra, small, masks = case
    objective = bs.Objective(net, mean_loss, _whole(), **extra)
    found = bs.mean_curvature(objective, num_directions=5, num_trace=5, **QUIET)
    matrix = torch.autograd.functional.hessian(small.loss, small.flat())
    for ray in range(5):
        way = _entries(objective, objective.direction(0, ray), masks)
        assert float(found["curvature"][ray]) == pytest.approx(float(way @ matrix @ way), rel=1e-9)
    ways = [RandomDirection(objective.center, 0, k, "gaussian_filter") for k in range(5)]
    plain = [float((w := _entries(objective, d, masks)) @ matrix @ w) / len(matrix) for d in ways]
    assert float(found["trace_per_entry"]) == pytest.approx(float(np.mean(plain)), rel=1e-9)


@pytest.mark.parametrize("adaptive", [False, True])
def test_sharpness_is_that_of_the_small_network(case, adaptive):
    net, extra, small, _ = case
    settings = {"rho": 0.3, "adaptive": adaptive, "num_restarts": 1, "num_random": 40, **QUIET}
    found = bs.sharpness(bs.Objective(net, mean_loss, _whole(), **extra), **settings)
    wanted = bs.sharpness(bs.Objective(small, mean_loss, _whole()), **settings)
    assert float(found["worst"]) == pytest.approx(float(wanted["worst"]), rel=1e-9)
    error = math.hypot(float(found["average_stderr"]), float(wanted["average_stderr"]))
    assert abs(float(found["average"]) - float(wanted["average"])) < 4 * error
    assert error < 0.3 * abs(float(found["worst"]))


def test_gradients_are_zero_where_entries_rest(case):
    net, extra, small, masks = case
    objective = bs.Objective(net, mean_loss, vectors(), **extra)
    loss, slopes = objective.gradient_at()
    flat = small.flat().requires_grad_()
    (wanted,) = torch.autograd.grad(small.loss(flat), flat)
    assert loss == pytest.approx(float(small.loss(flat.detach())), rel=1e-12)
    found = []
    for f, slope in zip(objective.filters, slopes, strict=True):
        assert not slope[~masks[f.name]].any()
        found.append(slope[masks[f.name]])
    torch.testing.assert_close(torch.cat(found), wanted)


def test_the_same_masks_give_the_same_numbers_however_they_are_given():
    masks = _masks()
    objectives = [
        bs.Objective(_pruned(masks), mean_loss, _whole()),
        bs.Objective(_removed(masks), mean_loss, _whole(), masks="zeros"),
        bs.Objective(_removed(masks), mean_loss, _whole(), masks={n: m.float() for n, m in masks.items()}),
    ]
    radii = [bs.basin_radius(o, num_directions=3, num_scanned=0, **QUIET)["radius"].values for o in objectives]
    for other in radii[1:]:
        np.testing.assert_array_equal(radii[0], other)


def test_masks_of_ones_change_no_bit():
    ones = {name: torch.ones_like(mask) for name, mask in _masks().items()}
    plain, masked = (bs.Objective(perceptron(), mean_loss, vectors(), masks=m) for m in (None, ones))
    assert plain.fingerprint() == masked.fingerprint()
    for place in (0, 1):
        assert torch.equal(plain.direction(0, 0).block(place), masked.direction(0, 0).block(place))


def test_a_tensor_that_rests_entirely_is_not_moved_and_the_others_keep_their_random_numbers():
    masks = {"0.weight": torch.zeros(5, 4)}
    plain, masked = (bs.Objective(perceptron(), mean_loss, vectors(), masks=m) for m in (None, masks))
    assert [f.name for f in masked.filters] == ["2.weight"]
    assert masked.num_moved == 15
    for o in (plain, masked):
        o.check()
    torch.testing.assert_close(plain.direction(0, 0).block(1), masked.direction(0, 0).block(0), rtol=0, atol=0)


LAYERS = {
    "convolution in groups": (nn.Conv2d(4, 6, 3, groups=2), "weight"),
    "transposed convolution in groups": (nn.ConvTranspose2d(6, 6, 3, groups=3), "weight"),
    "Conv1D of GPT-2": (Conv1D(4, 3), "weight"),
    "embedding with padding": (nn.Embedding(5, 3, padding_idx=0), "weight"),
}


@settings(max_examples=20, deadline=None)
@given(st.sampled_from(sorted(LAYERS)), st.integers(0, 2**16))
def test_picked_entries_can_be_placed_again_whatever_the_layer(kind, seed):
    layer, name = LAYERS[kind]
    stream = torch.Generator().manual_seed(seed)
    mask = torch.rand(getattr(layer, name).shape, generator=stream) < 0.5
    if mask.all() or not mask.any():
        return
    (f,) = masked_filters(moved_filters(layer), layer, {name: mask}, {})
    tensor = torch.randn(f.shape, generator=stream)
    assert f.num_moved == int(mask.sum()) == len(f.picked(tensor))
    assert torch.equal(f.placed(f.picked(tensor)), f.masked(tensor))
    assert torch.equal(f.masked(tensor), torch.where(mask, tensor, 0.0))
    labels = torch.arange(f.num_filters).reshape([1 if k in f.inner else n for k, n in enumerate(f.split)])
    labels = labels.expand(f.split).reshape(f.shape)
    for number in range(f.num_filters):
        own = tensor[(labels == number) & mask]
        scale = float(own.norm()) / math.sqrt(max(1, len(own)))
        found = f.root_mean_squares(tensor)[labels == number]
        torch.testing.assert_close(found, torch.full_like(found, scale))


def test_zeros_include_the_vector_of_padding():
    net = drawn(Recurrent()).double()
    net.embed.weight.data[0] = 0
    plain, masked = (bs.Objective(net, mean_loss, tokens(), masks=m) for m in (None, "zeros"))
    assert plain.num_moved - masked.num_moved == 4
    assert torch.equal(plain.direction(0, 0).block(0), masked.direction(0, 0).block(0))


def test_a_path_reaches_a_minimum_with_other_masks():
    one, other = _pruned(_masks(0), 0), _pruned(_masks(1), 1)
    for extra in ({}, {"masks": "zeros"}):
        objective = bs.Objective(one, mean_loss, vectors(), **extra)
        wanted = bs.Objective(other, mean_loss, vectors()).center_loss
        for state in (other, other.state_dict()):
            line = bs.linear_path(objective, state, resolution=5, beyond=0, **QUIET)
            assert float(line["loss"][0, -1]) == pytest.approx(wanted, rel=1e-12)
            assert line.attrs["other_loss"] == pytest.approx(wanted, rel=1e-12)
        assert objective.num_moved == sum(int(mask.sum()) for mask in _masks(0).values())


def test_other_masks_are_another_network_for_a_journal(tmp_path):
    journal = tmp_path / "journal.jsonl"
    swapped = {name: mask.flip(1) for name, mask in _masks().items()}
    prints, losses = set(), []
    for masks in (_masks(), swapped, None):
        objective = bs.Objective(perceptron(), mean_loss, vectors(), journal=journal, masks=masks)
        losses.append(objective.loss_at((objective.direction(0, 0), 0.5)))
        fresh = bs.Objective(perceptron(), mean_loss, vectors(), masks=masks)
        assert losses[-1] == fresh.loss_at((fresh.direction(0, 0), 0.5))
        prints.add(objective.fingerprint())
    assert len(prints) == len(set(losses)) == 3


def test_masks_are_followed_when_they_change():
    net, masks = perceptron(), _masks()
    objective = bs.Objective(net, mean_loss, vectors(), masks=masks)
    objective.check()
    masks["0.weight"][1] = True
    assert float(objective.gradient_at()[1][0][1].abs().sum()) > 0
    assert objective.num_moved == sum(int(mask.sum()) for mask in masks.values())
    zeros = bs.Objective(net, mean_loss, vectors(), masks="zeros")
    assert zeros.num_moved == 35
    with torch.no_grad():
        net[0].weight[0] = 0
    assert zeros.center_loss == pytest.approx(objective.center_loss, rel=1e-12)
    assert zeros.num_moved == 31
    pruned = _pruned(_masks())
    followed = bs.Objective(pruned, mean_loss, vectors())
    followed.check()
    with untouched(pruned):
        bs.curvature(followed, top=1, **QUIET)
    prune.random_unstructured(pruned[0], "weight", amount=3)
    followed.check()
    assert followed.num_moved == sum(int(pruned[k].weight_mask.sum()) for k in (0, 2))


def test_pruned_and_tied_weights_are_refused_until_pruning_is_permanent():
    net = nn.Sequential(nn.Linear(4, 4, dtype=torch.float64), nn.Tanh(), nn.Linear(4, 4, dtype=torch.float64))
    net[2].weight = net[0].weight
    for layer in (net[0], net[2]):
        prune.custom_from_mask(layer, "weight", torch.eye(4))
    with pytest.raises(InputError, match=r"^0\.weight is pruned and tied.*prune\.remove.*masks='zeros'$"):
        bs.Objective(net.eval(), mean_loss, vectors())
    for layer in (net[0], net[2]):
        prune.remove(layer, "weight")
    assert bs.Objective(net, mean_loss, vectors(), masks="zeros").num_moved == 4


def test_an_untrained_adapter_is_refused_although_its_zeros_rest():
    class Adapted(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = perceptron().requires_grad_(False)
            self.down = nn.Parameter(torch.randn(2, 4, dtype=torch.float64))
            self.up = nn.Parameter(torch.zeros(3, 2, dtype=torch.float64))

        def forward(self, inputs):
            return self.net(inputs) + inputs @ self.down.T @ self.up.T

    with pytest.raises(InputError, match=r"does not depend on any moved tensor \(down\)"):
        bs.Objective(Adapted(), mean_loss, vectors(), masks="zeros").check()


def test_a_mask_may_have_any_name_of_a_tied_tensor():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.up = nn.Linear(4, 4, bias=False, dtype=torch.float64)
            self.down = nn.Linear(4, 4, bias=False, dtype=torch.float64)
            self.down.weight = self.up.weight

        def forward(self, inputs):
            return self.down(torch.tanh(self.up(inputs)))[:, :3]

    net = drawn(Tied())
    for name in ("up.weight", "down.weight"):
        assert bs.Objective(net, mean_loss, vectors(), masks={name: torch.eye(4)}).num_moved == 4


@pytest.mark.parametrize(
    ("masks", "told"),
    [
        ({"weight": torch.ones(5, 4)}, r"masks: 'weight' is no parameter; there are 0\.weight"),
        ({"0.weight": torch.ones(4, 5)}, r"masks\['0\.weight'\] has shape \(4, 5\), the parameter \(5, 4\)"),
        ({"0.weight": torch.full((5, 4), 0.5)}, r"masks\['0\.weight'\] holds other values than 0 and 1"),
        ({n: torch.zeros(s) for n, s in zip(WEIGHTS, ((5, 4), (3, 5)), strict=True)}, "every entry of .* is masked"),
    ],
    ids=["name", "shape", "values", "nothing left"],
)
def test_mistakes_are_told_in_one_line(masks, told):
    with pytest.raises(InputError, match=told) as caught:
        bs.Objective(perceptron(), mean_loss, vectors(), masks=masks)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("masks", "told"),
    [
        ({"0.weight": [[1, 0]]}, r"masks\['0\.weight'\] is a list: pass a tensor"),
        ("ones", r"masks is 'ones': pass tensors of 0 and 1 by parameter name, or 'zeros'"),
        ([torch.ones(5, 4)], r"masks is a list: pass"),
    ],
    ids=["list", "word", "no mapping"],
)
def test_what_is_no_mask_is_told_in_one_line(masks, told):
    with pytest.raises(InputError, match=told):
        check_masks(masks)


def test_checkpoints_of_a_survey_keep_masks_and_precision():
    net = _pruned(_masks()).bfloat16()
    objective = bs.Objective(net, mean_loss, vectors(dtype=torch.bfloat16), masks="zeros", precision="own")
    (network,) = of_model(objective, {"same": net.state_dict()}, name=None)
    opened = network.opened()
    assert opened.num_moved == objective.num_moved == sum(int(mask.sum()) for mask in _masks().values())
    assert opened.center_loss == objective.center_loss
    assert opened.fingerprint() == objective.fingerprint()
