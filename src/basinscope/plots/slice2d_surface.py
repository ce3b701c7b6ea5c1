"""Plots losses on planes through a network's weights as surfaces in three dimensions."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.colors import Colormap, LogNorm
from matplotlib.ticker import MaxNLocator

from basinscope.errors import InputError
from basinscope.plots.compared import Results, all_facts, by_name, common_unit, with_unit
from basinscope.plots.panels import SMALL, AxesChoice, Panels, choose_axes, panel_grid, set_title
from basinscope.plots.scales import common_norm
from basinscope.plots.style import SURFACE
from basinscope.plots.surface import draw_heights, power_ticks

_ZOOM = 0.75
"""Size of the box relative to its axes, which leaves room for labels."""


def surface_panels(results: Results) -> Panels:
    """One three-dimensional panel per network."""
    named = by_name(results)
    title = all_facts(named) if len(named) > 1 else ""
    return Panels(tuple(named), *panel_grid(len(named)), row_height=2.6, projection="3d", title=title)


def plot_slice2d_surface(
    results: Results,
    ax: AxesChoice,
    *,
    title: str | None = None,
    log: bool | None = None,
    cmap: str | Colormap | None = None,
) -> dict[str, list[Artist]]:
    """Draw losses on planes as surfaces, one panel per network, on one scale; values that are not finite leave holes.

    Args:
        results: A `slice2d` dataset, or several by name of the network.
        ax: One three-dimensional axes per network, in order or by name.
        title: Title of each axes; default: the description, if there is one panel.
        log: Whether the height is log10 of the loss; None chooses it if losses are positive and span a factor of 30.
        cmap: Colour map.

    Returns:
        The surface of each network.

    Raises:
        InputError: Units differ, the number of axes does not match the networks, or axes are two-dimensional.
    """
    named = by_name(results)
    panels: list[Any] = choose_axes(ax, surface_panels(named).names)
    if not all(hasattr(axes, "plot_surface") for axes in panels):
        raise InputError("plot: surface=True needs axes with projection='3d'")
    norm = common_norm([result["loss"].values for result in named.values()], log)
    label, logarithmic = with_unit("loss", common_unit(named, "loss")), isinstance(norm, LogNorm)
    low, high = float(norm.vmin or 0), float(norm.vmax or 1)
    limits = (math.log10(low), math.log10(high)) if logarithmic else (low, high)
    limits = limits if limits[0] < limits[1] else (limits[0] - 0.5, limits[1] + 0.5)
    artists: dict[str, list[Artist]] = {}
    for axes, (name, result) in zip(panels, named.items(), strict=True):
        a, b = np.meshgrid(result["first"].values, result["second"].values, indexing="ij")
        loss = result["loss"].transpose("first", "second").values.astype(float)
        loss[~np.isfinite(loss)] = np.nan
        z = np.log10(np.clip(loss, low, None)) if logarithmic else loss
        artists[name] = [draw_heights(axes, a, b, z, limits, cmap=cmap or SURFACE, zoom=_ZOOM)]
        # Labels extend beyond the axes, so a background could hide a neighbour's.
        axes.patch.set_visible(False)
        axes.tick_params(labelsize=5, pad=-2)
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(MaxNLocator(4))
        if logarithmic:
            power_ticks(axes, limits)
        axes.set_xlabel(_below("direction 1", str(result["first"].attrs["units"])), fontsize=SMALL, labelpad=-1)
        axes.set_ylabel(_below("direction 2", str(result["second"].attrs["units"])), fontsize=SMALL, labelpad=-1)
        axes.set_zlabel(label, fontsize=SMALL, labelpad=-3)
        holes = "" if np.isfinite(result["loss"].values).all() else "holes: not finite"
        above = title if title is not None else all_facts({"": result}) if len(named) == 1 else ""
        set_title(axes, "\n".join(filter(None, (name, above, holes))), size=SMALL)
    return artists


def _below(name: str, unit: str) -> str:
    """Label of a slanted axis, with its unit on a line of its own so that the figure's edge does not cut it."""
    return f"{name}\n[{unit}]" if unit else name
