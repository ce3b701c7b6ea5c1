"""The part of `Objective` that evaluates many points at once."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from torch import Tensor

from basinscope.landscape.directions import Center, Direction, Stored, random_rows
from basinscope.landscape.module.choice import Choice
from basinscope.landscape.module.journal import Journal, Recalled
from basinscope.landscape.module.many import Many
from basinscope.landscape.module.points import Points, on_plane, on_rays
from basinscope.landscape.protocol import Step


class ManyPoints(ABC):
    """Losses and scores along rays and on planes, evaluated with the method chosen by a trial."""

    num_evaluations: float
    _many: Many
    _journal: Journal | None
    _center_loss: float
    _renewal: Any
    _rows: tuple[Sequence[Direction], Tensor] | None
    """Latest directions and their matrix, one row each; cached while the objective is held."""

    @property
    @abstractmethod
    def center(self) -> Center:
        """The moved tensors at the network's current weights."""

    @abstractmethod
    def held(self) -> AbstractContextManager[None]:
        """Check the objective once for many evaluations."""

    @abstractmethod
    def direction(self, seed: int, index: int) -> Direction:
        """One member of a family of random directions."""

    @abstractmethod
    def loss_at(self, *steps: Step) -> float:
        """Mean loss at one point."""

    @abstractmethod
    def scores_at(self, *steps: Step) -> Float[np.ndarray, "sets metrics"]:
        """Loss and metrics of every data set at one point."""

    @abstractmethod
    def _mean(self, steps: Sequence[Step]) -> float:
        """Mean loss at one point, without consulting the journal."""

    @abstractmethod
    def _check_again(self) -> None:
        """Repeat the check if the network has changed."""

    @property
    def points_at_once(self) -> int:
        """Number of points evaluated together; the first access runs the trial."""
        return self.plan(0)

    def plan(self, num: int) -> int:
        """Number of points evaluated together if `num` are planned."""
        return self._decide(num).points_at_once

    @property
    def evaluation(self) -> str:
        """How points are evaluated, as stored in results; empty before the trial."""
        return self._many.choice.words if self._many.choice else ""

    def along(
        self,
        directions: Sequence[Direction],
        distances: Float[np.ndarray, " points"],
        rows: Int[np.ndarray, " points"],
    ) -> Float[np.ndarray, " points"]:
        """See `Landscape`."""
        return self._on_rays(directions, distances, rows, scored=False)[0, 0]

    def across(
        self,
        first: Direction,
        second: Direction,
        a: Float[np.ndarray, " points"],
        b: Float[np.ndarray, " points"],
    ) -> Float[np.ndarray, " points"]:
        """See `Landscape`."""
        return self._on_plane(first, second, a, b, scored=False)[0, 0]

    def scores_along(
        self,
        directions: Sequence[Direction],
        distances: Float[np.ndarray, " points"],
        rows: Int[np.ndarray, " points"],
    ) -> Float[np.ndarray, "sets metrics points"]:
        """Like `along`, with loss and metrics on every data set."""
        return self._on_rays(directions, distances, rows, scored=True)

    def scores_across(
        self,
        first: Direction,
        second: Direction,
        a: Float[np.ndarray, " points"],
        b: Float[np.ndarray, " points"],
    ) -> Float[np.ndarray, "sets metrics points"]:
        """Like `across`, with loss and metrics on every data set."""
        return self._on_plane(first, second, a, b, scored=True)

    def _on_rays(self, directions: Any, distances: Any, rows: Any, *, scored: bool) -> np.ndarray:
        def points() -> Points:
            return on_rays(self._many.center(), self._matrix(directions), distances, rows)

        return self._evaluate(
            points, [((directions[int(r)], float(c)),) for r, c in zip(rows, distances, strict=True)], scored
        )

    def _on_plane(self, first: Direction, second: Direction, a: Any, b: Any, *, scored: bool) -> np.ndarray:
        def points() -> Points:
            return on_plane(self._many.center(), self._matrix((first, second)), a, b)

        return self._evaluate(
            points, [((first, float(x)), (second, float(y))) for x, y in zip(a, b, strict=True)], scored
        )

    def _evaluate(
        self, points: Callable[[], Points], steps: Sequence[tuple[Step, ...]], scored: bool
    ) -> Float[np.ndarray, "sets metrics points"]:
        """Evaluate many points, together if the trial chose so, else one by one."""
        self._check_again()
        with self.held():
            if self._decide(len(steps)).way is not None:
                known = None if self._journal is None or scored else Recalled(self._journal, steps)
                values = self._many.evaluate(points(), scored=scored, known=known)
                if values is not None:
                    self.num_evaluations += self._many.take_count()
                    return values
            if scored:
                return np.stack([self.scores_at(*point) for point in steps], axis=-1)
            return np.array([[[self.loss_at(*point) for point in steps]]])

    def _decide(self, planned: int) -> Choice:
        """Choose how points are evaluated; the first call runs the trial."""
        if self._renewal is not None:
            self._many.choice = Choice(None, "statistics are renewed at each point")
            return self._many.choice
        known = self._many.choice
        if known is not None and known.holds_for(planned):
            return known
        if self._many.skips_trial(planned):
            return self._many.go_one_by_one()
        with self.held():
            direction, before = self.direction(0, 0), self.num_evaluations
            row = random_rows(self.center, [direction])[0]
            stored = Stored(tuple(self._many.cut(row)), direction.units)
            choice = self._many.decide(
                row, self._center_loss, lambda distance: self._mean([(stored, distance)]), planned
            )
            self.num_evaluations = before
        return choice

    def _matrix(self, directions: Sequence[Direction]) -> Float[Tensor, "rays moved"]:
        """Directions as rows of one matrix, cached while held."""
        known = self._rows
        if known is not None and (
            known[0] is directions
            or (len(known[0]) == len(directions) and all(a is b for a, b in zip(known[0], directions, strict=True)))
        ):
            return known[1]
        self._rows = (directions, random_rows(self.center, directions))
        return self._rows[1]
