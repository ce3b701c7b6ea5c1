"""Static properties of an objective: moved tensors, data sets, functions."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from basinscope.landscape.directions import UNITS, Center, Direction, Orthogonal, RandomDirection, Scheme, cosine
from basinscope.landscape.filters import Filters
from basinscope.landscape.module.batches import source_of
from basinscope.landscape.module.data_sets import Begin
from basinscope.landscape.module.loss import Loss, LossFunction
from basinscope.landscape.module.many import Many
from basinscope.landscape.module.twin import Twin


class Described(ABC):
    """Properties of an objective that no measurement changes."""

    model: nn.Module
    scheme: Scheme
    evaluated_with: Mapping[str, Any]
    """Settings under which another network is evaluated alike, besides the moved tensors and the normalization."""
    _sets: Mapping[str, Begin]
    _functions: Mapping[str, LossFunction]
    _begin: Begin
    _many: Many
    _twin: Twin

    @property
    @abstractmethod
    def filters(self) -> tuple[Filters, ...]:
        """The moved tensors."""

    @property
    @abstractmethod
    def center(self) -> Center:
        """The moved tensors at the network's current weights."""

    def direction(self, seed: int, index: int) -> RandomDirection:
        """One member of a family of random directions."""
        return RandomDirection(self.center, seed, index, self.scheme)

    def random_directions(self, seed: int, indices: Sequence[int]) -> Sequence[RandomDirection]:
        """Several members of a family of random directions."""
        return [self.direction(seed, index) for index in indices]

    def orthogonal(self, seed: int, indices: tuple[int, int]) -> tuple[Direction, Direction]:
        """See `Landscape`."""
        first, second = (self.direction(seed, index) for index in indices)
        return first, Orthogonal(first, second)

    def cosine(self, first: Direction, second: Direction) -> float:
        """See `Landscape`; computed in double precision."""
        return cosine(self.center, first, second)

    @property
    def num_moved(self) -> int:
        """Number of moved entries, n: the dimension of the probed space, without entries that masks exclude."""
        return sum(filters.num_moved for filters in self.filters)

    @property
    def units(self) -> str:
        """Unit of distance along a random direction."""
        return UNITS[self.scheme]

    @property
    def asked_points_at_once(self) -> int | None:
        """The user's `points_at_once`; None leaves it to the trial."""
        return self._many.asked

    @property
    def functions(self) -> dict[str, Loss]:
        """The loss function and the metrics, by name."""
        return {name: function.function for name, function in self._functions.items()}

    @property
    def sources(self) -> list[Any]:
        """The data sets as they were given; None for a function that returns an iterator."""
        return [source_of(begin) for begin in self._sets.values()]

    @property
    def chosen(self) -> list[str]:
        """Names of the tensors chosen to be moved, with those that the loss does not depend on."""
        return [filters.name for filters in self._twin.candidates]

    def batches(self, name: str | None = None) -> Iterator[Any]:
        """Start a pass over a data set, by default the probed one."""
        return self._begin() if name is None else self._sets[name]()

    @property
    def score_names(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Names of the data sets and of the scores: the loss, then the metrics."""
        return tuple(self._sets), tuple(self._functions)

    def effective(
        self, state: Mapping[str, Any], *, what: str = "the state", required: Collection[str] = ()
    ) -> dict[str, Tensor]:
        """Tensors of another network of the same kind by this network's names, effective weights included.

        Args:
            state: Its state dictionary, whose names may be those of a wrapped network; see `landscape.names`.
            what: Its name in messages.
            required: Names of tensors that it must determine.

        Raises:
            InputError: It does not fit the network.
        """
        return self._twin.effective(state, what=what, required=required)

    def named_tensors(self) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """See `Landscape`."""
        return dict(self.model.named_parameters()), dict(self.model.named_buffers())
