"""Complex tensors: the numbers are those of a network written with explicit pairs of real ones."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.nn.utils import prune

import basinscope as bs
from basinscope.checkpoints.files import fill
from basinscope.errors import InputError
from basinscope.landscape.filters import moved_filters
from tests.anyones import CLASSES, mean_loss, untouched, vectors

QUIET = {"progress": False}


class Waves(nn.Module):
    """Two complex layers, the first with a complex bias, and a real one."""

    def __init__(self, seed: int = 0, dtype: torch.dtype = torch.complex128):
        super().__init__()
        stream = torch.Generator().manual_seed(seed)

        def drawn(*shape: int, dtype: torch.dtype = dtype) -> nn.Parameter:
            double = torch.complex128 if dtype.is_complex else torch.float64
            return nn.Parameter((0.4 * torch.randn(*shape, dtype=double, generator=stream)).to(dtype))

        self.first, self.bias, self.second = drawn(5, 4), drawn(5), drawn(3, 5)
        self.head = drawn(CLASSES, 3, dtype=dtype.to_real())

    def forward(self, inputs: Tensor) -> Tensor:
        hidden = torch.tanh(inputs.to(self.first.dtype) @ self.first.T + self.bias)
        return (hidden @ self.second.T).abs().square() @ self.head.T


def _pairs(net: nn.Module, names: tuple[str, ...]) -> Tensor:
    """All entries of some tensors as one real vector: for each complex entry its two parts."""
    parts = []
    for name in names:
        tensor = getattr(net, name).detach()
        parts.append((torch.stack([tensor.real, tensor.imag], -1) if tensor.is_complex() else tensor).reshape(-1))
    return torch.cat(parts)


def _loss(net: Waves, flat: Tensor, names: tuple[str, ...]) -> Tensor:
    """Mean loss of the network in real arithmetic, at a vector as of `_pairs`."""
    inputs, labels = (torch.cat(parts) for parts in zip(*vectors(), strict=True))
    shapes = {"first": (5, 4, 2), "bias": (5, 2), "second": (3, 5, 2), "head": (CLASSES, 3)}
    own = {name: _pairs(net, (name,)).reshape(shape) for name, shape in shapes.items()}
    sizes = [math.prod(shapes[name]) for name in names]
    w = own | {n: part.reshape(shapes[n]) for n, part in zip(names, flat.split(sizes), strict=True)}
    a, b = (inputs @ w["first"][..., k].T + w["bias"][..., k] for k in (0, 1))
    # tanh(a + ib) = (sinh 2a + i sin 2b) / (cosh 2a + cos 2b)
    below = torch.cosh(2 * a) + torch.cos(2 * b)
    a, b = torch.sinh(2 * a) / below, torch.sin(2 * b) / below
    c, d = w["second"][..., 0], w["second"][..., 1]
    real, imaginary = a @ c.T - b @ d.T, a @ d.T + b @ c.T
    return cross_entropy((real.square() + imaginary.square()) @ w["head"].T, labels)


FIXED, MOVED = ("first", "second", "head"), ("first", "bias", "second", "head")
KINDS = [("fixed", FIXED), ("moved", MOVED)]


def _way(objective: bs.Objective, direction) -> Tensor:
    return torch.cat([direction.block(place).reshape(-1) for place in range(len(objective.filters))])


def test_filters_hold_both_parts_of_their_entries():
    filters = moved_filters(Waves(), one_dim="moved")
    assert [f.name for f in filters] == list(MOVED)
    assert [tuple(f.shape) for f in filters] == [(5, 4, 2), (5, 2), (3, 5, 2), (3, 3)]
    assert [f.num_filters for f in filters] == [5, 1, 3, 3]
    assert [f.size for f in filters] == [40, 10, 30, 9]
    for f in filters[:3]:
        tensor = torch.randn(f.shape[:-1], dtype=torch.complex128)
        rows = tensor.reshape(f.num_filters, -1)
        wanted = [math.sqrt(sum(abs(complex(z)) ** 2 for z in row)) for row in rows]
        found = f.norms(torch.view_as_real(tensor)).reshape(-1)
        torch.testing.assert_close(found, torch.tensor(wanted, dtype=torch.float64))


@pytest.mark.parametrize(("one_dim", "names"), KINDS)
@pytest.mark.parametrize("scheme", ["filter", "layer", "sphere"])
def test_losses_along_directions_are_those_of_pairs(one_dim, names, scheme):
    net = Waves()
    objective = bs.Objective(net, mean_loss, vectors(), one_dim=one_dim, normalization=scheme)
    center = _pairs(net, names)
    assert objective.num_moved == len(center)
    assert objective.center_loss == pytest.approx(float(_loss(net, center, names)), rel=1e-12)
    way = _way(objective, objective.direction(0, 0))
    with untouched(net), torch.no_grad():
        line = bs.slice1d(objective, num_directions=1, resolution=49, **QUIET)
        wanted = [float(_loss(net, center + c * way, names)) for c in line["distance"].values]
        np.testing.assert_allclose(line["loss"][0], wanted, rtol=1e-11)
        assert objective.evaluation.startswith("one by one")
    lengths = {"filter": _pairs(net, names).norm(), "layer": _pairs(net, names).norm(), "sphere": 1.0}
    assert float(way.norm()) == pytest.approx(float(lengths[scheme]), rel=1e-6)


@pytest.mark.parametrize(("one_dim", "names"), KINDS)
def test_derivatives_are_those_of_pairs(one_dim, names):
    net = Waves()
    objective = bs.Objective(net, mean_loss, vectors(), one_dim=one_dim)
    flat = _pairs(net, names)
    (wanted,) = torch.autograd.grad(_loss(net, leaf := flat.clone().requires_grad_(), names), leaf)
    _, slopes = objective.gradient_at()
    torch.testing.assert_close(torch.cat([slope.reshape(-1) for slope in slopes]), wanted)
    matrix = torch.autograd.functional.hessian(lambda w: _loss(net, w, names), flat)
    vector = torch.linspace(-1, 1, len(flat) + 1, dtype=torch.float64)[1:]  # begins at an odd place in memory
    blocks = [
        p.view(f.shape)
        for p, f in zip(vector.split([f.size for f in objective.filters]), objective.filters, strict=True)
    ]
    for held in (False, True):
        with objective.held() if held else torch.enable_grad():
            product = objective.hessian_vector_product(blocks)
        torch.testing.assert_close(torch.cat([part.reshape(-1) for part in product]), matrix @ vector)
    assert not objective._derivatives.by_differences
    found = bs.curvature(objective, top=3, tolerance=1e-9, trace_vectors=50, **QUIET)
    np.testing.assert_allclose(found["eigenvalue"], torch.linalg.eigvalsh(matrix).flip(0)[:3], rtol=1e-6)
    assert float(found["trace"]) == pytest.approx(float(matrix.trace()), rel=1e-9)


def test_one_batch_keeps_its_graph():
    net, batches = Waves(), vectors()[:1]
    objective = bs.Objective(net, mean_loss, batches)
    _, slopes = objective.gradient_at()
    with objective.held():
        once, again = (objective.hessian_vector_product(slopes) for _ in range(2))
        assert objective._derivatives.kept is not None
    for a, b in zip(once, again, strict=True):
        assert torch.equal(a, b)


def test_radii_and_sharpness_are_those_of_pairs():
    net = Waves()
    objective = bs.Objective(net, mean_loss, vectors())
    center = _pairs(net, FIXED)
    radii = bs.basin_radius(objective, num_directions=2, tolerance=1e-6, rise=0.05, num_scanned=0, **QUIET)
    cutoff = objective.center_loss + 0.05
    for ray, radius in enumerate(radii["radius"].values):
        way = _way(objective, objective.direction(0, ray))
        assert float(_loss(net, center + (1 - 1e-5) * radius * way, FIXED)) < cutoff
        assert float(_loss(net, center + (1 + 1e-5) * radius * way, FIXED)) > cutoff

    class Pairs(nn.Module):
        def __init__(self):
            super().__init__()
            self.flat = nn.Parameter(center[None])

        def forward(self, _: Tensor) -> Tensor:
            return _loss(net, self.flat[0], FIXED)

    whole = [tuple(torch.cat(parts) for parts in zip(*vectors(), strict=True))]
    written = bs.Objective(Pairs(), lambda model, batch: (model(batch[0]) * 9, 9), whole)
    for adaptive in (False, True):
        settings = {"rho": 0.1, "adaptive": adaptive, "num_restarts": 1, "num_steps": 4, "num_random": 0, **QUIET}
        found, wanted = (bs.sharpness(o, **settings) for o in (objective, written))
        assert float(found["worst"]) == pytest.approx(float(wanted["worst"]), rel=1e-9)


def test_paths_planes_and_maps_reach_complex_minima():
    net, others = Waves(), [Waves(seed) for seed in range(1, 7)]
    objective = bs.Objective(net, mean_loss, vectors())
    ends = [bs.Objective(other, mean_loss, vectors()).center_loss for other in others]
    for other in (others[0], others[0].state_dict()):
        line = bs.linear_path(objective, other, resolution=5, beyond=0, **QUIET)
        assert float(line["loss"][0, -1]) == pytest.approx(ends[0], rel=1e-11)
        half = (_pairs(net, MOVED) + _pairs(others[0], MOVED)) / 2
        assert float(line["loss"][0, 2]) == pytest.approx(float(_loss(net, half, MOVED)), rel=1e-11)
    curve = bs.connect(objective, others[0], num_steps=4, resolution=3, **QUIET)
    assert float(curve["loss"][-1]) == pytest.approx(ends[0], rel=1e-11)
    distance = float((_pairs(net, MOVED) - _pairs(others[0], MOVED)).norm())
    assert float(curve["distance"]) == pytest.approx(distance, rel=1e-12)
    between = bs.slice2d(objective, directions="between", points=others[:2], resolution=5, **QUIET)
    assert float(between["marker_first"][1]) == pytest.approx(1, rel=1e-12)
    assert np.abs(between["marker_away"]).max() < 1e-6
    axes = bs.slice2d(objective, directions="pca", points=others, resolution=3, **QUIET)
    gaps = torch.stack([_pairs(other, MOVED) - _pairs(net, MOVED) for other in others])
    squares = torch.linalg.svdvals(gaps).square()
    placed = np.square(axes["marker_first"][1:]).sum()
    assert float(placed) == pytest.approx(float(squares[0]), rel=1e-9)
    recorder = bs.Recorder(net)
    assert len(bs.tsne(objective, points=others, perplexity=2)["x"]) == 7
    assert len(bs.tsne(objective, points={"path": recorder, "others": others}, perplexity=2)["x"]) == 8


def test_recorders_hold_complex_tensors_and_say_where_files_cannot(tmp_path):
    net = Waves(dtype=torch.complex64)
    recorder = bs.Recorder(net, folder=tmp_path / "copies")
    torch.testing.assert_close(recorder[0]["first"], net.first.detach(), rtol=0, atol=0)
    with pytest.raises(InputError, match=r"Recorder: first is torch\.complex128.*leave out folder"):
        bs.Recorder(Waves(), folder=tmp_path / "more")


def test_complex_numbers_of_single_precision_agree_with_double_ones():
    objective = bs.Objective(Waves(dtype=torch.complex64), mean_loss, vectors(dtype=torch.float32))
    double = bs.Objective(Waves(), mean_loss, vectors())
    assert objective.center_loss == pytest.approx(double.center_loss, rel=1e-5)
    for one, two in zip(objective.gradient_at()[1], double.gradient_at()[1], strict=True):
        assert one.dtype == torch.float32
        torch.testing.assert_close(one.double(), two, rtol=1e-3, atol=1e-5)


def test_masks_exclude_both_parts_of_an_entry():
    net = Waves()
    mask = torch.rand(5, 4, generator=torch.Generator().manual_seed(0)) < 0.5
    objective = bs.Objective(net, mean_loss, vectors(), masks={"first": mask})
    assert objective.num_moved == 2 * int(mask.sum()) + 30 + 9
    block = objective.direction(0, 0).block(0)
    assert not block[~mask].any()
    assert block[mask].all()
    prune.custom_from_mask(net, "first", mask)
    pruned = bs.Objective(net, mean_loss, vectors())
    matrix = torch.autograd.functional.hessian(lambda w: _loss(net, w, FIXED), _pairs(net, FIXED))
    keep = torch.cat([mask[..., None].expand(5, 4, 2).reshape(-1), torch.ones(39, dtype=torch.bool)])
    found = bs.curvature(pruned, top=2, tolerance=1e-9, trace_vectors=60, **QUIET)
    inner = matrix[keep][:, keep]
    np.testing.assert_allclose(found["eigenvalue"], torch.linalg.eigvalsh(inner).flip(0)[:2], rtol=1e-6)
    assert float(found["trace"]) == pytest.approx(float(inner.trace()), rel=1e-9)


def test_a_conjugated_parameter_is_measured_like_a_plain_one():
    net = Waves()
    lazy = Waves()
    lazy.first = nn.Parameter(net.first.detach().conj().resolve_conj().conj())
    assert lazy.first.is_conj()
    one, two = (bs.Objective(model, mean_loss, vectors()) for model in (net, lazy))
    assert one.loss_at((one.direction(0, 0), 0.3)) == two.loss_at((two.direction(0, 0), 0.3))


def test_what_does_not_fit_is_told_in_one_line():
    objective = bs.Objective(Waves(), mean_loss, vectors())
    state = Waves(1).state_dict()
    for wrong, told in (
        ({"first": state["first"].real}, r"first: \(5, 4\), not complex \(5, 4\)"),
        ({"first": torch.view_as_real(state["first"])}, r"first: \(5, 4, 2\), not complex \(5, 4\)"),
        ({"head": state["head"].to(torch.complex128)}, r"head: complex \(3, 3\), not \(3, 3\)"),
    ):
        for use in (lambda s: bs.linear_path(objective, s, **QUIET), lambda s: fill(Waves(), s, "other")):
            with pytest.raises(InputError, match=told) as caught:
                use(state | wrong)
            assert "\n" not in str(caught.value)
