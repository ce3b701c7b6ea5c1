"""Trace of a large symmetric matrix by XTrace, with an honest standard error."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from basinscope.probes.lanczos import Product
from basinscope.probes.uncertainty import student_factor

DEPENDENT = 1e-10
"""Singular value below which two directions count as one."""


@torch.no_grad()
def trace(
    product: Product,
    size: int,
    num: int,
    *,
    like: Tensor,
    seed: int,
    progress: Callable[[float], None] | None = None,
) -> tuple[float, float]:
    """Estimate the trace by XTrace: each random vector samples the complement of the others' span.

    Args:
        product: The matrix.
        size: Its number of rows.
        num: Random vectors, 2 or more; takes twice as many products, and stores three times as many vectors. If `num`
            is at least half of `size`, the trace is computed exactly from `size` products.
        like: A tensor whose device and precision are used.
        seed: Seed of the vectors.
        progress: Called after each product with the finished share.

    Returns:
        The estimate and its standard error, 0 if exact: the root of `_variance`, widened by `student_factor`.
        `benchmarks/trace_coverage.py` measures how often ± 1.96 of it cover.

    References:
        Epperly, Tropp and Webber 2024, arXiv 2301.07825.
    """
    if 2 * num >= size:
        return _exact_trace(product, size, like=like, progress=progress)
    stream = torch.Generator().manual_seed(seed)
    tests = torch.randn(size, num, generator=stream).to(like)
    images = torch.empty_like(tests)
    for k in range(num):
        images[:, k] = product(tests[:, k])
        if progress:
            progress((k + 1) / (2 * num))
    basis, triangle = torch.linalg.qr(images)
    moved = torch.empty_like(basis)
    for k in range(num):
        moved[:, k] = product(basis[:, k])
        if progress:
            progress((num + k + 1) / (2 * num))
    complements = torch.from_numpy(_complements(triangle.double().cpu().numpy())).to(basis)
    small = basis.T @ moved
    within, whole = basis.T @ tests, float(torch.trace(small))
    estimates = []
    for k in range(num):
        part = complements[:, k]
        projected = within[:, k] - part * (part @ within[:, k])
        rest = tests[:, k] - basis @ projected
        image = images[:, k] - moved @ projected
        # Mean over the directions outside the span of the others, independent of the length of this one.
        mean = float(rest @ image) / float(rest @ rest)
        estimates.append(whole - float(part @ small @ part) + (size - num + 1) * mean)
    values = np.array(estimates)
    variance = _variance(
        values,
        _LeftOut(
            size,
            triangle.double().cpu().numpy(),
            small.double().cpu().numpy(),
            within.double().cpu().numpy(),
            np.array([float(tests[:, k] @ images[:, k]) for k in range(num)]),
            np.array([float(tests[:, k] @ tests[:, k]) for k in range(num)]),
        ),
    )
    return float(values.mean()), math.sqrt(variance) * student_factor(num)


@dataclass(frozen=True)
class _LeftOut:
    """Estimates of the trace that leave out two of the vectors from the basis, without further products.

    With Ω the random vectors and Q, R the factors of their images A·Ω.
    """

    size: int
    triangle: Float[np.ndarray, "num num"]
    """R = QᵀAΩ."""
    small: Float[np.ndarray, "num num"]
    """QᵀAQ."""
    within: Float[np.ndarray, "num num"]
    """QᵀΩ."""
    forms: Float[np.ndarray, " num"]
    """ωᵀAω of each random vector."""
    squares: Float[np.ndarray, " num"]
    """ωᵀω of each random vector."""

    def estimate(self, k: int, removed: Float[np.ndarray, "num removed"]) -> float:
        """The estimate from the k-th vector, and the basis without the span of some orthonormal directions."""
        inside = self.within[:, k] - removed @ (removed.T @ self.within[:, k])
        form = self.forms[k] - 2 * float(inside @ self.triangle[:, k]) + float(inside @ self.small @ inside)
        square = self.squares[k] - float(inside @ inside)
        whole = float(np.trace(self.small)) - float(np.trace(removed.T @ self.small @ removed))
        rank = len(self.small) - removed.shape[1]
        return whole + (self.size - rank) * form / square


def _variance(values: Float[np.ndarray, " num"], left_out: _LeftOut) -> float:
    """Estimate the variance of the mean of XTrace's estimates, which share a basis.

    Let t_i be the estimate from vector i with the basis of all others, and u_ij the one with the basis of all but i and
    j. Given that basis and vector j, both t_i and u_ij are unbiased, and u_ji is a constant. So u_ji is uncorrelated
    with t_i and with u_ij, and Cov(t_i, t_j) = E[(t_i − u_ij)(t_j − u_ji)]. The sample variance s² of the t_i has the
    mean Var(t) − Cov(t_i, t_j), and so the variance of their mean is E[s²/num] + Cov(t_i, t_j). Products below 0 are
    noise that would hide the error, and count as 0; so the result is biased upwards, if at all.
    """
    num = len(values)
    complements = _complements(left_out.triangle)
    alone = [left_out.estimate(k, complements[:, [k]]) for k in range(num)]
    products = []
    for i in range(num):
        for j in range(i + 1, num):
            directions, sizes, _ = np.linalg.svd(complements[:, [i, j]], full_matrices=False)
            removed = directions[:, sizes > DEPENDENT]
            products.append(
                (alone[i] - left_out.estimate(i, removed)) * (alone[j] - left_out.estimate(j, removed)),
            )
    return float(values.var(ddof=1)) / num + float(np.mean(np.maximum(products, 0.0)))


def _complements(triangle: Float[np.ndarray, "num num"]) -> Float[np.ndarray, "num num"]:
    """For each column, a unit vector orthogonal to all other columns.

    For a dependent column, a unit vector orthogonal to the whole span.
    """
    left, sizes, right = np.linalg.svd(triangle)
    # Relative to the smallest singular value, so that a low-rank matrix causes no overflow.
    sizes = np.maximum(sizes, np.finfo(float).eps * max(float(sizes[0]), np.finfo(float).tiny))
    columns = (left * (sizes[-1] / sizes)) @ right
    return columns / np.linalg.norm(columns, axis=0)


def _exact_trace(
    product: Product, size: int, *, like: Tensor, progress: Callable[[float], None] | None
) -> tuple[float, float]:
    """Sum the diagonal, entry by entry."""
    total = 0.0
    for k in range(size):
        unit = torch.zeros(size).to(like)
        unit[k] = 1.0
        total += float(product(unit)[k])
        if progress:
            progress((k + 1) / size)
    return total, 0.0
