"""Any result around anyone's network as a figure; several of one kind side by side on one scale."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.ticker import FuncFormatter

from basinscope.errors import InputError
from basinscope.plots.relation import CLOSE, plain_tick
from basinscope.plots.style import BAD, FAINT, GOOD, INK, ONE_COLUMN, SURFACE, TWO_COLUMNS, styled

COLOURS = (GOOD, BAD, "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
"""Networks that are compared; after Okabe and Ito 2008."""
PATHS = ("white", "#56B4E9", "#E69F00", "#CC79A7", "#009E73", "#F0E442")
"""Paths on one plane; after Okabe and Ito 2008."""
LOG_FROM = 30.0
"""Ratio of losses from which on they are drawn on a log scale."""
FLOOR = 1e-12
NOT_OK = {1: "unbounded", 2: "not a number", 3: "not closed"}
"""Codes of rays without a radius, in words."""
Results = Mapping[str, xr.Dataset]


def plot(results: xr.Dataset | Results, *, log: bool | None = None, surface: bool = False) -> Figure:
    """Draw a result, or several of one kind on one scale.

    Args:
        results: What a verb returned; or results by the name of their network.
        log: Whether losses are drawn on a log scale; None takes it where they are positive and span a factor of 30.
        surface: Draw planes as surfaces in three dimensions.

    Returns:
        A figure of its own, not shown: `figure.savefig("slice.png")`.

    Raises:
        InputError: There is nothing to draw, kinds are mixed, or units or the sizes of balls differ.
    """
    named = {"": results} if isinstance(results, xr.Dataset) else results
    if not (isinstance(named, Mapping) and all(isinstance(found, xr.Dataset) for found in named.values())):
        raise InputError("plot: give a result, or several by name: plot({'good': one, 'bad': other})")
    kinds = {str(found.attrs.get("kind")) for found in named.values()}
    if len(kinds) != 1:
        raise InputError(f"plot: give results of one kind, not {', '.join(sorted(kinds)) or 'none'}")
    (kind,) = kinds
    if kind not in DRAWN:
        raise InputError(f"plot: {kind} is not drawn; choose from {', '.join(DRAWN)}")
    if surface and kind != "slice2d":
        raise InputError(f"plot: surface=True is for planes, not for {kind}")
    if len(named) > len(COLOURS):
        raise InputError(f"plot: {len(named)} results in one figure are too many; at most {len(COLOURS)}")
    with styled():
        return (_draw_surfaces if surface else DRAWN[kind])(named, log)


def _with_unit(name: str, unit: str) -> str:
    return f"{name} [{unit}]" if unit else name


def _common(results: Results, variable: str) -> str:
    """The unit that a variable has in all results."""
    units = {str(found[variable].attrs.get("units", "")) for found in results.values()}
    if len(units) != 1:
        raise InputError(f"plot: {variable} is given in {' and in '.join(sorted(units))}; these do not compare")
    return units.pop()


def _logarithmic(values: np.ndarray, log: bool | None) -> bool:
    known = values[np.isfinite(values)]
    if log is not None or not len(known):
        return bool(log)
    return bool(known.min() > 0 and known.max() / known.min() > LOG_FROM)


_SHORT, _FEW = 28, 3
"""Letters and lines up to which a legend has room within its axes."""
_LETTERS_AN_INCH = 21
"""Of the type of a legend below."""
_TICK = 14
"""Letters of a name in a line below its tick."""


def _finish(axes: Axes) -> None:
    axes.grid(axis="y", color=FAINT, alpha=0.2, linewidth=0.5)
    _explain(axes)


def _explain(axes: Axes) -> None:
    """Add a legend: within the axes where it is small, else below the figure, where it hides nothing."""
    handles, labels = axes.get_legend_handles_labels()
    if not labels:
        return
    if len(labels) <= _FEW and max(map(len, labels)) <= _SHORT:
        axes.legend()
        return
    figure = axes.figure
    assert isinstance(figure, Figure)
    columns = max(1, min(len(labels), int(figure.get_figwidth() * _LETTERS_AN_INCH / (6 + max(map(len, labels))))))
    figure.legend(handles, labels, loc="outside lower center", fontsize=5.5, ncols=columns)
    # Higher by what the legend takes, so that the axes keep their size.
    figure.set_figheight(figure.get_figheight() + 0.13 * -(-len(labels) // columns) + 0.08)


def _below_ticks(names: list[str]) -> list[str]:
    """Break names behind their hyphens, underscores and blanks into lines that fit side by side."""

    def broken(name: str) -> str:
        lines = [""]
        for piece in re.findall(rf"[^-_ ]{{1,{_TICK}}}[-_ ]*|[-_ ]+", name):
            if len(lines[-1] + piece.rstrip()) > _TICK and lines[-1]:
                lines.append("")
            lines[-1] += piece
        return "\n".join(lines)

    return [broken(name) for name in names]


def _mark_missing(axes: Axes, places: np.ndarray, colour: str) -> None:
    """Mark at the top what has no place in the picture; explain the mark once."""
    if not len(places):
        return
    told = "not finite"
    label = None if told in axes.get_legend_handles_labels()[1] else told
    heights, transform = np.full(len(places), 0.98), axes.get_xaxis_transform()
    axes.plot(places, heights, "x", color=colour, markersize=3, transform=transform, label=label)


_NORMALIZED = {"filter": "filter-normalised", "layer": "layer-normalised", "sphere": "of length 1"}
_WAYS = {
    "hessian": "eigenvectors of largest curvature",
    "between": "to other minima",
    "pca": "main axes of the marked points",
}


def _title(found: xr.Dataset) -> str:
    """What was moved and how: belongs beside every picture."""
    facts = found.attrs
    way = _WAYS.get(str(facts.get("directions")))
    if way is None:
        way = f"random directions, {_NORMALIZED.get(str(facts.get('scheme')), facts.get('scheme'))}"
    return f"{facts.get('model', '')}, {int(facts.get('num_moved', 0)):,} moved entries\n{way}"


def _models(results: Results) -> str:
    """What was moved, without how."""
    words = (
        f"{f.attrs.get('model', '')}, {int(f.attrs.get('num_moved', 0)):,} moved entries" for f in results.values()
    )
    return "\n".join(dict.fromkeys(words))


def _titles(results: Results) -> str:
    """The titles of all results, each once."""
    return "\n".join(dict.fromkeys(_title(found) for found in results.values()))


def _draw_lines(results: Results, log: bool | None) -> Figure:
    """Losses along lines; what is not finite leaves a gap, marked at the top."""
    figure = Figure(figsize=(ONE_COLUMN, 2.5), layout="constrained")
    axes = figure.subplots()
    losses = np.concatenate([found["loss"].values.ravel() for found in results.values()])
    if _logarithmic(losses, log):
        axes.set_yscale("log")
    for colour, (name, found) in zip(COLOURS, results.items(), strict=False):
        distance = found["distance"].values
        if found.attrs.get("directions") == "between":
            _mark_ends(axes, found)
        for place, line in enumerate(found["loss"].values):
            style = ("-", "--", ":", "-.")[place % 4]
            axes.plot(distance, line, style, color=colour, label=name if name and not place else None)
            _mark_missing(axes, distance[~np.isfinite(line)], colour)
    axes.set_xlabel(_with_unit("distance along the direction", _common(results, "distance")))
    axes.set_ylabel(_with_unit("loss", _common(results, "loss")))
    several = max(found.sizes["ray"] for found in results.values()) > 1
    axes.set_title(_titles(results) + ("; one line style a direction" if several else ""), fontsize=6.5)
    _finish(axes)
    return figure


def _mark_ends(axes: Axes, found: xr.Dataset) -> None:
    """Mark where the network and the other minimum lie on a line, and the latter's own loss where it is known."""
    for place, word in ((0.0, "network"), (1.0, "other minimum")):
        axes.axvline(place, color=FAINT, linewidth=0.8, linestyle=":")
        axes.annotate(
            word,
            (place, 0.97),
            (3, 0),
            xycoords=axes.get_xaxis_transform(),
            textcoords="offset points",
            fontsize=5.5,
            color=INK,
            va="top",
        )
    if "other_loss" in found.attrs:
        own = float(found.attrs["other_loss"])
        axes.plot(
            [1.0], [own], "o", color=FAINT, markeredgecolor=INK, markersize=4, label="the other minimum's own loss"
        )


