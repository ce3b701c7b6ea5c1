"""Plots a measure of the basin against the generalisation gap, run by run."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter

from basinscope.plots.style import FAINT, INK

FEW_POWERS = 100.0
"""Ratio of a log axis's limits below which ticks are plain numbers."""
CLOSE = 4.0
"""The same, below which every tick is labelled."""


def plain_tick(tick: float, leads: tuple[int, ...]) -> str:
    """Label a tick only if its leading digit is in `leads`, so that labels do not overlap."""
    lead = tick / 10 ** math.floor(math.log10(tick) + 1e-9)
    return f"{tick:g}" if round(lead) in leads else ""


def plot_relation(
    axes: Axes,
    gap: xr.DataArray,
    value: xr.DataArray,
    poison: xr.DataArray,
    *,
    colour: str,
    error: xr.DataArray | None = None,
) -> list[Any]:
    """Draw one dot per network, and a dashed mean and a min–max band over the runs of each poison factor.

    Mean and band are drawn at the mean gap of a poison factor's runs, dots at their own gaps. On a log axis the mean is
    geometric. Networks without a value are left out.

    Args:
        axes: Where to draw; set a log scale beforehand if needed.
        gap: Generalisation gap of each network, along `net`.
        value: The measure, along `net`.
        poison: Poison factor of each network, along `net`.
        colour: Colour of dots and band.
        error: Standard error of the measure, along `net`, drawn as an error bar.

    Returns:
        The band, the line and the dots.
    """
    present = np.isfinite(value.values)
    gap, value, poison = gap[present], value[present], poison[present]
    if error is not None:
        axes.errorbar(gap.values, value.values, error.values[present], fmt="none", ecolor=colour, elinewidth=0.9)
    levels = np.unique(poison.values)
    groups = [poison.values == level for level in levels]
    centers = np.array([gap.values[group].mean() for group in groups])
    order = np.argsort(centers)
    logarithmic = axes.get_yscale() == "log"

    def mean(values: np.ndarray) -> float:
        return float(np.exp(np.log(values).mean()) if logarithmic else values.mean())

    low, middle, high = (
        np.array([reduce(value.values[group]) for group in groups]) for reduce in (np.min, mean, np.max)
    )
    band = axes.fill_between(centers[order], low[order], high[order], color=colour, alpha=0.18, linewidth=0)
    (line,) = axes.plot(centers[order], middle[order], "--", color=INK, linewidth=1.1)
    dots = axes.scatter(gap.values, value.values, s=7, c=colour, edgecolors="white", linewidths=0.4, zorder=3)
    if logarithmic and axes.get_ylim()[0] > 0 and axes.get_ylim()[1] / axes.get_ylim()[0] < FEW_POWERS:
        leads = (1, 2, 5) if axes.get_ylim()[1] / axes.get_ylim()[0] > CLOSE else tuple(range(1, 10))
        for setter in (axes.yaxis.set_major_formatter, axes.yaxis.set_minor_formatter):
            setter(FuncFormatter(lambda tick, _: plain_tick(tick, leads)))
    axes.set_xlabel("generalisation gap (train − test)")
    axes.grid(axis="y", color=FAINT, alpha=0.2, linewidth=0.5)
    return [band, line, dots]
