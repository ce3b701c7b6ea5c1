"""The data sets and metrics of an objective, by name."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from torch import Tensor

from basinscope.errors import InputError
from basinscope.landscape.module.batches import Batches, checked
from basinscope.landscape.module.loss import Loss

LOSS = "loss"
"""Name of the loss among the metrics."""
Begin = Callable[[], Iterator[Any]]


def data_sets(batches: Batches | Mapping[str, Batches]) -> dict[str, Begin]:
    """Return what begins a pass over each data set, by its name; a single one is called `data`.

    Raises:
        InputError: A data set can be iterated only once, or a name is empty, no text, or given twice.
    """
    if not _are_several(batches):
        return {"data": checked(batches)}
    assert isinstance(batches, Mapping)
    found: dict[str, Begin] = {}
    for name, some in batches.items():
        if not isinstance(name, str) or not name.strip():
            raise InputError(f"batches: {name!r} is no name for a data set: give text")
        if name.strip() in found:
            raise InputError(f"batches: the data set {name.strip()!r} is given twice")
        try:
            found[name.strip()] = checked(some)
        except InputError as error:
            raise InputError(f"batches[{name!r}]: {error}") from error
    return found


def _are_several(batches: Any) -> bool:
    """Tell data sets by name from a batch that is a dictionary of tensors."""
    if not isinstance(batches, Mapping) or not batches:
        return False
    return not any(isinstance(part, Tensor | np.ndarray | str | int | float) for part in batches.values())


def checked_metrics(metrics: Mapping[str, Loss] | None) -> dict[str, Loss]:
    """Check the metrics of an objective.

    Raises:
        InputError: They are not functions by name, or one has the name of the loss.
    """
    if metrics is None:
        return {}
    if not isinstance(metrics, Mapping):
        raise InputError(f"metrics is a {type(metrics).__name__}: give functions by name, such as {{'error': f}}")
    for name, function in metrics.items():
        if not isinstance(name, str) or not name.strip():
            raise InputError(f"metrics: {name!r} is no name for a metric: give text")
        if name == LOSS:
            raise InputError(f"metrics: {LOSS!r} is the loss, which is always measured; give the metric another name")
        if not callable(function):
            raise InputError(f"metrics[{name!r}] is a {type(function).__name__}: give a function of model and batch")
    return dict(metrics)
