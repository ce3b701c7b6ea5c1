"""Figures 3, 5 and 6 and the animation of the swiss roll, drawn from stored results."""

from __future__ import annotations

import math
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from mpl_toolkits.mplot3d import Axes3D

from basinscope.experiments.relations import relations_figure
from basinscope.experiments.swissroll.collect import Measurements
from basinscope.plots.animate import Column, draw_frames, save_animation
from basinscope.plots.boundary import plot_boundary
from basinscope.plots.style import TWO_COLUMNS, save_figure, styled
from basinscope.plots.surface import ZScale, heights, plot_surface
from basinscope.runs import atomic

SURFACES, RELATIONS, BOUNDARIES = "3-swissroll", "5-swissroll", "6-swissroll"
MOVING = "3-swissroll-moving"
STEMS = (SURFACES, MOVING, RELATIONS, BOUNDARIES)
FLOOR = 1e-5
"""Lower losses, in nats, are drawn at this value on log scales."""


def draw(found: Measurements, out: Path) -> list[Path]:
    """Draw figures 3, 5 and 6 and the animation into a folder; return the files."""
    files: list[Path] = []
    with styled():
        for stem, drawn in ((SURFACES, _figure3), (RELATIONS, _figure5), (BOUNDARIES, _figure6)):
            figure = drawn(found)
            files += save_figure(figure, out / stem, atomic.write)
            plt.close(figure)
        files += _moving(found, out)
    return files


def _scores(found: Measurements, net: str) -> str:
    return found.scores(net, test="dense_accuracy", words="dense test")


def _limits(found: Measurements, scale: ZScale) -> tuple[float, float]:
    """Common height limits of all four surfaces."""
    drawn = np.concatenate([heights(s["loss"], scale, FLOOR).ravel() for s in (found.wide, found.inset)])
    top = float(np.nanmax(drawn[np.isfinite(drawn)]))
    return (0.0, top) if scale == "linear" else (math.log10(FLOOR), math.ceil(top))


def _figure3(found: Measurements) -> Figure:
    """Decision boundaries above; below, slices on linear and log scales, each with its centre enlarged."""
    figure = plt.figure(figsize=(TWO_COLUMNS, 8.1))
    figure.suptitle(f"Figure 3 · Good and bad minima of one network ({found.config.data})", y=0.995)
    for (role, net, colour, how), left in zip(found.pair, (0.0, 0.5), strict=True):
        axes = figure.add_axes((left + 0.06, 0.603, 0.38, 0.3237))
        plot_boundary(axes, found.boundary.sel(net=net), found.train)
        axes.set_title(f"{role} minimum ({how})\n{_scores(found, net)}", color=colour)
        if role == "good":
            axes.legend(loc="upper left", handletextpad=0.1, borderpad=0.2, frameon=True, framealpha=0.85)
        scales: tuple[ZScale, ...] = ("linear", "log")
        for scale, bottom in zip(scales, (0.335, 0.04), strict=True):
            limits = _limits(found, scale)
            wide = figure.add_axes((left - 0.005, bottom, 0.33, 0.25), projection="3d")
            inset = figure.add_axes((left + 0.335, bottom + 0.055, 0.155, 0.135), projection="3d")
            assert isinstance(wide, Axes3D)
            assert isinstance(inset, Axes3D)
            plot_surface(wide, found.wide.sel(net=net), limits=limits, scale=scale, floor=FLOOR)
            plot_surface(inset, found.inset.sel(net=net), limits=limits, scale=scale, floor=FLOOR, small=True)
            wide.set_title(f"{role}, {scale} scale", color=colour, y=0.97)
            inset.set_title(f"centre, ±{found.config.inset_extent:g}", fontsize=6, y=1.0)
    note = (
        "Surfaces: clean loss in the plane of two random, orthogonal, filter-normalised directions, "
        "the same for both networks; each row shares one height scale."
    )
    figure.text(0.5, 0.008, note, ha="center", fontsize=6, color="#555555")
    return figure


def _moving(found: Measurements, out: Path) -> list[Path]:
    """The animation of figure 3."""
    columns = [
        Column(
            title=f"{role} minimum",
            colour=colour,
            frames=found.frames.sel(net=net),
            line=found.line.sel(net=net).isel(ray=0),
        )
        for role, net, colour, _ in found.pair
    ]
    heading = f"Figure 3 · Weights pushed along a filter-normalised direction ({found.config.data})"
    pictures = draw_frames(columns, found.train, heading=heading, cutoff=found.config.cutoff)
    return save_animation(pictures, out / MOVING, atomic.write)


def _figure5(found: Measurements) -> Figure:
    return relations_figure(found.relations, found.config.data)


def _figure6(found: Measurements) -> Figure:
    count = len(found.panels)
    figure, grid = plt.subplots(2, 3, figsize=(TWO_COLUMNS, 5.1), layout="constrained")
    figure.suptitle(f"Figure 6 · Decision boundaries by generalisation gap ({found.config.data})")
    for axes, net in zip(grid.flat, found.panels, strict=False):
        plot_boundary(axes, found.boundary.sel(net=net), found.train, size=4.0)
        axes.set_title(f"gap {found.of('gap', net):.3f}\n{_scores(found, net)}", fontsize=6.5)
    for axes in grid.flat[count:]:
        axes.set_axis_off()
    return figure
