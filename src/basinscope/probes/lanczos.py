"""Top eigenvalues and spectral density of a large symmetric matrix by Lanczos iteration, and its trace by XTrace."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

Product = Callable[[Float[Tensor, " size"]], Float[Tensor, " size"]]
"""Multiplies a vector by the matrix."""
EIGEN_TOLERANCE = 1e-3
"""Largest relative residual of an eigenvalue, unless another is given."""
BREAKDOWN = 1e-6
"""Norm of a new vector's residual, relative to the matrix, below which the Krylov space counts as exhausted."""


@dataclass(frozen=True)
class Krylov:
    """An orthonormal basis of a Krylov space, and the matrix in that basis."""

    basis: list[Tensor]
    diagonal: Float[np.ndarray, " steps"]
    beside: Float[np.ndarray, " steps"]
    """Off-diagonal entries; the last one couples to the next vector, and is 0 if the space is invariant."""

    def ritz(self) -> tuple[np.ndarray, np.ndarray]:
        """Ritz values, ascending, and the eigenvectors of the tridiagonal matrix."""
        small = np.diag(self.diagonal)
        for k, entry in enumerate(self.beside[:-1]):
            small[k, k + 1] = small[k + 1, k] = entry
        values, vectors = np.linalg.eigh(small)
        return values, vectors

    def residuals(self) -> np.ndarray:
        """‖A v − θ v‖ of each Ritz pair, in the order of `ritz`."""
        return np.abs(self.beside[-1] * self.ritz()[1][-1])


@torch.no_grad()
def lanczos(
    product: Product,
    start: Float[Tensor, " size"],
    steps: int,
    *,
    done: Callable[[Krylov], bool] = lambda _: False,
    least: int = 1,
) -> Krylov:
    """Build a Krylov space from a starting vector, with full reorthogonalisation.

    Args:
        product: The matrix.
        start: The first vector, of any length but 0.
        steps: Maximum number of products, and of basis vectors.
        done: Called after each step; returns whether to stop.
        least: Minimum basis size, at most the number of rows; if the Krylov space is exhausted earlier, the iteration
            restarts from a random orthogonal vector.

    Returns:
        The space. Each new vector is orthogonalised against all earlier ones, twice.

    References:
        Lanczos 1950; Parlett 1998, chapter 13.
    """
    basis = [start / start.norm()]
    diagonal, beside = [], []
    while True:
        vector = product(basis[-1])
        diagonal.append(_dot(vector, basis[-1]))
        for _ in range(2):
            for earlier in basis:
                vector = torch.sub(vector, earlier, alpha=_dot(vector, earlier))
        length = float(vector.norm())
        size = max(*map(abs, diagonal), max(beside, default=0.0))
        exhausted = not length > BREAKDOWN * size or len(basis) == len(start)
        beside.append(0.0 if exhausted else length)
        space = Krylov(basis, np.array(diagonal), np.array(beside))
        if done(space) or len(basis) == steps or (exhausted and len(basis) >= min(least, len(start))):
            return space
        basis.append(_random_orthogonal(basis) if exhausted else vector / length)


def _random_orthogonal(basis: list[Tensor]) -> Tensor:
    """Make a random unit vector orthogonal to the basis."""
    stream = torch.Generator().manual_seed(len(basis))
    vector = torch.randn(len(basis[0]), generator=stream).to(basis[0])
    for _ in range(2):
        for earlier in basis:
            vector = torch.sub(vector, earlier, alpha=_dot(vector, earlier))
    return vector / vector.norm()


def _dot(first: Tensor, second: Tensor) -> float:
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
    verified: bool = False,
    next_tolerance: float | None = None,
    progress: Callable[[float], None] | None = None,
) -> Top:
    """Compute the largest eigenvalues, with their residuals.

    From a single start, a repeated eigenvalue is returned once, unless there are fewer distinct ones than requested.

    Args:
        product: The matrix.
        start: A random vector.
        num: Number of eigenvalues.
        tolerance: Residual at which a pair has converged, relative to the eigenvalue of largest magnitude.
        max_steps: Maximum number of products.
        vectors: Whether to return eigenvectors too.
        verified: Whether to compute ‖H·v − λ·v‖ by one more product for each pair; else residuals are estimates from
            the tridiagonal matrix, which rounding can exceed.
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
    eigenvectors = []
    if vectors or verified:
        for k in order:
            vector = torch.zeros_like(start)
            for weight, part in zip(small[:, k], space.basis, strict=True):
                vector.add_(part, alpha=float(weight))
            eigenvectors.append(vector / vector.norm())
    residuals, num_products = space.residuals()[order], len(space.basis)
    if verified:
        pairs = zip(values[order], eigenvectors, strict=True)
        residuals = np.array([float((product(vector) - float(value) * vector).norm()) for value, vector in pairs])
        num_products += len(order)
    return Top(values[order], residuals, eigenvectors if vectors else [], bound(values), num_products)


@dataclass(frozen=True)
class Density:
    """The spectral density: how eigenvalues are distributed."""

    value: Float[np.ndarray, " value"]
    density: Float[np.ndarray, " value"]
    """Its integral is 1."""
    stderr: Float[np.ndarray, " value"]
    """Standard error over the starts."""
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
    nodes, weights = [], []
    for k in range(num_starts):

        def report(space: Krylov, k: int = k) -> bool:
            if progress:
                progress((k + len(space.basis) / steps) / num_starts)
            return False

        space = lanczos(product, start(k), steps, done=report)
        values, vectors = space.ritz()
        nodes.append(values)
        weights.append(vectors[0] ** 2)
    low, high = min(map(np.min, nodes)), max(map(np.max, nodes))
    size = max(abs(low), abs(high))
    # With a single eigenvalue, rounding alone would set the width.
    spread = width * (high - low if high - low > BREAKDOWN * size else size or 1.0)
    grid = np.linspace(low - 5 * spread, high + 5 * spread, num_values)
    curves = np.stack(
        [
            (w * np.exp(-0.5 * ((grid[:, None] - x) / spread) ** 2)).sum(1) / (spread * math.sqrt(2 * math.pi))
            for x, w in zip(nodes, weights, strict=True)
        ]
    )
    stderr = curves.std(0, ddof=1) / math.sqrt(num_starts) if num_starts > 1 else np.full(num_values, np.nan)
    return Density(grid, curves.mean(0), stderr, sum(map(len, nodes)))


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
        The estimate and its standard error. The per-vector estimates share a basis, so the standard error is biased
        low: usually by 10 %, at worst by half (slowly decaying spectra, many vectors).

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
    return float(values.mean()), float(values.std(ddof=1) / math.sqrt(num))


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
