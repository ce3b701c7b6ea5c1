"""Plots t-SNE maps of networks' weights, with the paths of training."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.artist import Artist

from basinscope.plots.compared import Results, by_name
from basinscope.plots.legends import explain
from basinscope.plots.marks import draw_points
from basinscope.plots.panels import SMALL, AxesChoice, Panels, choose_axes, panel_grid, set_title


def weight_map_panels(results: Results) -> Panels:
    """One panel per network."""
    named = by_name(results)
    return Panels(tuple(named), *panel_grid(len(named)), row_height=3.0 if len(named) < 3 else 2.4)


def plot_weight_map(results: Results, ax: AxesChoice, *, title: str | None = None) -> dict[str, list[Artist]]:
    """Draw t-SNE maps of points; only neighbourhoods are meaningful, axes have no unit.

    Args:
        results: A `weight_map` dataset, or several by name of the network.
        ax: One axes per network, in order or by name.
        title: Title of each axes; default: number of points, share of variance kept by PCA, and whether t-SNE has not
            converged.

    Returns:
        The marks on each map, the network's star last.

    Raises:
        InputError: The number of axes does not match the networks.
    """
    named = by_name(results)
    panels = choose_axes(ax, weight_map_panels(named).names)
    artists: dict[str, list[Artist]] = {}
    for axes, (name, result) in zip(panels, named.items(), strict=True):
        x, y = result["x"].values, result["y"].values
        axes.set_xlim(*_limits(x))
        axes.set_ylim(*_limits(y))
        names = [str(marker) for marker in result["marker"].values]
        artists[name] = draw_points(axes, names, x, y, on_colours=False, notes={})
        set_title(axes, "\n".join(filter(None, (_words(result) if title is None else title, name))))
        axes.set_xlabel("t-SNE 1 (only neighbourhoods are meaningful)", fontsize=SMALL)
        axes.set_ylabel("t-SNE 2", fontsize=SMALL)
        axes.set_xticks([])
        axes.set_yticks([])
    explain(panels, below=True)
    return artists


def _words(result: xr.Dataset) -> str:
    """Describe a map; results of earlier releases do not say whether it has converged."""
    num, variance = result.sizes["point"], float(result["explained_variance"])
    different = int(result.get("num_different", num))
    points = f"{num} points" if different == num else f"{num} points ({different} different)"
    not_converged = ", not converged" if int(result.get("converged", 1)) == 0 else ""
    return f"t-SNE of {points}, on principal components with {variance:.0%} of the variance{not_converged}"


def _limits(values: np.ndarray) -> tuple[float, float]:
    """Axis limits with a margin around the points."""
    low, high = float(values.min()), float(values.max())
    room = 0.12 * (high - low) or 1.0
    return low - room, high + room
