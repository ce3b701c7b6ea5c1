"""Plots losses and other metrics along straight lines through a network's weights."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import xarray as xr
from matplotlib.artist import Artist
from matplotlib.axes import Axes

from basinscope.plots.compared import Named, Results, all_facts, by_name, common_unit, with_unit
from basinscope.plots.legends import explain, faint_grid
from basinscope.plots.marks import mark_missing
from basinscope.plots.panels import SMALL, AxesChoice, Panels, choose_axes, set_title
from basinscope.plots.scales import is_log
from basinscope.plots.style import COLOURS, FAINT, INK

_STYLES = ("-", "--", ":", "-.")


def measured_metrics(named: Named) -> tuple[str, ...]:
    """Names of the metrics in all results; only the loss if some result has no others."""
    if not all("values" in result for result in named.values()):
        return ("loss",)
    first, *others = ([str(metric) for metric in result["metric"].values] for result in named.values())
    return tuple(metric for metric in first if all(metric in other for other in others))


def metric_label(named: Named, metric: str) -> str:
    """Label of an axis or colour scale: the metric and, for the loss, its unit."""
    return with_unit(metric, common_unit(named, "loss") if metric == "loss" else "")


def slice1d_panels(results: Results) -> Panels:
    """One panel per metric, one below another."""
    metrics = measured_metrics(by_name(results))
    return Panels(metrics, rows=len(metrics), row_height=2.5 if len(metrics) == 1 else 1.8)


def plot_slice1d(
    results: Results, ax: AxesChoice, *, title: str | None = None, log: bool | None = None
) -> dict[str, list[Artist]]:
    """Draw losses along lines; values that are not finite leave a gap, marked at the top.

    Colours show networks, line styles directions. If further metrics were measured, each has its own axes; colours then
    show data sets for one network, line styles for several.

    Args:
        results: A `slice1d` dataset, or several by name of the network.
        ax: One axes per metric, in order or by name.
        title: Replaces the default title of the first axes.
        log: Whether to draw losses on a log scale; None chooses it if they are positive and span a factor of 30.

    Returns:
        The lines of each network and their marks.

    Raises:
        InputError: Units differ, or the number of axes does not match the metrics.
    """
    named = by_name(results)
    metrics = slice1d_panels(named).names
    panels = choose_axes(ax, metrics)
    artists: dict[str, list[Artist]] = {name: [] for name in named}
    for axes, metric in zip(panels, metrics, strict=True):
        lines = list(_lines(named, metric))
        if is_log(np.concatenate([line.values for *_, line in lines]), log if metric == "loss" else False):
            axes.set_yscale("log")
        for name, label, colour, style, line in lines:
            distance, values = line["distance"].values, line.values
            artists[name] += axes.plot(distance, values, style, color=colour, label=label)
            artists[name] += mark_missing(axes, distance[~np.isfinite(values)], colour)
        if metric == "loss":
            for name, result in named.items():
                if result.attrs.get("directions") == "between":
                    artists[name] += _mark_ends(axes, result)
        axes.set_ylabel(metric_label(named, metric))
        faint_grid(axes)
    panels[-1].set_xlabel(with_unit("distance along the direction", common_unit(named, "distance")))
    several = max(result.sizes["ray"] for result in named.values()) > 1
    directions = len(named) == 1 or not any("values" in result for result in named.values())
    styles = "\none line style per direction" if several and directions else ""
    set_title(panels[0], all_facts(named) + styles if title is None else title)
    between = any(result.attrs.get("directions") == "between" for result in named.values())
    explain(panels, below=between)
    return artists


def _lines(named: Named, metric: str) -> Iterator[tuple[str, str | None, str, str, xr.DataArray]]:
    """Yield each line with its network, label, colour and style."""
    for colour, (name, result) in zip(COLOURS, named.items(), strict=False):
        if "values" not in result:
            for k, line in enumerate(result["loss"].transpose("ray", "distance")):
                yield name, name if name and not k else None, colour, _STYLES[k % 4], line
            continue
        for j, batches in enumerate(result["batches"].values):
            words = f"{name}: {batches}" if name else str(batches)
            lines = result["values"].sel(batches=batches, metric=metric).transpose("ray", "distance")
            for k, line in enumerate(lines):
                shade = COLOURS[j % len(COLOURS)] if len(named) == 1 else colour
                style = _STYLES[(k if len(named) == 1 else j) % 4]
                yield name, None if k else words, shade, style, line


def _mark_ends(axes: Axes, result: xr.Dataset) -> list[Artist]:
    """Mark the network and the other minimum on a line, and the latter's own loss if known."""
    artists: list[Artist] = []
    distance = result["distance"].values
    for position, word in ((0.0, "network"), (1.0, "other minimum")):
        artists.append(axes.axvline(position, color=FAINT, linewidth=0.8, linestyle=":"))
        right = position > distance[0] + 0.75 * (distance[-1] - distance[0])
        words = axes.annotate(
            word,
            (position, 0.97),
            (-3 if right else 3, 0),
            xycoords=axes.get_xaxis_transform(),
            textcoords="offset points",
            fontsize=SMALL,
            color=INK,
            va="top",
            ha="right" if right else "left",
        )
        artists.append(words)
    if "other_loss" in result.attrs:
        own, words = float(result.attrs["other_loss"]), "other minimum's own loss"
        artists += axes.plot([1.0], [own], "o", color=FAINT, markeredgecolor=INK, markersize=4, label=words)
    return artists
