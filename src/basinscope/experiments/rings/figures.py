"""Both parts of figure 8, the rings, drawn from stored results."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from basinscope.experiments.rings.collect import PANELS, Measurements
from basinscope.plots.boundary import plot_boundary, plot_unrolled
from basinscope.plots.groups import plot_groups
from basinscope.plots.style import (
    AS_TRAINED,
    BLUE_RED_FIELDS,
    BLUE_RED_POINTS,
    SCALED,
    TWO_COLUMNS,
    save_figure,
    styled,
)
from basinscope.runs import atomic

STEMS = ("8-rings", "8-rings-circle")
LOOK: Any = {
    "points": BLUE_RED_POINTS,
    "fields": BLUE_RED_FIELDS,
    "names": ("blue", "red"),
}
"""Colours and class names, as in the paper's text."""


def draw(found: Measurements, out: Path) -> list[Path]:
    """Draw both figures into a folder; return the files."""
    files: list[Path] = []
    with styled():
        for stem, figure in zip(STEMS, (_boundaries(found), _comparison(found)), strict=True):
            files += save_figure(figure, out / stem, atomic.write)
            plt.close(figure)
    return files


def _boundaries(found: Measurements) -> Figure:
    """Decision boundaries, whole and enlarged."""
    config = found.config
    titles = {
        "wide": f"(a) gap {config.gaps[0]:g}\nrandom start",
        "pinched": f"(b) gap {config.gaps[-1]:g}\nrandom start",
        "circle": f"(c) gap {found.compared_gap:.3g}\ncircle, led there by closing the gap",
    }
    figure, grid = plt.subplots(2, 3, figsize=(TWO_COLUMNS, 4.4), layout="constrained", height_ratios=(1.45, 1))
    figure.suptitle("Figure 8 · A circle between two rings, and the boundaries found when the gap is narrow")
    for column, key in zip(grid.T, PANELS, strict=True):
        whole, unrolled = column
        plot_boundary(whole, found.boundaries[key], found.train[key], size=4.5, **LOOK)
        plot_unrolled(unrolled, found.unrolled[key], found.train[key], **LOOK)
        whole.set_title(titles[key])
        unrolled.set_title("unrolled, part of the circle", fontsize=6.5)
        unrolled.ticklabel_format(axis="y", useOffset=False)
        unrolled.locator_params(axis="y", nbins=5)
    grid[0, 0].legend(loc="center", fontsize=5.5, handletextpad=0.1)
    return figure


def _comparison(found: Measurements) -> Figure:
    """How often random starts find the circle, and circles compared with nets from random starts."""
    figure, panels = plt.subplots(2, 2, figsize=(TWO_COLUMNS, 5.2), layout="constrained")
    share, margin, size, bend = panels.flat
    figure.suptitle(
        "Figure 8 · How often the circle is found, and circles against nets from random starts\n"
        f"gap {found.compared_gap:.3g}; dots: nets, dashes: medians"
    )
    _shares(found, share)
    figure.legend(*share.get_legend_handles_labels(), loc="outside lower left", ncols=3, fontsize=6)
    circles, others = found.circles, found.beside
    if circles is None or others is None:
        for axes in (margin, size, bend):
            axes.set_axis_off()
        margin.text(0, 0.5, "no circle to compare", transform=margin.transAxes)
        return figure
    counted = [f"circle\n(n = {len(circles.names)})", f"random start\n(n = {len(others.names)})"]
    names, colours = ("circle", "random"), (AS_TRAINED, SCALED)
    margin.set_yscale("log")
    plot_groups(margin, dict(zip(counted, (circles.margin, others.margin), strict=True)), colours)
    margin.set_ylabel("mean margin around inner points\n[units of the plane]")
    margin.set_title("margin")
    for axes, values, label in (
        (size, "size", "mean n·log₁₀ r [orders of magnitude]"),
        (bend, "mean_curvature", "mean curvature dᵀHd [nat]"),
    ):
        if values == "mean_curvature":
            axes.set_yscale("log")
        groups = {
            f"{name}\n{words}": getattr(group, values)[words]
            for words in ("as trained", "scaled")
            for name, group in zip(names, (circles, others), strict=True)
        }
        plot_groups(axes, groups, colours * 2)
        axes.tick_params(axis="x", labelsize=5.5)
        axes.set_ylabel(label)
        axes.set_title({"size": "size of the basin", "mean_curvature": "mean curvature"}[values])
    size.yaxis.set_major_formatter("{x:,.0f}")
    return figure


def _shares(found: Measurements, axes: Axes) -> None:
    """Share of circles, and share of the red ring classified correctly, against the gap."""
    config = found.config
    axes.set_xscale("log")
    starts = [found.circle_share(nets) for nets in found.found]
    axes.plot(config.gaps, starts, "o-", color=SCALED, markersize=3, label="circles among random starts")
    red = np.array([nets["red_share"].values for nets in found.found])
    axes.fill_between(config.gaps, red.min(1), red.max(1), color=SCALED, alpha=0.15, linewidth=0)
    axes.plot(
        config.gaps, red.mean(1), "--", color=SCALED, linewidth=1, label="red ring classified correctly: mean, range"
    )
    led = [found.circle_share(nets) for nets in found.stages]
    axes.plot(
        config.stages, led, "s-", color=AS_TRAINED, markersize=2.5, label="circles among nets led by closing the gap"
    )
    axes.set(xlabel="gap between the inner rings", ylabel="share", ylim=(-0.04, 1.04))
    axes.set_title("share of circles, all gaps")
