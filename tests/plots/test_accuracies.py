from collections.abc import Iterator

import matplotlib.pyplot as plt
import numpy as np
import pytest
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba

from basinscope.plots.accuracies import plot_bars, plot_histories, plot_table
from basinscope.plots.style import AS_TRAINED, FAINT, styled
from basinscope.results.convert import dataset


@pytest.fixture
def axes() -> Iterator[Axes]:
    with styled():
        yield plt.subplots()[1]
    plt.close("all")


def _history(train: list[float], test: list[float]) -> xr.Dataset:
    epoch = 2.0 * np.arange(len(train))
    accuracies = {"train_accuracy": np.array(train), "test_accuracy": np.array(test)}
    return dataset("history", {"epoch": epoch, "clean_loss": np.ones(len(train)), **accuracies})


def _rows(train: list[float], test: list[float]) -> xr.Dataset:
    names = ["adam", "sgd", "lbfgs"]
    return dataset(
        "optimizers",
        {
            "net": names,
            "title": [name.upper() for name in names],
            "learning_rate": np.array([0.01, 0.5, 0.9]),
            "steps": np.array([1200, 30, 5]),
            "diverged": np.isnan(train).astype(np.int8),
            "clean_loss": np.array([0.00123, np.nan, 0.5]),
            "train_accuracy": np.array(train),
            "test_accuracy": np.array(test),
        },
    )


def test_histories_are_drawn_in_per_cent_dashed_for_training(axes: Axes) -> None:
    one, two = _history([0.1, 0.5, 1.0], [0.1, 0.4, 0.6]), _history([0.2, 0.3], [0.15, 0.25])
    lines = plot_histories(axes, {"one": one, "two": two}, ["red", "blue"])
    assert [line.get_linestyle() for line in lines] == ["--", "-", "--", "-"]
    assert [line.get_color() for line in lines] == ["red", "red", "blue", "blue"]
    assert list(lines[0].get_xdata()) == [0, 2, 4]
    np.testing.assert_allclose(lines[0].get_ydata(), [10, 50, 100])
    np.testing.assert_allclose(lines[3].get_ydata(), [15, 25])
    assert axes.get_legend_handles_labels()[1] == ["one", "two"]
    assert axes.get_ylabel() == "accuracy [%]"
    assert "passes" in axes.get_xlabel()


def test_bars_stand_as_high_as_the_numbers_beside_them(axes: Axes) -> None:
    nets = xr.Dataset({"train_accuracy": ("net", [1.0, 0.5]), "test_accuracy": ("net", [0.72, 0.25])})
    bars = plot_bars(axes, nets, ["network", "linear"], ["red", "blue"])
    assert [bar.get_height() for bar in bars] == [100, 72, 50, 25]
    assert [text.get_text() for text in axes.texts] == ["100.0", "72.0", "50.0", "25.0"]
    assert all(bar.get_height() < text.get_position()[1] for bar, text in zip(bars, axes.texts, strict=True))
    assert [bar.get_facecolor() for bar in bars[::2]] == [to_rgba("red", 0.35), to_rgba("blue", 0.35)]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["network", "linear"]
    assert "[%]" in axes.get_ylabel()


def test_the_table_has_the_best_on_top_and_marks_what_diverged(axes: Axes) -> None:
    train, test = plot_table(axes, _rows([1.0, np.nan, 0.9], [0.6, np.nan, 0.7]), colour=AS_TRAINED, pale=FAINT)
    assert [label.get_text() for label in axes.get_yticklabels()] == ["SGD", "ADAM", "LBFGS"]
    for dots, places in ((test, [[60, 1], [70, 2]]), (train, [[100, 1], [90, 2]])):
        shown = np.ma.filled(dots.get_offsets(), np.nan)
        assert np.isnan(shown[0]).any(), "no dot where there is no accuracy"
        np.testing.assert_allclose(shown[1:], places)
    cells: dict[float, list[str]] = {}
    for text in axes.texts:
        cells.setdefault(float(text.get_position()[1]), []).append(text.get_text())
    assert cells[0] == ["0.5", "30", "diverged", "–", "–"]
    assert cells[1] == ["0.01", "1,200", "1.2e-03", "100.0", "60.0"]
    assert cells[2] == ["0.9", "5", "5.0e-01", "90.0", "70.0"]
    assert axes.get_xlabel() == "accuracy [%]"


def test_a_line_joins_the_two_accuracies_of_a_row_whichever_is_higher(axes: Axes) -> None:
    plot_table(axes, _rows([0.5, 0.6, 0.2], [0.4, 0.7, 0.3]), colour=AS_TRAINED, pale=FAINT)
    segments = [np.asarray(path.vertices) for path in axes.collections[0].get_paths()]
    np.testing.assert_allclose(segments, [[[20, 0], [30, 0]], [[40, 1], [50, 1]], [[60, 2], [70, 2]]])
