"""Matches the units of two networks of one architecture, by their weights."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from basinscope.landscape.symmetry.axes import Axis, product_size, resolved
from basinscope.landscape.symmetry.recording import Dims

Permutation = Int[np.ndarray, " _units"]
"""One axis: the new unit i is the unit `permutation[i]`."""
RESTARTS = 1
"""Further searches, in other orders."""
_LEFT = 0.75
ROUNDING = 1e-6
"""Relative gain that rounding may explain."""
SWEEPS = 100
"""Maximum number of sweeps over all axes; fewer than ten are usual."""


@dataclass(frozen=True)
class Piece:
    """A part of a tensor whose every dimension is a product of axes."""

    name: str
    slices: tuple[slice, ...]
    shape: tuple[int, ...]
    """One entry per axis."""
    axes: tuple[int, ...]
    """Number of the permuted axis in each place; −1 if it is fixed."""


@dataclass(frozen=True)
class Symmetry:
    """Axes of a network that can be permuted without changing what it computes."""

    sizes: tuple[int, ...]
    """Entries of each."""
    pieces: tuple[Piece, ...]

    @staticmethod
    def of(named: Mapping[str, Dims]) -> Symmetry:
        """Collect them from the dimensions of a network's tensors."""
        numbers: dict[Axis, int] = {}
        pieces = []
        for name, dims in named.items():
            parts = []
            for whole in dims:
                begin, here = 0, []
                for product in resolved(whole):
                    end = begin + product_size(product)
                    here.append((slice(begin, end), product))
                    begin = end
                parts.append(here)
            for chosen in itertools.product(*parts):
                axes = [axis for _, product in chosen for axis in product]
                places = tuple(-1 if axis.fixed else numbers.setdefault(axis, len(numbers)) for axis in axes)
                pieces.append(
                    Piece(name, tuple(where for where, _ in chosen), tuple(axis.size for axis in axes), places)
                )
        return Symmetry(tuple(axis.size for axis in numbers), tuple(pieces))

    @property
    def names(self) -> list[list[str]]:
        """Names of the tensors that each axis permutes."""
        return [
            list(dict.fromkeys(piece.name for piece in self.pieces if axis in piece.axes))
            for axis in range(len(self.sizes))
        ]

    def identity(self) -> list[Permutation]:
        """Permutations that change nothing."""
        return [np.arange(size) for size in self.sizes]

    @torch.no_grad()
    def permuted(self, state: Mapping[str, Tensor], permutations: Sequence[Permutation]) -> dict[str, Tensor]:
        """The same network with its units in another order: the unit i of an axis was its `permutation[i]`."""
        found = dict(state)
        for name in {piece.name for piece in self.pieces if any(axis >= 0 for axis in piece.axes)} & set(state):
            found[name] = state[name].detach().clone()
        for piece in self.pieces:
            if piece.name not in state or not any(axis >= 0 for axis in piece.axes):
                continue
            part = state[piece.name].detach()[piece.slices]
            moved = part.reshape(piece.shape)
            for place, axis in enumerate(piece.axes):
                if axis >= 0:
                    moved = moved.index_select(place, torch.as_tensor(permutations[axis], device=moved.device))
            found[piece.name][piece.slices] = moved.reshape(part.shape)
        return found


