from collections.abc import Iterator
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
import xarray as xr
from matplotlib.colors import to_rgba

from basinscope.plots.boundary import plot_boundary
from basinscope.plots.groups import plot_groups
from basinscope.plots.minefield import PATH_COLOURS, plot_minefield
from basinscope.plots.relation import plot_relation
from basinscope.plots.style import CLASS_POINTS, GOOD, save_figure, styled
from basinscope.plots.surface import heights, plot_surface
from basinscope.results.convert import dataset


@pytest.fixture(autouse=True)
def close() -> Iterator[None]:
    with styled():
        yield
    plt.close("all")


def test_boundary_shows_regions_line_and_points_where_they_are() -> None:
    x, y = np.linspace(-2, 2, 41), np.linspace(-1, 1, 21)
    boundary = dataset("boundary", {"x": x, "y": y, "logit": np.broadcast_to(x - 0.5, (21, 41)).copy()})
    samples = dataset("samples", {"inputs": np.array([[1.0, 0.5], [-1.0, 0.0]]), "labels": np.array([1, 0])})
    _, axes = plt.subplots()
    mesh, line, first, second = plot_boundary(axes, boundary, samples)
    shown = np.asarray(mesh.get_array()).reshape(21, 41)
    assert shown[:, x > 0.5].all()
    assert not shown[:, x <= 0.5].any()
    np.testing.assert_allclose(line.get_paths()[0].vertices[:, 0], 0.5, atol=1e-12)
    assert second.get_offsets().tolist() == [[1.0, 0.5]]
    assert tuple(first.get_facecolor()[0]) == to_rgba(CLASS_POINTS[0])


def test_a_minefield_shows_each_minimum_by_its_accuracy_and_names_both_ends() -> None:
    path = xr.Dataset({"x": ("epoch", [0.0, 1.0, 2.0]), "y": ("epoch", [0.0, 1.0, 5.0])}, {"epoch": [1, 11, 21]})
    bad = xr.Dataset({"x": ("net", [3.0, 4.0]), "y": ("net", [1.0, 0.0])}, {"net": ["a", "b"]})
    accuracy = xr.DataArray([0.4, 0.5], dims="net", coords={"net": ["a", "b"]})
    _, axes = plt.subplots()
    found = plot_minefield(axes, path, bad, accuracy, bad.isel(net=slice(0)))
    assert found["bad"].get_array().tolist() == [40.0, 50.0]
    assert found["bad"].get_offsets().tolist() == [[3.0, 1.0], [4.0, 0.0]]
    assert found["path"].get_array().tolist() == [1, 11, 21]
    assert found["finish"].get_offsets().tolist() == [[2.0, 5.0]]
    assert len(found["failed"].get_offsets()) == 0
    assert found["start word"].xy == (0.0, 0.0)
    assert found["start word"].xyann[1] < 0 < found["finish word"].xyann[1]
    shades = [sum(PATH_COLOURS(share)[:3]) for share in (0.0, 0.5, 1.0)]
    assert shades == sorted(shades, reverse=True), "pale to dark"


def test_groups_stand_side_by_side_with_their_medians() -> None:
    _, axes = plt.subplots()
    dots, dash, other, _ = plot_groups(axes, {"a": np.array([3.0, 1.0, 2.0]), "b": np.array([7.0])}, ("red", "blue"))
    places = dots.get_offsets()
    assert sorted(places[:, 1]) == [1.0, 2.0, 3.0]
    assert len(set(places[:, 0])) == 3
    assert np.abs(places[:, 0]).max() < 0.5
    assert list(dash.get_ydata()) == [2.0, 2.0]
    assert other.get_offsets().tolist() == [[1.0, 7.0]]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["a", "b"]


def test_log_heights_have_a_floor_and_keep_nan() -> None:
    losses = xr.DataArray([1e-9, 10.0, np.nan, np.inf])
    np.testing.assert_array_equal(heights(losses, "log", 1e-5), [-5.0, 1.0, np.nan, np.inf])
    np.testing.assert_array_equal(heights(losses, "linear", 1e-5), losses.values)


def test_surface_states_its_units_and_uses_the_given_limits() -> None:
    grid = np.linspace(-0.3, 0.3, 5)
    values = {"first": grid, "second": grid, "loss": np.abs(grid)[:, None] + 0 * grid, "cosine": 0.0}
    axes = plt.figure().add_subplot(projection="3d")
    (surface,) = plot_surface(axes, dataset("slice2d", values), limits=(0.0, 7.0))
    assert axes.get_zlim() == (0.0, 7.0)
    assert (surface.norm.vmin, surface.norm.vmax) == (0.0, 7.0)
    assert "[filter norms]" in axes.get_xlabel()
    assert "[nat]" in axes.get_zlabel()


@pytest.mark.parametrize(("scale", "middle"), [("linear", [5.5, 40.0]), ("log", [10**0.5, 40.0])])
def test_relation_draws_mean_and_range_of_each_poison_factor(scale: str, middle: list[float]) -> None:
    gap, value, poison = (
        xr.DataArray(v, dims="net") for v in ([0.1, 0.3, 0.8, 0.8], [1.0, 10.0, 40.0, 40.0], [0.0, 0.0, 0.3, 0.3])
    )
    _, axes = plt.subplots()
    axes.set_yscale(scale)
    band, line, dots = plot_relation(axes, gap, value, poison, colour=GOOD)
    np.testing.assert_allclose(line.get_xdata(), [0.2, 0.8])
    np.testing.assert_allclose(line.get_ydata(), middle)
    corners = band.get_paths()[0].vertices
    assert {(0.2, 1.0), (0.2, 10.0)} <= {(round(float(a), 9), float(b)) for a, b in corners}
    assert len(dots.get_offsets()) == 4


def test_the_look_does_not_leak_into_the_users_settings() -> None:
    with plt.rc_context({"font.size": 23}):
        with styled():
            assert mpl.rcParams["font.size"] == 7
        assert mpl.rcParams["font.size"] == 23


def test_drawing_again_gives_the_same_bytes(tmp_path: Path) -> None:
    def draw(name: str) -> list[bytes]:
        figure, axes = plt.subplots()
        axes.plot([0, 1])
        return [file.read_bytes() for file in save_figure(figure, tmp_path / name, lambda path, produce: produce(path))]

    assert draw("a") == draw("b")
