import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from basinscope.probes.lanczos import lanczos, spectral_density, top_eigenvalues
from basinscope.probes.uncertainty import student_factor
from tests.probes.matrices import noise, symmetric, with_eigenvalues

TIGHT = {"tolerance": 1e-10, "max_steps": 200}


def _top(matrix: Tensor, num: int, **chosen):
    return top_eigenvalues(lambda v: matrix @ v, noise(len(matrix), seed=99), num, **TIGHT | chosen)


@settings(max_examples=10)
@given(size=st.integers(1, 25), num=st.integers(1, 5), seed=st.integers(0, 5))
def test_the_largest_eigenvalues_of_an_indefinite_matrix_are_those_of_numpy(size, num, seed):
    matrix, num = symmetric(size, seed), min(num, size)
    found = _top(matrix, num, vectors=True)
    np.testing.assert_allclose(found.values, np.linalg.eigh(matrix)[0][::-1][:num], rtol=1e-8, atol=1e-8)
    for value, vector in zip(found.values, found.vectors, strict=True):
        assert float(vector.norm()) == pytest.approx(1)
        torch.testing.assert_close(matrix @ vector, float(value) * vector, rtol=0, atol=1e-7)


@pytest.mark.parametrize("max_steps", [5, 12, 25])
def test_residuals_are_the_norms_of_what_the_pairs_leave_whether_they_are_found_or_not(max_steps):
    matrix = symmetric(60)
    found = _top(matrix, 4, vectors=True, max_steps=max_steps)
    left = [float((matrix @ v - t * v).norm()) for t, v in zip(found.values.tolist(), found.vectors, strict=True)]
    np.testing.assert_allclose(found.residuals, left, rtol=1e-6, atol=1e-9)
    # And each is a distance to an eigenvalue, or more.
    true = np.linalg.eigvalsh(matrix)
    assert (np.abs(found.values[:, None] - true).min(1) <= found.residuals + 1e-9).all()
    assert found.num_products == max_steps
    assert found.residuals.max() > found.bound


def test_residuals_are_true_in_single_precision_too():
    matrix = symmetric(60).float()
    found = top_eigenvalues(lambda v: matrix @ v, noise(60).float(), 3, tolerance=1e-3, max_steps=100, vectors=True)
    left = [float((matrix @ v - t * v).norm()) for t, v in zip(found.values.tolist(), found.vectors, strict=True)]
    np.testing.assert_allclose(found.residuals, left, atol=1e-5)
    assert (found.residuals <= found.bound).all()


def test_the_tolerance_is_relative_to_the_eigenvalue_farthest_from_0_of_either_sign():
    matrix = with_eigenvalues(-1000.0, *np.linspace(-1, 1, 49))
    found = _top(matrix, 1, tolerance=1e-3)
    assert found.bound == pytest.approx(1.0, rel=1e-3)
    assert found.residuals[0] <= found.bound
    assert _top(matrix, 1, tolerance=1e-5).num_products > found.num_products


def test_the_basis_is_orthonormal_after_many_steps_on_a_spectrum_that_decays():
    matrix = with_eigenvalues(*(10.0 ** -np.linspace(0, 5, 120)))
    space = lanczos(lambda v: matrix @ v, noise(120), 100)
    basis = torch.stack(space.basis)
    assert len(basis) > 50
    torch.testing.assert_close(basis @ basis.T, torch.eye(len(basis), dtype=torch.float64), rtol=0, atol=1e-12)
    values, vectors = space.ritz()
    np.testing.assert_allclose(values, np.linalg.eigvalsh(basis @ matrix @ basis.T), atol=1e-6)
    np.testing.assert_allclose(vectors.T @ vectors, np.eye(len(values)), atol=1e-12)


def test_an_eigenvalue_that_stands_several_times_ends_the_search_with_what_there_is():
    # One start sees one vector of each eigenspace: three steps hold all there is.
    matrix = with_eigenvalues(5, 5, 5, 2, 2, -1)
    space = lanczos(lambda v: matrix @ v, noise(6), 6)
    np.testing.assert_allclose(space.ritz()[0], [-1, 2, 5], atol=1e-9)
    np.testing.assert_array_equal(space.residuals(), 0)


@pytest.mark.parametrize(
    ("values", "num"),
    [((3.0,) * 8, 3), ((4.0, 0, 0, 0, 0, 0, 0), 5), ((5.0, 5.0, 2.0, 2.0), 4), ((0.0,) * 5, 2), ((-7.0,), 1)],
)
def test_a_space_that_is_exhausted_early_goes_on_until_there_are_as_many_as_asked_for(values, num):
    matrix = with_eigenvalues(*values)
    found = _top(matrix, num, vectors=True)
    assert len(found.values) == num
    np.testing.assert_allclose(found.residuals, 0, atol=1e-9)
    vectors = torch.stack(found.vectors)
    torch.testing.assert_close(vectors @ vectors.T, torch.eye(num, dtype=torch.float64), rtol=0, atol=1e-9)
    for value, vector in zip(found.values.tolist(), found.vectors, strict=True):
        torch.testing.assert_close(matrix @ vector, value * vector, rtol=0, atol=1e-9)
    if num == len(values):
        np.testing.assert_allclose(found.values, values, atol=1e-9)


