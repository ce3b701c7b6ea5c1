import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from basinscope.probes.extremes import NOT_CONVERGED, UNCHECKED, Extremes, extreme_eigenpairs
from basinscope.probes.lanczos import lanczos, top_eigenvalues
from tests.probes.matrices import noise, symmetric, with_eigenvalues

BULK = np.linspace(-1, 1, 40)


def _extremes(matrix: Tensor, num_top: int, num_smallest: int = 0, *, seed: int = 0, **chosen) -> Extremes:
    def start(number: int) -> Tensor:
        return noise(len(matrix), seed=1000 * (seed + 1) + number).to(matrix)

    options = {"tolerance": 1e-8, "max_steps": 200} | chosen
    return extreme_eigenpairs(lambda v: matrix @ v, start, num_top, num_smallest, **options)


def _agree(found: Extremes, matrix: Tensor, atol: float) -> None:
    true = torch.linalg.eigvalsh(matrix).numpy()
    np.testing.assert_allclose(found.top.values, true[::-1][: len(found.top.values)], atol=atol)
    np.testing.assert_allclose(found.smallest.values, true[: len(found.smallest.values)], atol=atol)


@settings(max_examples=15, deadline=None)
@given(size=st.integers(1, 25), top=st.integers(1, 6), smallest=st.integers(0, 6), seed=st.integers(0, 5))
def test_both_ends_are_those_of_numpy(size, top, smallest, seed):
    matrix, top, smallest = symmetric(size, seed), min(top, size), min(smallest, size)
    found = _extremes(matrix, top, smallest)
    _agree(found, matrix, 1e-7)
    for end in (found.top, found.smallest):
        assert not end.status.any()
        left = [float((matrix @ v - t * v).norm()) for t, v in zip(end.values.tolist(), end.vectors, strict=True)]
        np.testing.assert_allclose(end.residuals, left, atol=1e-12)
        assert max(left, default=0) <= found.bound


@pytest.mark.parametrize(
    ("values", "top", "smallest"),
    [
        ((5.0, 5, 5, 2, 2, -1), 4, 2),
        ((3.0,) * 8, 5, 5),
        ((0.0,) * 5, 2, 1),
        ((-7.0,), 1, 1),
        (tuple(np.repeat([9.0, 4, 1, -2, -6], 6)), 8, 8),
        (tuple(np.r_[10, 10, 6, 5, 5, BULK]), 5, 0),
    ],
)
def test_repeated_eigenvalues_are_returned_as_often_as_they_occur(values, top, smallest):
    matrix = with_eigenvalues(*values)
    found = _extremes(matrix, top, smallest)
    _agree(found, matrix, 1e-7)
    for end in (found.top, found.smallest):
        assert not end.status.any()
        if end.vectors:
            vectors = torch.stack(end.vectors)
            identity = torch.eye(len(vectors), dtype=torch.float64)
            torch.testing.assert_close(vectors @ vectors.T, identity, rtol=0, atol=1e-9)
            for value, vector in zip(end.values.tolist(), end.vectors, strict=True):
                assert float((matrix @ vector - value * vector).norm()) <= found.bound + 1e-12


def test_an_eigenvalue_that_the_first_start_cannot_see_is_found_by_the_check():
    diagonal = torch.from_numpy(np.r_[10, 8, 6, 5, 4, 3, BULK])
    blind = noise(len(diagonal))
    blind[[1, 4]] = 0
    starts = [blind, *(noise(len(diagonal), seed=k) for k in range(1, 5))]
    limits = {"tolerance": 1e-6, "max_steps": 46}
    skipped = top_eigenvalues(lambda v: diagonal * v, blind, 4, **limits)
    np.testing.assert_allclose(skipped.values, [10, 6, 5, 3], atol=1e-6)
    assert (skipped.residuals <= skipped.bound).all()
    found = extreme_eigenpairs(lambda v: diagonal * v, starts.__getitem__, 5, **limits)
    np.testing.assert_allclose(found.top.values, [10, 8, 6, 5, 4], atol=1e-5)
    assert not found.top.status.any()
    assert (found.top.residuals <= found.bound).all()


