from collections.abc import Iterator
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pytest
import xarray as xr
from matplotlib.axes import Axes

from basinscope.plots.lines import plot_rising_lines, plot_slices
from basinscope.plots.style import GOOD, styled
from basinscope.results.convert import dataset

CUTOFF, CEILING = 0.1, 0.5
DISTANCE = np.array([0.0, 0.1, 0.2, 0.3])
LOSS = np.array([[0.01, 0.02, 0.3, 0.45], [0.01, 0.05, np.inf, np.inf], [0.01, 0.015, 0.04, np.inf]])


@pytest.fixture
def axes() -> Iterator[Axes]:
    with styled():
        yield plt.subplots()[1]
    plt.close("all")


def _slices(loss: np.ndarray, distance: np.ndarray = DISTANCE) -> xr.Dataset:
    return dataset("slice1d", {"ray": np.arange(len(loss)), "distance": distance, "loss": loss})


def _radii(*values: float) -> xr.DataArray:
    return xr.DataArray(np.array(values), dims="ray")


def _rising(axes: Axes, radii: xr.DataArray, loss: np.ndarray = LOSS, most: int = 100) -> list[Any]:
    return plot_rising_lines(axes, _slices(loss), radii, cutoff=CUTOFF, ceiling=CEILING, colour=GOOD, most=most)


def _points(line: Any) -> tuple[list[float], list[float]]:
    return list(line.get_xdata()), list(line.get_ydata())


def test_each_line_ends_where_its_loss_leaves_the_picture(axes: Axes) -> None:
    lines = _rising(axes, _radii(0.1, 0.2, 0.3))[:3]
    assert [len(_points(line)[0]) for line in lines] == [4, 2, 3]
    for line, loss in zip(lines, LOSS, strict=True):
        inside = np.isfinite(loss)
        np.testing.assert_array_equal(line.get_xdata(), DISTANCE[inside])
        np.testing.assert_array_equal(line.get_ydata(), loss[inside])


def test_the_band_holds_all_lines_and_ends_at_the_ceiling(axes: Axes) -> None:
    *lines, band, _ = _rising(axes, _radii(0.1, 0.2, 0.3), most=1)
    assert len(lines) == 1, "the band is of all lines, whether they are drawn or not"
    corners = band.get_paths()[0].vertices
    for distance, low, high in zip(DISTANCE, LOSS.min(0), np.minimum(LOSS, CEILING).max(0), strict=True):
        heights = corners[np.isclose(corners[:, 0], distance), 1]
        assert (heights.min(), heights.max()) == (low, high)
    assert axes.get_ylim()[1] == CEILING
    assert axes.get_xlim() == (0, DISTANCE[-1])


def test_the_basin_reaches_to_the_median_radius_and_the_bar_over_their_range(axes: Axes) -> None:
    basin = _rising(axes, _radii(0.12, np.nan, 0.2, 0.25))[-1]
    corners = basin.get_paths()[0].vertices
    assert corners[:, 0].max() == 0.2
    assert corners[:, 1].max() == CUTOFF
    dashed, bar, dot = axes.lines[-3:]
    assert _points(dashed)[1] == [CUTOFF, CUTOFF]
    assert _points(bar) == ([0.12, 0.25], [CUTOFF, CUTOFF])
    assert _points(dot) == ([0.2], [CUTOFF])


def test_without_radii_there_is_no_basin(axes: Axes) -> None:
    artists = _rising(axes, _radii(np.nan, np.nan))
    assert len(artists) == 4, "three lines and their band"
    assert _points(axes.lines[-1])[1] == [CUTOFF, CUTOFF]


def test_lines_that_begin_above_the_ceiling_leave_nothing_but_the_cutoff(axes: Axes) -> None:
    lines = _rising(axes, _radii(np.nan), np.full((2, 4), np.inf))[:2]
    assert [len(_points(line)[0]) for line in lines] == [0, 0]
    plt.gcf().canvas.draw()


def test_slices_are_drawn_as_stored_and_flat_below_the_floor(axes: Axes) -> None:
    distance = np.linspace(-0.3, 0.3, 5)
    loss = np.array([[2.0, 0.1, 1e-9, 0.2, 3.0], [1.0, 0.01, 1e-9, 0.02, np.inf]])
    lines = plot_slices(axes, _slices(loss, distance), colour=GOOD, floor=1e-4)
    for line, values in zip(lines, loss, strict=True):
        np.testing.assert_array_equal(line.get_xdata(), distance)
        np.testing.assert_array_equal(line.get_ydata(), np.maximum(values, 1e-4))
    assert len({line.get_linestyle() for line in lines}) == 2, "told apart without colours"


@pytest.mark.parametrize("kind", ["slices", "lines"])
def test_axes_are_logarithmic_and_state_their_units(axes: Axes, kind: str) -> None:
    if kind == "slices":
        plot_slices(axes, _slices(LOSS), colour=GOOD, floor=1e-4)
    else:
        _rising(axes, _radii(0.1))
    assert axes.get_yscale() == "log"
    assert axes.get_xlabel().endswith("[filter norms]")
    assert axes.get_ylabel().endswith("[nat]")
