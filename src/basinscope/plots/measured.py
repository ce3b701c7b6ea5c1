"""Plots any result around the user's networks; several of one kind share one scale."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
from matplotlib.colors import Colormap
from matplotlib.figure import Figure
from matplotlib.font_manager import fontManager

from basinscope.errors import InputError, kind_of
from basinscope.plots.compared import Named, Results, by_name
from basinscope.plots.curvature import curvature_panels, plot_curvature
from basinscope.plots.curve import curve_panels, plot_curve
from basinscope.plots.panels import AxesChoice, Panels, choose_axes, make_room, new_figure, whole_figure
from basinscope.plots.radius import plot_radius, radius_panels
from basinscope.plots.sharpness import plot_sharpness, sharpness_panels
from basinscope.plots.slice1d import plot_slice1d, slice1d_panels
from basinscope.plots.slice2d import Levels, plot_slice2d, slice2d_panels
from basinscope.plots.slice2d_surface import plot_slice2d_surface, surface_panels
from basinscope.plots.style import COLOURS, look
from basinscope.plots.training import plot_training, training_panels
from basinscope.plots.volume import plot_volume, volume_panels
from basinscope.plots.weight_map import plot_weight_map, weight_map_panels
from basinscope.settings import checks_settings

__all__ = ["COLOURS", "DRAWN", "Drawn", "plot"]

_CJK = ("Noto Sans CJK JP", "Noto Sans CJK SC", "WenQuanYi Micro Hei", "Hiragino Sans", "Yu Gothic", "Malgun Gothic")
"""Fallback fonts for characters that DejaVu Sans lacks."""


@dataclass(frozen=True)
class Drawn:
    """Functions that draw results of one kind."""

    panels: Callable[..., Panels]
    draw: Callable[..., Any]
    options: tuple[str, ...] = ()
    """Keywords of `plot` that it accepts besides `ax` and `title`."""
    needs: str = ""
    """A variable that results must have to be drawn."""


OLD = ("plane", "ball")
"""Names of `slice2d` and `sharpness` in older files."""
_PLANE = Drawn(slice2d_panels, plot_slice2d, ("log", "levels", "cmap", "show"))
_SURFACE = Drawn(surface_panels, plot_slice2d_surface, ("log", "cmap"))
_RISES = Drawn(sharpness_panels, plot_sharpness, ("log",), needs="rise")

DRAWN: Mapping[str, Drawn] = {
    "slice1d": Drawn(slice1d_panels, plot_slice1d, ("log",)),
    "slice2d": _PLANE,
    "plane": _PLANE,
    "curve": Drawn(curve_panels, plot_curve, ("log",)),
    "radius": Drawn(radius_panels, plot_radius, ("log",)),
    "volume": Drawn(volume_panels, plot_volume),
    "curvature": Drawn(curvature_panels, plot_curvature, ("log",)),
    "sharpness": _RISES,
    "ball": _RISES,
    "training": Drawn(training_panels, plot_training, ("log",)),
    "weight_map": Drawn(weight_map_panels, plot_weight_map),
}
"""Drawing functions of each kind of result, including the names in older files."""


@checks_settings
def plot(
    results: Results,
    *,
    ax: AxesChoice | None = None,
    title: str | None = None,
    log: bool | None = None,
    surface: bool = False,
    levels: Levels | None = None,
    cmap: str | Colormap | None = None,
    show: tuple[str, str] | None = None,
) -> Figure:
    """Draw a result, or several of one kind on one scale.

    Args:
        results: A result, or several by name of the network.
        ax: Axes to draw into: one, or several in the order of the panels or by name. Planes, surfaces and maps have one
            panel per network, lines one per metric, spectra `eigenvalues` and `density`, training one per
            quantity, such as `top eigenvalue` and `loss`.
        title: Replaces the default title.
        log: Whether to draw losses, radii or eigenvalues on a log scale; None chooses.
        surface: Draw planes as surfaces in three dimensions.
        levels: Contours on planes: their number or values.
        cmap: Colour map of planes and surfaces.
        show: Data set and metric of contours over the loss of planes, such as `("test", "error")`.

    Returns:
        A figure outside pyplot: notebooks display it once, `figure.savefig("slice.png")` saves it. If `ax` is given,
        the figure of these axes.

    Raises:
        InputError: There is nothing to draw, kinds are mixed, units or sizes of balls differ, an option does not fit
            the kind, or `ax` has the wrong number of axes.

    Example:
        >>> figure, axes = plt.subplots(1, 2)                                          # doctest: +SKIP
        >>> bs.plot({"good": one, "bad": other}, ax=axes, levels=5)                    # doctest: +SKIP
    """
    named = by_name(results)
    drawn = _drawn(named, surface)
    if not isinstance(cmap, str | Colormap | None):
        raise InputError(f"plot: cmap is {kind_of(cmap)}: must be a name, or a colour map of matplotlib")
    if isinstance(cmap, str) and cmap not in mpl.colormaps:
        close = ", ".join(difflib.get_close_matches(cmap, mpl.colormaps)) or "viridis, magma, coolwarm"
        raise InputError(f"plot: cmap = {cmap!r}: no colour map has this name; choose one such as {close}")
    if isinstance(levels, int) and levels < 0:
        raise InputError(f"plot: levels = {levels}: must be at least 0")
    given = {"log": log, "levels": levels, "cmap": cmap, "show": show}
    options = {name: value for name, value in given.items() if value is not None}
    for name in options:
        if name not in drawn.options:
            takers = [kind for kind, other in DRAWN.items() if name in other.options and kind not in OLD]
            what = "surfaces" if surface else next(iter(named.values())).attrs["kind"]
            raise InputError(f"plot: {name} is for {', '.join(takers)}, not for {what}")
    panels = drawn.panels(named, **({"show": show} if show else {}))
    if ax is not None:
        drawn.draw(named, ax, title=title, **options)
        return whole_figure(choose_axes(ax, panels.names)[0])
    with look(), mpl.rc_context({"font.family": _families()}):
        figure, axes = new_figure(panels)
        drawn.draw(named, axes, title=None if len(axes) > 1 and panels.title else title, **options)
        make_room(figure, (panels.title if title is None else title) if panels.title else "")
    return figure


def _drawn(named: Named, surface: bool) -> Drawn:
    """Find the drawing functions for results.

    Raises:
        InputError: Results of this kind are not drawn, or not as surfaces.
    """
    example = next(iter(named.values()))
    kind = str(example.attrs.get("kind"))
    if kind not in DRAWN or not all(DRAWN[kind].needs in ("", *result.variables) for result in named.values()):
        raise InputError(
            f"plot: {kind} cannot be drawn; choose from {', '.join(kind for kind in DRAWN if kind not in OLD)}"
        )
    if surface and DRAWN[kind] is not _PLANE:
        raise InputError(f"plot: surface=True is for planes, not for {kind}")
    return _SURFACE if surface else DRAWN[kind]


def _families() -> list[str]:
    """List DejaVu Sans and the installed fallback fonts."""
    installed = set(fontManager.get_font_names())
    return ["DejaVu Sans", *(family for family in _CJK if family in installed)]
