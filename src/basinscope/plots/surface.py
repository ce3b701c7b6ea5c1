"""Plots a two-dimensional slice of the loss as a surface."""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
import xarray as xr
from matplotlib.colors import Colormap, Normalize
from mpl_toolkits.mplot3d import Axes3D

from basinscope.plots.style import INK, SURFACE

ZScale = Literal["linear", "log"]


def heights(losses: xr.DataArray, scale: ZScale, floor: float) -> np.ndarray:
    """Convert losses to heights: unchanged, or log10 with `floor` as the lower bound."""
    values = losses.values
    return values if scale == "linear" else np.log10(np.maximum(values, floor))


def draw_heights(
    axes: Axes3D,
    a: np.ndarray,
    b: np.ndarray,
    z: np.ndarray,
    limits: tuple[float, float],
    *,
    cmap: str | Colormap = SURFACE,
    zoom: float = 0.88,
) -> Any:
    """Draw heights over a grid, from the common viewpoint of all surfaces.

    Args:
        axes: Three-dimensional axes.
        a: First coordinate of each point of the grid.
        b: Second coordinate of each point.
        z: Height of each point; NaN leaves a hole.
        limits: Lowest and highest height drawn.
        cmap: Colour map.
        zoom: Size of the box relative to its axes.

    Returns:
        The surface.
    """
    norm = Normalize(*limits)
    art = axes.plot_surface(
        a, b, z, cmap=cmap, norm=norm, rcount=101, ccount=101, linewidth=0, antialiased=True, rasterized=True
    )
    axes.set_zlim(*limits)
    axes.view_init(elev=28, azim=-58)
    axes.set_box_aspect((1, 1, 0.8), zoom=zoom)  # pyright: ignore[reportArgumentType]
    return art


def power_ticks(axes: Axes3D, limits: tuple[float, float], *, step: int = 1) -> None:
    """Label heights that are log10 of losses with powers of ten."""
    panes: Any = axes.zaxis
    powers = list(range(math.ceil(limits[0]), math.floor(limits[1]) + 1, step))
    panes.set_ticks(powers, [f"$10^{{{power}}}$" for power in powers])


def plot_surface(
    axes: Axes3D,
    surface: xr.Dataset,
    *,
    limits: tuple[float, float],
    scale: ZScale = "linear",
    floor: float = 1e-5,
    small: bool = False,
) -> list[Any]:
    """Draw the loss over the plane of two filter-normalised directions.

    Args:
        axes: Three-dimensional axes.
        surface: A `slice2d` dataset of one network.
        limits: Lowest and highest height drawn, the same for all compared surfaces.
        scale: Linear, or log10 of the loss.
        floor: On a log scale, lower losses are drawn at this value.
        small: Omit labels and most ticks, for an inset.

    Returns:
        The surface. NaN losses leave holes.
    """
    a, b = np.meshgrid(surface["first"].values, surface["second"].values, indexing="ij")
    z = heights(surface["loss"].transpose("first", "second"), scale, floor)
    art = draw_heights(axes, a, b, z, limits)
    extent = float(a.max())
    axes.set(xlim=(-extent, extent), ylim=(-extent, extent))
    # Labels extend beyond the axes, so a background could hide a neighbour's.
    axes.patch.set_visible(False)
    panes: Any = (axes.xaxis, axes.yaxis, axes.zaxis)
    for axis in panes:
        axis.set_pane_color((1.0, 1.0, 1.0, 0.0))
    # No ticks at the corners, where labels of two axes would overlap.
    ticks = [-2 * extent / 3, 0, 2 * extent / 3]
    axes.set_xticks(ticks, [f"{tick:g}" for tick in np.round(ticks, 6)])
    axes.set_yticks(ticks, [f"{tick:g}" for tick in np.round(ticks, 6)])
    axes.tick_params(labelsize=4.5 if small else 5.5, pad=-3 if small else -1, colors=INK)
    if scale == "log":
        power_ticks(axes, limits, step=2 if small else 1)
    if small:
        axes.zaxis.set_ticks([])
    else:
        axes.set_xlabel("direction 1 [filter norms]", fontsize=5.5, labelpad=-1)
        axes.set_ylabel("direction 2 [filter norms]", fontsize=5.5, labelpad=-1)
        axes.set_zlabel("clean loss [nat]", fontsize=5.5, labelpad=1)
    return [art]
