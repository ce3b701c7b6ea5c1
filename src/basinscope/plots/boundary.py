"""Plots decision boundaries in the plane, with the training points."""

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
    size: float = 6.0,
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
    artists = _draw(axes, x, y, logit, fields)
    artists += _points(axes, samples["inputs"].values, samples, size, points, names)
    axes.set(aspect="equal", xticks=[], yticks=[])
    return artists


def plot_unrolled(
    axes: Axes,
    unrolled: xr.Dataset,
    samples: xr.Dataset,
    *,
    size: float = 9.0,
    points: tuple[str, str] = CLASS_POINTS,
    fields: tuple[str, str] = CLASS_FIELDS,
    names: tuple[str, str] = ("class 0", "class 1"),
) -> list[Any]:
    """Draw decision regions and points over angle and radius.

    Args:
        axes: Where to draw.
        unrolled: An `unrolled` dataset of one network.
        samples: A `samples` dataset with two features.
        size: Area of a point in square points.
        points: Colours of the points of both classes.
        fields: Colours of their regions.
        names: What the legend calls the classes.

    Returns:
        The mesh, the contour and the scatters.
    """
    angle, radius = unrolled["angle"].values, unrolled["radius"].values
    artists = _draw(axes, angle, radius, unrolled["logit"].transpose("radius", "angle").values, fields)
    x, y = samples["inputs"].values.T
    # Wrap angles to the range that starts at the view's first angle.
    turned = (np.degrees(np.arctan2(y, x)) - angle[0]) % 360 + angle[0]
    artists += _points(axes, np.stack([turned, np.hypot(x, y)], axis=1), samples, size, points, names)
    axes.set(xlabel="angle [°]", ylabel="radius")
    return artists


def _draw(axes: Axes, x: np.ndarray, y: np.ndarray, logit: np.ndarray, fields: tuple[str, str]) -> list[Any]:
    """Draw regions and the line between them."""
    assert np.isfinite(logit).all()
    regions = ListedColormap(fields)
    mesh = axes.pcolormesh(x, y, (logit > 0).astype(float), cmap=regions, vmin=0, vmax=1, rasterized=True)
    artists: list[Any] = [mesh]
    if logit.min() < 0 < logit.max():
        artists.append(axes.contour(x, y, logit, levels=[0.0], colors=INK, linewidths=0.6))
    axes.set(xlim=(x[0], x[-1]), ylim=(y[0], y[-1]))
    axes.spines[:].set_visible(True)
    return artists


def _points(
    axes: Axes,
    positions: np.ndarray,
    samples: xr.Dataset,
    size: float,
    colours: tuple[str, str],
    names: tuple[str, str],
) -> list[Any]:
    """Draw labelled points."""
    look: Any = {"s": size, "edgecolors": "white", "linewidths": 0.35, "zorder": 3}
    labels = samples["labels"].values
    return [
        axes.scatter(*positions[labels == label].T, c=colour, label=name, **look)
        for label, (colour, name) in enumerate(zip(colours, names, strict=True))
    ]