def _draw_curves(results: Results, log: bool | None) -> Figure:
    """Losses along fitted curves and, dashed, along the straight lines beside them."""
    figure = Figure(figsize=(ONE_COLUMN, 2.5), layout="constrained")
    axes = figure.subplots()
    both = ("loss", "straight_loss")
    if _logarithmic(np.concatenate([found[v].values for found in results.values() for v in both]), log):
        axes.set_yscale("log")
    for colour, (name, found) in zip(COLOURS, results.items(), strict=False):
        for variable, style, words in zip(both, ("-", "--"), ("fitted curve", "straight line"), strict=True):
            place, loss = found["place"].values, found[variable].values
            axes.plot(place, loss, style, color=colour, label=f"{name}: {words}" if name else words)
            _mark_missing(axes, place[~np.isfinite(loss)], colour)
        own = float(found["other_loss"])
        words = f"{name}: the other's own loss" if name else "the other's own loss"
        axes.plot([1.0], [own], "o", color=colour, markeredgecolor=INK, markersize=4, label=words)
    axes.set_title(_models(results), fontsize=6.5)
    axes.set_xlabel("place on the way from the network (0) to the other minimum (1)")
    axes.set_ylabel(_with_unit("loss", _common(results, "loss")))
    _finish(axes)
    return figure


