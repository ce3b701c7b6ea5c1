"""Plots sharpness, the rise of the loss in a ball around the weights: each ascent, the largest, and the mean."""

from __future__ import annotations

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes

from basinscope.errors import InputError
from basinscope.plots.compared import Named, Results, by_name, common_unit, with_unit
from basinscope.plots.legends import explain, faint_grid
from basinscope.plots.marks import mark_missing
from basinscope.plots.panels import SMALL, AxesChoice, Panels, choose_axes, room, set_title
from basinscope.plots.scales import contain, is_log
from basinscope.plots.style import COLOURS
from basinscope.plots.wrapping import wrap


def sharpness_panels(results: Results) -> Panels:
    """One panel for all networks, wide for more than three."""
    return Panels(("",), row_height=2.4, wide=len(by_name(results)) > 3)


def name_ticks(axes: Axes, named: Named) -> None:
    """Label each network below the axis, wrapped so that labels fit side by side."""
    example = next(iter(named.values()))
    names = [name or str(example.attrs.get("model", "")) for name in named]
    width = max(0.3, 0.92 * room(axes) / len(names))
    size = 6.5 if max(map(len, names)) <= 28 else SMALL
    axes.set_xticks(range(len(names)), [wrap(name, width, size) for name in names], fontsize=size)
    axes.set_xlim(-0.6, len(names) - 0.4)


def plot_sharpness(
    results: Results, ax: AxesChoice, *, title: str | None = None, log: bool | None = None
) -> dict[str, list[Artist]]:
    """Draw how far the loss rises in a ball around the weights.

    Args:
        results: A `sharpness` dataset, or several by name of the network.
        ax: Where to draw.
        title: Replaces the default title.
        log: Whether to draw rises on a log scale; None chooses it if they and their error bars are positive and span a
            factor of 30.

    Returns:
        Dots, the bar of the largest rise and the error bar of each network.

    Raises:
        InputError: Units or radii of the balls differ, or several axes were given.
    """
    named = by_name(results)
    (axes,) = choose_axes(ax, sharpness_panels(named).names)
    radii = sorted({float(result["rho"]) for result in named.values()})
    unit = common_unit(named, "rho")
    if len(radii) > 1:
        raise InputError(f"plot: rho differs ({' and '.join(f'{rho:g}' for rho in radii)}); results must share one")
    means = np.array([float(result["average"]) for result in named.values()])
    errors = np.array([float(result["average_stderr"]) for result in named.values()])
    ends = np.concatenate([*(result["rise"].values for result in named.values()), means - errors, means + errors])
    logarithmic = is_log(ends, log)
    if logarithmic:
        axes.set_yscale("log")
        positive = ends[np.isfinite(ends) & (ends > 0)]
        floor = 0.5 * float(positive.min()) if len(positive) else 1.0
        # Error bars that reach 0 end at the bottom of the axis.
        lower = np.where(means - errors > 0, errors, np.maximum(means - floor, 0))
        ends = np.concatenate([ends, means - lower])
    else:
        lower = errors
    artists: dict[str, list[Artist]] = {}
    for position, (colour, (name, result)) in enumerate(zip(COLOURS, named.items(), strict=False)):
        rises, left = result["rise"].values, position - 0.15
        # One legend entry, in the colour of the first network.
        labels = ("each ascent", "worst found", "mean ± standard error") if not position else (None,) * 3
        dots = axes.plot(np.full(len(rises), left), rises, "o", color=colour, markersize=3, alpha=0.5, label=labels[0])
        largest = axes.plot(
            [left],
            [float(result["worst"])],
            "_",
            color=colour,
            markersize=13,
            markeredgewidth=2,
            label=labels[1],
        )
        crosses = mark_missing(axes, np.full((~np.isfinite(rises)).sum(), left), colour)
        arms = [[lower[position]], [errors[position]]]
        bars = axes.errorbar(
            [position + 0.15],
            means[position : position + 1],
            arms,
            fmt="s",
            color=colour,
            markersize=3,
            capsize=2,
            label=labels[2],
        )
        artists[name] = [*dots, *largest, *crosses, bars.lines[0], *bars.lines[1], *bars.lines[2]]
    contain(axes, ends)
    name_ticks(axes, named)
    axes.set_ylabel(with_unit("rise of the loss", common_unit(named, "worst")))
    set_title(axes, f"within a ball, ρ = {radii[0]:g} {unit}" if title is None else title)
    faint_grid(axes)
    explain([axes], below=True)
    return artists
