import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.functional import cross_entropy

from basinscope.errors import InputError
from basinscope.landscape.directions import inner_product
from basinscope.landscape.module.objective import Objective
from basinscope.probes.curvature import curvature, top_directions
from basinscope.results.convert import check
from tests.problems import around, at, bowl, rescaled, small_batches, small_net

TIGHT = {"tolerance": 1e-9, "progress": False}
CURVATURES = [7.0, 5.0, 2.0, 0.5, -3.0, 0.0]


def _explicit_hessian(net: nn.Module) -> Tensor:
    """Hessian by all weight matrices at once, by torch.func."""
    inputs, labels = (torch.cat(parts) for parts in zip(*small_batches(), strict=True))
    state = {name: tensor.detach() for name, tensor in net.named_parameters()}
    moved = {name: tensor for name, tensor in state.items() if tensor.ndim > 1}

    def loss(flat: Tensor) -> Tensor:
        parts = flat.split([tensor.numel() for tensor in moved.values()])
        placed = {name: part.view(moved[name].shape) for name, part in zip(moved, parts, strict=True)}
        return cross_entropy(torch.func.functional_call(net, state | placed, (inputs,)), labels)

    return torch.func.hessian(loss)(torch.cat([tensor.reshape(-1) for tensor in moved.values()]))


def _filter_scales(net: nn.Module) -> Tensor:
    """‖w_f‖/√dim_f for each entry, in loops."""
    scales: list[float] = []
    for parameter in net.parameters():
        if parameter.ndim > 1:
            for row in parameter.detach():
                scales += [float(row.norm()) / math.sqrt(len(row))] * len(row)
    return torch.tensor(scales, dtype=torch.float64)


def _eigenvalues(matrix: Tensor, num: int) -> np.ndarray:
    return torch.linalg.eigvalsh(matrix).flip(0)[:num].numpy()


def test_eigenvalues_and_trace_of_a_quadratic_are_its_own():
    found = curvature(bowl(CURVATURES), top=3, **TIGHT)
    np.testing.assert_allclose(found["eigenvalue"], [7, 5, 2], rtol=1e-8)
    np.testing.assert_allclose(found["residual"], 0, atol=1e-6)
    assert float(found["trace"]) == pytest.approx(sum(CURVATURES))
    assert (found["status"] == 0).all()
    assert found["rank"].values.tolist() == [1, 2, 3]
    assert check(found) is found


@pytest.mark.parametrize("seed", range(2))
def test_the_hessian_of_a_small_net_is_that_of_torch_func(seed):
    net = small_net(seed)
    found = curvature(around(net), top=6, trace_vectors=40, **TIGHT)
    matrix = _explicit_hessian(net)
    np.testing.assert_allclose(found["eigenvalue"], _eigenvalues(matrix, 6), rtol=1e-6, atol=1e-9)
    assert float(found["trace"]) == pytest.approx(float(matrix.trace()), rel=1e-9)


def test_scaled_by_filters_it_is_d_h_d():
    net = small_net()
    found = curvature(around(net), top=6, scale="filter", trace_vectors=40, **TIGHT)
    scales = _filter_scales(net)
    matrix = scales[:, None] * _explicit_hessian(net) * scales
    np.testing.assert_allclose(found["eigenvalue"], _eigenvalues(matrix, 6), rtol=1e-6, atol=1e-9)
    assert float(found["trace"]) == pytest.approx(float(matrix.trace()), rel=1e-9)


def test_the_trace_from_few_vectors_is_within_its_error_and_says_how_large_that_is():
    net = small_net()
    exact = float(_explicit_hessian(net).trace())
    off = []
    for seed in range(8):
        found = curvature(around(net), top=1, max_steps=2, trace_vectors=6, seed=seed, tolerance=0.5, progress=False)
        off.append((float(found["trace"]) - exact) / float(found["trace_stderr"]))
    assert 0.2 < np.std(off) < 3
    assert np.abs(off).max() < 8


def test_filter_scaled_eigenvalues_do_not_change_when_a_layer_is_scaled_up_and_the_next_down():
    net = small_net()
    settings: dict[str, Any] = TIGHT | {"top": 1, "trace_vectors": 40}
    for scale, same in (("filter", True), ("plain", False)):
        one, other = (curvature(around(n), scale=scale, **settings) for n in (net, rescaled(net, 16.0)))
        assert np.allclose(one["eigenvalue"], other["eigenvalue"], rtol=1e-6) is same
        assert math.isclose(float(one["trace"]), float(other["trace"]), rel_tol=1e-6) is same


