"""Creates figures with panels, or checks axes supplied by the user."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from basinscope.errors import InputError
from basinscope.plots.style import ONE_COLUMN, TWO_COLUMNS
from basinscope.plots.wrapping import wrap

AxesChoice = Axes | Iterable[Axes] | Mapping[str, Axes]
"""One axes, or several in the order of the panels or by name."""
TITLE_SIZE, SMALL = 6.5, 5.5
"""Font sizes of titles and notes, in points."""
_LINE = 0.105
"""Height of a line of small text, in inches."""
_BESIDE = 0.55
"""Width of the labels beside a panel's axes, in inches."""


@dataclass(frozen=True)
class Panels:
    """Layout of a figure for some results."""

    names: tuple[str, ...]
    """Names of the panels; a mapping of axes uses them as keys."""
    rows: int = 1
    columns: int = 1
    row_height: float = 2.5
    """In inches."""
    projection: str | None = None
    wide: bool = False
    """Whether a single column of panels is two print columns wide."""
    title: str = field(default="", kw_only=True)
    """Title of the whole figure, if there are several panels."""


class OwnFigure(Figure):
    """A figure outside pyplot; a notebook displays it once, as the value of a cell."""

    def _repr_png_(self) -> bytes:
        content = io.BytesIO()
        self.savefig(content, format="png", dpi=150)
        return content.getvalue()


def panel_grid(num: int) -> tuple[int, int]:
    """Rows and columns of a figure with one panel per network."""
    columns = min(2, num) if num in (2, 4) else min(3, num)
    return -(-num // columns), columns


def figure_width(columns: int) -> float:
    """Width in inches of a figure with some columns of panels."""
    return ONE_COLUMN if columns == 1 else TWO_COLUMNS


def new_figure(panels: Panels) -> tuple[OwnFigure, list[Axes]]:
    """Create a figure one or two print columns wide, with its axes in the order of the panels."""
    width = figure_width(2 if panels.wide else panels.columns)
    figure = OwnFigure(figsize=(width, panels.row_height * panels.rows), layout="compressed")
    kind = {"projection": panels.projection} if panels.projection else {}
    axes = [figure.add_subplot(panels.rows, panels.columns, index + 1, **kind) for index in range(len(panels.names))]
    return figure, axes


def choose_axes(ax: AxesChoice, names: tuple[str, ...]) -> list[Axes]:
    """Assign the user's axes to the panels.

    Args:
        ax: One axes, several, or several by name.
        names: Names of the panels.

    Raises:
        InputError: Number or names of the axes do not match the panels, or these are not axes.
    """
    if isinstance(ax, Mapping):
        given: dict[str, Any] = {str(name): one for name, one in ax.items()}
        if set(given) != set(names) and not len(given) == len(names) == 1:
            raise InputError(f"plot: ax has the names {_listed(given)}, but the panels are {_listed(names)}")
        axes: list[Any] = [given[name] for name in names] if len(names) > 1 else list(given.values())
    else:
        axes = [ax] if isinstance(ax, Axes) or not isinstance(ax, Iterable) else list(np.ravel(np.asarray(ax, object)))
    if not all(isinstance(one, Axes) for one in axes):
        raise InputError("plot: ax must be an Axes of matplotlib, or a list or mapping of them")
    if len(axes) != len(names):
        needed = f" ({_listed(names)})" if len(names) > 1 else ""
        raise InputError(f"plot: ax holds {len(axes)} axes, but {len(names)} are needed{needed}; pass one per panel")
    return axes


def _listed(names: Iterable[str]) -> str:
    return ", ".join(repr(name) for name in names)


def whole_figure(axes: Axes) -> Figure:
    """Top-level figure of some axes, also through subfigures."""
    figure = axes.get_figure(root=True)
    assert figure is not None
    return figure


def room(axes: Axes) -> float:
    """Width in inches available for text above or below some axes."""
    width = whole_figure(axes).get_figwidth()
    spec = axes.get_subplotspec()
    if spec is None or axes.get_figure() is not whole_figure(axes):
        return width * axes.get_window_extent().width / whole_figure(axes).bbox.width
    return max(0.8, width * (spec.colspan.stop - spec.colspan.start) / spec.get_gridspec().ncols - _BESIDE)


def set_title(axes: Axes, text: str, *, size: float = TITLE_SIZE) -> None:
    """Set a title, wrapped to the width of the axes."""
    axes.set_title(wrap(text, room(axes), size), fontsize=size)


def is_own(axes: Axes) -> bool:
    """Whether the figure was created by `new_figure`, so that its size may be changed."""
    return isinstance(whole_figure(axes), OwnFigure)


def make_room(figure: Figure, title: str) -> None:
    """Set the title above all panels, and increase the figure's height for titles and tick labels."""
    extra = 0.0
    if title:
        wrapped = wrap(title, figure.get_figwidth() - 0.2, TITLE_SIZE)
        figure.suptitle(wrapped, fontsize=TITLE_SIZE)
        extra += _LINE * (1 + wrapped.count("\n"))
    rows: dict[int, float] = {}
    for axes in figure.axes:
        spec = axes.get_subplotspec()
        if spec is not None:
            ticks = [label.get_text().count("\n") for label in axes.get_xticklabels()]
            lines = axes.get_title().count("\n") + max(ticks, default=0)
            rows[spec.rowspan.start] = max(rows.get(spec.rowspan.start, 0.0), _LINE * max(0, lines - 1))
    figure.set_figheight(figure.get_figheight() + extra + sum(rows.values()))


def grow(axes: Axes, lines: int) -> None:
    """Increase the height of a figure of our own by some lines of a legend."""
    if is_own(axes):
        figure = whole_figure(axes)
        figure.set_figheight(figure.get_figheight() + 0.125 * lines + 0.08)
