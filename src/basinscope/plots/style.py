"""Common style of all figures: style sheet, colours, and saving."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from importlib import resources
from pathlib import Path

import matplotlib as mpl
import matplotlib.style
from matplotlib.figure import Figure

# Safe for colour-blind readers, after Okabe and Ito 2008 and ColorBrewer's PuOr.
GOOD, BAD = "#0072B2", "#D55E00"
CLASS_POINTS = ("#B35806", "#542788")
CLASS_FIELDS = ("#FDD9A8", "#D5D1E8")
BLUE_RED_POINTS = ("#1F77B4", "#C62828")
BLUE_RED_FIELDS = ("#D6E6F4", "#F8D5D3")
AS_TRAINED, SCALED = "#00796B", "#7B5EA7"
ONE_COLUMN, TWO_COLUMNS = 3.35, 6.9
"""Widths of figures for print, in inches."""
INK, FAINT = "#222222", "#8A8A8A"
SURFACE = "viridis"

Write = Callable[[Path, Callable[[Path], object]], None]
"""Writes a file atomically, given its destination and a function that produces it; see `runs.atomic.write`."""


COLOURS = (GOOD, BAD, "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
"""Colours of compared networks or data sets, after Okabe and Ito 2008."""


def styled() -> AbstractContextManager[None]:
    """Context with the project's style, whatever the user's settings, and a backend without windows."""
    mpl.use("agg", force=False)
    return look()


def look() -> AbstractContextManager[None]:
    """Context with the project's style that keeps the user's backend."""
    sheet = resources.files("basinscope.plots") / "basinscope.mplstyle"
    return matplotlib.style.context(["default", str(sheet)])


def save_figure(figure: Figure, stem: Path, write: Write) -> list[Path]:
    """Save a figure as PNG, SVG and PDF with embedded fonts.

    Args:
        figure: The figure.
        stem: Destination without a suffix.
        write: Writes a file atomically.

    Returns:
        The three files.
    """
    # No dates, so that redrawing gives identical bytes.
    metadata = {".png": {"Software": None}, ".svg": {"Date": None}, ".pdf": {"CreationDate": None}}
    files = [stem.with_name(stem.name + suffix) for suffix in metadata]
    for file in files:
        write(file, lambda partial, m=metadata[file.suffix]: figure.savefig(partial, metadata=m))
    return files
