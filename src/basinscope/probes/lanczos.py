"""Lanczos iteration with full reorthogonalisation, and what it tells of a large symmetric matrix."""

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
BREAKDOWN = 1e-6
"""Length of what is left of a new vector, relative to the matrix's size, below which the space is exhausted."""


@dataclass(frozen=True)
class Krylov:
    """An orthonormal basis of a Krylov space, and the matrix in that basis."""

    basis: list[Tensor]
    diagonal: Float[np.ndarray, " steps"]
    beside: Float[np.ndarray, " steps"]
    """Entries beside the diagonal; the last one leads out of the space, 0 where the space holds all there is."""

    def ritz(self) -> tuple[np.ndarray, np.ndarray]:
        """Eigenvalues of the small matrix, ascending, and its eigenvectors."""
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
    """Build a Krylov space from a start.

    Args:
        product: The matrix.
        start: The first vector, of any length but 0.
        steps: Products at most; the basis holds as many vectors.
        done: Asked after each step whether that is enough.
        least: Vectors that the basis holds at least, if the matrix has that many rows: a space that is exhausted before
            goes on from a random vector, as the sum of two that the matrix leaves apart.

    Returns:
        The space. Each new vector is made orthogonal to all earlier ones, twice.

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
        basis.append(_another(basis) if exhausted else vector / length)


def _another(basis: list[Tensor]) -> Tensor:
    """Make a random vector that is orthogonal to all of a basis."""
    stream = torch.Generator().manual_seed(len(basis))
    vector = torch.randn(len(basis[0]), generator=stream).to(basis[0])
    for _ in range(2):
        for earlier in basis:
            vector = torch.sub(vector, earlier, alpha=_dot(vector, earlier))
    return vector / vector.norm()


def _dot(first: Tensor, second: Tensor) -> float:
    """Inner product, summed up in double precision where the device has it."""
    if first.device.type == "mps":
        return float(first @ second)
    return float(torch.dot(first.double(), second.double())) if len(first) < 2**22 else float(first @ second)


@dataclass(frozen=True)
class Top:
    """The largest eigenvalues of a matrix, descending."""

    values: Float[np.ndarray, " rank"]
    residuals: Float[np.ndarray, " rank"]
    vectors: list[Tensor]
    """Of length 1; empty unless asked for."""
    bound: float
    """Residual up to which a pair counts as found."""
    num_products: int


def top_eigenvalues(
    product: Product,
    start: Float[Tensor, " size"],
    num: int,
    *,
    tolerance: float,
    max_steps: int,
    vectors: bool = False,
    progress: Callable[[float], None] | None = None,
) -> Top:
    """Find the largest eigenvalues, and how far each is from one.

    From a single start, an eigenvalue that stands several times in the spectrum is found once, unless there are fewer
    different ones than are asked for.

    Args:
        product: The matrix.
        start: A random vector.
        num: How many.
        tolerance: Residual at which a pair is found, relative to the size of the eigenvalue that is farthest from 0,
            of either sign.
        max_steps: Products at most.
        vectors: Whether eigenvectors are wanted, too.
        progress: Called after each product with the share of `max_steps`.
    """

    def bound(values: np.ndarray) -> float:
        return tolerance * float(np.abs(values).max())

    def found(space: Krylov) -> bool:
        if progress:
            progress(len(space.basis) / max_steps)
        if len(space.basis) < num:
            return False
        return bool((space.residuals()[-num:] <= bound(space.ritz()[0])).all())

    space = lanczos(product, start, max_steps, done=found, least=num)
    values, small = space.ritz()
    order = np.argsort(values)[::-1][:num]
    made = []
    if vectors:
        for k in order:
            vector = torch.zeros_like(start)
            for weight, part in zip(small[:, k], space.basis, strict=True):
                vector.add_(part, alpha=float(weight))
            made.append(vector / vector.norm())
    return Top(values[order], space.residuals()[order], made, bound(values), len(space.basis))


@dataclass(frozen=True)
class Density:
    """The share of eigenvalues by size."""

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
    """Estimate the density of the eigenvalues by stochastic Lanczos quadrature.

    Each Ritz value counts by the square of its eigenvector's first entry, and is spread by a Gaussian.

    Args:
        product: The matrix.
        start: Makes a random start from its number.
        num_starts: Independent starts, over which the mean is taken.
        steps: Products for each.
        num_values: Values at which the density is given.
        width: Standard deviation of the Gaussian, as a share of the spectrum's width.
        progress: Called after each product with the finished share.

    References:
        Ghorbani, Krishnan and Xiao 2019, arXiv 1901.10159.
    """
    nodes, weights = [], []
    for k in range(num_starts):

        def tell(space: Krylov, k: int = k) -> bool:
            if progress:
                progress((k + len(space.basis) / steps) / num_starts)
            return False

        space = lanczos(product, start(k), steps, done=tell)
        values, vectors = space.ritz()
        nodes.append(values)
        weights.append(vectors[0] ** 2)
    low, high = min(map(np.min, nodes)), max(map(np.max, nodes))
    size = max(abs(low), abs(high))
    # Where there is but one eigenvalue, rounding alone would set the width.
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
    """Estimate the trace by XTrace: each random vector tests what the others leave.

    Args:
        product: The matrix.
        size: Its side.
        num: Random vectors, 2 or more; takes twice as many products, and three times as many vectors of memory. From
            half the side on, the trace itself is found from as many products as the side.
        like: A tensor whose device and precision are used.
        seed: Of the vectors.
        progress: Called after each product with the finished share.

    Returns:
        The estimate and its standard error from the spread over the vectors. They share a basis, so that it is too
        small, by a tenth as a rule and by half at worst (spectra that decay slowly, many vectors).

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
    own = _brought_in(triangle.double().cpu().numpy())
    own = torch.from_numpy(own).to(basis)
    small = basis.T @ moved
    within, whole = basis.T @ tests, float(torch.trace(small))
    estimates = []
    for k in range(num):
        part = own[:, k]
        kept = within[:, k] - part * (part @ within[:, k])
        rest = tests[:, k] - basis @ kept
        image = images[:, k] - moved @ kept
        # What is left is tested in the mean over all directions that are left, whatever the length of this one.
        mean = float(rest @ image) / float(rest @ rest)
        estimates.append(whole - float(part @ small @ part) + (size - num + 1) * mean)
    values = np.array(estimates)
    return float(values.mean()), float(values.std(ddof=1) / math.sqrt(num))


def _brought_in(triangle: Float[np.ndarray, "num num"]) -> Float[np.ndarray, "num num"]:
    """For each column, the direction of length 1 that is orthogonal to all other columns.

    Where the others span the column, too, that is a direction that none of them has.
    """
    left, sizes, right = np.linalg.svd(triangle)
    # Relative to the smallest, so that nothing overflows where a matrix of low rank leaves zeros.
    sizes = np.maximum(sizes, np.finfo(float).eps * max(float(sizes[0]), np.finfo(float).tiny))
    own = (left * (sizes[-1] / sizes)) @ right
    return own / np.linalg.norm(own, axis=0)


def _exact_trace(
    product: Product, size: int, *, like: Tensor, progress: Callable[[float], None] | None
) -> tuple[float, float]:
    """Sum up the diagonal, entry by entry."""
    total = 0.0
    for k in range(size):
        unit = torch.zeros(size).to(like)
        unit[k] = 1.0
        total += float(product(unit)[k])
        if progress:
            progress((k + 1) / size)
    return total, 0.0
