import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from basinscope.landscape.normalize import Normalization
from basinscope.landscape.stacked import CleanLoss, PointObjective
from basinscope.parameters import ParameterLayout
from basinscope.probes import top_eigenvalue as module
from basinscope.probes.top_eigenvalue import top_eigenvalue
from tests.quadratics import ellipsoid, origin
from tests.reference import hessian, small_problem

WIDTHS = [(2, 5, 4, 1), (2, 5, 3)]


def _unscaled(loss):
    """Around a center whose only filter has length 1, so that D is the identity."""
    center = origin(loss.layout.num_parameters)
    center[0] = 1
    return loss.around(center, Normalization(loss.layout, "gaussian_filter"))


@given(st.lists(st.floats(-10, 10), min_size=3, max_size=8))
def test_the_product_with_the_hessian_of_a_quadratic_is_exact(curvatures):
    curvatures = torch.tensor(curvatures, dtype=torch.float64)
    vector = torch.arange(1.0, len(curvatures) + 1, dtype=torch.float64)
    found = ellipsoid(curvatures).hessian_vector_product(origin(len(curvatures)), vector)
    torch.testing.assert_close(found, curvatures * vector)


@pytest.mark.parametrize("widths", WIDTHS)
def test_the_product_is_that_of_the_explicit_hessian(widths):
    net, train, center = small_problem(widths)
    vector = torch.linspace(-1, 1, len(center), dtype=torch.float64)
    found = CleanLoss(net, train).hessian_vector_product(center, vector)
    torch.testing.assert_close(found, hessian(net, train, center) @ vector, rtol=1e-9, atol=1e-12)
    assert not center.requires_grad


def test_the_top_eigenvalue_of_a_quadratic_is_its_largest_curvature():
    curvatures = torch.tensor([1.0, 7.0, 3.0, -20.0, 0.5], dtype=torch.float64)
    assert top_eigenvalue(_unscaled(ellipsoid(curvatures))) == pytest.approx(7.0, rel=1e-3)


def test_the_preconditioner_stands_on_both_sides():
    curvatures = torch.tensor([1.0, 7.0, 3.0, 2.0], dtype=torch.float64)
    diagonal = torch.tensor([4.0, 1.0, 2.0, 0.0], dtype=torch.float64)
    # Filters of one entry: each is scaled by its own weight.
    layout = ParameterLayout(("w",), (torch.Size([4, 1]),))
    loss = PointObjective(lambda points: 0.5 * points.square() @ curvatures, layout)
    found = top_eigenvalue(loss.around(diagonal, Normalization(layout)))
    assert found == pytest.approx(max(16 * 1.0, 1 * 7.0, 4 * 3.0), rel=1e-3)


@pytest.mark.parametrize("widths", WIDTHS)
@pytest.mark.parametrize("scheme", ["filter", "gaussian_filter", "sphere"])
def test_the_top_eigenvalue_is_that_of_the_explicit_matrix(widths, scheme):
    net, train, center = small_problem(widths)
    normalization = Normalization(net.layout, scheme)
    diagonal = normalization.preconditioner(center)
    matrix = diagonal[:, None] * hessian(net, train, center) * diagonal
    found = top_eigenvalue(CleanLoss(net, train).around(center, normalization))
    assert found == pytest.approx(torch.linalg.eigvalsh(matrix)[-1].item(), rel=1e-3)


def test_the_start_of_the_iteration_does_not_matter():
    net, train, center = small_problem((2, 5, 4, 1))
    normalization = Normalization(net.layout)
    found = [top_eigenvalue(CleanLoss(net, train).around(center, normalization), seed=seed) for seed in range(3)]
    assert found == pytest.approx([found[0]] * 3, rel=2e-3)


@pytest.mark.parametrize("num_vectors", [3, 5, 8, 500])
def test_the_number_of_vectors_does_not_change_the_eigenvalue(num_vectors):
    net, train, center = small_problem((2, 5, 3))
    normalization = Normalization(net.layout)
    diagonal = normalization.preconditioner(center)
    matrix = diagonal[:, None] * hessian(net, train, center) * diagonal
    found = top_eigenvalue(CleanLoss(net, train).around(center, normalization), num_vectors=num_vectors)
    assert found == pytest.approx(torch.linalg.eigvalsh(matrix)[-1].item(), rel=2e-3)


def test_fewer_vectors_are_kept_and_take_fewer_products_where_one_eigenvalue_stands_out(monkeypatch):
    seen = []
    real = module.eigsh

    def noting(*args, **settings):
        seen.append(settings["ncv"])
        return real(*args, **settings)

    def counting(center, vector):
        costs[-1] += 1
        return curvatures * vector

    monkeypatch.setattr(module, "eigsh", noting)
    curvatures = torch.linspace(0, 1, 60, dtype=torch.float64)
    curvatures[3] = 100
    costs = []
    for num_vectors in (None, 5):
        landscape = ellipsoid(curvatures)
        monkeypatch.setattr(landscape, "hessian_vector_product", counting)
        costs.append(0)
        found = top_eigenvalue(_unscaled(landscape), num_vectors=num_vectors, tolerance=0.02)
        assert found == pytest.approx(100, rel=0.02)
    assert seen == [None, 5]
    assert costs[1] < costs[0]


def test_an_iteration_that_does_not_converge_gives_nan(monkeypatch):
    def fails(*_, **__):
        raise module.ArpackNoConvergence("no convergence", [], [])

    monkeypatch.setattr(module, "eigsh", fails)
    assert math.isnan(top_eigenvalue(_unscaled(ellipsoid(torch.ones(3).double()))))


def test_a_piecewise_linear_loss_has_no_curvature():
    center = torch.tensor([0.3, -0.2], dtype=torch.float64)
    loss = PointObjective(lambda p: p.relu().sum(1), ParameterLayout(("w",), (torch.Size([1, 2]),)))
    assert loss.hessian_vector_product(center, torch.ones_like(center)).tolist() == [0.0, 0.0]


def test_a_matrix_of_zeros_has_the_eigenvalue_zero():
    flat = PointObjective(lambda p: 0 * p.square().sum(1), ParameterLayout(("w",), (torch.Size([2, 3]),)))
    assert top_eigenvalue(flat.around(torch.ones(6, dtype=torch.float64))) == 0
