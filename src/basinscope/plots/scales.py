"""Common scales of compared losses, and axis limits that contain all error bars."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, Normalize

LOG_FROM = 30.0
"""Ratio of largest to smallest value above which a log scale is used."""


def is_log(values: np.ndarray, log: bool | None) -> bool:
    """Whether to use a log scale: as given, or if values are positive and span a factor of 30."""
    known = values[np.isfinite(values)]
    if log is not None or not len(known):
        return bool(log)
    return bool(known.min() > 0 and known.max() / known.min() > LOG_FROM)


def common_norm(values: Iterable[np.ndarray], log: bool | None) -> Normalize:
    """Common colour scale of all values."""
    joined = np.concatenate([np.ravel(part) for part in values])
    known = joined[np.isfinite(joined)]
    logarithmic = is_log(joined, log)
    # A log scale shows only positive values.
    known = known[known > 0] if logarithmic else known
    low, high = (float(known.min()), float(known.max())) if len(known) else (0.5, 1.0)
    return LogNorm(low, high) if logarithmic else Normalize(low, high)


def contour_levels(norm: Normalize, levels: int | Sequence[float] | None) -> np.ndarray:
    """Contour values: as given, or that many between the ends of a colour scale; None means ten."""
    if levels is not None and not isinstance(levels, int | np.integer):
        return np.unique(np.asarray(levels, dtype=float))
    spaced = np.geomspace if isinstance(norm, LogNorm) else np.linspace
    num = 10 if levels is None else int(levels)
    return np.unique(spaced(float(norm.vmin or 0), float(norm.vmax or 0), num + 2)[1:-1])


def contain(axes: Axes, ends: np.ndarray, room: float = 0.1) -> None:
    """Set vertical limits that contain the ends of all error bars, with margins.

    Args:
        axes: Axes whose scale is already set.
        ends: Upper and lower ends; values that are not finite, or not positive on a log scale, are ignored.
        room: Margin above and below, as a fraction of the range.
    """
    ends = ends[np.isfinite(ends)]
    if axes.get_yscale() == "log":
        ends = ends[ends > 0]
    if not len(ends):
        return
    transform = axes.yaxis.get_transform()
    low, high = np.ravel(transform.transform(np.array([ends.min(), ends.max()])))
    margin = room * (high - low) or 0.5
    axes.set_ylim(*np.ravel(transform.inverted().transform(np.array([low - margin, high + margin]))))
