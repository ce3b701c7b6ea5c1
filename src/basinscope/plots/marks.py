"""Draws marks on loss landscapes: networks, training paths, and values that are not finite."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.patches import FancyArrowPatch
from matplotlib.patheffects import withStroke

from basinscope.plots.panels import SMALL, room
from basinscope.plots.style import BAD, COLOURS, FAINT, INK
from basinscope.plots.wrapping import wrap

PATHS = ("white", "#56B4E9", "#E69F00", "#CC79A7", "#009E73", "#F0E442")
"""Colours of paths on a coloured plane, after Okabe and Ito 2008."""
_ARROWS = (0.3, 0.7)
"""Positions of arrowheads, as fractions of a path's length."""


def mark_missing(axes: Axes, places: np.ndarray, colour: str) -> list[Artist]:
    """Mark positions of values that are not finite at the top of the axes, with one legend entry."""
    if not len(places):
        return []
    words = "not finite"
    label = None if words in axes.get_legend_handles_labels()[1] else words
    heights, transform = np.full(len(places), 0.98), axes.get_xaxis_transform()
    return [*axes.plot(places, heights, "x", color=colour, markersize=3, transform=transform, label=label)]


def draw_points(
    axes: Axes, names: Sequence[str], x: np.ndarray, y: np.ndarray, *, on_colours: bool, notes: Mapping[int, str]
) -> list[Artist]:
    """Draw the network as a star, and other points around it.

    Points that share a name form a path, from an open circle to a large dot, with arrows along it.

    Args:
        axes: Where to draw; limits are already set, or follow from the points.
        names: Name of each point; the first is the network itself.
        x: First coordinate of each point.
        y: Second coordinate of each point.
        on_colours: Whether the background is a coloured map instead of white.
        notes: Note beside a point, by index; a path shows the note of its last point.

    Returns:
        The marks, the star last.
    """
    artists: list[Artist] = []
    groups = {name: [k for k, other in enumerate(names) if k and other == name] for name in names[1:]}
    num_paths = 0
    for (name, members), colour in zip(groups.items(), itertools.cycle(PATHS if on_colours else COLOURS)):
        note = f" ({notes[members[-1]]})" if members[-1] in notes else ""
        if len(members) > 1:
            artists += _path(axes, x[members], y[members], colour, name + note, first=not num_paths)
            num_paths += 1
            continue
        position = (float(x[members[0]]), float(y[members[0]]))
        alone = "white" if on_colours else FAINT
        artists += axes.plot(*position, "o", color=alone, markeredgecolor=INK, markersize=3)
        artists.append(_write(axes, position, name + note, above=True, on_colours=on_colours))
    star = BAD if on_colours else "white"
    if len(names) > 1:
        artists.append(_write(axes, (float(x[0]), float(y[0])), names[0], above=False, on_colours=on_colours))
    artists += axes.plot(x[0], y[0], "*", color=star, markeredgecolor=INK, markersize=7, zorder=4)
    return artists


def _path(axes: Axes, x: np.ndarray, y: np.ndarray, colour: str, label: str, *, first: bool) -> list[Artist]:
    """Draw one path; only the first one's start gets a legend entry."""
    style = {"color": colour, "markeredgecolor": INK, "linewidth": 1.0, "zorder": 3}
    line = axes.plot(x, y, "o-", markersize=2.5, markevery=slice(1, None), markeredgewidth=0.4, label=label, **style)
    start = axes.scatter(
        x[:1],
        y[:1],
        s=20,
        facecolors="none",
        edgecolors=INK,
        linewidths=2.0,
        zorder=3.1,
        label="start of a path" if first else None,
    )
    inner = axes.scatter(
        x[:1],
        y[:1],
        s=20,
        facecolors="none",
        edgecolors=colour,
        linewidths=1.0,
        zorder=3.2,
    )
    end = axes.scatter(x[-1:], y[-1:], s=22, facecolors=colour, edgecolors=INK, linewidths=0.7, zorder=3.2)
    return [*line, start, inner, end, *_arrows(axes, x, y, colour)]


def _arrows(axes: Axes, x: np.ndarray, y: np.ndarray, colour: str) -> list[Artist]:
    """Draw arrowheads on the segments at certain fractions of a path's length."""
    lengths = np.concatenate([[0.0], np.cumsum(np.hypot(np.diff(x), np.diff(y)))])
    if not lengths[-1] > 0:
        return []
    heads: list[Artist] = []
    for segment in dict.fromkeys(int(np.searchsorted(lengths, share * lengths[-1])) for share in _ARROWS):
        tail = np.array([x[segment - 1], y[segment - 1]])
        tip = tail + 0.65 * (np.array([x[segment], y[segment]]) - tail)
        head = FancyArrowPatch(
            (float(tail[0]), float(tail[1])),
            (float(tip[0]), float(tip[1])),
            arrowstyle="-|>",
            mutation_scale=7,
            shrinkA=0,
            shrinkB=0,
            facecolor=colour,
            edgecolor=INK,
            linewidth=0.4,
            zorder=3.3,
        )
        heads.append(axes.add_patch(head))
    return heads


def _write(axes: Axes, position: tuple[float, float], text: str, *, above: bool, on_colours: bool) -> Artist:
    """Write a name beside a point, towards the centre of the axes, so that it is not clipped."""
    low, high = axes.get_xlim()
    right = position[0] > low + 0.55 * (high - low)
    return axes.annotate(
        wrap(text, 0.45 * room(axes), SMALL),
        position,
        (-4 if right else 4, 4 if above else -4),
        textcoords="offset points",
        ha="right" if right else "left",
        va="bottom" if above else "top",
        fontsize=SMALL,
        color="white" if on_colours else INK,
        path_effects=[withStroke(linewidth=1.6, foreground=INK)] if on_colours else [],
        zorder=5,
    )
