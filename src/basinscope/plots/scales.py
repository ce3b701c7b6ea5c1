"""Scales of compared losses, and limits that no error bar leaves."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, Normalize

LOG_FROM = 30.0
"""Ratio of values from which on they are drawn on a log scale."""


def is_log(values: np.ndarray, log: bool | None) -> bool:
    """Whether values are drawn on a log scale: as asked, else where they are positive and span a factor of 30."""
    known = values[np.isfinite(values)]
    if log is not None or not len(known):
        return bool(log)
    return bool(known.min() > 0 and known.max() / known.min() > LOG_FROM)


def common_norm(values: Iterable[np.ndarray], log: bool | None) -> Normalize:
    """One colour scale for all values."""
    joined = np.concatenate([np.ravel(part) for part in values])
    known = joined[np.isfinite(joined)]
    logarithmic = is_log(joined, log)
    # Only what is above 0 has a place on a log scale.
    known = known[known > 0] if logarithmic else known
    low, high = (float(known.min()), float(known.max())) if len(known) else (0.5, 1.0)
    return LogNorm(low, high) if logarithmic else Normalize(low, high)


def contour_levels(norm: Normalize, levels: int | Sequence[float] | None) -> np.ndarray:
    """Values of contours: as given, or so many between the ends of a colour scale; None takes ten."""
    if levels is not None and not isinstance(levels, int | np.integer):
        return np.unique(np.asarray(levels, dtype=float))
    spaced = np.geomspace if isinstance(norm, LogNorm) else np.linspace
    num = 10 if levels is None else int(levels)
    return np.unique(spaced(float(norm.vmin or 0), float(norm.vmax or 0), num + 2)[1:-1])


def contain(axes: Axes, ends: np.ndarray, room: float = 0.1) -> None:
    """Set vertical limits that contain the ends of all error bars, with a share of their range as room.

    Args:
        axes: Whose scale is set already.
        ends: Upper and lower ends; what is not finite, or not positive on a log scale, has no place.
        room: Share of the range that is left empty above and below.
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
