"""Data sets and metrics of an objective, by name."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from torch import Tensor

from basinscope.errors import InputError, kind_of
from basinscope.landscape.module.batches import Batches, checked
from basinscope.landscape.module.loss import Loss

LOSS = "loss"
"""Name of the loss among the metrics."""
Begin = Callable[[], Iterator[Any]]


def data_sets(batches: Batches | Mapping[str, Batches]) -> dict[str, Begin]:
    """Return functions that start a pass over each data set, by name; a single unnamed one is called `data`.

    Raises:
        InputError: A data set can be iterated only once, or a name is empty, duplicated or not a string.
    """
    if not _are_several(batches):
        return {"data": checked(batches)}
    assert isinstance(batches, Mapping)
    sets: dict[str, Begin] = {}
    for name, given in batches.items():
        if not isinstance(name, str) or not name.strip():
            raise InputError(f"batches: {name!r} is not a valid name of a data set: use non-empty text")
        if name.strip() in sets:
            raise InputError(f"batches: two data sets are named {name.strip()!r}")
        try:
            sets[name.strip()] = checked(given)
        except InputError as error:
            raise InputError(f"batches[{name!r}]: {error}") from error
    return sets


def _are_several(batches: Any) -> bool:
    """Whether a mapping holds named data sets, and is not itself a batch of tensors."""
    if not isinstance(batches, Mapping) or not batches:
        return False
    return not any(isinstance(part, Tensor | np.ndarray | str | int | float) for part in batches.values())


def checked_metrics(metrics: Mapping[str, Loss] | None) -> dict[str, Loss]:
    """Validate the metrics of an objective.

    Raises:
        InputError: They are not functions by name, or one is named like the loss.
    """
    if metrics is None:
        return {}
    if not isinstance(metrics, Mapping):
        raise InputError(f"metrics is {kind_of(metrics)}: pass functions by name, such as {{'error': f}}")
    for name, function in metrics.items():
        if not isinstance(name, str) or not name.strip():
            raise InputError(f"metrics: {name!r} is not a valid name of a metric: use non-empty text")
        if name == LOSS:
            raise InputError(f"metrics: {LOSS!r} is reserved for the loss; choose another name")
        if not callable(function):
            raise InputError(f"metrics[{name!r}] is {kind_of(function)}: pass a function of model and batch")
    return dict(metrics)
