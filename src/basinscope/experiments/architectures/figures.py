"""Both parts of figure 2, models and optimizers, drawn from stored results."""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from basinscope.experiments.architectures.collect import Measurements
from basinscope.plots.accuracies import plot_bars, plot_histories, plot_table
from basinscope.plots.style import AS_TRAINED, FAINT, INK, SCALED, TWO_COLUMNS, save_figure, styled
from basinscope.runs import atomic

FIT, OPTIMIZERS = "2-architectures", "2-optimizers"
STEMS = (FIT, OPTIMIZERS)
LINEAR = "#8C6D1F"
TITLES = {
    "resnet8": "ResNet-8",
    "resnet14": "ResNet-14",
    "resnet20": "ResNet-20",
    "resnet18": "ResNet-18",
    "vgg13": "VGG13",
}


def draw(found: Measurements, out: Path) -> list[Path]:
    """Draw both parts of figure 2 into a folder; return the files."""
    files: list[Path] = []
    with styled():
        for stem, drawn in ((FIT, _fit), (OPTIMIZERS, _optimizers)):
            figure = drawn(found)
            files += save_figure(figure, out / stem, atomic.write)
            plt.close(figure)
    return files


def net_title(net: str, width: float) -> str:
    """Title of a network of some width."""
    return TITLES[net] + ("" if width == 1 else f", width × {width:g}")


def _counted(num: float) -> str:
    """Format a number of parameters with three digits."""
    return f"{num / 1e6:.3g} M" if num >= 1e6 else f"{num / 1e3:.3g} k"


def _fit(found: Measurements) -> Figure:
    config = found.config
    figure, (over, ends) = plt.subplots(1, 2, figsize=(TWO_COLUMNS, 3.0), width_ratios=(1.7, 1), layout="constrained")
    figure.suptitle(f"Figure 2 · Training and test accuracy of a network and a linear model\n{config.data}")
    colours = {"net": AS_TRAINED, "larger": SCALED, "linear": LINEAR}
    titles = {
        name: "linear model on pixels and products" if width is None else net_title(config.net, width)
        for name, width in config.models().items()
    }
    named = {
        f"{titles[name]}: {_counted(found.of('num_parameters', name))} parameters": history
        for name, history in found.histories.items()
    }
    picked = [colours[name] for name in found.histories]
    plot_histories(over, named, picked)
    styles = [
        Line2D([], [], color=INK, linestyle="--", label="training images"),
        Line2D([], [], color=INK, label="test images"),
    ]
    handles = [*over.get_legend_handles_labels()[0], *styles]
    figure.legend(handles=handles, loc="outside lower center", ncols=2)
    short = {"net": "network", "larger": "larger\nnetwork", "linear": "linear\nmodel"}
    plot_bars(ends, found.nets, [short[name] for name in titles], picked)
    ends.text(0.5, 1.01, "pale: training; full: test", transform=ends.transAxes, ha="center", fontsize=6, color=FAINT)
    return figure


def _optimizers(found: Measurements) -> Figure:
    config = found.config
    rows = found.optimizers.sizes["net"]
    height = 1.3 + 0.24 * rows
    figure = plt.figure(figsize=(TWO_COLUMNS, height))
    # Title, axis label and legend have a fixed height, whatever the number of rows.
    axes = figure.add_axes((0.17, 0.6 / height, 0.46, 1 - 1.2 / height))
    net = net_title(config.table_net, config.table_width)
    figure.suptitle(f"Figure 2 · One network, many optimizers: {net}\n{config.data}", y=0.985)
    train, test = plot_table(axes, found.optimizers, colour=AS_TRAINED, pale=FAINT)
    train.set_label("training images")
    test.set_label("test images")
    figure.legend(loc="lower center", bbox_to_anchor=(0.4, 0.0), ncols=2)
    return figure
