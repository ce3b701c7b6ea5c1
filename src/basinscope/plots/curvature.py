"""Plots eigenvalues of the Hessian with their residuals, and the spectral density."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from basinscope.plots.compared import Named, Results, by_name, common_unit, with_unit
from basinscope.plots.legends import explain, faint_grid
from basinscope.plots.panels import AxesChoice, Panels, choose_axes, set_title
from basinscope.plots.scales import LOG_FROM, contain
from basinscope.plots.style import COLOURS

DECADES = 7
"""Powers of ten over which a density is drawn, below its maximum."""
_SCALED = {"plain": "", "filter": " scaled by filter norms"}
_STATUS = {1: "not converged", 2: "not checked for skipped ones"}


def curvature_panels(results: Results) -> Panels:
    """One panel for eigenvalues and, if estimated, one for the density."""
    dense = any(result.sizes["value"] for result in by_name(results).values())
    names = ("eigenvalues", "density") if dense else ("eigenvalues",)
    return Panels(names, columns=len(names), row_height=2.4)


def plot_curvature(
    results: Results, ax: AxesChoice, *, title: str | None = None, log: bool | None = None
) -> dict[str, list[Artist]]:
    """Draw eigenvalues with their residuals as error bars, the smallest hollow, and the density beside them.

    Args:
        results: A `curvature` dataset, or several by name of the network.
        ax: Axes for the eigenvalues and, if estimated, for the density.
        title: Replaces the default title of the first axes.
        log: Whether to draw eigenvalues on a log scale, linear around 0 if some are not positive; None chooses it if
            they span a factor of 30.

    Returns:
        Dots, bars, line and band of each network. The density has gaps where it is more than seven powers of ten below
        its maximum.

    Raises:
        InputError: Units differ, or the number of axes does not match the panels.
    """
    named = by_name(results)
    panels = choose_axes(ax, curvature_panels(named).names)
    unit = common_unit(named, "eigenvalue")
    ends = {prefix for result in named.values() for prefix in _ends(result)}
    values, residuals = (
        np.concatenate([result[end + name].values for result in named.values() for end in _ends(result)])
        for name in ("eigenvalue", "residual")
    )
    _scale(panels[0], values, residuals, log)
    artists: dict[str, list[Artist]] = {}
    for position, (colour, (name, result)) in enumerate(zip(COLOURS, named.items(), strict=False)):
        # Side by side, so that networks with similar eigenvalues do not overlap.
        aside = 0.12 * (position - (len(named) - 1) / 2)
        artists[name] = []
        for end in _ends(result):
            bars = panels[0].errorbar(
                result[f"{end}rank"].values + aside,
                result[f"{end}eigenvalue"].values,
                result[f"{end}residual"].values,
                fmt="o",
                color=colour,
                markersize=3,
                markerfacecolor="none" if end else None,
                elinewidth=1,
                capsize=2,
                label=None if end else _words(name, result),
            )
            artists[name] += [bars.lines[0], *bars.lines[1], *bars.lines[2]]
    contain(panels[0], np.concatenate([values - residuals, values + residuals]))
    panels[0].set_xlabel("rank" if len(ends) == 1 else "rank (hollow: smallest first)")
    panels[0].xaxis.set_major_locator(MaxNLocator(integer=True))
    panels[0].set_ylabel(with_unit("eigenvalue ± residual", unit))
    example = next(iter(named.values()))
    model, scale = example.attrs.get("model", ""), str(example.attrs.get("scale"))
    matrices = {_matrix(result) for result in named.values()}
    what = " and ".join(sorted(matrices)) + _SCALED.get(scale, f", {scale}")
    set_title(panels[0], f"{model}: {what}" if title is None else title)
    faint_grid(panels[0])
    if len(panels) > 1:
        _density(panels[1], named, artists)
    explain(panels)
    return artists


def _ends(result: xr.Dataset) -> list[str]:
    """Prefixes of the variables of each end of the spectrum that a result has."""
    return ["", "smallest_"] if "smallest_eigenvalue" in result else [""]


def _matrix(result: xr.Dataset) -> str:
    return "operator" if result.attrs.get("products") == "operator" else "Hessian"


def _words(name: str, result: xr.Dataset) -> str:
    trace, error = float(result["trace"]), float(result["trace_stderr"])
    words = f"{name or 'eigenvalues'}" + (f"; trace {trace:.3g} ± {error:.2g}" if np.isfinite(trace) else "")
    status = np.concatenate([result[f"{end}status"].values for end in _ends(result)])
    words += "".join(f"; {num} {what}" for code, what in _STATUS.items() if (num := int((status == code).sum())))
    # Results of earlier releases do not say how products were computed.
    products = str(result.attrs.get("products", ""))
    return words + (f"; {products}" if products not in ("", "second derivatives") else "")


def _scale(axes: Axes, values: np.ndarray, residuals: np.ndarray, log: bool | None) -> None:
    """Choose a scale that keeps every eigenvalue readable."""
    sizes = np.abs(values[np.isfinite(values) & (values != 0)])
    if log is False or not len(sizes) or (log is None and sizes.max() <= LOG_FROM * sizes.min()):
        return
    if (values - residuals > 0).all():
        axes.set_yscale("log")
        return
    # Linear around 0, from at most six powers of ten below the largest.
    linear = max(float(sizes.min()), 1e-6 * float(sizes.max()))
    axes.set_yscale("symlog", linthresh=10.0 ** np.floor(np.log10(linear)))
    axes.axhline(0, color="0.7", linewidth=0.5, zorder=0)


def _density(axes: Axes, named: Named, artists: dict[str, list[Artist]]) -> None:
    """Draw densities on a log scale; the legend is that of the eigenvalues."""
    having = {name: result for name, result in named.items() if result.sizes["value"]}
    foot = 10.0**-DECADES * max(float(result["density"].max()) for result in having.values())
    top = foot
    for colour, (name, result) in zip(COLOURS, named.items(), strict=False):
        if name not in having:
            continue
        value, density, stderr = (result[v].values for v in ("value", "density", "density_stderr"))
        shown = np.where(density >= foot, density, np.nan)
        artists[name] += axes.plot(value, shown, color=colour)
        low, high = np.maximum(density - stderr, foot), np.maximum(density + stderr, foot)
        band = axes.fill_between(value, low, high, where=density >= foot, color=colour, alpha=0.2, linewidth=0)
        artists[name].append(band)
        top = max(top, float(np.nanmax(high)))
    axes.set_yscale("log")
    axes.set_ylim(foot, 3 * top)
    axes.set_xlabel(with_unit("eigenvalue", common_unit(having, "value")))
    axes.set_ylabel(with_unit("density ± standard error", common_unit(having, "density")))
    set_title(axes, f"gaps: density below {foot:.0e}")
    faint_grid(axes)
