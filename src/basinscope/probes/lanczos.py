"""Top eigenvalues and spectral density of a large symmetric matrix by Lanczos iteration."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from basinscope.probes.uncertainty import student_factor

Product = Callable[[Float[Tensor, " size"]], Float[Tensor, " size"]]
"""Multiplies a vector by the matrix."""
EIGEN_TOLERANCE = 1e-3
"""Largest relative residual of an eigenvalue, unless another is given."""
BREAKDOWN = 1e-6
"""Norm of a new vector's residual, relative to the matrix, below which the Krylov space counts as exhausted."""

SQUARED_LIMIT = 1e200
"""Sum of squares above which a bound counts as 0."""


@dataclass(frozen=True)
class Krylov:
    """An orthonormal basis of a Krylov space, and the matrix in that basis."""

    basis: list[Tensor]
    diagonal: Float[np.ndarray, " steps"]
    beside: Float[np.ndarray, " steps"]
    """Off-diagonal entries; the last one couples to the next vector, and is 0 if the space is invariant."""

    def ritz(self) -> tuple[np.ndarray, np.ndarray]:
        """Ritz values, ascending, and the eigenvectors of the tridiagonal matrix."""
        return self._ritz

    @cached_property
    def _ritz(self) -> tuple[np.ndarray, np.ndarray]:
        small = np.diag(self.diagonal)
        for k, entry in enumerate(self.beside[:-1]):
            small[k, k + 1] = small[k + 1, k] = entry
        values, vectors = np.linalg.eigh(small)
        return values, vectors

    def vector(self, weights: Float[np.ndarray, " steps"]) -> Tensor:
        """Combine the basis vectors with the given weights, and scale the result to length 1."""
        combined = torch.zeros_like(self.basis[0])
        for weight, part in zip(weights, self.basis, strict=True):
            combined.add_(part, alpha=float(weight))
        return combined / combined.norm()

    def residuals(self) -> np.ndarray:
        """‖A v − θ v‖ of each Ritz pair, in the order of `ritz`."""
        return np.abs(self.beside[-1] * self.ritz()[1][-1])

    def hidden_share(self, value: float) -> float:
        """Largest component that the starting vector can have along a unit eigenvector with this eigenvalue.

        The component of the k-th basis vector is p_k(value) times that of the start, with p_k the orthonormal
        polynomials of the tridiagonal matrix. As the basis is orthonormal, the squares sum to at most 1. For a value
        above all Ritz values, or below, the bound shrinks exponentially with the steps.

        References:
            Parlett 1998, section 12.1 (the polynomials); Kuczyński and Woźniakowski 1992 (random starts).
        """
        before, current, total = 0.0, 1.0, 1.0
        for k, entry in enumerate(self.beside):
            if not entry or total > SQUARED_LIMIT:
                return 0.0
            coupling = self.beside[k - 1] * before if k else 0.0
            before, current = current, ((value - self.diagonal[k]) * current - coupling) / entry
            total += current**2
        return float(total) ** -0.5


@torch.no_grad()
def lanczos(
    product: Product,
    start: Float[Tensor, " size"],
    steps: int,
    *,
    done: Callable[[Krylov], bool] = lambda _: False,
    least: int = 1,
    against: Sequence[Tensor] = (),
) -> Krylov:
    """Build a Krylov space from a starting vector, with full reorthogonalisation.

    Args:
        product: The matrix.
        start: The first vector, of any length but 0.
        steps: Maximum number of products, and of basis vectors.
        done: Called after each step; returns whether to stop.
        least: Minimum basis size, at most the number of rows; if the Krylov space is exhausted earlier, the iteration
            restarts from a random orthogonal vector.
        against: Orthonormal vectors to which the whole space stays orthogonal: it is that of the deflated matrix P·A·P,
            with P the projection onto their complement.

    Returns:
        The space. Each new vector is orthogonalised against all earlier ones, twice.

    References:
        Lanczos 1950; Parlett 1998, chapter 13.
    """
    start = orthogonal_to(against, start)
    basis = [start / start.norm()]
    diagonal, beside = [], []
    while True:
        vector = product(basis[-1])
        diagonal.append(dot(vector, basis[-1]))
        vector = orthogonal_to([*against, *basis], vector)
        length = float(vector.norm())
        size = max(*map(abs, diagonal), max(beside, default=0.0))
        exhausted = not length > BREAKDOWN * size or len(against) + len(basis) == len(start)
        beside.append(0.0 if exhausted else length)
        space = Krylov(basis, np.array(diagonal), np.array(beside))
        if done(space) or len(basis) == steps or (exhausted and len(basis) >= min(least, len(start))):
            return space
        basis.append(_random_orthogonal([*against, *basis]) if exhausted else vector / length)


def orthogonal_to(basis: Sequence[Tensor], vector: Tensor) -> Tensor:
    """Subtract the projection of a vector onto the span of orthonormal vectors, twice against rounding."""
    for _ in range(2):
        for earlier in basis:
            vector = torch.sub(vector, earlier, alpha=dot(vector, earlier))
    return vector


def _random_orthogonal(basis: Sequence[Tensor]) -> Tensor:
    """Make a random unit vector orthogonal to the basis."""
    stream = torch.Generator().manual_seed(len(basis))
    vector = orthogonal_to(basis, torch.randn(len(basis[0]), generator=stream).to(basis[0]))
    return vector / vector.norm()


def dot(first: Tensor, second: Tensor) -> float:
    """Inner product, in float64 unless the vectors are very long or the device lacks it."""
    if first.device.type == "mps":
        return float(first @ second)
    return float(torch.dot(first.double(), second.double())) if len(first) < 2**22 else float(first @ second)


