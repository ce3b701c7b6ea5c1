"""Largest and smallest eigenvalues of a large symmetric matrix, checked for ones that a single start has skipped.

A Lanczos pair that has converged says nothing of one that has not appeared. If a random start has almost no component
along an eigenvector, its eigenvalue is skipped, and of a repeated eigenvalue one start finds one copy. So converged
pairs are deflated, and a second random start is iterated until a skipped pair appears, or until one can be hidden only
if this start, too, has a component along it that is improbably small.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from basinscope.probes.lanczos import BREAKDOWN, Krylov, Product, dot, lanczos, orthogonal_to

MISSED = 1e-4
"""Largest probability, over its random start, that a check overlooks a skipped pair."""
FINE = 0.1
"""Distance by which a skipped eigenvalue exceeds those found, in units of the bound on residuals."""
POLISHED = 3
"""Largest number of extensions of a span whose pairs have not converged together."""
OK, NOT_CONVERGED, UNCHECKED = 0, 1, 2


@dataclass(frozen=True)
class Eigenpairs:
    """Eigenvalues at one end of the spectrum, the outermost first."""

    values: Float[np.ndarray, " rank"]
    residuals: Float[np.ndarray, " rank"]
    """‖A v − λ v‖ of each pair."""
    vectors: list[Tensor]
    """Orthogonal, of length 1."""
    status: Int[np.ndarray, " rank"]
    """0: ok; 1: the residual exceeds the bound; 2: it does not, but one farther out may have been skipped."""


@dataclass(frozen=True)
class Extremes:
    """Eigenvalues at both ends of the spectrum."""

    top: Eigenpairs
    """The largest, descending."""
    smallest: Eigenpairs
    """The smallest, ascending."""
    bound: float
    """Residual up to which a pair counts as converged."""


@dataclass(frozen=True)
class _Found:
    """Pairs found so far, in any order, at most `num_top` and `num_smallest` of which are wanted."""

    num_top: int
    num_smallest: int
    bound: float
    values: list[float] = field(default_factory=list)
    residuals: list[float] = field(default_factory=list)
    vectors: list[Tensor] = field(default_factory=list)

    def end(self, sign: int) -> list[int]:
        """The wanted pairs at the upper (1) or lower (−1) end, the outermost first."""
        num = self.num_top if sign > 0 else self.num_smallest
        return sorted(range(len(self.values)), key=lambda k: -sign * self.values[k])[:num]

    def settled(self, sign: int) -> list[int]:
        """Those of them that have converged, up to the first that has not."""
        end = self.end(sign)
        return end[: next((k for k, pair in enumerate(end) if self.residuals[pair] > self.bound), len(end))]

    def converged(self) -> list[Tensor]:
        """Vectors of all converged pairs."""
        return [v for v, residual in zip(self.vectors, self.residuals, strict=True) if residual <= self.bound]

    def plus(self, space: Krylov, chosen: list[int]) -> _Found:
        """These pairs and some Ritz pairs of a space."""
        values, small = space.ritz()
        residuals = space.residuals()
        return replace(
            self,
            values=[*self.values, *(float(values[k]) for k in chosen)],
            residuals=[*self.residuals, *(float(residuals[k]) for k in chosen)],
            vectors=[*self.vectors, *(space.vector(small[:, k]) for k in chosen)],
        )


@dataclass(frozen=True)
class _Edge:
    """The settled pairs at one end of the spectrum, beyond which a check looks for others."""

    sign: int
    values: Float[np.ndarray, " rank"]
    """Times the sign, so that larger is farther out."""
    bound: float

    @property
    def place(self) -> float:
        """Value beyond which an eigenvalue counts as skipped."""
        return self.sign * (float(self.values.min()) + FINE * self.bound)

    def beyond(self, space: Krylov) -> list[int]:
        """Ritz pairs of the deflated matrix that belong among the settled ones."""
        outward = self.sign * space.ritz()[0]
        out = np.flatnonzero(outward > self.sign * self.place)
        kept = np.sort(np.concatenate([self.values, outward[out]]))[::-1][: len(self.values)]
        return [int(k) for k in out if outward[k] >= kept[-1]]

    def decided(self, space: Krylov, size: int) -> bool:
        """Whether those have converged; or, if there are none, whether none is likely to be hidden.

        Args:
            space: Krylov space of the deflated matrix.
            size: Dimension of the complement of the deflated pairs.
        """
        out = self.beyond(space)
        if out:
            return bool((space.residuals()[out] <= self.bound).all())
        # A component of a random unit vector is below x with probability at most x·√(2·size/π).
        return space.hidden_share(self.place) * math.sqrt(2 * size / math.pi) <= MISSED


@torch.no_grad()
def extreme_eigenpairs(
    product: Product,
    start: Callable[[int], Float[Tensor, " size"]],
    num_top: int,
    num_smallest: int = 0,
    *,
    tolerance: float,
    max_steps: int,
    verified: bool = True,
    progress: Callable[[float], None] | None = None,
) -> Extremes:
    """Compute the largest and the smallest eigenvalues, repeated ones as often as they occur.

    Both ends come from one Krylov space. The check takes about half as many products again, and as many for each group
    of skipped pairs that it finds. That it overlooks one has a probability below 10⁻⁴, whatever the spectrum, and is
    independent of the skipping itself.

    Args:
        product: The matrix.
        start: Returns an independent random vector for each number: 0 for the search, 1, 2, … for checks.
        num_top: Number of largest eigenvalues, at most the number of rows.
        num_smallest: Number of smallest eigenvalues, likewise.
        tolerance: Residual at which a pair has converged, relative to the eigenvalue of largest magnitude.
        max_steps: Maximum number of products of the search, and again of all checks together.
        verified: Whether to compute ‖A·v − λ·v‖ by one more product for each pair; else residuals are estimates from
            the tridiagonal matrix, which rounding can exceed.
        progress: Called after each product with the finished share.

    Returns:
        The pairs, with a status each.

    References:
        Parlett 1998, sections 5.1, 12.1 and 13.8 (deflation, polynomials of the Lanczos vectors, convergence).
    """

    def report(steps: float) -> None:
        if progress:
            progress(0.5 * steps / max_steps)

    def bound(space: Krylov) -> float:
        return tolerance * float(np.abs(space.ritz()[0]).max())

    def converged(space: Krylov) -> bool:
        report(len(space.basis))
        if len(space.basis) < least:
            return False
        return bool((space.residuals()[_ends(len(space.basis), num_top, num_smallest)] <= bound(space)).all())

    first = start(0)
    size = len(first)
    least = min(num_top + num_smallest, size)
    space = lanczos(product, first, max(max_steps, least), done=converged, least=least)
    found = _Found(num_top, num_smallest, bound(space))
    found = found.plus(space, _worth_keeping(space, num_top, num_smallest, found.bound))
    checked, merged, spent, number = len(space.basis) == size, False, 0, 1
    del space  # before the next one takes as much memory
    while not checked and spent < max_steps:
        edges = [
            _Edge(sign, sign * np.array([found.values[k] for k in settled]), found.bound)
            for sign in (1, -1)
            if (settled := found.settled(sign))
        ]
        deflated = found.converged()
        rest = size - len(deflated)
        if not edges or not rest:
            checked = True
            break

        def decided(space: Krylov, edges: list[_Edge] = edges, rest: int = rest, spent: int = spent) -> bool:
            report(max_steps + spent + len(space.basis))
            return all(edge.decided(space, rest) for edge in edges)

        space = lanczos(product, start(number), max_steps - spent, done=decided, against=deflated)
        spent, number = spent + len(space.basis), number + 1
        out = sorted({k for edge in edges for k in edge.beyond(space)})
        new = [k for k in out if space.residuals()[k] <= found.bound]
        checked = not out and all(edge.decided(space, rest) for edge in edges)
        if not new:
            break
        found, merged = replace(found.plus(space, new), bound=max(found.bound, bound(space))), True
    if merged:
        found = _rotated(product, found)
    return _ordered(product if verified and not merged else None, found, checked=checked)


def _ends(steps: int, num_top: int, num_smallest: int) -> list[int]:
    """Positions of the wanted values among the ascending Ritz values."""
    return sorted({*range(min(num_smallest, steps)), *range(max(0, steps - num_top), steps)})


def _worth_keeping(space: Krylov, num_top: int, num_smallest: int, bound: float) -> list[int]:
    """The wanted Ritz pairs, and up to as many other converged ones: deflated, they shorten the check."""
    wanted = _ends(len(space.basis), num_top, num_smallest)
    sizes, residuals = np.abs(space.ritz()[0]), space.residuals()
    others = [k for k in np.argsort(-sizes).tolist() if k not in wanted and residuals[k] <= bound]
    return wanted + others[: len(wanted)]


def _rotated(product: Product, found: _Found) -> _Found:
    """Replace the wanted pairs by the Ritz pairs of their span, which pairs of several spaces are not.

    Residuals are computed from one product for each pair. Equal eigenvalues mix the residuals of several pairs: if one
    then exceeds the bound, the span is extended by the residual vectors, a few times (Davidson 1975).
    """
    wanted = sorted({*found.end(1), *found.end(-1)})
    added, basis, images, rounds = [found.vectors[k] for k in wanted], [], [], 0
    while True:
        for vector in added:
            free = orthogonal_to(basis, vector / vector.norm())
            if float(free.norm()) > BREAKDOWN:
                basis.append(orthogonal_to(basis, free / free.norm()))
                images.append(product(basis[-1]))
        small = np.array([[dot(vector, image) for image in images] for vector in basis])
        values, turns = np.linalg.eigh(0.5 * (small + small.T))
        ends = _ends(len(values), found.num_top, found.num_smallest)
        vectors = [_combined(basis, turns[:, k]) for k in ends]
        rests = [
            _combined(images, turns[:, k]) - float(values[k]) * vector for k, vector in zip(ends, vectors, strict=True)
        ]
        residuals = [float(rest.norm()) for rest in rests]
        added = [r for r, length in zip(rests, residuals, strict=True) if length > found.bound]
        added, rounds = added[: len(basis[0]) - len(basis)], rounds + 1
        if not added or rounds > POLISHED:
            return replace(found, values=values[ends].tolist(), residuals=residuals, vectors=vectors)


def _combined(parts: list[Tensor], weights: Float[np.ndarray, " parts"]) -> Tensor:
    total = torch.zeros_like(parts[0])
    for weight, part in zip(weights, parts, strict=True):
        total.add_(part, alpha=float(weight))
    return total


def _ordered(product: Product | None, found: _Found, *, checked: bool) -> Extremes:
    """Order the wanted pairs from both ends; a product computes their residuals anew."""
    residuals = dict(enumerate(found.residuals))
    if product is not None:
        for k in sorted({*found.end(1), *found.end(-1)}):
            value, vector = found.values[k], found.vectors[k]
            residuals[k] = float((product(vector) - value * vector).norm())

    def pairs(sign: int) -> Eigenpairs:
        end = found.end(sign)
        settled = set(found.settled(sign))
        status = [
            NOT_CONVERGED if residuals[k] > found.bound else OK if checked and k in settled else UNCHECKED for k in end
        ]
        return Eigenpairs(
            np.array([found.values[k] for k in end]),
            np.array([residuals[k] for k in end]),
            [found.vectors[k] for k in end],
            np.array(status, dtype=np.int8),
        )

    return Extremes(pairs(1), pairs(-1), found.bound)
