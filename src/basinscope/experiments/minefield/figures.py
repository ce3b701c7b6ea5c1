"""Figure 1, the minefield, drawn from stored results."""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from basinscope.experiments.minefield.collect import Measurements
from basinscope.plots.minefield import plot_minefield
from basinscope.plots.style import TWO_COLUMNS, save_figure, styled
from basinscope.runs import atomic

STEMS = ("1-minefield",)


def draw(found: Measurements, out: Path) -> list[Path]:
    """Draw figure 1 into a folder; return the files."""
    with styled():
        figure = _figure1(found)
        files = save_figure(figure, out / STEMS[0], atomic.write)
        plt.close(figure)
    return files


def _figure1(found: Measurements) -> Figure:
    figure, axes = plt.subplots(figsize=(TWO_COLUMNS, 5.0), layout="constrained")
    names = found.bad["net"].values[found.found]
    hit = [str(name) for name in found.bad_map["net"].values if name in names]
    missed = [str(name) for name in found.bad_map["net"].values if name not in names]
    artists = plot_minefield(
        axes,
        found.path_map,
        found.bad_map.sel(net=hit),
        found.bad["test_accuracy"].sel(net=hit),
        found.bad_map.sel(net=missed),
    )
    figure.suptitle(f"Figure 1 · A minefield of bad minima ({found.config.data})")
    rate = f"SGD (RMSprop {found.config.learning_rate:g})"
    good = f"train {_percent(found.final('train_accuracy'))}, test {_percent(found.final('test_accuracy'))}"
    bad = f"train ≥ {_percent(found.config.fitted)}, test < {_percent(found.config.bad_accuracy)}"
    axes.set_title(f"{rate}: {good}\n{len(hit)} bad minima: {bad}", fontsize=7)
    path_bar = figure.colorbar(artists["path"], ax=axes, aspect=36, pad=0.01)
    path_bar.set_label("epoch of the good run")
    if hit:
        bad_bar = figure.colorbar(artists["bad"], ax=axes, aspect=36, pad=0.02)
        bad_bar.set_label("test accuracy of a bad minimum [%]")
    if missed:
        artists["failed"].set_label("search that found none")
    axes.legend(loc="best", frameon=True, framealpha=0.85, fontsize=6)
    axes.set_xlabel("t-SNE of the weights: neighbourhoods are meaningful, distances are not")
    return figure


def _percent(value: float) -> str:
    return f"{100 * value:.3g} %"
