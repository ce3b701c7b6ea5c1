import numpy as np
import pytest
from matplotlib.figure import Figure

from basinscope.errors import InputError
from basinscope.plots.measured import plot
from basinscope.plots.slice2d import plot_slice2d
from basinscope.plots.wrapping import wrap
from basinscope.probes.slices import slice1d, slice2d
from tests.problems import around, small_net

PLANE = slice2d(around(small_net()), resolution=4, progress=False)
LINES = slice1d(around(small_net()), resolution=3, progress=False)


def test_a_result_is_drawn_into_axes_of_ones_own():
    figure = Figure()
    axes = figure.subplots()
    assert plot(LINES, ax=axes, title="mine") is figure
    assert len(axes.lines) == 3
    assert axes.get_title() == "mine"


def test_a_mapping_of_axes_gives_each_network_its_own_whatever_the_order():
    one, two = Figure().subplots(1, 2)
    artists = plot_slice2d({"a": PLANE, "b": PLANE}, {"b": one, "a": two})
    assert (one.get_title(), two.get_title()) == ("b", "a")
    assert list(artists) == ["a", "b"]
    assert all(artist.axes is two for artist in artists["a"])


def test_a_wrong_number_of_axes_is_refused_in_one_line():
    with pytest.raises(InputError, match="ax holds 3 axes, but 2 are needed") as caught:
        plot({"a": PLANE, "b": PLANE}, ax=Figure().subplots(1, 3))
    assert "\n" not in str(caught.value)


def test_levels_and_colour_map_are_those_that_were_asked_for():
    loss = PLANE["loss"].values
    levels = list(np.linspace(loss.min(), loss.max(), 4)[1:-1])
    mesh, contours = plot_slice2d(PLANE, Figure().subplots(), levels=levels, cmap="magma")[""][:2]
    assert mesh.get_cmap().name == "magma"
    assert list(contours.levels) == pytest.approx(levels)
    with pytest.raises(InputError, match="levels is for slice2d, not for slice1d"):
        plot(LINES, levels=3)


def test_axes_of_one_unit_are_equally_long():
    assert plot(PLANE).axes[0].get_aspect() == 1


def test_a_figure_shows_itself_as_png():
    assert plot(LINES)._repr_png_().startswith(b"\x89PNG")


@pytest.mark.parametrize("name", ["x" * 200, "a-long_name with/many parts" * 5, "损失" * 50])
def test_wrapped_names_lose_no_letter(name):
    lines = wrap(name, 1.0, 6.0).split("\n")
    assert len(lines) > 1
    assert "".join(lines).replace(" ", "") == name.replace(" ", "")
