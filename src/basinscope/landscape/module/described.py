"""Static properties of an objective: moved tensors, data sets, functions."""

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
    """Properties of an objective that no measurement changes."""

    model: nn.Module
    scheme: Scheme
    filters: tuple[Filters, ...]
    _sets: Mapping[str, Begin]
    _functions: Mapping[str, Loss]
    _begin: Begin
    _many: Many

    @property
    def num_moved(self) -> int:
        """Number of moved entries: the dimension of the probed space."""
        return sum(filters.size for filters in self.filters)

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
        return dict(self._functions)

    def batches(self, name: str | None = None) -> Iterator[Any]:
        """Start a pass over a data set, by default the probed one."""
        return self._begin() if name is None else self._sets[name]()

    @property
    def score_names(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Names of the data sets and of the scores: the loss, then the metrics."""
        return tuple(self._sets), tuple(self._functions)

    def named_tensors(self) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """See `Landscape`."""
        return dict(self.model.named_parameters()), dict(self.model.named_buffers())