class Matching:
    """Searches the permutations of one network's units that bring its weights closest to another's.

    Args:
        symmetry: The axes that can be permuted.
        ours: Weights of the network that stays, by name.
        theirs: Weights of the network whose units are permuted.

    References:
        Ainsworth, Hayase and Srinivasa 2023, arXiv 2209.04836 (weight matching by coordinate descent). The first
        search starts from sorted weights, which do not depend on the order of units that are not matched yet.
    """

    def __init__(self, symmetry: Symmetry, ours: Mapping[str, Tensor], theirs: Mapping[str, Tensor]) -> None:
        self.symmetry = symmetry
        self.pieces: list[tuple[Piece, np.ndarray, np.ndarray]] = []
        for piece in symmetry.pieces:
            if piece.name in ours and piece.name in theirs and any(axis >= 0 for axis in piece.axes):
                one, two = (
                    _plain(state[piece.name])[piece.slices].reshape(piece.shape).numpy() for state in (ours, theirs)
                )
                self.pieces.append((piece, one, two))
        self.by_axis = [
            [k for k, (piece, _, _) in enumerate(self.pieces) if axis in piece.axes]
            for axis in range(len(symmetry.sizes))
        ]

    def best(self, seed: int = 0, tell: Callable[[float], None] = lambda _: None) -> list[Permutation]:
        """The permutations with the largest inner product of weights; never a smaller one than without.

        Args:
            seed: Seed of the order of axes in further searches.
            tell: Called with the finished share of the searches, the last of which may end early.
        """
        stream = np.random.default_rng(seed)
        order, num, found = list(range(len(self.symmetry.sizes))), 2 + RESTARTS, []
        for search in range(num):

            def report(share: float, search: int = search) -> None:
                tell((search + share) / num)

            start = self._sorted() if search == 1 else self.symmetry.identity()
            chosen = order if search < 2 else stream.permutation(order).tolist()
            found.append(self._improved(start, chosen, report))
        return max(found, key=self.product)

    def product(self, permutations: Sequence[np.ndarray], chosen: Sequence[int] | None = None) -> float:
        """Inner product of both networks' weights, of all pieces or of some."""
        return sum(
            float(np.vdot(one, _taken(piece, two, permutations)))
            for k in (range(len(self.pieces)) if chosen is None else chosen)
            for piece, one, two in [self.pieces[k]]
        )

    def _improved(
        self, permutations: list[Permutation], order: Sequence[int], tell: Callable[[float], None]
    ) -> list[Permutation]:
        """Coordinate descent: one axis at a time, while the inner product grows."""
        for sweep in range(SWEEPS):
            changed = False
            for done, axis in enumerate(order):
                # Most searches end within ten sweeps; each reports a share of what is left.
                tell(1 - _LEFT ** (sweep + done / len(order)))
                similarity = self._similarity(axis, permutations)
                trial = list(permutations)
                trial[axis] = _assigned(similarity)
                if np.array_equal(trial[axis], permutations[axis]):
                    continue
                before, after = (self._share(axis, similarity, p) for p in (permutations, trial))
                if after - before > ROUNDING * max(abs(before), 1e-30):
                    permutations, changed = trial, True
            if not changed:
                break
        return permutations

    def _share(
        self, axis: int, similarity: Float[np.ndarray, "units units"], permutations: Sequence[Permutation]
    ) -> float:
        """Inner product of the pieces that one axis permutes."""
        if any(self.pieces[k][0].axes.count(axis) > 1 for k in self.by_axis[axis]):
            return self.product(permutations, self.by_axis[axis])
        return float(similarity[np.arange(len(similarity)), permutations[axis]].sum())

    def _sorted(self) -> list[np.ndarray]:
        """Match axis by axis, those first that meet most weights whose other axes are matched; others are sorted."""
        known: list[np.ndarray | None] = [None] * len(self.symmetry.sizes)
        masses = [float(np.vdot(one, one)) for _, one, _ in self.pieces]
        while None in [None if p is None else 0 for p in known]:
            shares = {}
            for axis, permutation in enumerate(known):
                if permutation is None:
                    whole = [k for k in self.by_axis[axis] if self._is_known(k, axis, known)]
                    total = sum(masses[k] for k in self.by_axis[axis])
                    shares[axis] = sum(masses[k] for k in whole) / total if total else 0.0
            axis = max(shares, key=lambda a: shares[a])
            known[axis] = _assigned(self._similarity(axis, known))
        return [p for p in known if p is not None]

    def _is_known(self, number: int, axis: int, known: Sequence[np.ndarray | None]) -> bool:
        """Whether all other axes of a piece are matched or fixed."""
        others = list(self.pieces[number][0].axes)
        others.remove(axis)
        return all(other < 0 or known[other] is not None for other in others)

    def _similarity(self, axis: int, permutations: Sequence[np.ndarray | None]) -> Float[np.ndarray, "units units"]:
        """Inner products of the weights of our units and theirs, other axes permuted, or sorted if not matched yet."""
        size = self.symmetry.sizes[axis]
        total = np.zeros((size, size))
        for number in self.by_axis[axis]:
            piece, one, two = self.pieces[number]
            for place, here in enumerate(piece.axes):
                if here != axis:
                    continue
                others = [k for k in range(len(piece.axes)) if k != place]
                moved = _taken(piece, two, permutations, skip=place)
                unknown = [k for k in others if piece.axes[k] >= 0 and permutations[piece.axes[k]] is None]
                rest = [k for k in others if k not in unknown]
                ours, theirs = (
                    np.transpose(t, (place, *rest, *unknown)).reshape(
                        size, -1, max(1, int(np.prod([piece.shape[k] for k in unknown])))
                    )
                    for t in (one, moved)
                )
                if unknown:
                    ours, theirs = np.sort(ours, axis=2), np.sort(theirs, axis=2)
                total += torch.mm(*map(torch.from_numpy, (ours.reshape(size, -1), theirs.reshape(size, -1).T))).numpy()
        return total


def _plain(tensor: Tensor) -> Tensor:
    """A tensor on the CPU in single precision, or in double if it has that."""
    return tensor.detach().cpu().to(torch.promote_types(tensor.dtype, torch.float32))


def _taken(
    piece: Piece, tensor: np.ndarray, permutations: Sequence[np.ndarray | None], *, skip: int = -1
) -> np.ndarray:
    """A piece with its units in the order of the permutations, except in one place."""
    for place, axis in enumerate(piece.axes):
        permutation = permutations[axis] if axis >= 0 and place != skip else None
        if permutation is not None:
            tensor = tensor.take(permutation, axis=place)
    return tensor


def _assigned(similarity: Float[np.ndarray, "units units"]) -> Int[np.ndarray, " units"]:
    """For each of our units one of theirs, so that the sum of similarities is largest."""
    return linear_sum_assignment(similarity, maximize=True)[1]
