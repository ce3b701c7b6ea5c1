"""Plots losses and other metrics on planes through a network's weights, as maps with contours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap, Normalize
from matplotlib.contour import ContourSet

from basinscope.errors import InputError
from basinscope.plots.compared import Named, Results, all_facts, by_name, common_unit, with_unit
from basinscope.plots.legends import explain
from basinscope.plots.marks import draw_points
from basinscope.plots.panels import (
    SMALL,
    TITLE_SIZE,
    AxesChoice,
    Panels,
    choose_axes,
    figure_width,
    panel_grid,
    set_title,
    whole_figure,
)
from basinscope.plots.scales import common_norm, contour_levels
from basinscope.plots.slice1d import measured_metrics, metric_label
from basinscope.plots.style import SURFACE

Levels = int | Sequence[float]
_DIFFERS = 0.05
"""Relative difference between a point's own loss and the plane's above which it is noted."""


@dataclass(frozen=True)
class _Map:
    """One panel."""

    network: str
    metric: str
    name: str
    values: xr.DataArray


def slice2d_panels(results: Results, *, show: tuple[str, str] | None = None) -> Panels:
    """One panel per network, or one per data set and metric of each network."""
    named = by_name(results)
    maps = _maps(named, show)
    each = len(maps) // len(named)
    metrics = len({one.metric for one in maps})
    # For one network, data sets are rows and metrics are columns.
    rows, columns = (
        panel_grid(len(named)) if each == 1 else (each // metrics, metrics) if len(named) == 1 else (len(named), each)
    )
    spans = [[float(np.ptp(one.values[axis].values)) for axis in ("first", "second")] for one in maps]
    tallest = max((up / across if across else 1.0) for across, up in spans) if _equal(named) else 0.8
    inner = figure_width(columns) / columns - (1.05 if columns == 1 else 0.65)
    height = float(np.clip(inner * tallest, 0.8, 5.0)) + 0.75 + 0.3 * (metrics > 1)
    title = all_facts(named) if len(maps) > 1 else ""
    return Panels(tuple(one.name for one in maps), rows, columns, height, title=title)


def plot_slice2d(
    results: Results,
    ax: AxesChoice,
    *,
    title: str | None = None,
    log: bool | None = None,
    levels: Levels | None = None,
    cmap: str | Colormap | None = None,
    show: tuple[str, str] | None = None,
) -> dict[str, list[Artist]]:
    """Draw losses on planes, one panel per network, on one colour scale; values that are not finite are hatched.

    If further metrics were measured, there is one panel per data set and metric; `show` draws only the loss on the
    first data set, with contours of another pair.

    Args:
        results: A `slice2d` dataset, or several by name of the network.
        ax: One axes per panel, in order or by name.
        title: Title of each axes; default: the description, if there is one panel.
        log: Whether to colour losses on a log scale; None chooses it if they are positive and span a factor of 30.
        levels: Number of contours, or their values; default: ten between the ends of the colour scale.
        cmap: Colour map.
        show: Data set and metric of the contours, such as `("test", "error")`.

    Returns:
        The coloured map, contours and marks of each panel, by name.

    Raises:
        InputError: Units differ, the number of axes does not match the panels, or `show` was not measured.
    """
    named = by_name(results)
    layout = slice2d_panels(named, show=show)
    panels, maps = choose_axes(ax, layout.names), _maps(named, show)
    common_unit(named, "loss")
    metrics = list(dict.fromkeys(one.metric for one in maps))
    norms = {
        metric: common_norm(
            [one.values.values for one in maps if one.metric == metric], log if metric == "loss" else False
        )
        for metric in metrics
    }
    artists: dict[str, list[Artist]] = {}
    for axes, one in zip(panels, maps, strict=True):
        result, norm = named[one.network], norms[one.metric]
        lines = result["values"].sel(batches=show[0], metric=show[1]) if show else one.values
        scale = common_norm([lines.values], False) if show else norm
        # All panels have the same levels; each shows those in its range.
        artists[one.name] = _draw(axes, one.values, norm, cmap or SURFACE, lines, contour_levels(scale, levels))
        if show:  # no colour scale tells their values
            artists[one.name] += _label_contours(axes, artists[one.name])
        if _equal({"": result}):
            axes.set_aspect("equal")
        artists[one.name] += _draw_markers(axes, result)
        for label, axis in (("1", "first"), ("2", "second")):
            words = with_unit(f"direction {label}", str(result[axis].attrs["units"]))
            (axes.set_xlabel if axis == "first" else axes.set_ylabel)(words, fontsize=TITLE_SIZE)
        hatched = "" if np.isfinite(one.values.values).all() else "hatched: not finite"
        contours = f"contours: {' '.join(show)}" if show else ""
        above = title if title is not None else all_facts({"": result}) if len(maps) == 1 else ""
        words = (above, one.name) if title is not None else (one.name, above)
        set_title(
            axes, "\n".join(filter(None, (*words, hatched, contours))), size=SMALL if len(maps) > 1 else TITLE_SIZE
        )
    for metric in metrics:
        beside = [axes for axes, one in zip(panels, maps, strict=True) if one.metric == metric]
        location = "right" if len(metrics) == 1 else "bottom"
        bar = whole_figure(beside[0]).colorbar(
            ScalarMappable(norms[metric], cmap or SURFACE), ax=beside, shrink=0.85, location=location
        )
        bar.set_label(metric_label(named, metric))
    explain(panels, below=True)
    return artists


def _equal(named: Named) -> bool:
    """Whether both axes share a unit."""
    return all(r["first"].attrs.get("units") == r["second"].attrs.get("units") for r in named.values())


def _maps(named: Named, show: tuple[str, str] | None) -> list[_Map]:
    """List the maps, one per panel.

    Raises:
        InputError: `show` was not measured.
    """
    if show is not None:
        for result in named.values():
            pairs = (
                [(str(b), str(m)) for b in result["batches"].values for m in result["metric"].values]
                if "values" in result
                else []
            )
            if tuple(show) not in pairs:
                measured = ", ".join(map(str, pairs)) or "only the loss"
                raise InputError(f"plot: show={show!r} was not measured; choose from {measured}")
    metrics = measured_metrics(named)
    if show is not None or not all("values" in result for result in named.values()):
        return [_Map(name, "loss", name, result["loss"]) for name, result in named.items()]
    return [
        _Map(name, metric, (f"{name}: " if name else "") + f"{batches} {metric}", values)
        for name, result in named.items()
        for batches in result["batches"].values
        for metric in metrics
        for values in [result["values"].sel(batches=batches, metric=metric)]
    ]


def _draw(
    axes: Axes, values: xr.DataArray, norm: Normalize, cmap: str | Colormap, lines: xr.DataArray, levels: np.ndarray
) -> list[Artist]:
    """Draw a map and its contours."""
    first, second = values["first"].values, values["second"].values
    masked = np.ma.masked_invalid(values.transpose("second", "first").values)
    axes.set_facecolor("0.85")
    axes.patch.set(hatch="///", edgecolor="0.6")
    drawn: list[Artist] = [
        axes.pcolormesh(first, second, masked, cmap=cmap, norm=norm, shading="nearest", rasterized=True)
    ]
    heights = np.ma.masked_invalid(lines.transpose("second", "first").values)
    if heights.count():
        levels = levels[(levels > float(heights.min())) & (levels < float(heights.max()))]
        if len(levels):
            drawn.append(axes.contour(first, second, heights, levels=levels, colors="white", linewidths=0.5, alpha=0.7))
    return drawn


def _label_contours(axes: Axes, drawn: Sequence[Artist]) -> list[Artist]:
    """Write values on contours."""
    labels: list[Artist] = []
    for contours in drawn:
        if isinstance(contours, ContourSet):
            labels += axes.clabel(contours, fontsize=SMALL - 1, fmt="%.3g", inline_spacing=1)
    return labels


def _draw_markers(axes: Axes, result: xr.Dataset) -> list[Artist]:
    """Mark the network and other points; note a point's own loss or distance if it differs from the plane's."""
    if "marker" not in result:
        return draw_points(axes, ["model"], np.zeros(1), np.zeros(1), on_colours=True, notes={})
    names = [str(name) for name in result["marker"].values]
    x, y = result["marker_first"].values, result["marker_second"].values
    notes: dict[int, str] = {}
    for k in range(1, len(names)):
        away = float(result["marker_away"].values[k])
        if "marker_loss" in result:
            own = float(result["marker_loss"].values[k])
            there = float(result["loss"].sel(first=x[k], second=y[k], method="nearest"))
            around = result["loss"].interp(first=x[k], second=y[k])
            there = float(around) if np.isfinite(float(around)) else there
            if np.isfinite(own) and abs(own - there) > _DIFFERS * max(abs(own), abs(there)):
                notes[k] = f"own loss {own:.2g}"
        elif away > _DIFFERS * float(np.hypot(np.ptp(result["first"].values), np.ptp(result["second"].values))):
            notes[k] = f"{away:.2g} off the plane"
    return draw_points(axes, names, x, y, on_colours=True, notes=notes)
