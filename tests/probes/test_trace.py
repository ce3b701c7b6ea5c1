import math

import numpy as np
import pytest
import torch
from torch import Tensor

from basinscope.probes.trace import _complements, _LeftOut, trace
from basinscope.probes.uncertainty import student_factor
from tests.probes.matrices import noise, symmetric, with_eigenvalues


def _trace(matrix: Tensor, num: int, seed: int = 0) -> tuple[float, float]:
    return trace(lambda v: matrix @ v, len(matrix), num, like=matrix, seed=seed)


@pytest.mark.parametrize("size", [1, 2, 3, 12])
@pytest.mark.parametrize("surplus", [0, 3])
def test_as_many_vectors_as_the_side_give_the_trace_itself(size, surplus):
    matrix = symmetric(size)
    found, error = _trace(matrix, size + surplus)
    assert found == pytest.approx(float(matrix.trace()), rel=1e-12)
    assert error == 0


def test_no_more_products_are_taken_than_there_are_columns():
    calls: list[int] = []
    matrix = symmetric(12)

    def product(vector: Tensor) -> Tensor:
        calls.append(1)
        return matrix @ vector

    for num, wanted in ((4, 8), (6, 12), (30, 12)):
        calls.clear()
        trace(product, 12, num, like=matrix, seed=0)
        assert len(calls) == wanted


@pytest.mark.parametrize(
    "matrix",
    [symmetric(40), with_eigenvalues(*np.linspace(0.5, 1, 40)), with_eigenvalues(*(0.7 ** np.arange(40)))],
    ids=["indefinite", "flat", "decaying"],
)
def test_the_trace_is_unbiased_and_its_error_is_honest(matrix):
    found = np.array([_trace(matrix, 8, seed) for seed in range(120)])
    off = found[:, 0] - float(matrix.trace())
    assert abs(off.mean()) < 4 * off.std() / math.sqrt(len(off))
    assert np.mean(np.abs(off) <= 1.96 * found[:, 1]) >= 0.93
    # Not by being useless: Student's t makes it 1.2 times the spread, terms left out on decaying spectra twice.
    assert 1 < np.sqrt(np.square(found[:, 1]).mean()) / off.std() < 3


@pytest.mark.parametrize("num", [2, 4])
def test_few_vectors_have_an_error_that_covers_too(num):
    matrix = with_eigenvalues(*np.linspace(-1, 2, 30))
    found = np.array([_trace(matrix, num, seed) for seed in range(150)])
    assert np.mean(np.abs(found[:, 0] - float(matrix.trace())) <= 1.96 * found[:, 1]) >= 0.93


def test_the_variance_of_the_mean_is_estimated_without_bias_where_no_term_is_negative():
    matrix = with_eigenvalues(*np.linspace(0.2, 1, 40))
    found = np.array([_trace(matrix, 6, seed) for seed in range(150)])
    variance = np.square(found[:, 1] / student_factor(6)).mean()
    assert variance == pytest.approx(found[:, 0].var(), rel=0.25)


def test_estimates_that_leave_vectors_out_are_those_of_a_basis_made_without_them():
    matrix, num = symmetric(20), 6
    tests = noise(20, num, seed=3)
    images = matrix @ tests
    basis, triangle = torch.linalg.qr(images)
    forms, squares = (np.diagonal((tests.T @ other).numpy()) for other in (images, tests))
    small, within = (basis.T @ matrix @ basis).numpy(), (basis.T @ tests).numpy()
    left_out = _LeftOut(20, triangle.numpy(), small, within, forms, squares)
    complements = _complements(triangle.numpy())
    for i, j in ((0, 1), (4, 2)):
        fewer, _ = torch.linalg.qr(images[:, [k for k in range(num) if k not in (i, j)]])
        beside = torch.eye(20, dtype=torch.float64) - fewer @ fewer.T
        rest = beside @ tests[:, i]
        explicit = float((fewer.T @ matrix @ fewer).trace() + (20 - num + 2) * (rest @ matrix @ rest) / (rest @ rest))
        removed, _ = np.linalg.qr(complements[:, [i, j]])
        assert left_out.estimate(i, removed) == pytest.approx(explicit, rel=1e-9)


def test_on_a_spectrum_that_decays_it_beats_as_many_plain_products():
    matrix = with_eigenvalues(*(0.7 ** np.arange(60)))
    exact, num = float(matrix.trace()), 10
    ours = [_trace(matrix, num, seed)[0] - exact for seed in range(50)]
    plain = []
    for seed in range(50):
        tests = noise(60, 2 * num, seed=seed)
        plain.append(float((tests * (matrix @ tests)).sum()) / (2 * num) - exact)
    assert np.std(ours) < 0.2 * np.std(plain)


@pytest.mark.parametrize("rank", [0, 1, 3])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_trace_of_a_matrix_of_low_rank_is_exact(rank, dtype):
    matrix = with_eigenvalues(*range(1, rank + 1), *[0.0] * (40 - rank)).to(dtype)
    found, error = _trace(matrix, 8)
    assert found == pytest.approx(rank * (rank + 1) / 2, abs=1e-5)
    assert 0 <= error < 1e-5
