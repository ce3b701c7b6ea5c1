"""Plots volumes of basins beside the mean of n·log r."""

from __future__ import annotations

import numpy as np
from matplotlib.artist import Artist

from basinscope.plots.compared import Results, by_name
from basinscope.plots.legends import explain, faint_grid
from basinscope.plots.panels import AxesChoice, Panels, choose_axes, set_title
from basinscope.plots.scales import contain
from basinscope.plots.sharpness import name_ticks
from basinscope.plots.style import COLOURS, INK


def volume_panels(results: Results) -> Panels:
    """One panel for all networks, wide for more than three."""
    return Panels(("",), row_height=2.4, wide=len(by_name(results)) > 3)


def plot_volume(results: Results, ax: AxesChoice, *, title: str | None = None) -> dict[str, list[Artist]]:
    """Draw log-volumes beside the mean of n·log r, which is comparable even if a few rays dominate the volume.

    Args:
        results: A `volume` dataset, or several by name of the network.
        ax: Where to draw.
        title: Replaces the default title.

    Returns:
        The error bar, the log-volume and the number of effective rays of each network.

    Raises:
        InputError: Several axes were given.
    """
    named = by_name(results)
    (axes,) = choose_axes(ax, volume_panels(named).names)
    artists: dict[str, list[Artist]] = {}
    ends: list[float] = []
    for position, (colour, (name, result)) in enumerate(zip(COLOURS, named.items(), strict=False)):
        bound = int(result["status"]) == 1
        mean, error = float(result["mean_n_log_r"]), float(result["mean_n_log_r_stderr"])
        label = None if position else "mean of n·log r ± standard error"
        bars = axes.errorbar(
            [position - 0.15], [mean], [error], fmt="s", color=colour, markersize=3, capsize=2, label=label
        )
        volume = float(result["log_volume"])
        dot = axes.plot([position + 0.15], [volume], "^" if bound else "o", color=colour, markersize=5)
        rays = f"{float(result['effective_rays']):.1f} of {int(result['num_rays'])} rays"
        words = axes.annotate(
            f"≥, {rays}" if bound else rays,
            (position + 0.15, volume),
            (0, 7),
            textcoords="offset points",
            fontsize=5,
            ha="center",
        )
        artists[name] = [bars.lines[0], *bars.lines[1], *bars.lines[2], *dot, words]
        ends += [mean - error, mean, mean + error, volume]
    for code, marker, words in ((1, "^", ", a lower bound"), (0, "o", "")):
        if any(int(result["status"]) == code for result in named.values()):
            axes.plot([], [], marker, color=INK, label=f"log-volume, log ω_n + log E[rⁿ]{words}")
    name_ticks(axes, named)
    axes.set_ylabel("size of the basin [nat]")
    set_title(axes, "effective rays beside each log-volume" if title is None else title)
    contain(axes, np.array(ends), room=0.2)
    faint_grid(axes)
    explain([axes], below=True)
    return artists
