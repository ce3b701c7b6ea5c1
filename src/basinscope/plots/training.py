"""Plots curvature and loss during training, with the largest eigenvalue at which the optimizer is stable."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.artist import Artist
from matplotlib.axes import Axes

from basinscope.plots.compared import Named, Results, by_name, common_unit, with_unit
from basinscope.plots.legends import explain, faint_grid
from basinscope.plots.marks import mark_missing
from basinscope.plots.panels import AxesChoice, Panels, choose_axes, is_own, set_title
from basinscope.plots.scales import contain, is_log
from basinscope.plots.style import COLOURS, INK

_VARIABLES = {
    "top eigenvalue": ("top_eigenvalue",),
    "trace": ("trace",),
    "sharpness": ("worst_sharpness", "average_sharpness"),
    "loss": ("loss",),
}
"""Variables of each panel."""
_ERRORS = {"trace": "trace_stderr", "average_sharpness": "average_sharpness_stderr"}
_LABELS = {"sharpness": "rise of the loss in a ball"}
_STYLES = {"worst_sharpness": ("-", "worst found"), "average_sharpness": ("--", "average ± standard error")}
_DOTS = 60
"""Largest number of measurements that are marked by dots."""
_IN_VIEW = 3.0
"""Multiple of the largest eigenvalue up to which the limit is in view."""


def training_panels(results: Results) -> Panels:
    """One panel per quantity, one below another; the loss and further numbers come last."""
    named = by_name(results)
    names = [name for name, parts in _VARIABLES.items() if any(part in r for r in named.values() for part in parts)]
    further = (str(name) for result in named.values() if "probe" in result for name in result["probe"].values)
    names += [name for name in dict.fromkeys(further) if name not in names]
    return Panels(tuple(names), rows=len(names), row_height=2.5 if len(names) == 1 else 1.8)


def plot_training(
    results: Results, ax: AxesChoice, *, title: str | None = None, log: bool | None = None
) -> dict[str, list[Artist]]:
    """Draw each measured quantity against the updates; values that are not finite leave a gap, marked at the top.

    The stability limit of the optimizer is dashed. If it is more than three times the largest eigenvalue, it is only
    named. Open circles are eigenvalues that have not converged.

    Args:
        results: A `training` dataset, or several by name of the run.
        ax: One axes per quantity, in order or by name.
        title: Replaces the default title of the first axes.
        log: Whether to draw losses and sharpness on a log scale; None chooses it if they are positive and span a factor
            of 30.

    Returns:
        Lines and marks of each run.

    Raises:
        InputError: Units differ, or the number of axes does not match the panels.
    """
    named = by_name(results)
    names = training_panels(named).names
    panels = choose_axes(ax, names)
    artists: dict[str, list[Artist]] = {name: [] for name in named}
    for axes, name in zip(panels, names, strict=True):
        having = {key: result for key, result in named.items() if len(_curves(result, name))}
        curves = [curve.values for result in having.values() for curve in _curves(result, name).values()]
        if is_log(np.concatenate(curves), log if name in ("loss", "sharpness") else False):
            axes.set_yscale("log")
        for colour, (key, result) in zip(COLOURS, named.items(), strict=False):
            if key in having:
                artists[key] += _draw(axes, result, name, key, colour)
        if name == "top eigenvalue":
            artists |= {key: artists[key] + drawn for key, drawn in _limits(axes, having, named).items()}
        variable = _VARIABLES.get(name, ("",))[0]
        unit = common_unit(having, variable) if variable else ""
        axes.set_ylabel(with_unit(_LABELS.get(name, name), unit))
        faint_grid(axes)
    _share_steps(panels, named)
    set_title(panels[0], _facts(named) if title is None else title)
    explain(panels)
    return artists


def _curves(result: xr.Dataset, name: str) -> dict[str, xr.DataArray]:
    """The curves of one panel by variable."""
    if name in _VARIABLES and any(part in result for part in _VARIABLES[name]):
        return {part: result[part] for part in _VARIABLES[name] if part in result}
    if "probe" in result and name in result["probe"].values:
        return {name: result["value"].sel(probe=name)}
    return {}


def _draw(axes: Axes, result: xr.Dataset, name: str, key: str, colour: str) -> list[Artist]:
    """Draw the curves of one run in one panel."""
    steps = result["step"].values
    artists: list[Artist] = []
    marker = "." if len(steps) <= _DOTS else ""
    for variable, curve in _curves(result, name).items():
        style, words = _STYLES.get(variable, ("-", ""))
        label = ": ".join(filter(None, [key, words])) or None
        values = np.where(np.isfinite(curve.values), curve.values, np.nan)
        artists += axes.plot(steps, values, style, marker=marker, markersize=3, color=colour, label=label)
        if _ERRORS.get(variable) in result:
            error = result[_ERRORS[variable]].values
            artists.append(
                axes.fill_between(steps, values - error, values + error, color=colour, alpha=0.2, linewidth=0)
            )
        artists += mark_missing(axes, steps[~np.isfinite(curve.values)], colour)
    if name == "top eigenvalue" and (open_ := result["top_status"].values == 1).any():
        words = "not converged"
        label = None if words in axes.get_legend_handles_labels()[1] else words
        values = result["top_eigenvalue"].values[open_]
        artists += axes.plot(steps[open_], values, "o", color=colour, fillstyle="none", markersize=4, label=label)
    return artists


def _limits(axes: Axes, having: Named, named: Named) -> dict[str, list[Artist]]:
    """Draw the limits of all runs, and set vertical limits that leave the eigenvalues readable."""
    values = np.concatenate([result["top_eigenvalue"].values for result in having.values()])
    finite = values[np.isfinite(values)]
    top = _IN_VIEW * float(finite.max()) if len(finite) else np.inf
    artists: dict[str, list[Artist]] = {}
    seen = [finite]
    for colour, (key, result) in zip(COLOURS, named.items(), strict=False):
        if key not in having or "threshold" not in result:
            continue
        limit = result["threshold"].values
        shown = np.where(np.isfinite(limit) & (limit <= top), limit, np.nan)
        formula = str(result.attrs.get("threshold_formula", ""))
        label = f"{key}: {formula}" if key else f"stability limit {formula}"
        if not np.isfinite(shown).any():
            low = limit[np.isfinite(limit)]
            label += f"; lowest value {low.min():.3g}, above the axis" if len(low) else "; not finite"
        seen.append(shown[np.isfinite(shown)])
        # A learning rate holds until the next measurement, as far as is known.
        drawn = axes.plot(
            result["step"].values,
            shown,
            "--",
            color=INK if len(named) == 1 else colour,
            linewidth=0.9,
            drawstyle="steps-post",
            label=label,
        )
        artists[key] = [*drawn]
    contain(axes, np.concatenate(seen))
    return artists


def _share_steps(panels: list[Axes], named: Named) -> None:
    """Give all panels one range of updates, labelled below the last."""
    steps = np.concatenate([result["step"].values for result in named.values()])
    margin = 0.02 * max(float(steps.max() - steps.min()), 1.0)
    for axes in panels:
        axes.set_xlim(float(steps.min()) - margin, float(steps.max()) + margin)
        if axes is not panels[-1] and is_own(axes):
            axes.tick_params(labelbottom=False)
    panels[-1].set_xlabel("updates")


def _facts(named: Named) -> str:
    """Describe networks and optimizers, with what restricts the comparison of curvature and limit."""
    lines = []
    for result in named.values():
        moved = result.attrs.get("num_moved")
        lines.append(f"{result.attrs.get('model', '')}" + (f", {int(moved):,} moved entries" if moved else ""))
        if "learning_rate" in result:
            rates = result["learning_rate"].values
            low, high = np.nanmin(rates), np.nanmax(rates)
            spread = f"{low:.3g}" if low == high else f"{low:.3g} to {high:.3g}"
            lines.append(f"{result.attrs.get('optimizer', '')}, learning rate η = {spread}")
        lines += filter(None, [str(result.attrs.get("threshold_note", ""))])
    return "\n".join(dict.fromkeys(lines))