def test_nearly_repeated_eigenvalues_are_not_skipped_by_any_of_many_starts():
    values = np.r_[10, 9.98, 5, 4.98, 4.96, 3, BULK]
    diagonal = torch.from_numpy(values)
    before = 0
    for seed in range(25):

        def start(number: int, seed: int = seed) -> Tensor:
            return noise(len(values), seed=100 * seed + number)

        limits = {"tolerance": 1e-3, "max_steps": 46}
        found = extreme_eigenpairs(lambda v: diagonal * v, start, 5, verified=False, **limits)
        assert not found.top.status.any()
        np.testing.assert_allclose(found.top.values, values[:5], atol=found.bound)
        single = top_eigenvalues(lambda v: diagonal * v, start(0), 5, **limits)
        before += bool((np.abs(single.values - values[:5]) > single.bound).any())
    assert before > 10  # the check has something to find


@settings(max_examples=20, deadline=None)
@given(steps=st.integers(1, 20), seed=st.integers(0, 50))
def test_no_component_of_the_start_exceeds_the_share_that_can_be_hidden(steps, seed):
    matrix = symmetric(20, seed)
    start = noise(20, seed=seed + 1)
    values, vectors = torch.linalg.eigh(matrix)
    shares = (vectors.T @ (start / start.norm())).abs()
    space = lanczos(lambda v: matrix @ v, start, steps)
    for value, share in zip(values.tolist(), shares.tolist(), strict=True):
        hidden = space.hidden_share(value)
        # Of a whole space, the last entry is 0 and the bound empty: nothing is hidden.
        assert share <= hidden * (1 + 1e-6) or (hidden == 0 and steps == 20)
    far = [space.hidden_share(10.0 * k) for k in range(1, 4)]
    assert far == sorted(far, reverse=True)


def test_pairs_whose_check_ends_early_are_unchecked_eigenpairs():
    values = np.repeat([9.0, 4, 1, -2, -6], 8)
    matrix = with_eigenvalues(*values)
    found = _extremes(matrix, 5, max_steps=8)
    assert set(found.top.status) == {UNCHECKED}
    assert np.abs(found.top.values[:, None] - values).min(1).max() < 1e-7
    assert found.top.values[-1] < 9
    assert not _extremes(matrix, 5, max_steps=30).top.status.any()


def test_pairs_that_have_not_converged_say_so():
    found = _extremes(with_eigenvalues(*np.linspace(0, 10, 120)), 3, max_steps=6)
    assert set(found.top.status) == {NOT_CONVERGED}
    assert (found.top.residuals > found.bound).all()


def test_where_nothing_is_skipped_the_pairs_are_those_of_the_single_start():
    matrix = with_eigenvalues(10, 8, 6, 5, *BULK)
    single = top_eigenvalues(lambda v: matrix @ v, noise(44, seed=1000), 3, tolerance=1e-3, max_steps=44, vectors=True)
    found = _extremes(matrix, 3, tolerance=1e-3, verified=False)
    np.testing.assert_array_equal(found.top.values, single.values)
    np.testing.assert_array_equal(found.top.residuals, single.residuals)
    assert all(torch.equal(one, other) for one, other in zip(found.top.vectors, single.vectors, strict=True))


def test_the_products_are_told_the_search_one_per_pair_and_the_check():
    calls: list[int] = []
    diagonal = torch.from_numpy(np.r_[10, 8, 6, 5, 4, BULK])

    def product(vector: Tensor) -> Tensor:
        calls.append(1)
        return diagonal * vector

    shares: list[float] = []
    limits = {"tolerance": 1e-3, "max_steps": 45}
    extreme_eigenpairs(product, lambda k: noise(45, seed=k), 5, **limits, progress=shares.append)
    with_check = len(calls)
    calls.clear()
    top_eigenvalues(product, noise(45), 5, **limits)
    assert 4 <= with_check - len(calls) - 5 <= 15
    assert shares == sorted(shares)
    assert 0 < shares[-1] <= 1


def test_a_whole_space_needs_no_check():
    calls: list[int] = []
    matrix = symmetric(6)
    extreme_eigenpairs(
        lambda v: (calls.append(1), matrix @ v)[1], lambda k: noise(6, seed=k), 6, tolerance=1e-9, max_steps=6
    )
    assert len(calls) == 12


def test_single_precision_is_enough():
    values = np.r_[10, 10, 6, 5, 5, BULK]
    matrix = with_eigenvalues(*values).float()
    found = _extremes(matrix, 5, tolerance=1e-3)
    np.testing.assert_allclose(found.top.values, values[:5], rtol=1e-3)
    assert not found.top.status.any()
    assert math.isclose(found.bound, 1e-2, rel_tol=1e-3)