def test_the_density_has_the_mean_of_the_spectrum():
    spectrum = torch.cat([torch.linspace(-1, 1, 60), torch.tensor([5.0, 9.0])])
    found = curvature(bowl(spectrum), density=True, density_starts=16, density_steps=8, trace_vectors=0, progress=False)
    value, density = found["value"].values, found["density"].values
    assert np.trapezoid(density, value) == pytest.approx(1, abs=1e-3)
    assert np.trapezoid(density * value, value) == pytest.approx(float(spectrum.mean()), abs=0.2)
    assert (found["density_stderr"] >= 0).all()
    assert np.isnan(found["trace"])


def test_what_was_not_asked_for_is_empty_or_nan():
    found = curvature(bowl(CURVATURES), trace_vectors=0, progress=False)
    assert found.sizes["value"] == 0
    assert np.isnan(found["trace"])
    assert np.isnan(found["trace_stderr"])


@pytest.mark.parametrize(
    ("scale", "unit", "size", "inverse"),
    [
        ("plain", "nat", "nat / weight²", "weight² / nat"),
        ("plain", "", "1 / weight²", "weight²"),
        ("filter", "nat", "nat", "1 / nat"),
        ("filter", "", "", ""),
    ],
)
def test_units_follow_from_the_loss_and_the_scale(scale, unit, size, inverse):
    found = curvature(around(small_net(), unit=unit), scale=scale, top=1, progress=False)
    for name in ("eigenvalue", "residual", "trace", "trace_stderr", "value"):
        assert found[name].attrs["units"] == size
    assert found["density"].attrs["units"] == inverse


def test_more_eigenvalues_than_there_are_entries_are_all_of_them():
    found = curvature(bowl(CURVATURES), top=50, max_steps=2, **TIGHT)
    np.testing.assert_allclose(found["eigenvalue"], sorted(CURVATURES, reverse=True), atol=1e-8)
    assert (found["status"] == 0).all()


def test_a_network_of_one_weight_has_one_eigenvalue_and_an_exact_trace():
    found = curvature(bowl([3.0]), density=True, progress=False)
    assert found["eigenvalue"].values.tolist() == [3.0]
    assert (float(found["trace"]), float(found["trace_stderr"])) == (3.0, 0.0)


def test_as_many_eigenvalues_as_asked_for_come_from_a_hessian_of_low_rank():
    direction = torch.tensor([1.0, 2.0, 2.0, 0.0, 0.0, 0.0]).double()
    found = curvature(at(torch.zeros(6), lambda w: 0.5 * (w @ direction).square()), top=4, **TIGHT)
    np.testing.assert_allclose(found["eigenvalue"], [9, 0, 0, 0], atol=1e-9)
    assert float(found["trace"]) == pytest.approx(9)


def test_a_pair_that_is_not_found_says_so_and_its_residual_how_far_it_is():
    objective = bowl(torch.linspace(0, 10, 200))
    found = curvature(objective, top=3, max_steps=8, tolerance=1e-6, trace_vectors=0, progress=False)
    assert found["status"].values.tolist() == [1, 1, 1]
    away = np.abs(found["eigenvalue"].values[:, None] - np.linspace(0, 10, 200)).min(1)
    assert (away <= found["residual"].values).all()
    assert (curvature(objective, top=3, tolerance=1e-2, progress=False)["status"] == 0).all()


def test_the_status_does_not_depend_on_whether_the_farthest_eigenvalue_is_above_or_below_0():
    spectrum = [-1000.0, *np.linspace(-1, 1, 60)]
    found = curvature(bowl(spectrum), top=2, tolerance=1e-3, trace_vectors=0, progress=False)
    assert int(found["num_products"]) < 62
    assert (found["status"] == 0).all()


def test_products_are_counted_as_they_are_made(monkeypatch):
    made: list[int] = []
    original = Objective.hessian_vector_product
    monkeypatch.setattr(
        Objective, "hessian_vector_product", lambda self, vector: (made.append(1), original(self, vector))[1]
    )
    for settings in ({"density": True}, {"trace_vectors": 0}, {"trace_vectors": 2, "density_steps": 100}):
        made.clear()
        found = curvature(bowl(CURVATURES), progress=False, **settings)
        assert int(found["num_products"]) == len(made)


