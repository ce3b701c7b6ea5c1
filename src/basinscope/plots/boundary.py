"""A decision boundary on the plane, with the training points."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap

from basinscope.plots.style import CLASS_FIELDS, CLASS_POINTS, INK


def plot_boundary(
    axes: Axes,
    boundary: xr.Dataset,
    samples: xr.Dataset,
    *,
    size: float = 7.0,
    points: tuple[str, str] = CLASS_POINTS,
    fields: tuple[str, str] = CLASS_FIELDS,
    names: tuple[str, str] = ("class 0", "class 1"),
) -> list[Any]:
    """Draw the two decision regions, the boundary between them, and labelled points on top.

    Args:
        axes: Where to draw.
        boundary: A `boundary` dataset of one network.
        samples: A `samples` dataset with two features.
        size: Area of a point in square points.
        points: Colours of the points of both classes.
        fields: Colours of their regions.
        names: What the legend calls the classes.

    Returns:
        The mesh, the contour and the scatters.
    """
    x, y = boundary["x"].values, boundary["y"].values
    logit = boundary["logit"].transpose("y", "x").values
    regions = ListedColormap(fields)
    mesh = axes.pcolormesh(x, y, (logit > 0).astype(float), cmap=regions, vmin=0, vmax=1, rasterized=True)
    artists: list[Any] = [mesh]
    if logit.min() < 0 < logit.max():
        artists.append(axes.contour(x, y, logit, levels=[0.0], colors=INK, linewidths=0.6))
    labels = samples["labels"].values
    for label, (colour, name) in enumerate(zip(points, names, strict=True)):
        chosen = samples["inputs"].values[labels == label]
        artists.append(
            axes.scatter(*chosen.T, s=size, c=colour, edgecolors="white", linewidths=0.35, zorder=3, label=name)
        )
    axes.set(xlim=(x[0], x[-1]), ylim=(y[0], y[-1]), aspect="equal", xticks=[], yticks=[])
    axes.spines[:].set_visible(True)
    assert np.isfinite(logit).all()
    return artists
