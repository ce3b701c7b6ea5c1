"""Loss of an objective along one ray."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from basinscope.landscape.directions import Direction
from basinscope.landscape.protocol import Evaluation, Step


class _Measured(Protocol):
    """The part of `Objective` that a line uses."""

    @property
    def num_samples(self) -> float: ...

    def loss_at(self, *steps: Step) -> float: ...

    def rough_loss_at(self, *steps: Step) -> tuple[float, float]: ...


@dataclass(frozen=True)
class ModuleLine:
    """Loss along a direction, one pass per point; see `landscape.protocol.Line`."""

    objective: _Measured
    direction: Direction

    def look(self, distance: float, *, limit: float) -> Evaluation:
        """Evaluate the loss; never stops early, because losses may be negative."""
        del limit
        return Evaluation(self.objective.loss_at((self.direction, distance)), 1.0)

    def rough(self, distance: float, *, share: float) -> Evaluation:
        """Evaluate the loss over the first batch."""
        del share
        loss, count = self.objective.rough_loss_at((self.direction, distance))
        return Evaluation(loss, count / self.objective.num_samples)

    def worst_first(self, fraction: float) -> float:
        """Do nothing: batches cannot be reordered."""
        del fraction
        return 0.0
