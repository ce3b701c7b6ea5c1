import math

import numpy as np
import pytest
import torch
from torch import Tensor

from basinscope.probes.diagonal import diagonal
from basinscope.probes.uncertainty import student_factor
from tests.probes.matrices import symmetric


def _diagonal(matrix: Tensor, num: int, seed: int = 0, **chosen) -> tuple[np.ndarray, np.ndarray]:
    found, error = diagonal(lambda v: matrix @ v, len(matrix), num, like=matrix, seed=seed, **chosen)
    return found.numpy(), error.numpy()


@pytest.mark.parametrize("num", [12, 30])
def test_as_many_vectors_as_entries_give_the_diagonal_itself_from_one_product_each(num):
    matrix, calls = symmetric(12), []
    found, error = diagonal(lambda v: (calls.append(1), matrix @ v)[1], 12, num, like=matrix, seed=0)
    np.testing.assert_array_equal(found, matrix.diagonal())
    assert not error.any()
    assert len(calls) == 12


def test_it_is_the_mean_over_vectors_of_signs_and_the_error_that_of_this_mean():
    matrix, vectors = symmetric(9), []
    found, error = diagonal(lambda v: (vectors.append(v), matrix @ v)[1], 9, 5, like=matrix, seed=3)
    signs = torch.stack(vectors).numpy()
    assert set(np.unique(signs)) == {-1.0, 1.0}
    samples = signs * (signs @ matrix.numpy())
    np.testing.assert_allclose(found, samples.mean(0), atol=1e-14)
    np.testing.assert_allclose(error, student_factor(5) * samples.std(0, ddof=1) / math.sqrt(5), atol=1e-14)


def test_it_is_unbiased_and_its_error_covers():
    matrix = symmetric(40)
    exact = matrix.diagonal().numpy()
    found = [_diagonal(matrix, 30, seed) for seed in range(60)]
    off = np.stack([estimate - exact for estimate, _ in found])
    assert abs(off.mean()) < 4 * off.std() / math.sqrt(off.size)
    covered = np.mean([np.abs(estimate - exact) <= 1.96 * error for estimate, error in found])
    assert covered == pytest.approx(0.95, abs=0.02)


def test_a_diagonal_matrix_has_no_error():
    matrix = torch.diag(torch.arange(1.0, 21, dtype=torch.float64))
    found, error = _diagonal(matrix, 2)
    np.testing.assert_array_equal(found, np.arange(1, 21))
    assert not error.any()


def test_progress_ends_at_1():
    shares: list[float] = []
    _diagonal(symmetric(9), 4, progress=shares.append)
    assert shares == [0.25, 0.5, 0.75, 1.0]
