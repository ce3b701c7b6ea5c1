"""Figures 4, 5 and 7, good and bad minima of image networks, drawn from stored results."""

from __future__ import annotations

import math
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from mpl_toolkits.mplot3d import Axes3D

from basinscope.experiments.image_minima.collect import Measurements
from basinscope.experiments.relations import relations_figure
from basinscope.plots.lines import plot_rising_lines, plot_slices
from basinscope.plots.style import TWO_COLUMNS, save_figure, styled
from basinscope.plots.surface import heights, plot_surface
from basinscope.runs import atomic

SLICES, RELATIONS, LINES = "4-image-minima", "5-image-minima", "7-image-minima"
STEMS = (SLICES, RELATIONS, LINES)
TOP = 5.0
"""Upper limit of figure 7, in units of the cutoff."""
FLOOR = 1e-4
"""Lower losses, in nats, are drawn at this value."""


def draw(found: Measurements, out: Path) -> list[Path]:
    """Draw figures 4, 5 and 7 into a folder; return the files."""
    files: list[Path] = []
    with styled():
        for stem, drawn in ((SLICES, _figure4), (RELATIONS, _figure5), (LINES, _figure7)):
            figure = drawn(found)
            files += save_figure(figure, out / stem, atomic.write)
            plt.close(figure)
    return files


def _figure4(found: Measurements) -> Figure:
    """1-D slices of both nets above, 2-D slices below; each row shares its scales."""
    figure = plt.figure(figsize=(TWO_COLUMNS, 5.83))
    figure.suptitle(f"Figure 4 · The loss around a good and a bad minimum\n{found.config.data}", y=0.985)
    surfaces = np.concatenate(
        [heights(found.surfaces["loss"].sel(net=n), "log", FLOOR).ravel() for n in (found.good, found.bad)]
    )
    finite = surfaces[np.isfinite(surfaces)]
    limits = (math.log10(FLOOR), math.ceil(float(finite.max())) if len(finite) else 1.0)
    lowest = max(FLOOR, 0.5 * float(found.slices["loss"].min()))
    highest = 2 * float(found.slices["loss"].where(np.isfinite(found.slices["loss"])).max())
    for (role, net, colour, how), left in zip(found.pair, (0.0, 0.5), strict=True):
        line = figure.add_axes((left + 0.075, 0.575, 0.39, 0.27))
        plot_slices(line, found.slices.sel(net=net), colour=colour, floor=FLOOR)
        line.axhline(found.config.cutoff, color="#555555", linewidth=0.8, linestyle=(0, (1, 2)))
        line.set_ylim(lowest, highest)
        line.set_title(f"{role} minimum ({how})\n{found.scores(net)}", color=colour)
        surface = figure.add_axes((left + 0.04, 0.03, 0.44, 0.47), projection="3d")
        assert isinstance(surface, Axes3D)
        plot_surface(surface, found.surfaces.sel(net=net), limits=limits, scale="log", floor=FLOOR)
    note = (
        "Above: three random filter-normalised directions, the same for both; dotted: the cutoff. "
        "Below: the plane of the first two, made orthogonal. Each row shares one scale."
    )
    figure.text(0.5, 0.012, note, ha="center", fontsize=6, color="#555555")
    return figure


def _figure5(found: Measurements) -> Figure:
    return relations_figure(found.relations, found.config.data)


def _figure7(found: Measurements) -> Figure:
    config = found.config
    figure, panels = plt.subplots(1, 2, figsize=(TWO_COLUMNS, 3.2), sharex=True, sharey=True, layout="constrained")
    figure.suptitle(f"Figure 7 · The loss along random directions, and the basin below the cutoff\n{config.data}")
    for axes, (role, net, colour, how) in zip(panels, found.pair, strict=True):
        radii = found.relations.natural.radius["radius"].sel(net=net)
        plot_rising_lines(
            axes,
            found.lines.sel(net=net),
            radii,
            cutoff=config.cutoff,
            ceiling=min(config.line_ceiling, TOP * config.cutoff),
            colour=colour,
        )
        middle = f"median radius {float(radii.median()):.3g} of {config.num_directions} directions"
        if not np.isfinite(radii.values).any():
            middle = f"no basin: clean loss {found.of('clean_loss', net):.2g} is not below the cutoff"
        axes.set_title(f"{role} minimum ({how})\n{found.scores(net)}\n{middle}", color=colour, fontsize=7)
    seen = found.lines["loss"].values
    panels[0].set_ylim(bottom=0.7 * min(float(seen[seen > 0].min()), config.cutoff))
    panels[1].set_ylabel("")
    panels[1].text(
        0.98,
        config.cutoff * 1.08,
        f"cutoff {config.cutoff:g} nat",
        transform=panels[1].get_yaxis_transform(),
        ha="right",
        va="bottom",
        fontsize=6,
    ).set_in_layout(False)
    return figure
