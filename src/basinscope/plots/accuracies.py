"""Plots accuracies of models: over training, side by side, and as a table with dots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from basinscope.plots.style import FAINT, INK


def plot_histories(axes: Axes, histories: Mapping[str, xr.Dataset], colours: Sequence[str]) -> list[Any]:
    """Draw each model's accuracy over training: dashed on the training set, solid on the test set.

    Args:
        axes: Where to draw.
        histories: A `history` dataset per model, by its name in the legend.
        colours: One per model.

    Returns:
        The lines, two per model.
    """
    artists: list[Any] = []
    for (name, history), colour in zip(histories.items(), colours, strict=True):
        epoch = history["epoch"].values
        artists += axes.plot(epoch, 100 * history["train_accuracy"].values, "--", color=colour, linewidth=1.1)
        artists += axes.plot(epoch, 100 * history["test_accuracy"].values, "-", color=colour, label=name)
    axes.set_xlabel("passes over the training set")
    axes.set_ylabel("accuracy [%]")
    axes.set_ylim(0, 103)
    axes.set_xlim(left=0)
    axes.grid(axis="y", color=FAINT, alpha=0.2, linewidth=0.5)
    return artists


def plot_bars(axes: Axes, nets: xr.Dataset, labels: Sequence[str], colours: Sequence[str]) -> list[Any]:
    """Draw final training and test accuracy of each model as two bars with their numbers.

    Args:
        axes: Where to draw.
        nets: An `image_nets` dataset.
        labels: Name of each model.
        colours: One per model.

    Returns:
        The bars, pale for the training set, solid for the test set.
    """
    artists: list[Any] = []
    for position, colour in enumerate(colours):
        for aside, name, strength in ((-0.21, "train_accuracy", 0.35), (0.21, "test_accuracy", 1.0)):
            value = 100 * float(nets[name].values[position])
            artists += axes.bar(position + aside, value, 0.4, color=colour, alpha=strength)
            axes.text(position + aside, value + 1, f"{value:.1f}", ha="center", va="bottom", fontsize=6, color=INK)
    axes.set_xticks(range(len(labels)), list(labels))
    axes.set_ylim(0, 109)
    axes.set_ylabel("accuracy at the end [%]")
    return artists


def plot_table(axes: Axes, rows: xr.Dataset, *, colour: str, pale: str) -> list[Any]:
    """Draw one row per optimizer, best test accuracy on top: dots for accuracies, numbers beside them.

    Args:
        axes: Where to draw.
        rows: An `optimizers` dataset.
        colour: Colour of test accuracies.
        pale: Colour of training accuracies.

    Returns:
        The dots of training and of test accuracies.
    """
    order = np.argsort(np.nan_to_num(rows["test_accuracy"].values, nan=-1.0))
    shown = rows.isel(net=order)
    positions = np.arange(shown.sizes["net"])
    train, test = (100 * shown[name].values for name in ("train_accuracy", "test_accuracy"))
    axes.hlines(positions, np.minimum(train, test), np.maximum(train, test), color=FAINT, alpha=0.5, linewidth=0.8)
    dots = [
        axes.scatter(train, positions, s=16, facecolors="white", edgecolors=pale, linewidths=1.2, zorder=3),
        axes.scatter(test, positions, s=16, color=colour, zorder=4),
    ]
    axes.set_yticks(positions, [str(title) for title in shown["title"].values])
    axes.set_xlabel("accuracy [%]")
    axes.set_xlim(0, 103)
    axes.set_ylim(-0.6, len(positions) + 0.1)
    axes.grid(axis="x", color=FAINT, alpha=0.2, linewidth=0.5)
    aside = axes.get_yaxis_transform()
    columns = (
        ("rate", 1.03, "left"),
        ("updates", 1.22, "right"),
        ("loss [nat]", 1.40, "right"),
        ("train [%]", 1.56, "right"),
        ("test [%]", 1.73, "right"),
    )
    for words, x, side in columns:
        axes.text(x, len(positions) - 0.15, words, transform=aside, ha=side, fontsize=6, color=FAINT)
    for position in positions:
        row = shown.isel(net=position)
        cells = (
            f"{float(row['learning_rate']):g}",
            f"{int(row['steps']):,}",
            "diverged" if int(row["diverged"]) else f"{float(row['clean_loss']):.1e}",
            *("–" if np.isnan(value) else f"{value:.1f}" for value in (train[position], test[position])),
        )
        for text, (_, x, side) in zip(cells, columns, strict=True):
            axes.text(x, float(position), text, transform=aside, ha=side, va="center", fontsize=6)
    return dots
