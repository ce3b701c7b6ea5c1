"""Plots losses along lines from a minimum, their range, and the basin below a cutoff."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from basinscope.plots.style import FAINT, INK


def plot_rising_lines(
    axes: Axes, lines: xr.Dataset, radii: xr.DataArray, *, cutoff: float, ceiling: float, colour: str, most: int = 100
) -> list[Any]:
    """Draw losses along random lines on a log scale, and shade the basin below the cutoff.

    A band shows the range of losses over all lines. The basin is shaded up to the median radius; a bar at the cutoff
    shows the range of the radii.

    Args:
        axes: Where to draw.
        lines: A `slice1d` dataset of one network with lines from the minimum; losses are infinite beyond a ceiling.
        radii: Radius along each direction of the network, in filter norms.
        cutoff: Loss in nats that bounds the basin.
        ceiling: Loss in nats at the upper end of the axis.
        colour: Colour of lines, band and basin.
        most: Largest number of individual lines.

    Returns:
        The lines, the band and the basin.
    """
    distance, losses = lines["distance"].values, lines["loss"].values
    axes.set_yscale("log")
    shown = np.minimum(losses, ceiling)  # infinite losses are off the axis
    artists: list[Any] = []
    for line in losses[:most]:
        inside = np.isfinite(line)
        artists += axes.plot(distance[inside], line[inside], color=colour, alpha=0.35, linewidth=0.7)
    artists.append(
        axes.fill_between(distance, shown.min(0), shown.max(0), color=colour, alpha=0.15, linewidth=0, zorder=1)
    )
    axes.axhline(cutoff, color=INK, linewidth=0.9, linestyle="--")
    known = radii.values[np.isfinite(radii.values)]
    if len(known):
        middle, low, high = np.median(known), known.min(), known.max()
        floor = max(1e-12, float(np.min(shown[shown > 0])) if (shown > 0).any() else 1e-12)
        artists.append(axes.fill_between([0, middle], floor, cutoff, color=colour, alpha=0.22, linewidth=0, zorder=0))
        axes.plot([low, high], [cutoff, cutoff], color=colour, linewidth=3.5, solid_capstyle="butt", zorder=4)
        axes.plot([middle], [cutoff], "o", color=colour, markeredgecolor="white", markersize=4, zorder=5)
    axes.set_xlabel("distance along the direction [filter norms]")
    axes.set_ylabel("clean loss [nat]")
    axes.set_ylim(top=ceiling)
    axes.set_xlim(0, float(distance.max()))
    axes.grid(axis="y", color=FAINT, alpha=0.2, linewidth=0.5)
    return artists


def plot_slices(axes: Axes, slices: xr.Dataset, *, colour: str, floor: float) -> list[Any]:
    """Draw 1-D slices through a minimum on a log scale.

    Args:
        axes: Where to draw.
        slices: A `slice1d` dataset of one network.
        colour: Colour of the lines.
        floor: Lower losses, in nats, are drawn at this value.

    Returns:
        The lines, one per direction.
    """
    axes.set_yscale("log")
    artists: list[Any] = []
    for index, line in enumerate(slices["loss"].values):
        style = ("-", "--", "-.")[index % 3]
        artists += axes.plot(slices["distance"].values, np.maximum(line, floor), style, color=colour, linewidth=1.2)
    axes.set_xlabel("distance along the direction [filter norms]")
    axes.set_ylabel("clean loss [nat]")
    axes.grid(axis="y", color=FAINT, alpha=0.2, linewidth=0.5)
    return artists
