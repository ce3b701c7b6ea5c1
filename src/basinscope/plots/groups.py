"""Plots values of groups of networks side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from basinscope.plots.style import FAINT, INK


def plot_groups(axes: Axes, groups: Mapping[str, np.ndarray], colours: Sequence[str]) -> list[Any]:
    """Draw each group as a column of dots, one per network, with a dash at the median.

    Args:
        axes: Where to draw; set a log scale beforehand if needed.
        groups: Values of each group by name.
        colours: One per group.

    Returns:
        Dots and dash of each group, in order.
    """
    artists: list[Any] = []
    for position, (values, colour) in enumerate(zip(groups.values(), colours, strict=True)):
        # Spread dots sideways, in the order of their values, so that none overlap.
        order = np.argsort(np.argsort(values))
        aside = 0.36 * (order / max(1, len(values) - 1) - 0.5) if len(values) > 1 else np.zeros(1)
        artists.append(
            axes.scatter(position + aside, values, s=11, c=colour, edgecolors="white", linewidths=0.4, zorder=3)
        )
        middle = np.median(values)
        artists += axes.plot([position - 0.28, position + 0.28], [middle, middle], color=INK, linewidth=1.2, zorder=2)
    axes.set_xticks(range(len(groups)), list(groups))
    axes.set_xlim(-0.6, len(groups) - 0.4)
    axes.grid(axis="y", color=FAINT, alpha=0.2, linewidth=0.5)
    return artists