def test_progress_ends_no_later_than_at_1_and_grows():
    shares: list[float] = []
    found = _top(symmetric(40), 2, max_steps=40, progress=shares.append)
    assert len(shares) == found.num_products
    assert shares == sorted(shares)
    assert 0 < shares[-1] <= 1


SPECTRUM = np.concatenate([np.linspace(-1, 1, 150), [6.0, 8.0, 10.0]])


def _density(matrix: Tensor, **chosen):
    size = len(matrix)
    chosen = {"num_starts": 30, "steps": 40} | chosen
    return spectral_density(lambda v: matrix @ v, lambda k: noise(size, seed=1000 + k), **chosen)


def _moments(density: np.ndarray, value: np.ndarray) -> list[float]:
    return [float(np.trapezoid(density * value**power, value)) for power in range(3)]


def test_the_density_integrates_to_1_and_its_mean_and_variance_are_those_of_the_spectrum():
    matrix, width = with_eigenvalues(*SPECTRUM), 0.005
    means, variances = [], []
    for group in range(10):
        starts = [noise(len(matrix), seed=100 * group + k) for k in range(4)]
        found = spectral_density(lambda v: matrix @ v, starts.__getitem__, num_starts=4, steps=20, width=width)
        whole, mean, square = _moments(found.density, found.value)
        assert whole == pytest.approx(1, abs=1e-4)
        means.append(mean)
        # The Gaussian adds its own variance.
        variances.append(square - mean**2 - (width * 11) ** 2)
    for got, wanted in ((means, SPECTRUM.mean()), (variances, SPECTRUM.var())):
        error = np.std(got, ddof=1) / math.sqrt(len(got))
        assert abs(np.mean(got) - wanted) < 4 * error
        assert error < 0.1 * SPECTRUM.var()


def test_the_error_of_the_density_is_the_spread_over_starts_widened_by_students_t():
    matrix = with_eigenvalues(*SPECTRUM)
    places, values, errors = np.array([-0.5, 0.5, 8.0]), [], []
    for first in range(0, 96, 6):
        found = spectral_density(
            lambda v: matrix @ v, lambda k, f=first: noise(len(matrix), seed=5000 + f + k), num_starts=6, steps=8
        )
        values.append(np.interp(places, found.value, found.density))
        errors.append(np.interp(places, found.value, found.stderr))
    np.testing.assert_allclose(student_factor(6) * np.std(values, axis=0, ddof=1), np.mean(errors, axis=0), rtol=0.5)


def test_the_error_of_the_density_covers_the_smoothed_spectrum_next_to_outliers_too():
    values, width, covered = np.concatenate([np.linspace(-1, 1, 60), [6.0, 8.0, 10.0]]), 0.05, []
    matrix = torch.diag(torch.from_numpy(values))
    for first in range(0, 120, 4):
        found = spectral_density(
            lambda v: matrix @ v, lambda k, f=first: noise(63, seed=f + k), num_starts=4, steps=20, width=width
        )
        spread = width * (found.value[-1] - found.value[0]) / (1 + 10 * width)
        bumps = np.exp(-0.5 * ((found.value[:, None] - values) / spread) ** 2) / (spread * math.sqrt(2 * math.pi))
        exact = bumps.mean(1)
        shown = exact > 1e-3 * exact.max()
        covered.append(np.abs(found.density - exact)[shown] <= 1.96 * found.stderr[shown])
    assert np.concatenate(covered).mean() >= 0.93


def test_an_outlier_has_the_share_of_one_eigenvalue():
    found = _density(with_eigenvalues(*SPECTRUM), num_starts=60, steps=12)
    near = np.abs(found.value - 10) < 0.6
    share = np.trapezoid(found.density[near], found.value[near])
    assert share == pytest.approx(1 / len(SPECTRUM), rel=0.5)


@pytest.mark.parametrize("values", [(2.0,) * 5, (0.0,) * 5, (3.0,)])
def test_the_density_of_a_single_eigenvalue_is_one_peak(values):
    found = _density(with_eigenvalues(*values), num_starts=2)
    assert np.isfinite(found.density).all()
    assert np.trapezoid(found.density, found.value) == pytest.approx(1, abs=1e-4)
    assert found.value[found.density.argmax()] == pytest.approx(values[0], abs=0.01 * max(1, values[0]))
    assert found.num_products == 2


def test_one_start_has_no_error():
    assert np.isnan(_density(symmetric(10), num_starts=1, steps=5).stderr).all()
