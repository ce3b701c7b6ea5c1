"""Places one legend per figure so that it hides no data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes

from basinscope.plots.panels import SMALL, grow, is_own, room, whole_figure
from basinscope.plots.style import FAINT
from basinscope.plots.wrapping import letter_width, wrap

_SHORT, _FEW = 28, 3
"""Largest number of characters and lines of a legend inside its axes."""
_HANDLE = 0.45
"""Width of a legend handle with padding, in inches."""


def faint_grid(axes: Axes) -> None:
    """Draw faint horizontal grid lines."""
    axes.grid(axis="y", color=FAINT, alpha=0.2, linewidth=0.5)


def explain(panels: Sequence[Axes], *, below: bool = False) -> None:
    """Add one legend for all panels: inside a single axes if it is small, else below a figure of our own.

    Args:
        panels: Axes whose labelled artists are listed, each label once.
        below: In a figure of our own, never place it inside the axes, where its markers could be mistaken for data.
    """
    entries: dict[str, Any] = {}
    for axes in panels:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            entries.setdefault(label, handle)
    if not entries:
        return
    axes, longest = panels[0], max(map(len, entries))
    small = len(entries) <= _FEW and longest <= _SHORT
    if not is_own(axes) or (small and len(panels) == 1 and not below):
        labels = [wrap(label, max(0.6, room(axes) - 2 * _HANDLE), SMALL) for label in entries]
        axes.legend(list(entries.values()), labels, fontsize=None if small else SMALL)
        return
    figure = whole_figure(axes)
    width = figure.get_figwidth()
    widest = max(SMALL / 72 * sum(map(letter_width, label)) for label in entries) + _HANDLE
    columns = max(1, min(len(entries), int((width - 0.2) / widest)))
    labels = [wrap(label, width - _HANDLE - 0.12, SMALL) for label in entries]
    lines = [1 + label.count("\n") for label in labels]
    # Entries fill the columns in order.
    rows = -(-len(labels) // columns)
    height = max(sum(lines[start : start + rows]) for start in range(0, len(lines), rows))
    figure.legend(list(entries.values()), labels, loc="outside lower center", fontsize=SMALL, ncols=columns)
    grow(axes, height)