def test_the_same_seed_gives_the_same_result_and_nothing_is_disturbed():
    net = small_net()
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    state = torch.get_rng_state()
    one, again, other = (
        curvature(
            around(net),
            seed=s,
            max_steps=9,
            density=True,
            density_starts=2,
            density_steps=4,
            trace_vectors=2,
            progress=False,
        )
        for s in (1, 1, 2)
    )
    assert one.identical(again)
    assert float(one["trace"]) != float(other["trace"])
    assert torch.equal(state, torch.get_rng_state())
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())
    assert all(parameter.requires_grad and parameter.grad is None for parameter in net.parameters())


class _Once(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, inputs: Tensor) -> Tensor:
        ctx.save_for_backward(inputs)
        return inputs.square()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *slopes: Tensor) -> Tensor:
        return 2 * ctx.saved_tensors[0] * slopes[0]


def test_a_hessian_that_is_not_there_is_told_of_in_one_line():
    with pytest.raises(InputError, match="not finite at the network's weights") as caught:
        curvature(at([0.0, 1.0, 2.0], lambda w: (w.abs() ** 1.5).sum()), progress=False)
    assert "\n" not in str(caught.value)


def test_without_a_second_derivative_eigenvalues_come_from_differences_of_gradients():
    weights = torch.tensor([0.1, 0.3, 0.2], dtype=torch.float64)
    found, wanted = (
        curvature(at(weights, lambda w, f=f: f(w).sum().exp()), progress=False) for f in (_Once.apply, torch.square)
    )
    np.testing.assert_allclose(found["eigenvalue"], wanted["eigenvalue"], rtol=1e-6)


def test_a_loss_that_is_linear_in_the_weights_has_no_curvature():
    found = curvature(at([1.0, 2.0], lambda w: w.sum()), progress=False)
    np.testing.assert_array_equal(found["eigenvalue"], 0)
    assert float(found["trace"]) == 0


@pytest.mark.parametrize(
    "setting",
    [
        {"top": 0},
        {"max_steps": 0},
        {"trace_vectors": -1},
        {"trace_vectors": 1},
        {"density_starts": 0},
        {"density_steps": 1},
        {"tolerance": 0.0},
        {"tolerance": math.nan},
    ],
)
def test_a_setting_out_of_range_is_refused_in_one_line_that_names_it(setting):
    with pytest.raises(InputError, match=next(iter(setting))) as caught:
        curvature(bowl(CURVATURES), **setting)
    assert "\n" not in str(caught.value)


def test_top_directions_are_orthogonal_eigenvectors_as_long_as_random_directions():
    net = small_net()
    objective = around(net)
    lines = top_directions(objective, 3, seed=0, progress=False)
    scales = _filter_scales(net)
    matrix = scales[:, None] * _explicit_hessian(net) * scales
    flat = torch.stack([torch.cat([block.reshape(-1) for block in line.blocks]) for line in lines])
    vectors = flat / scales / math.sqrt(len(scales))
    torch.testing.assert_close(vectors @ vectors.T, torch.eye(3, dtype=torch.float64), rtol=0, atol=1e-5)
    np.testing.assert_allclose(np.diag(vectors @ matrix @ vectors.T), _eigenvalues(matrix, 3), rtol=1e-3)
    # A random direction has each filter's norm: in the metric of D, both are √n long.
    random = objective.direction(0, 0)
    weighted = [inner_product(objective.center, line, line) for line in (*lines, random)]
    assert all(line.units == random.units for line in lines)
    assert 0.2 < weighted[0] / weighted[-1] < 5


def test_there_are_two_eigenvectors_where_all_curvatures_are_one():
    weights = torch.ones(8)
    lines = top_directions(at(weights, lambda w: w.square().sum()), 2, seed=0, progress=False)
    one, two = (line.blocks[0].reshape(-1) for line in lines)
    assert float(one.norm()) == pytest.approx(math.sqrt(8))
    assert abs(float(one @ two)) < 1e-9


def test_more_eigenvectors_than_entries_are_refused():
    with pytest.raises(InputError, match="3 eigenvectors of a network with 2 moved entries"):
        top_directions(bowl([1.0, 2.0]), 3, seed=0, progress=False)


def test_progress_grows_to_1():
    shares: list[float] = []
    curvature(around(small_net()), density=True, density_starts=2, progress=shares.append)
    assert shares == sorted(shares)
    assert shares[-1] == pytest.approx(1)