@dataclass(frozen=True)
class Top:
    """The largest eigenvalues of a matrix, descending."""

    values: Float[np.ndarray, " rank"]
    residuals: Float[np.ndarray, " rank"]
    vectors: list[Tensor]
    """Of length 1; empty unless requested."""
    bound: float
    """Residual up to which a pair counts as converged."""
    num_products: int


def top_eigenvalues(
    product: Product,
    start: Float[Tensor, " size"],
    num: int,
    *,
    tolerance: float,
    max_steps: int,
    vectors: bool = False,
    next_tolerance: float | None = None,
    progress: Callable[[float], None] | None = None,
) -> Top:
    """Compute the largest eigenvalues from a single start, with residuals estimated from the tridiagonal matrix.

    A repeated eigenvalue is returned once, unless there are fewer distinct ones than requested; and if the start has
    almost no component along an eigenvector, the next eigenvalue is returned in its place. For checked ones see
    `extremes.extreme_eigenpairs`.

    Args:
        product: The matrix.
        start: A random vector.
        num: Number of eigenvalues.
        tolerance: Residual at which a pair has converged, relative to the eigenvalue of largest magnitude.
        max_steps: Maximum number of products.
        vectors: Whether to return eigenvectors too.
        next_tolerance: Also wait for the pair after the requested ones, up to this relative residual. A start close to
            an eigenvector converges to it before a larger eigenvalue, of which it has little, has emerged.
        progress: Called after each product with the share of `max_steps`.
    """

    def bound(values: np.ndarray) -> float:
        return tolerance * float(np.abs(values).max())

    def converged(space: Krylov) -> bool:
        if progress:
            progress(len(space.basis) / max_steps)
        if len(space.basis) < num + (next_tolerance is not None):
            return False
        residuals, limit = space.residuals(), bound(space.ritz()[0])
        if next_tolerance is not None and residuals[-num - 1] > next_tolerance / tolerance * limit:
            return False
        return bool((residuals[-num:] <= limit).all())

    space = lanczos(product, start, max_steps, done=converged, least=num)
    values, small = space.ritz()
    order = np.argsort(values)[::-1][:num]
    eigenvectors = [space.vector(small[:, k]) for k in order] if vectors else []
    return Top(values[order], space.residuals()[order], eigenvectors, bound(values), len(space.basis))


@dataclass(frozen=True)
class Density:
    """The spectral density: how eigenvalues are distributed."""

    value: Float[np.ndarray, " value"]
    density: Float[np.ndarray, " value"]
    """Its integral is 1."""
    stderr: Float[np.ndarray, " value"]
    """Its standard error; NaN for one start."""
    num_products: int


def spectral_density(
    product: Product,
    start: Callable[[int], Float[Tensor, " size"]],
    *,
    num_starts: int,
    steps: int,
    num_values: int = 400,
    width: float = 0.01,
    progress: Callable[[float], None] | None = None,
) -> Density:
    """Estimate the spectral density by stochastic Lanczos quadrature.

    Each Ritz value is weighted by the square of its eigenvector's first entry and smoothed by a Gaussian.

    The standard error is the larger of two, widened by `student_factor`: the spread over the starts; and, for f the
    Gaussian around a value and A an n × n matrix, the spread of vᵀf(A)v over random unit vectors v,
    √(2/(n + 2) · (tr f(A)²/n − (tr f(A)/n)²)), with both traces estimated from the same weights. The first alone is too
    small next to isolated eigenvalues, where weights are skewed. It does not include the bias of too few steps.

    Args:
        product: The matrix.
        start: Returns the random starting vector of a number.
        num_starts: Number of independent starts to average over.
        steps: Products per start.
        num_values: Number of values at which the density is returned.
        width: Standard deviation of the Gaussian, as a share of the spectrum's width.
        progress: Called after each product with the finished share.

    References:
        Ghorbani, Krishnan and Xiao 2019, arXiv 1901.10159.
    """
    nodes, weights, size = [], [], 0
    for k in range(num_starts):

        def report(space: Krylov, k: int = k) -> bool:
            if progress:
                progress((k + len(space.basis) / steps) / num_starts)
            return False

        space = lanczos(product, start(k), steps, done=report)
        size = len(space.basis[0])
        values, vectors = space.ritz()
        nodes.append(values)
        weights.append(vectors[0] ** 2)
    low, high = min(map(np.min, nodes)), max(map(np.max, nodes))
    largest = max(abs(low), abs(high))
    # With a single eigenvalue, rounding alone would set the width.
    spread = width * (high - low if high - low > BREAKDOWN * largest else largest or 1.0)
    grid = np.linspace(low - 5 * spread, high + 5 * spread, num_values)
    peaks = [np.exp(-0.5 * ((grid[:, None] - x) / spread) ** 2) for x in nodes]
    area = spread * math.sqrt(2 * math.pi)
    curves = np.stack([(w * peak).sum(1) / area for peak, w in zip(peaks, weights, strict=True)])
    density = curves.mean(0)
    stderr = np.full(num_values, np.nan)
    if num_starts > 1:
        squares = np.mean([(w * (peak / area) ** 2).sum(1) for peak, w in zip(peaks, weights, strict=True)], axis=0)
        exact = np.sqrt(2 / (size + 2) * np.maximum(squares - density**2, 0))
        stderr = np.maximum(curves.std(0, ddof=1), exact) * student_factor(num_starts) / math.sqrt(num_starts)
    return Density(grid, density, stderr, sum(map(len, nodes)))
