"""What an objective says of itself: what is moved, its data sets, and its functions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor, nn

from basinscope.landscape.directions import UNITS, Scheme
from basinscope.landscape.filters import Filters
from basinscope.landscape.module.data_sets import Begin
from basinscope.landscape.module.loss import Loss
from basinscope.landscape.module.many import Many


class Described:
    """Facts of an objective that no measurement changes."""

    model: nn.Module
    scheme: Scheme
    filters: tuple[Filters, ...]
    _sets: Mapping[str, Begin]
    _functions: Mapping[str, Loss]
    _begin: Begin
    _many: Many

    @property
    def num_moved(self) -> int:
        """Entries of the moved tensors: the dimension of the space that is probed."""
        return sum(filters.size for filters in self.filters)

    @property
    def units(self) -> str:
        """What distance 1 along a random direction is."""
        return UNITS[self.scheme]

    @property
    def asked_points_at_once(self) -> int | None:
        """How many points were asked to be evaluated together; None leaves it to the trial."""
        return self._many.asked

    @property
    def functions(self) -> dict[str, Loss]:
        """The loss function and the metrics, by name."""
        return dict(self._functions)

    def batches(self, name: str | None = None) -> Iterator[Any]:
        """Begin a pass over a data set, by default the one that is probed."""
        return self._begin() if name is None else self._sets[name]()

    @property
    def score_names(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Names of the data sets and of the scores; a single data set without metrics is not scored beside its loss."""
        return tuple(self._sets), tuple(self._functions)

    def named_tensors(self) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """See `Landscape`."""
        return dict(self.model.named_parameters()), dict(self.model.named_buffers())
