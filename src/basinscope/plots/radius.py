"""Plots the cumulative distribution of basin radii."""

from __future__ import annotations

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter

from basinscope.plots.compared import Results, all_facts, basin_bound, by_name, common_unit, with_unit
from basinscope.plots.legends import explain, faint_grid
from basinscope.plots.panels import AxesChoice, Panels, choose_axes, set_title
from basinscope.plots.relation import CLOSE, plain_tick
from basinscope.plots.style import COLOURS, INK

WITHOUT_RADIUS = {1: "unbounded", 2: "not a number", 3: "not closed"}
"""Status codes of rays without a radius, in words."""


def radius_panels(results: Results) -> Panels:
    """One panel for all networks."""
    by_name(results)
    return Panels(("",), row_height=2.9)


def plot_radius(
    results: Results, ax: AxesChoice, *, title: str | None = None, log: bool | None = None
) -> dict[str, list[Artist]]:
    """Draw the empirical distribution function of the radii, and their median.

    Args:
        results: A `radius` dataset, or several by name of the network.
        ax: Where to draw.
        title: Replaces the default title.
        log: Whether to draw radii on a log scale; None chooses it if they span more than a factor of 4.

    Returns:
        The steps of each network and, if it is known, the line of the median.

    Raises:
        InputError: Units differ, or several axes were given.
    """
    named = by_name(results)
    (axes,) = choose_axes(ax, radius_panels(named).names)
    ends: list[float] = []
    artists: dict[str, list[Artist]] = {}
    for colour, (name, result) in zip(COLOURS, named.items(), strict=False):
        status = result["status"].values
        # Rays that never cross have infinite radius; for other rays without a radius, nothing is known.
        radius = np.sort(result["radius"].values[status == 0])
        reach = np.concatenate([radius, np.full((status == 1).sum(), np.inf)])
        notes = [f"{num} {what}" for code, what in WITHOUT_RADIUS.items() if (num := int((status == code).sum()))]
        total = result.sizes["ray"]
        words = f"{name or 'rays'}: n = {total}" + "".join(f", {note}" for note in notes)
        steps = np.concatenate([radius[:1], radius])
        share = np.arange(len(steps)) / total
        artists[name] = [*axes.step(steps, share, where="post", color=colour, label=words)]
        if len(reach) and np.isfinite(np.median(reach)):
            artists[name].append(axes.axvline(float(np.median(reach)), color=colour, linewidth=0.8, linestyle=":"))
        ends += [float(end) for end in (*radius[:1], *radius[-1:])]
    _scale(axes, ends, log)
    axes.set_ylim(0, 1.02)
    axes.set_xlabel(with_unit("radius", common_unit(named, "radius")))
    axes.set_ylabel("share of directions with a smaller radius")
    default = f"{all_facts(named)}\n{basin_bound(named)}; dotted: median"
    set_title(axes, default if title is None else title)
    faint_grid(axes)
    explain([axes])
    return artists


def _scale(axes: Axes, ends: list[float], log: bool | None) -> None:
    """Choose the scale of the radii, with plain numbers as ticks."""
    if not ends:
        axes.text(0.5, 0.5, "no ray has a radius", transform=axes.transAxes, ha="center", color=INK)
        axes.set_xticks([])
    elif log or (log is None and max(ends) > CLOSE * min(ends)):
        axes.set_xscale("log")
        for set_formatter in (axes.xaxis.set_major_formatter, axes.xaxis.set_minor_formatter):
            set_formatter(FuncFormatter(lambda tick, _: plain_tick(tick, (1, 2, 5))))
