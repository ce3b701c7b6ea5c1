"""Plots the map of the path of training among bad minima."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap

from basinscope.plots.style import FAINT, INK

PATH_COLOURS = LinearSegmentedColormap.from_list("path", ["#FBD3D0", "#EF6F6C", "#B3121D", "#5C0006"])
BAD_COLOURS = LinearSegmentedColormap.from_list("bad", ["#CFE3F5", "#5B9BD5", "#1F5FA8", "#08306B"])
STAR = "#FFD400"


def plot_minefield(
    axes: Axes, path: xr.Dataset, bad: xr.Dataset, accuracy: xr.DataArray, failed: xr.Dataset
) -> dict[str, Any]:
    """Draw the iterates of a run from pale to dark, and bad minima coloured by test accuracy.

    Args:
        axes: Where to draw.
        path: `x` and `y` along `epoch`, in order.
        bad: `x` and `y` of the bad minima along `net`.
        accuracy: Test accuracy of each of them, from 0 to 1.
        failed: `x` and `y` of searches that found none.

    Returns:
        The artists: `line`, `path`, `bad`, `failed`, `finish`, `start word`, `finish word`.
    """
    x, y = path["x"].values, path["y"].values
    artists: dict[str, Any] = {}
    (artists["line"],) = axes.plot(x, y, color="#E6A3A0", linewidth=0.6, zorder=1)
    artists["bad"] = axes.scatter(
        bad["x"].values,
        bad["y"].values,
        c=100 * accuracy.values,
        cmap=BAD_COLOURS,
        s=16,
        edgecolors="white",
        linewidths=0.4,
        zorder=2,
        label="bad minimum",
    )
    artists["failed"] = axes.scatter(
        failed["x"].values, failed["y"].values, s=11, c=FAINT, marker="x", linewidths=0.9, zorder=2.5
    )
    artists["path"] = axes.scatter(
        x,
        y,
        c=path["epoch"].values,
        cmap=PATH_COLOURS,
        s=12,
        edgecolors="white",
        linewidths=0.3,
        zorder=3,
        label="iterate of the good run",
    )
    artists["finish"] = axes.scatter(
        x[-1:], y[-1:], marker="*", s=149, c=STAR, edgecolors=INK, linewidths=0.8, zorder=5, label="finish"
    )
    for word, position in (("start", 0), ("finish", -1)):
        artists[f"{word} word"] = _name(axes, (x[position], y[position]), word, above=bool(y[position] > np.median(y)))
    axes.set(xticks=[], yticks=[])
    axes.set_aspect("equal", adjustable="datalim")
    axes.margins(0.1)
    axes.spines[:].set_visible(True)
    return artists


def _name(axes: Axes, position: tuple[float, float], word: str, *, above: bool) -> Any:
    """Write a word above or below a position."""
    return axes.annotate(
        word,
        position,
        xytext=(0, 24 if above else -24),
        textcoords="offset points",
        ha="center",
        va="center",
        fontsize=7,
        fontweight="bold",
        color=INK,
        bbox={"boxstyle": "round,pad=0.15", "facecolor": "white", "edgecolor": "none", "alpha": 0.8},
        arrowprops={"arrowstyle": "-", "color": INK, "linewidth": 0.6},
        zorder=6,
    )
