"""Evaluates many points of an objective, together where a trial found that to work."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from basinscope.errors import InputError
from basinscope.landscape.module.choice import FEW, Choice, choose_evaluation
from basinscope.landscape.module.data_sets import Begin
from basinscope.landscape.module.loss import Loss
from basinscope.landscape.module.passes import Passes
from basinscope.landscape.module.points import Points, on_rays
from basinscope.landscape.module.together import Together, means
from basinscope.landscape.module.twin import Twin
from basinscope.memory import is_out_of_memory, release

_log = logging.getLogger(__name__)
CHUNK = 1024
"""Points that are evaluated between two looks at what is known already."""
TRIED_AT = (0.1, -0.03)
"""Distances along one direction at which ways of evaluating are compared."""


class Known(Protocol):
    """Losses that were evaluated before, such as those of a journal."""

    def find(self, number: int) -> float | None:
        """Loss at a point by its number, if it is known."""
        ...

    def keep(self, number: int, loss: float) -> None:
        """Store the loss at a point."""
        ...


class Many:
    """Many points at once around one network.

    Args:
        twin: The network at work.
        passes: Goes over batches.
        sets: Begin a pass over each data set, by name.
        functions: The loss and the metrics, by name.
        at_once: How many points together; 1 goes one by one, None leaves it to a trial.
    """

    def __init__(
        self,
        twin: Twin,
        passes: Passes,
        sets: Mapping[str, Begin],
        functions: Mapping[str, Loss],
        at_once: int | None,
    ) -> None:
        self.twin, self.passes = twin, passes
        self.sets, self.functions = list(sets.values()), list(functions.items())
        self.asked = at_once
        self.choice: Choice | None = Choice(None, "as asked") if at_once == 1 else None
        self.num_evaluated = 0
        self._center: tuple[Sequence[Tensor], Float[Tensor, " moved"]] | None = None

    def forget(self) -> None:
        """Try again before the next points, because the network has changed."""
        self.choice = Choice(None, "as asked") if self.asked == 1 else None

    def skips_trial(self, planned: int) -> bool:
        """Whether so few evaluations are to come that a trial does not pay."""
        return self.asked is None and 0 < planned < FEW

    def go_one_by_one(self) -> Choice:
        """Evaluate points one by one until more are to come."""
        self.choice = Choice(None, "few points", final=False)
        return self.choice

    def take_count(self) -> int:
        """Points evaluated since this was asked last."""
        count, self.num_evaluated = self.num_evaluated, 0
        return count

    def center(self) -> Float[Tensor, " moved"]:
        """The moved tensors at the center, as one vector."""
        known = self._center
        if known is None or known[0] is not self.twin.exact:
            known = (self.twin.exact, torch.cat([tensor.reshape(-1) for tensor in self.twin.exact]))
            self._center = known
        return known[1]

    def cut(self, row: Float[Tensor, " moved"]) -> list[Tensor]:
        """The moved tensors of one vector; inverse of `center`."""
        filters = self.twin.filters
        return [part.view(f.shape) for part, f in zip(row.split([f.size for f in filters]), filters, strict=True)]

    def decide(
        self,
        row: Float[Tensor, " moved"],
        center_loss: float,
        one_by_one: Callable[[float], float],
        planned: int,
    ) -> Choice:
        """Try ways of evaluating points along one direction, unless that was done before.

        Args:
            row: The direction.
            center_loss: Loss at distance 0.
            one_by_one: Loss at a distance along the direction, evaluated alone.
            planned: Evaluations to come.
        """
        if self.choice is None or not self.choice.holds_for(planned):
            center = self.center()

            def together(way: Together, distances: Float[np.ndarray, " points"]) -> np.ndarray:
                points = on_rays(center, row[None], distances, np.zeros(len(distances), dtype=np.int64))
                return self._means(way, points, 1)[0, 0]

            self.choice = choose_evaluation(
                self.twin,
                known=[(0.0, center_loss)],
                one_by_one=one_by_one,
                together=together,
                distances=TRIED_AT,
                at_once=self.asked,
                planned=planned,
            )
            _log.info("points are evaluated %s", self.choice.words)
        return self.choice

    def evaluate(
        self, points: Points, *, scored: bool = False, known: Known | None = None
    ) -> Float[np.ndarray, "sets functions points"] | None:
        """Evaluate points together; None where that fails, and points go one by one from then on.

        Args:
            points: Where the losses are evaluated.
            scored: Whether every metric of every data set is wanted, instead of the loss of the first.
            known: Losses that need not be evaluated again. A chunk is evaluated whole, so that what is resumed is
                bit-identical.

        Raises:
            InputError: A function does not return what it should.
        """
        sets, functions = (len(self.sets), len(self.functions)) if scored else (1, 1)
        num = len(points)
        found = np.empty((sets, functions, num))
        begin = 0
        while begin < num:
            choice = self.choice
            if choice is None or choice.way is None:
                return None
            # Of what is stored an interruption loses no more than the points that were evaluated together.
            end = min(begin + (choice.way.at_once if known else max(CHUNK, choice.way.at_once)), num)
            here = range(begin, end)
            losses = [known.find(k) for k in here] if known else [None]
            if all(loss is not None for loss in losses):
                found[0, 0, begin:end] = losses
                begin = end
                continue
            try:
                some = self._means(choice.way, points.part(begin, end), sets, functions)
            except InputError:
                raise
            except Exception as error:  # what worked in the trial may fail at other points, or run out of memory
                self._retreat(choice.way, error)
                continue
            found[..., begin:end] = some
            self.num_evaluated += len(here)
            for k in here if known else ():
                known.keep(k, float(some[0, 0, k - begin]))  # pyright: ignore[reportOptionalMemberAccess]
            begin = end
        return found

    def _means(
        self, way: Together, points: Points, sets: int, functions: int = 1
    ) -> Float[np.ndarray, "sets functions points"]:
        return means(way, points, self.passes, self.sets[:sets], self.functions[:functions])

    def _retreat(self, way: Together, error: Exception) -> None:
        """Evaluate fewer points together after an error, or one by one."""
        if is_out_of_memory(error) and way.at_once > 1:
            release(self.twin.device)
            way.at_once //= 2
            _log.warning("out of memory; going on with %d points at once", way.at_once)
            if way.at_once > 1:
                return
        self.choice = Choice(None, f"points cannot be evaluated together: {type(error).__name__}")
        _log.info("points are evaluated %s", self.choice.words)
