"""Evaluates many points of an objective at once, with the method chosen by a trial."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from basinscope.errors import InputError
from basinscope.landscape.module.choice import Choice, are_few, choose_evaluation
from basinscope.landscape.module.data_sets import Begin
from basinscope.landscape.module.loss import LossFunction
from basinscope.landscape.module.passes import Passes
from basinscope.landscape.module.points import Points, on_rays
from basinscope.landscape.module.together import Together, means
from basinscope.landscape.module.twin import Twin
from basinscope.memory import is_out_of_memory, release

_log = logging.getLogger(__name__)
CHUNK = 1024
"""Points per call without a journal; more if the method evaluates more at once."""
TRIED_AT = (0.1, -0.03)
"""Distances along one direction at which methods are compared."""


class Known(Protocol):
    """Losses evaluated earlier, such as those of a journal."""

    def find(self, number: int) -> float | None:
        """Loss at a point by its index, if known."""
        ...

    def keep(self, number: int, loss: float) -> None:
        """Store the loss at a point."""
        ...


class Many:
    """Evaluates many points around one network at once.

    Args:
        twin: Working copy of the network.
        passes: Iterates over batches.
        sets: Functions that start a pass over each data set, by name.
        functions: The loss and the metrics, by name.
        at_once: Number of points evaluated together; 1 evaluates one by one, None leaves it to a trial.
        repeatable: Whether a later process must evaluate in the same way, as one that resumes from a journal.
    """

    def __init__(
        self,
        twin: Twin,
        passes: Passes,
        sets: Mapping[str, Begin],
        functions: Mapping[str, LossFunction],
        at_once: int | None,
        *,
        repeatable: bool = False,
    ) -> None:
        self.twin, self.passes = twin, passes
        self.sets, self.functions = list(sets.values()), list(functions.values())
        self.asked, self.repeatable = at_once, repeatable
        self.choice: Choice | None = Choice(None, "as asked") if at_once == 1 else None
        self.num_evaluated = 0
        self._center: tuple[Sequence[Tensor], Float[Tensor, " moved"]] | None = None

    def forget(self) -> None:
        """Discard the choice, because the network has changed."""
        self.choice = Choice(None, "as asked") if self.asked == 1 else None

    def skips_trial(self, planned: int) -> bool:
        """Whether too few evaluations are planned for a trial to pay."""
        return self.asked is None and are_few(planned)

    def go_one_by_one(self) -> Choice:
        """Evaluate points one by one until a larger call is planned."""
        self.choice = Choice(None, "few points", final=False)
        return self.choice

    def take_count(self) -> int:
        """Return the number of points evaluated since the last call, and reset it."""
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
        """Split one vector into the moved tensors; inverse of `center`."""
        filters = self.twin.filters
        return [part.view(f.shape) for part, f in zip(row.split([f.size for f in filters]), filters, strict=True)]

    def decide(
        self,
        row: Float[Tensor, " moved"],
        center_loss: float,
        one_by_one: Callable[[float], float],
        planned: int,
    ) -> Choice:
        """Choose a method by a trial along one direction.

        Args:
            row: The direction.
            center_loss: Loss at distance 0.
            one_by_one: Loss at one distance along the direction, evaluated alone.
            planned: Number of evaluations planned.
        """
        center = self.center()

        def together(method: Together, distances: Float[np.ndarray, " points"]) -> np.ndarray:
            points = on_rays(center, row[None], distances, np.zeros(len(distances), dtype=np.int64))
            return self._means(method, points, 1)[0, 0]

        self.choice = choose_evaluation(
            self.twin,
            known=[(0.0, center_loss)],
            one_by_one=one_by_one,
            together=together,
            distances=TRIED_AT,
            at_once=self.asked,
            planned=planned,
            repeatable=self.repeatable,
        )
        _log.info("points are evaluated %s", self.choice.words)
        return self.choice

    def evaluate(
        self, points: Points, *, scored: bool = False, known: Known | None = None
    ) -> Float[np.ndarray, "sets functions points"] | None:
        """Evaluate points together; None if that fails, in which case later points are evaluated one by one.

        Args:
            points: The points.
            scored: Evaluate all functions on all data sets instead of the loss on the first.
            known: Losses evaluated earlier. Chunks are skipped or evaluated as a whole, so that resumed results are
                bit-identical.

        Raises:
            InputError: A function returns none of the accepted forms.
        """
        sets, functions = (len(self.sets), len(self.functions)) if scored else (1, 1)
        num = len(points)
        values = np.empty((sets, functions, num))
        begin = 0
        while begin < num:
            choice = self.choice
            if choice is None or choice.way is None:
                return None
            # With a journal, an interruption loses at most the points that were evaluated together.
            end = min(begin + (choice.way.at_once if known else max(CHUNK, choice.way.at_once)), num)
            here = range(begin, end)
            losses = [known.find(k) for k in here] if known else [None]
            if all(loss is not None for loss in losses):
                values[0, 0, begin:end] = losses
                begin = end
                continue
            try:
                chunk = self._means(choice.way, points.part(begin, end), sets, functions)
            except InputError:
                raise
            except Exception as error:  # may fail at other points than the trial's, or run out of memory
                self._retreat(choice.way, error)
                continue
            values[..., begin:end] = chunk
            self.num_evaluated += len(here)
            for k in here if known else ():
                known.keep(k, float(chunk[0, 0, k - begin]))  # pyright: ignore[reportOptionalMemberAccess]
            begin = end
        return values

    def _means(
        self, method: Together, points: Points, sets: int, functions: int = 1
    ) -> Float[np.ndarray, "sets functions points"]:
        return means(method, points, self.passes, self.sets[:sets], self.functions[:functions])

    def _retreat(self, method: Together, error: Exception) -> None:
        """After an error, evaluate fewer points together, or one by one."""
        if is_out_of_memory(error) and method.at_once > 1:
            release(self.twin.device)
            method.at_once //= 2
            _log.warning("out of memory; continuing with %d points at once", method.at_once)
            if method.at_once > 1:
                return
        self.choice = Choice(None, f"points cannot be evaluated together: {type(error).__name__}")
        _log.info("points are evaluated %s", self.choice.words)
