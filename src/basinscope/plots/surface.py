"""A two-dimensional slice of the loss as a surface."""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
import xarray as xr
from matplotlib.colors import Normalize
from mpl_toolkits.mplot3d import Axes3D

from basinscope.plots.style import INK, SURFACE

ZScale = Literal["linear", "log"]


def heights(losses: xr.DataArray, scale: ZScale, floor: float) -> np.ndarray:
    """Turn losses into drawn heights: themselves, or log10 with everything below `floor` lifted to it."""
    values = losses.values
    return values if scale == "linear" else np.log10(np.maximum(values, floor))


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
        limits: Lowest and highest drawn height, the same for all surfaces that are compared.
        scale: Linear, or log10 of the loss.
        floor: Losses below this are drawn at this value on a log scale.
        small: Leave out labels and most ticks, for an inset.

    Returns:
        The surface. NaN losses leave holes.
    """
    a, b = np.meshgrid(surface["first"].values, surface["second"].values, indexing="ij")
    z = heights(surface["loss"].transpose("first", "second"), scale, floor)
    art = axes.plot_surface(
        a,
        b,
        z,
        cmap=SURFACE,
        norm=Normalize(*limits),
        rcount=101,
        ccount=101,
        linewidth=0,
        antialiased=True,
        rasterized=True,
    )
    extent = float(a.max())
    axes.set(xlim=(-extent, extent), ylim=(-extent, extent), zlim=limits)
    axes.view_init(elev=28, azim=-58)
    axes.set_box_aspect((1, 1, 0.8), zoom=0.88)  # pyright: ignore[reportArgumentType]
    # Labels reach beyond the axes: no background may hide a neighbour's.
    axes.patch.set_visible(False)
    panes: Any = (axes.xaxis, axes.yaxis, axes.zaxis)
    for axis in panes:
        axis.set_pane_color((1.0, 1.0, 1.0, 0.0))
    # Not at the corners, where the labels of two axes would meet.
    ticks = [-2 * extent / 3, 0, 2 * extent / 3]
    axes.set_xticks(ticks, [f"{tick:g}" for tick in np.round(ticks, 6)])
    axes.set_yticks(ticks, [f"{tick:g}" for tick in np.round(ticks, 6)])
    axes.tick_params(labelsize=4.5 if small else 5.5, pad=-3 if small else -1, colors=INK)
    if scale == "log":
        powers = range(math.ceil(limits[0]), math.floor(limits[1]) + 1, 1 if not small else 2)
        axes.zaxis.set_ticks(list(powers), [f"$10^{{{p}}}$" for p in powers])
    if small:
        axes.zaxis.set_ticks([])
    else:
        axes.set_xlabel("direction 1 [filter norms]", fontsize=5.5, labelpad=-1)
        axes.set_ylabel("direction 2 [filter norms]", fontsize=5.5, labelpad=-1)
        axes.set_zlabel("clean loss [nat]", fontsize=5.5, labelpad=1)
    return [art]
