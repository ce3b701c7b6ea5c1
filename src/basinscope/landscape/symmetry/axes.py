"""Axes of tensors, and which of them are permuted together.

A dimension of a tensor is a sum of products of axes: a product where axes were flattened into it (row-major, such as
channels × height × width), a sum where tensors were concatenated along it. An axis that is later split is bound to such
a sum; axes that meet, for example in an addition, are united. An axis is fixed if its order matters.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

Product = list["Axis"]
"""Axes of more than one entry, the slowest first; empty for a single entry."""
Dim = list[Product]
"""A dimension: consecutive blocks, each a product of axes."""


class Axis:
    """One axis, or several that are permuted together.

    Args:
        size: Number of entries.
        fixed: Whether their order matters.
    """

    __slots__ = ("_fixed", "_parts", "_same", "size")

    def __init__(self, size: int, *, fixed: bool = False) -> None:
        self.size, self._fixed = size, fixed
        self._same: Axis | None = None
        self._parts: Dim | None = None

    @property
    def root(self) -> Axis:
        """The axis that represents all those united with this one."""
        axis = self
        while axis._same is not None:
            axis = axis._same
        return axis

    @property
    def fixed(self) -> bool:
        """Whether the order of its entries matters."""
        return self.root._fixed

    @property
    def parts(self) -> Dim | None:
        """What it has been split into; None if it is whole."""
        return self.root._parts

    def fix(self) -> None:
        """Keep the order of its entries, and of its parts."""
        root = self.root
        if not root._fixed:
            root._fixed = True
            fix(root._parts or [])

    def split(self, parts: Dim) -> None:
        """Bind a whole axis to a sum of products of the same size."""
        assert self.parts is None
        assert size_of(parts) == self.size
        self.root._parts = parts
        if self.fixed:
            fix(parts)

    def unite(self, other: Axis) -> None:
        """Permute two whole axes of equal size together."""
        one, two = self.root, other.root
        if one is two:
            return
        if one._fixed or two._fixed:
            one.fix()
            two.fix()
        one._same = two


def dim(size: int, *, fixed: bool = False) -> Dim:
    """A dimension of one new axis."""
    return [[]] if size == 1 else [[Axis(size, fixed=fixed)]]


def size_of(whole: Dim) -> int:
    """Number of entries of a dimension."""
    return sum(product_size(part) for part in whole)


def product_size(product: Product) -> int:
    """Number of entries of a product."""
    return math.prod(axis.size for axis in product)


def fix(whole: Iterable[Iterable[Axis]]) -> None:
    """Fix all axes of a dimension."""
    for product in whole:
        for axis in product:
            axis.fix()


def resolved(whole: Dim) -> Dim:
    """The same dimension in terms of whole axes."""
    return [part for product in whole for part in _resolved(product)]


def _resolved(product: Product) -> Dim:
    parts: Dim = [[]]
    for axis in product:
        inner = None if axis.parts is None else resolved(axis.parts)
        if inner is None:
            parts = [[*part, axis.root] for part in parts]
        elif len(inner) == 1:
            parts = [[*part, *inner[0]] for part in parts]
        elif parts == [[]]:  # only the slowest axis of a product may be a sum
            parts = inner
        else:
            axis.fix()
            fixed = Axis(axis.size, fixed=True)
            parts = [[*part, fixed] for part in parts]
    return parts


def unite(first: Dim, second: Dim) -> None:
    """Permute two dimensions of equal size together, or fix what cannot be."""
    first, second = resolved(first), resolved(second)
    if [*map(product_size, first)] == [*map(product_size, second)]:
        for one, two in zip(first, second, strict=True):
            _unite_products(list(one), list(two))
        return
    for one, two in ((first, second), (second, first)):
        if len(one) == 1 and len(one[0]) == 1:
            one[0][0].split([list(product) for product in two])
            return
    fix(first)
    fix(second)


def _unite_products(first: Product, second: Product) -> None:
    """Unite two products of equal size, splitting axes where one is finer."""
    while first and second:
        if first[0].size < second[0].size:
            first, second = second, first
        one, two = first.pop(0), second.pop(0)
        if one.size == two.size:
            one.unite(two)
        elif one.size % two.size == 0 and one is not two:
            outer, inner = Axis(two.size), Axis(one.size // two.size)
            one.split([[outer, inner]])
            # The same axis may occur again further on.
            first, second = resolved([[inner, *first]])[0], resolved([second])[0]
            outer.unite(two)
        else:
            fix([[one, two], first, second])
            return


def regrouped(dims: Sequence[Dim], shape: Sequence[int]) -> list[Dim]:
    """Dimensions of a reshaped tensor; what a new boundary cuts in an impossible way is fixed.

    Args:
        dims: Dimensions before.
        shape: New shape, with the same number of entries.
    """
    flat = [resolved(d) for d in dims]
    if [size_of(d) for d in flat] == list(shape):
        return flat
    # Sums can only be regrouped with finer dimensions to their right.
    queue: list[Dim] = [d for d in flat if size_of(d) > 1]
    out: list[Dim] = []
    for size in shape:
        taken: Dim = [[]]
        while size_of(taken) < size:
            if not queue:
                return _fixed(dims, shape)
            have, front = size_of(taken), queue.pop(0)
            if len(front) == 1 and len(front[0]) > 1:
                queue[:0] = [[[axis]] for axis in front[0]]
                continue
            wanted = size // have
            if have * size_of(front) <= size and len(front) == 1:
                taken = [[*product, *front[0]] for product in taken]
            elif taken == [[]] and size_of(front) <= size:
                taken = front
            elif len(front) == 1 and size % have == 0 and front[0][0].size % wanted == 0:
                axis = front[0][0]
                outer, inner = Axis(wanted), Axis(axis.size // wanted)
                axis.split([[outer, inner]])
                queue.insert(0, [[inner]])
                taken = [[*product, outer] for product in taken]
            else:
                return _fixed(dims, shape)
        if size_of(taken) != size:
            return _fixed(dims, shape)
        out.append(taken)
    return out


def _fixed(dims: Sequence[Dim], shape: Sequence[int]) -> list[Dim]:
    """Fix all axes of a tensor that is reshaped."""
    for d in dims:
        fix(d)
    return [dim(size, fixed=True) for size in shape]


def section(whole: Dim, begin: int, end: int) -> Dim:
    """The entries `begin` to `end − 1` of a dimension; axes are split where possible, else fixed."""
    for boundary in (begin, end):
        _split_at(whole, boundary)
    taken, place = [], 0
    for product in resolved(whole):
        size = product_size(product)
        if begin <= place and place + size <= end:
            taken.append(product)
        elif place < end and begin < place + size:  # a boundary lies inside
            fix([product])
            num = min(end, place + size) - max(begin, place)
            taken.extend(dim(num, fixed=True))
        place += size
    return taken


def _split_at(whole: Dim, boundary: int) -> None:
    """Split the axis in which a boundary lies."""
    place = 0
    for product in resolved(whole):
        size = product_size(product)
        if place < boundary < place + size:
            first = product[0]
            rest = size // first.size
            if (boundary - place) % rest == 0:
                at = (boundary - place) // rest
                first.split([*dim(at), *dim(first.size - at)])
            return
        place += size
