"""The part of `Objective` that reaches other minima: all parameters are moved, and BatchNorm's statistics renewed."""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from basinscope.errors import InputError
from basinscope.landscape.filters import OneDim
from basinscope.landscape.module.batches import Batches, checked
from basinscope.landscape.module.data_sets import Begin
from basinscope.landscape.module.derivatives import Derivatives
from basinscope.landscape.module.many import Many
from basinscope.landscape.module.passes import Passes
from basinscope.landscape.module.permutable import Permutable, permutable_axes
from basinscope.landscape.module.renewal import Renewal
from basinscope.landscape.module.scores import Scores
from basinscope.landscape.module.twin import Twin

Recalibrate = bool | Batches | None
"""Whether BatchNorm's running statistics are renewed at each point: from which batches, or, if True, from the probed
ones; None does so where the network has such layers."""


class Whole(ABC):
    """Contexts for measurements that lead to another minimum."""

    one_dim: OneDim
    _twin: Twin
    _passes: Passes
    _begin: Begin
    _many: Many
    _derivatives: Derivatives
    _asked: bool
    _renewal: Renewal | None
    _scores: Scores
    _rows: Any

    @abstractmethod
    def held(self) -> AbstractContextManager[None]:
        """Check the objective once for many evaluations."""

    @abstractmethod
    def _answer(self, batch: Any) -> Any:
        """Loss of one batch."""

    @contextlib.contextmanager
    def moving_all(self) -> Iterator[None]:
        """Context in which all real parameters are moved, biases and frozen ones included."""
        with self.held():
            before = self.one_dim
            self.one_dim = "moved"
            try:
                with self._twin.moving_all():
                    self._forget()
                    yield
            finally:
                self.one_dim = before
                self._forget()

    @contextlib.contextmanager
    def renewing(self, recalibrate: Recalibrate) -> Iterator[bool]:
        """Context in which BatchNorm's running statistics are those of the data at every point but the center.

        Yields:
            Whether they are.

        Raises:
            InputError: `recalibrate` is neither a boolean nor batches, or asks for new statistics of a network that has
                none.
        """
        try:
            begin = self._begin if recalibrate is None or isinstance(recalibrate, bool) else checked(recalibrate)
        except InputError as error:
            raise InputError(f"recalibrate: {error}") from error
        renewal = Renewal(self._twin, self._passes, begin, self._answer)
        wanted = recalibrate is not False and bool(renewal.layers)
        if recalibrate is not None and recalibrate is not False and not wanted:
            raise InputError("recalibrate: the network has no BatchNorm layers with running statistics")
        if not wanted:
            yield False
            return
        before = self._renewal
        self._renewal = renewal
        self._forget()
        try:
            yield True
        finally:
            self._renewal = before
            self._forget()

    def needed_of_others(self) -> frozenset[str]:
        """Names of the tensors that another minimum must hold: the moved ones, and those that are not frozen.

        With `parameters=`, the chosen ones alone: others are those of the network.
        """
        moved = frozenset(f.name for f in self._twin.filters)
        resting = frozenset(f.name for f in self._twin.candidates) - moved
        return moved if self._asked else (moved | self._twin.trained) - resting

    def permutable(self) -> Permutable:
        """Units whose order does not matter, found by following axes through the first batch of every data set."""
        with self.held():
            scores = self._scores
            return permutable_axes(
                self._twin, self._passes, list(scores.sets.values()), list(scores.functions.values())
            )

    def scores_of(self, state: Mapping[str, Tensor]) -> Float[np.ndarray, "sets metrics"]:
        """Loss and metrics on every data set of another network, by name as `effective` returns it."""
        with self.held(), torch.no_grad(), self._twin.holding(state):
            return self._scores.here()

    def _forget(self) -> None:
        """Discard what was chosen or cached for other tensors."""
        self._many.forget()
        self._derivatives.kept, self._rows = None, None

    def _statistics(self, *, at_center: bool) -> AbstractContextManager[None]:
        """Context with renewed statistics at the current weights, if they are to be."""
        if self._renewal is None or at_center:
            return contextlib.nullcontext()
        return self._renewal.here()
