"""Plots losses along fitted curves between two minima, and along the straight lines."""

from __future__ import annotations

import numpy as np
from matplotlib.artist import Artist

from basinscope.plots.compared import Results, by_name, common_unit, model_facts, with_unit
from basinscope.plots.legends import explain, faint_grid
from basinscope.plots.marks import mark_missing
from basinscope.plots.panels import AxesChoice, Panels, choose_axes, set_title
from basinscope.plots.scales import is_log
from basinscope.plots.style import COLOURS, INK

_WAYS = {"loss": ("-", "fitted curve"), "straight_loss": ("--", "straight line")}


def curve_panels(results: Results) -> Panels:
    """One panel for all networks."""
    by_name(results)
    return Panels(("",))


def plot_curve(
    results: Results, ax: AxesChoice, *, title: str | None = None, log: bool | None = None
) -> dict[str, list[Artist]]:
    """Draw losses along fitted curves and, dashed, along the straight lines.

    Args:
        results: A `curve` dataset, or several by name of the network.
        ax: Where to draw.
        title: Replaces the default title.
        log: Whether to draw losses on a log scale; None chooses it if they are positive and span a factor of 30.

    Returns:
        Lines and markers of each network.

    Raises:
        InputError: Units differ, or several axes were given.
    """
    named = by_name(results)
    (axes,) = choose_axes(ax, curve_panels(named).names)
    if is_log(np.concatenate([result[v].values for result in named.values() for v in _WAYS]), log):
        axes.set_yscale("log")
    artists: dict[str, list[Artist]] = {}
    for colour, (name, result) in zip(COLOURS, named.items(), strict=False):
        drawn = artists[name] = []
        before = f"{name}: " if name else ""
        for variable, (style, words) in _WAYS.items():
            position, loss = result["place"].values, result[variable].values
            drawn += axes.plot(position, loss, style, color=colour, label=before + words)
            drawn += mark_missing(axes, position[~np.isfinite(loss)], colour)
        own, words = float(result["other_loss"]), "other minimum's own loss"
        drawn += axes.plot(
            [1.0], [own], "o", color=colour, markeredgecolor=INK, markersize=4, label=before + words, clip_on=False
        )
    set_title(axes, f"{model_facts(named)}\nfitted curve to another minimum" if title is None else title)
    axes.set_xlabel("position along the path (0: network, 1: other minimum)")
    axes.set_ylabel(with_unit("loss", common_unit(named, "loss")))
    faint_grid(axes)
    explain([axes], below=True)
    return artists
