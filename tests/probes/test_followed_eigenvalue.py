"""The top eigenvalue from the last eigenvector: right at once, cheaper, and not caught by a level crossing."""

import numpy as np
import pytest
import torch

from basinscope.probes.curvature import Hessian
from basinscope.probes.followed_eigenvalue import followed_eigenvalue
from basinscope.probes.lanczos import top_eigenvalues
from tests.problems import bowl

SIZE = 300


def _spectrum(first: float, second: float) -> torch.Tensor:
    """Two outliers above a bulk on both sides of 0."""
    bulk = 0.5 * torch.randn(SIZE, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    bulk[:5] = torch.tensor([first, second, 5.0, 3.0, 2.0])
    return bulk


def _axis(index: int) -> torch.Tensor:
    return torch.eye(SIZE, dtype=torch.float64)[index]


@pytest.mark.parametrize(("second", "missed"), [(11.0, 0), (10.2, 1)])
def test_a_larger_eigenvalue_is_found_from_the_eigenvector_of_another(second, missed):
    hessian = Hessian(bowl(_spectrum(10.0, second)), "plain")
    found = [followed_eigenvalue(hessian, _axis(0), seed=3, number=k) for k in range(12)]
    wrong = [each for each in found if not np.isclose(each.value, second, rtol=1e-4)]
    assert all(each.converged for each in found)
    assert len(wrong) <= missed
    # Without a random part, the iteration stays.
    stays = top_eigenvalues(hessian.product, _axis(0), 1, tolerance=1e-3, max_steps=50)
    assert stays.values[0] == pytest.approx(10.0)


def test_residual_and_vector_are_those_of_the_eigenpair():
    curvatures = _spectrum(10.0, 9.0)
    hessian = Hessian(bowl(curvatures), "plain")
    found = followed_eigenvalue(hessian, None, seed=0, number=0)
    wanted = float((curvatures * found.vector - found.value * found.vector).norm())
    assert found.residual == pytest.approx(wanted, rel=1e-6)
    assert found.residual <= 1e-3 * curvatures.abs().max()
    assert abs(float(found.vector[0])) == pytest.approx(1.0, abs=1e-4)
    assert not followed_eigenvalue(hessian, None, seed=0, number=0, max_steps=2).converged


def test_a_last_vector_saves_products():
    products = {}
    for name, last in (("cold", None), ("warm", _axis(0))):
        hessian = Hessian(bowl(_spectrum(10.0, 7.0)), "plain")
        for number in range(8):
            assert followed_eigenvalue(hessian, last, seed=0, number=number).value == pytest.approx(10.0, rel=1e-5)
        products[name] = hessian.num_products
    assert products["warm"] < 0.95 * products["cold"]


def test_a_vector_of_another_length_is_not_used():
    hessian = Hessian(bowl(_spectrum(10.0, 7.0)), "plain")
    cold = followed_eigenvalue(hessian, None, seed=0, number=4)
    other = followed_eigenvalue(hessian, torch.ones(3, dtype=torch.float64), seed=0, number=4)
    assert other.value == cold.value
    assert torch.equal(other.vector, cold.vector)


@pytest.mark.parametrize("curvatures", [[2.0, 2.0, 2.0], [3.0], [0.0, -1.0]])
def test_small_and_degenerate_matrices(curvatures):
    hessian = Hessian(bowl(curvatures), "plain")
    found = followed_eigenvalue(hessian, torch.ones(len(curvatures), dtype=torch.float64), seed=0, number=1)
    assert found.value == pytest.approx(max(curvatures), abs=1e-12)
    assert found.converged