def _width(columns: int) -> float:
    """Width in inches of a figure with so many panels beside each other."""
    return ONE_COLUMN if columns == 1 else TWO_COLUMNS


def _panels(num: int) -> tuple[int, int]:
    """Rows and columns of a figure with a panel for each network."""
    columns = min(2, num) if num in (2, 4) else min(3, num)
    return -(-num // columns), columns


def _common_scale(results: Results, log: bool | None) -> Normalize:
    """One scale for the losses of all results."""
    losses = np.concatenate([found["loss"].values.ravel() for found in results.values()])
    known = losses[np.isfinite(losses)]
    logarithmic = _logarithmic(losses, log)
    # Only what is above 0 has a place on a log scale.
    known = known[known > 0] if logarithmic else known
    low, high = (float(known.min()), float(known.max())) if len(known) else (0.5, 1.0)
    return LogNorm(low, high) if logarithmic else Normalize(low, high)


def _draw_surfaces(results: Results, log: bool | None) -> Figure:
    """Losses on planes as surfaces, one panel a network, one scale; what is not finite leaves a hole."""
    rows, columns = _panels(len(results))
    figure = Figure(figsize=(_width(columns), 2.6 * rows), layout="constrained")
    norm = _common_scale(results, log)
    label, logarithmic = _with_unit("loss", _common(results, "loss")), isinstance(norm, LogNorm)
    low, high = float(norm.vmin or 0), float(norm.vmax or 1)
    limits = (math.log10(low), math.log10(high)) if logarithmic else (low, high)
    limits = limits if limits[0] < limits[1] else (limits[0] - 0.5, limits[1] + 0.5)
    for place, (name, found) in enumerate(results.items()):
        axes: Any = figure.add_subplot(rows, columns, place + 1, projection="3d")
        a, b = np.meshgrid(found["first"].values, found["second"].values, indexing="ij")
        loss = found["loss"].transpose("first", "second").values.astype(float)
        loss[~np.isfinite(loss)] = np.nan
        z = np.log10(np.clip(loss, low, None)) if logarithmic else loss
        axes.plot_surface(a, b, z, cmap=SURFACE, norm=Normalize(*limits), rcount=101, ccount=101, linewidth=0)
        axes.set_zlim(*limits)
        axes.view_init(elev=28, azim=-58)
        axes.set_box_aspect((1, 1, 0.8), zoom=0.85)
        axes.tick_params(labelsize=5, pad=-2)
        if logarithmic:
            powers = list(range(math.ceil(limits[0]), math.floor(limits[1]) + 1))
            axes.zaxis.set_ticks(powers, [f"$10^{{{power}}}$" for power in powers])
        axes.set_xlabel(_with_unit("direction 1", str(found["first"].attrs["units"])), fontsize=5.5, labelpad=-3)
        axes.set_ylabel(_with_unit("direction 2", str(found["second"].attrs["units"])), fontsize=5.5, labelpad=-3)
        axes.set_zlabel(label, fontsize=5.5, labelpad=-3)
        holes = "" if np.isfinite(found["loss"].values).all() else "\nholes: not finite"
        axes.set_title((f"{name}\n" if name else "") + _title(found) + holes, fontsize=5.5)
    return figure


def _draw_planes(results: Results, log: bool | None) -> Figure:
    """Losses on planes, one panel a network, one colour scale; what is not finite is hatched."""
    num, (rows, columns) = len(results), _panels(len(results))
    figure = Figure(figsize=(_width(columns), 2.5 * rows), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    norm = _common_scale(results, log)
    for axes, (name, found) in zip(panels, results.items(), strict=False):
        _draw_plane(axes, found, norm)
        hatched = "" if np.isfinite(found["loss"].values).all() else "\nhatched: not finite"
        axes.set_title((f"{name}\n" if name else "") + _title(found) + hatched, fontsize=5.5)
    for axes in panels[num:]:
        axes.set_visible(False)
    bar = figure.colorbar(ScalarMappable(norm, SURFACE), ax=list(panels[:num]), shrink=0.85)
    bar.set_label(_with_unit("loss", _common(results, "loss")))
    return figure


def _draw_plane(axes: Axes, found: xr.Dataset, norm: Normalize) -> None:
    first, second = found["first"].values, found["second"].values
    loss = np.ma.masked_invalid(found["loss"].transpose("second", "first").values)
    axes.set_facecolor("0.85")
    axes.patch.set(hatch="///", edgecolor="0.6")
    axes.pcolormesh(first, second, loss, cmap=SURFACE, norm=norm, shading="nearest", rasterized=True)
    if loss.count():
        spaced = np.geomspace if isinstance(norm, LogNorm) else np.linspace
        # All networks have the same levels; one shows those that it reaches.
        levels = spaced(float(norm.vmin or 0), float(norm.vmax or 0), 12)[1:-1]
        levels = np.unique(levels[(levels > float(loss.min())) & (levels < float(loss.max()))])
        if len(levels):
            axes.contour(first, second, loss, levels=levels, colors="white", linewidths=0.5, alpha=0.7)
    _draw_markers(axes, found)
    axes.set_xlabel(_with_unit("direction 1", str(found["first"].attrs["units"])), fontsize=6.5)
    axes.set_ylabel(_with_unit("direction 2", str(found["second"].attrs["units"])), fontsize=6.5)


def _draw_markers(axes: Axes, found: xr.Dataset) -> None:
    """Mark the network and other points; points of one name are a path, in their order."""
    names = [str(name) for name in found["marker"].values]
    x, y = found["marker_first"].values, found["marker_second"].values
    paths = _draw_points(axes, names, x, y, on_surface=True)
    if paths and len(set(names[1:])) > 1:
        axes.legend(frameon=True, facecolor="0.3", labelcolor="white", framealpha=0.8, fontsize=5.5)


def _draw_points(axes: Axes, names: list[str], x: np.ndarray, y: np.ndarray, *, on_surface: bool) -> bool:
    """Draw the network as a star and other points around it; return whether some are paths."""
    ink, alone = ("white", "white") if on_surface else (INK, FAINT)
    outline = [withStroke(linewidth=1.6, foreground=INK)] if on_surface else []
    groups = {name: [k for k, other in enumerate(names) if k and other == name] for name in names[1:]}
    paths = False
    for (name, chosen), colour in zip(groups.items(), itertools.cycle(PATHS if on_surface else COLOURS)):
        path = len(chosen) > 1
        paths |= path
        axes.plot(
            x[chosen],
            y[chosen],
            "o-" if path else "o",
            color=colour if path else alone,
            markeredgecolor=INK,
            markersize=3,
            linewidth=1.0,
            label=name if path else None,
        )
        if not path:
            place = ((x[chosen[0]], y[chosen[0]]), (4, 4))
            axes.annotate(name, *place, textcoords="offset points", fontsize=5.5, color=ink, path_effects=outline)
    axes.plot(x[0], y[0], "*", color=BAD if on_surface else "white", markeredgecolor=INK, markersize=7)
    if len(names) > 1:
        place = ((x[0], y[0]), (4, -9))
        axes.annotate(names[0], *place, textcoords="offset points", fontsize=5.5, color=ink, path_effects=outline)
    return paths


def _draw_maps(results: Results, log: bool | None) -> Figure:
    """Maps of points, one panel each: places say which are neighbours, axes have no unit."""
    del log
    num = len(results)
    figure = Figure(figsize=(_width(num), 3.2), layout="constrained")
    for axes, (name, found) in zip(figure.subplots(1, num, squeeze=False)[0], results.items(), strict=True):
        x, y = found["x"].values, found["y"].values
        if _draw_points(axes, [str(marker) for marker in found["marker"].values], x, y, on_surface=False):
            axes.legend(fontsize=5.5)
        kept = float(found["explained_variance"])
        words = f"t-SNE of {len(x)} points; components before it keep {kept:.0%} of the variance"
        axes.set_title((f"{name}\n" if name else "") + words, fontsize=6.5)
        axes.set_xlabel("t-SNE 1 (no unit: neighbourhoods count, distances do not)", fontsize=5.5)
        axes.set_ylabel("t-SNE 2", fontsize=5.5)
        axes.set_xticks([])
        axes.set_yticks([])
    return figure


def _draw_radii(results: Results, log: bool | None) -> Figure:
    """Share of the rays whose radius is at most so long."""
    del log
    figure = Figure(figsize=(ONE_COLUMN, 2.5), layout="constrained")
    axes = figure.subplots()
    ends: list[float] = []
    for colour, (name, found) in zip(COLOURS, results.items(), strict=False):
        status = found["status"].values
        # A ray that never crosses reaches farther than all others; of the rest without a radius nothing is known.
        radius = np.sort(found["radius"].values[status == 0])
        reach = np.concatenate([radius, np.full((status == 1).sum(), np.inf)])
        notes = [f"{num} {what}" for code, what in NOT_OK.items() if (num := int((status == code).sum()))]
        total = found.sizes["ray"]
        words = f"{name or 'rays'}: n = {total}" + "".join(f", {note}" for note in notes)
        steps = np.concatenate([radius[:1], radius])
        axes.step(steps, np.arange(len(steps)) / total, where="post", color=colour, label=words)
        if len(reach) and np.isfinite(np.median(reach)):
            axes.axvline(float(np.median(reach)), color=colour, linewidth=0.8, linestyle=":")
        ends += [float(end) for end in (*radius[:1], *radius[-1:])]
    if ends and max(ends) > CLOSE * min(ends):
        axes.set_xscale("log")
        for formatter in (axes.xaxis.set_major_formatter, axes.xaxis.set_minor_formatter):
            formatter(FuncFormatter(lambda tick, _: plain_tick(tick, (1, 2, 5))))
    axes.set_ylim(0, 1.02)
    axes.set_xlabel(_with_unit("radius", _common(results, "radius")))
    axes.set_ylabel("share of directions with a smaller radius")
    if not ends:
        axes.text(0.5, 0.5, "no ray has a radius", transform=axes.transAxes, ha="center", color=INK)
        axes.set_xticks([])
    axes.set_title(f"{_titles(results)}\n{_bound(results)}; dotted: median", fontsize=6.5)
    _finish(axes)
    return figure


def _draw_volumes(results: Results, log: bool | None) -> Figure:
    """Log-volumes beside the mean of n·log r, which compares also where few rays decide the volume."""
    del log
    figure = Figure(figsize=(_width(-(-len(results) // 3)), 2.4), layout="constrained")
    axes = figure.subplots()
    for place, (colour, found) in enumerate(zip(COLOURS, results.values(), strict=False)):
        first, bound = place == 0, int(found["status"]) == 1
        mean, error = float(found["mean_n_log_r"]), float(found["mean_n_log_r_stderr"])
        axes.errorbar(
            [place - 0.15],
            [mean],
            [error],
            fmt="s",
            color=colour,
            markersize=3,
            capsize=2,
            label="mean of n·log r ± standard error" if first else None,
        )
        volume = float(found["log_volume"])
        axes.plot([place + 0.15], [volume], "^" if bound else "o", color=colour, markersize=5)
        rays = f"{float(found['effective_rays']):.1f} of {int(found['num_rays'])} rays"
        words = f"≥, {rays}" if bound else rays
        axes.annotate(words, (place + 0.15, volume), (0, 7), textcoords="offset points", fontsize=5, ha="center")
    example = next(iter(results.values()))
    for code, marker, words in ((1, "^", ", a lower bound"), (0, "o", "")):
        if any(int(found["status"]) == code for found in results.values()):
            axes.plot([], [], marker, color=INK, label=f"log-volume, log ω_n + log E[rⁿ]{words}")
    names = [name or str(example.attrs.get("model", "")) for name in results]
    axes.set_xticks(range(len(results)), _below_ticks(names))
    axes.set_xlim(-0.6, len(results) - 0.4)
    axes.set_ylabel("size of the basin [nat]")
    axes.set_title("effective rays beside each log-volume", fontsize=6.5)
    axes.margins(y=0.2)
    axes.grid(axis="y", color=FAINT, alpha=0.2, linewidth=0.5)
    # Below: within the axes its markers could be taken for data.
    figure.legend(loc="outside lower center", fontsize=5.5)
    return figure


def _bound(results: Results) -> str:
    """What bounds the basins, in words."""
    unit = _common(results, "cutoff")
    cutoffs = np.array([float(found["cutoff"]) for found in results.values()])
    rises = cutoffs - np.array([float(found["center_loss"]) for found in results.values()])
    for word, heights in (("cutoff", cutoffs), ("rise", rises)):
        if np.allclose(heights, heights[0], rtol=1e-6, atol=0):
            return f"{word} {heights[0]:.3g} {unit}".strip()
    return f"cutoffs {cutoffs.min():.3g} to {cutoffs.max():.3g} {unit}".strip()


def _draw_curvature(results: Results, log: bool | None) -> Figure:
    """Eigenvalues with their residuals as bars; the density beside them where it was estimated."""
    del log
    dense = any(found.sizes["value"] for found in results.values())
    figure = Figure(figsize=(_width(1 + dense), 2.4), layout="constrained")
    panels = np.atleast_1d(figure.subplots(1, 1 + dense))
    unit = _common(results, "eigenvalue")
    for colour, (name, found) in zip(COLOURS, results.items(), strict=False):
        trace, error = float(found["trace"]), float(found["trace_stderr"])
        words = f"{name or 'eigenvalues'}" + (f"; trace {trace:.3g} ± {error:.2g}" if np.isfinite(trace) else "")
        words += f"; {num} not converged" if (num := int((found["status"].values != 0).sum())) else ""
        panels[0].errorbar(
            found["rank"].values,
            found["eigenvalue"].values,
            found["residual"].values,
            fmt="o",
            color=colour,
            markersize=3,
            elinewidth=1,
            capsize=2,
            label=words,
        )
        if found.sizes["value"]:
            value, density, stderr = (found[v].values for v in ("value", "density", "density_stderr"))
            # The legend of the other panel tells whose colour it is.
            panels[-1].plot(value, np.maximum(density, FLOOR), color=colour)
            low, high = np.maximum(density - stderr, FLOOR), np.maximum(density + stderr, FLOOR)
            panels[-1].fill_between(value, low, high, color=colour, alpha=0.2, linewidth=0)
    panels[0].set_xlabel("rank")
    panels[0].xaxis.get_major_locator().set_params(integer=True)
    panels[0].set_ylabel(_with_unit("eigenvalue ± residual", unit))
    example = next(iter(results.values()))
    ways = {"plain": "Hessian", "filter": "Hessian scaled by filter norms"}
    model, scale = example.attrs.get("model", ""), str(example.attrs.get("scale"))
    panels[0].set_title(f"{model}: {ways.get(scale, scale)}", fontsize=6.5)
    _finish(panels[0])
    if dense:
        panels[-1].set_yscale("log")
        tops = [float(found["density"].max()) for found in results.values() if found.sizes["value"]]
        panels[-1].set_ylim(1e-7 * max(tops), 3 * max(tops))
        panels[-1].set_xlabel(_with_unit("eigenvalue", unit))
        panels[-1].set_ylabel(_with_unit("density ± standard error", _common(results, "density")))
        _finish(panels[-1])
    return figure


def _draw_balls(results: Results, log: bool | None) -> Figure:
    """Rises of the loss in a ball: every ascent, the largest, and the mean over random points."""
    figure = Figure(figsize=(_width(-(-len(results) // 3)), 2.4), layout="constrained")
    axes = figure.subplots()
    radii = sorted({float(found["rho"]) for found in results.values()})
    unit = _common(results, "rho")
    if len(radii) > 1:
        raise InputError(f"plot: balls of rho = {' and '.join(f'{rho:g}' for rho in radii)} do not compare")
    values = np.concatenate([[*found["rise"].values, float(found["average"])] for found in results.values()])
    if _logarithmic(values, log):
        axes.set_yscale("log")
    for place, (colour, found) in enumerate(zip(COLOURS, results.values(), strict=False)):
        first, rises = place == 0, found["rise"].values
        axes.plot(
            np.full(len(rises), place - 0.15),
            rises,
            "o",
            color=colour,
            markersize=3,
            alpha=0.5,
            label="each ascent" if first else None,
        )
        axes.plot(
            [place - 0.15],
            [float(found["worst"])],
            "_",
            color=colour,
            markersize=13,
            markeredgewidth=2,
            label="worst found" if first else None,
        )
        _mark_missing(axes, np.full((~np.isfinite(rises)).sum(), place - 0.15), colour)
        axes.errorbar(
            [place + 0.15],
            [float(found["average"])],
            [float(found["average_stderr"])],
            fmt="s",
            color=colour,
            markersize=3,
            capsize=2,
            label="mean ± standard error" if first else None,
        )
    example = next(iter(results.values()))
    names = [name or str(example.attrs.get("model", "")) for name in results]
    axes.set_xticks(range(len(results)), _below_ticks(names))
    axes.set_xlim(-0.6, len(results) - 0.4)
    axes.set_ylabel(_with_unit("rise of the loss", _common(results, "worst")))
    axes.set_title(f"within a ball, ρ = {radii[0]:g} {unit}", fontsize=6.5)
    _finish(axes)
    return figure


DRAWN: Mapping[str, Callable[[Results, bool | None], Figure]] = {
    "slice1d": _draw_lines,
    "slice2d": _draw_planes,
    "curve": _draw_curves,
    "radius": _draw_radii,
    "volume": _draw_volumes,
    "curvature": _draw_curvature,
    "sharpness": _draw_balls,
    "weight_map": _draw_maps,
}
