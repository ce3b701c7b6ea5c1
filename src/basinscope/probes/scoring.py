"""Evaluates the loss, or all metrics on all data sets, at many points of a landscape, block by block with progress."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from basinscope.landscape.directions import Direction
from basinscope.landscape.protocol import Landscape
from basinscope.results.convert import Values

BLOCK = 8
"""Chunks of points that are evaluated between two progress reports."""


class Scored:
    """Evaluates the loss of a landscape; with metrics or several data sets, all of them in the same pass.

    Raises:
        InputError: A metric is not finite at the center.
    """

    def __init__(self, landscape: Landscape) -> None:
        self.landscape: Any = landscape
        self.sets, self.metrics = getattr(landscape, "score_names", (("data",), ("loss",)))
        self.several = len(self.sets) > 1 or len(self.metrics) > 1
        if self.several:
            self.landscape.check_scores()

    def along(
        self,
        directions: Sequence[Direction],
        distances: Float[np.ndarray, " points"],
        rows: Int[np.ndarray, " points"],
    ) -> Float[np.ndarray, "sets metrics points"]:
        """Scores along rays."""
        if self.several:
            return self.landscape.scores_along(directions, distances, rows)
        return self.landscape.along(directions, distances, rows)[None, None]

    def across(
        self, first: Direction, second: Direction, a: Float[np.ndarray, " points"], b: Float[np.ndarray, " points"]
    ) -> Float[np.ndarray, "sets metrics points"]:
        """Scores on a plane."""
        if self.several:
            return self.landscape.scores_across(first, second, a, b)
        return self.landscape.across(first, second, a, b)[None, None]

    def variables(self, values: Float[np.ndarray, "sets metrics *dims"]) -> dict[str, Values]:
        """Variables of a result besides the loss; none if there is only the loss on one data set."""
        if not self.several:
            return {}
        return {"batches": list(self.sets), "metric": list(self.metrics), "values": values}


def in_blocks(
    landscape: Landscape,
    num: int,
    evaluate: Callable[[slice], np.ndarray],
    tell: Callable[[float], None],
    *,
    multiple: int | None = None,
    planned: int = 0,
) -> np.ndarray:
    """Evaluate points block by block and report the finished share.

    Args:
        landscape: Determines the block size by its points at once; one by one, each point is reported.
        num: Number of points.
        evaluate: Evaluates a slice of them; points are the last axis of its result.
        tell: Called with the finished share.
        multiple: Number of which the block size is a multiple, such as the points of a grid line; None evaluates
            all at once.
        planned: Number of points of the whole call, if more than `num`.
    """
    at_once = landscape.plan(planned or num) if num > 1 else 1
    if at_once == 1:
        size = 1
    elif multiple is None:
        size = num
    else:
        size = multiple * max(1, BLOCK * at_once // multiple)
    parts = []
    for begin in range(0, num, size):
        end = min(begin + size, num)
        parts.append(evaluate(slice(begin, end)))
        tell(end / num)
    return np.concatenate(parts, axis=-1)
