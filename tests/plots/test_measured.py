import itertools
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.image import imread
from matplotlib.text import Text

import basinscope as bs
from basinscope.errors import InputError
from basinscope.plots.measured import COLOURS, DRAWN, plot
from basinscope.probes.connect import connect
from basinscope.probes.curvature import curvature
from basinscope.probes.linear_path import linear_path
from basinscope.probes.radius import basin_radius
from basinscope.probes.rows import curve_rows, path_rows
from basinscope.probes.sharpness import sharpness
from basinscope.probes.slices import slice1d, slice2d
from basinscope.probes.tsne import tsne
from basinscope.probes.volume import log_volume
from basinscope.recording.recorder import Recorder
from basinscope.results.convert import dataset
from tests.anyones import perceptron, sample_losses, vectors
from tests.problems import around, small_net


def _lines(loss: Any, *, unit: str = "nat", **attributes: Any) -> xr.Dataset:
    loss = np.atleast_2d(np.asarray(loss, dtype=float))
    facts = {"model": "Net", "num_moved": 1234, "scheme": "filter", "directions": "random"} | attributes
    found = dataset(
        "slice1d", {"ray": np.arange(len(loss)), "distance": np.linspace(-1, 1, loss.shape[1]), "loss": loss}, **facts
    )
    found["loss"].attrs["units"] = unit
    return found


def _plane(loss: Any, *, markers: Any = (), unit: str = "nat") -> xr.Dataset:
    loss = np.asarray(loss, dtype=float)
    places = np.arange(1 + len(markers)) / 10
    values = {
        "first": np.linspace(-1, 1, loss.shape[0]),
        "second": np.linspace(-3, 3, loss.shape[1]),
        "loss": loss,
        "cosine": 0.0,
        "marker": ["model", *markers],
        "marker_first": places,
        "marker_second": -places,
        "marker_away": 0 * places,
    }
    found = dataset("slice2d", values, model="Net", num_moved=1234, scheme="filter", directions="random")
    found["loss"].attrs["units"] = unit
    return found


def _radii(radius: Any, status: Any = None, *, cutoff: float = 0.1, center: float = 0.0) -> xr.Dataset:
    radius = np.asarray(radius, dtype=float)
    values = {
        "ray": np.arange(len(radius)),
        "radius": radius,
        "lower": radius,
        "upper": radius,
        "status": np.zeros(len(radius), np.int8) if status is None else np.asarray(status, np.int8),
        "num_evaluations": np.ones(len(radius)),
        "cutoff": cutoff,
        "center_loss": center,
        "num_scanned": 0,
        "num_earlier": 0,
        "num_moved": 1234,
    }
    return dataset("radius", values, model="Net", num_moved=1234, scheme="filter")


def _ball(rise: Any, *, rho: float = 0.05, average: float = 0.01) -> xr.Dataset:
    rise = np.asarray(rise, dtype=float)
    values = {
        "restart": np.arange(len(rise)),
        "rise": rise,
        "worst": rise.max(),
        "average": average,
        "average_stderr": 0.001,
        "num_random": 20,
        "rho": rho,
        "center_loss": 0.0,
    }
    found = dataset("sharpness", values, model="Net", num_moved=1234, adaptive=0)
    found["rho"].attrs["units"] = "Euclidean length"
    for name in ("rise", "worst", "average"):
        found[name].attrs["units"] = "nat"
    return found


def _spectrum(eigenvalue: Any, *, status: Any = None, density: bool = False, unit: str = "nat") -> xr.Dataset:
    value = np.linspace(0, 1, 50) if density else np.empty(0)
    num = len(eigenvalue)
    values = {
        "rank": np.arange(1, num + 1),
        "eigenvalue": np.asarray(eigenvalue, dtype=float),
        "residual": np.full(num, 1e-3),
        "status": np.zeros(num, np.int8) if status is None else np.asarray(status, np.int8),
        "trace": 5.0,
        "trace_stderr": 0.5,
        "value": value,
        "density": np.ones(len(value)),
        "density_stderr": np.full(len(value), 0.1),
        "num_products": 10,
    }
    found = dataset("curvature", values, model="Net", num_moved=1234, scale="filter")
    for name in ("eigenvalue", "value"):
        found[name].attrs["units"] = unit
    found["density"].attrs["units"] = f"1 / {unit}"
    return found


def _told(figure: Figure) -> list[str]:
    """What the legends say."""
    legends = [*(axes.get_legend() for axes in figure.axes), *figure.legends]
    return [text.get_text() for legend in legends if legend for text in legend.get_texts()]


def _crosses(axes: Any) -> list[Any]:
    return [line for line in axes.lines if line.get_marker() == "x"]


BOWL = np.linspace(-1, 1, 5) ** 2 + 0.1


def test_axes_of_lines_carry_units_and_the_title_what_was_moved():
    axes = plot(_lines([BOWL, 2 * BOWL])).axes[0]
    assert axes.get_xlabel() == "distance along the direction [filter norms]"
    assert axes.get_ylabel() == "loss [nat]"
    styles = "\none line style per direction"
    assert axes.get_title() == f"Net, 1,234 moved entries\nrandom directions, filter-normalised{styles}"
    assert "line style" not in plot(_lines([BOWL])).axes[0].get_title()
    assert [list(line.get_ydata()) for line in axes.lines] == [list(BOWL), list(2 * BOWL)]
    assert axes.get_legend() is None


def test_a_loss_without_a_unit_has_none_on_its_axis():
    assert plot(_lines(BOWL, unit="")).axes[0].get_ylabel() == "loss"


def test_compared_lines_share_one_axis_each_in_its_own_colour():
    figure = plot({"good": _lines([BOWL, BOWL]), "bad": _lines(9 * BOWL)})
    (axes,) = figure.axes
    assert [line.get_color() for line in axes.lines] == [COLOURS[0], COLOURS[0], COLOURS[1]]
    assert _told(figure) == ["good", "bad"]


def test_results_that_were_measured_in_other_ways_say_so():
    title = plot({"a": _lines(BOWL), "b": _lines(BOWL, directions="hessian")}).axes[0].get_title()
    assert "random directions" in title
    assert "eigenvectors of largest curvature" in title


@pytest.mark.parametrize(
    ("factor", "shift", "log", "scale"),
    [
        (100, 0.1, None, "log"),
        (1, 0.1, None, "linear"),
        (100, -0.5, None, "linear"),
        (100, 0, None, "linear"),
        (1, 0.1, True, "log"),
        (100, 0.1, False, "linear"),
    ],
)
def test_the_log_scale_is_taken_where_losses_are_positive_and_span_a_factor_of_30(factor, shift, log, scale):
    loss = factor * np.linspace(-1, 1, 5) ** 2 + shift
    assert plot(_lines(loss), log=log).axes[0].get_yscale() == scale
    norm = plot(_plane(loss[:, None] + 0 * loss), log=log).axes[0].collections[0].norm
    assert isinstance(norm, LogNorm) is (scale == "log")


def test_what_is_not_finite_leaves_a_gap_and_is_marked_at_the_top_and_explained_once():
    one, two = BOWL.copy(), BOWL.copy()
    one[0], two[[3, 4]] = math.nan, math.inf
    figure = plot({"one": _lines([BOWL, one]), "two": _lines(two)})
    axes = figure.axes[0]
    marks = _crosses(axes)
    assert [list(line.get_xdata()) for line in marks] == [[-1.0], [0.5, 1.0]]
    assert [line.get_color() for line in marks] == list(COLOURS[:2])
    assert all(0.9 < y < 1 for line in marks for y in line.get_ydata())
    assert _told(figure).count("not finite") == 1
    assert _told(plot(_lines(one))) == ["not finite"]


def test_a_plane_has_its_first_direction_across_and_the_second_upwards():
    loss = np.arange(12.0).reshape(4, 3)
    axes = plot(_plane(loss)).axes[0]
    (mesh,) = [c for c in axes.collections if hasattr(c, "get_coordinates")]
    corners = mesh.get_coordinates()
    assert corners.shape == (4, 5, 2)
    np.testing.assert_array_equal(mesh.get_array().reshape(3, 4), loss.T)
    # Centres lie on the grid.
    np.testing.assert_allclose(corners[0, :, 0], np.linspace(-4 / 3, 4 / 3, 5), atol=1e-12)
    assert axes.get_xlabel() == "direction 1 [filter norms]"
    assert axes.get_ylabel() == "direction 2 [filter norms]"


def test_compared_planes_share_one_colour_scale_with_the_unit_beside_it():
    figure = plot({name: _plane(k + np.arange(9.0).reshape(3, 3)) for k, name in enumerate("abcd")})
    shown = [axes for axes in figure.axes if axes.collections and axes.get_xlabel()]
    assert {(axes.collections[0].norm.vmin, axes.collections[0].norm.vmax) for axes in shown} == {(0.0, 11.0)}
    assert [axes.get_title().splitlines()[0] for axes in shown] == list("abcd")
    assert figure.axes[-1].get_ylabel() == "loss [nat]"


def test_planes_of_very_unlike_losses_are_drawn_without_a_word(tmp_path):
    flat, steep = 1e-6 + 1e-9 * np.arange(9.0).reshape(3, 3), 1 + 1e3 * np.arange(9.0).reshape(3, 3)
    for log in (None, False):
        plot({"flat": _plane(flat), "steep": _plane(steep)}, log=log).savefig(tmp_path / "planes.png", dpi=40)


def test_what_is_not_finite_on_a_plane_is_masked_hatched_and_explained():
    loss = np.arange(9.0).reshape(3, 3)
    loss[0, 1], loss[2, 2] = math.nan, math.inf
    axes = plot(_plane(loss)).axes[0]
    mask = np.ma.getmaskarray(axes.collections[0].get_array()).reshape(3, 3)
    np.testing.assert_array_equal(mask, ~np.isfinite(loss.T))
    assert axes.patch.get_hatch() == "///"
    assert "hatched: not finite" in axes.get_title()
    assert "hatched" not in plot(_plane(np.ones((3, 3)))).axes[0].get_title()


@pytest.mark.parametrize("value", [math.nan, 0.0, -3.0, 2.0, math.inf])
@pytest.mark.parametrize("log", [None, True])
def test_a_plane_that_is_the_same_everywhere_is_drawn(value, log, tmp_path):
    plot(_plane(np.full((3, 3), value)), log=log).savefig(tmp_path / "flat.png", dpi=40)


@pytest.mark.parametrize("markers", [[], ["a", "b"], ["a", "a", "a"], ["a", "a", "b", "b", "b", "c"]])
def test_markers_stand_where_the_points_lie_and_those_of_one_name_are_a_path(markers):
    figure = plot(_plane(np.arange(9.0).reshape(3, 3), markers=markers))
    axes = figure.axes[0]
    found = {line.get_marker(): [] for line in axes.lines}
    for line in axes.lines:
        found[line.get_marker()].append([round(10 * float(x)) for x in line.get_xdata()])
    assert found["*"] == [[0]]
    places = {name: [k + 1 for k, other in enumerate(markers) if other == name] for name in markers}
    assert found.get("o", []) == list(places.values())
    joined = [line.get_linestyle() != "None" for line in axes.lines if line.get_marker() == "o"]
    assert joined == [len(where) > 1 for where in places.values()]
    alone = [name for name, where in places.items() if len(where) == 1]
    assert [text.get_text() for text in axes.texts] == ([*alone, "model"] if markers else [])
    paths = [name for name, where in places.items() if len(where) > 1]
    assert [words for words in _told(figure) if words != "start of a path"] == paths
    assert _told(figure).count("start of a path") == bool(paths)


def test_radii_are_drawn_as_the_share_of_rays_that_is_below():
    figure = plot(_radii([0.4, 0.1, 0.2, 0.3]))
    axes = figure.axes[0]
    steps = axes.lines[0]
    assert list(steps.get_xdata()) == [0.1, 0.1, 0.2, 0.3, 0.4]
    assert list(steps.get_ydata()) == [0, 0.25, 0.5, 0.75, 1]
    assert axes.lines[1].get_xdata()[0] == pytest.approx(0.25)
    assert axes.get_xlabel() == "radius [filter norms]"
    assert axes.get_title().endswith("\ncutoff 0.1 nat; dotted: median")
    assert _told(figure) == ["rays: n = 4"]


def test_rays_without_a_radius_are_counted_in_words_and_not_drawn():
    figure = plot(_radii([0.1, 10, 10, math.nan, math.nan, 0.2], [0, 1, 1, 2, 3, 0]))
    assert _told(figure) == ["rays: n = 6, 2 unbounded, 1 not a number, 1 not closed"]
    steps = figure.axes[0].lines[0]
    assert list(steps.get_xdata()) == [0.1, 0.1, 0.2]
    assert steps.get_ydata()[-1] == pytest.approx(2 / 6)
    # Half of the rays that are known never cross: their median is not known.
    assert len(figure.axes[0].lines) == 1


def test_rays_none_of_which_crosses_are_drawn_as_an_empty_picture(tmp_path):
    plot(_radii([10, 10], [1, 1])).savefig(tmp_path / "none.png")


@pytest.mark.parametrize(("widest", "scale"), [(0.12, "linear"), (0.9, "log")])
def test_radii_that_lie_close_together_have_a_linear_axis_on_which_ticks_can_be_read(widest, scale):
    figure = plot(_radii([0.1, widest]))
    axes = figure.axes[0]
    assert axes.get_xscale() == scale
    figure.draw_without_rendering()
    low, high = axes.get_xlim()
    ticks = [*axes.xaxis.get_major_ticks(), *axes.xaxis.get_minor_ticks()]
    assert sum(bool(tick.label1.get_text()) for tick in ticks if low <= tick.get_loc() <= high) >= 2


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ({"cutoff": 0.1, "center": 0.05}, "\ncutoff 0.1 nat; dotted: median"),
        ({"cutoff": 0.3, "center": 0.2}, "\nrise 0.1 nat; dotted: median"),
        ({"cutoff": 0.3, "center": 0.05}, "\ncutoffs 0.1 to 0.3 nat; dotted: median"),
    ],
)
def test_the_title_says_what_bounds_all_basins_that_are_compared(other, words):
    assert plot({"a": _radii([0.1]), "b": _radii([0.2], **other)}).axes[0].get_title().endswith(words)


def test_eigenvalues_have_their_residuals_as_bars_and_the_trace_in_words():
    figure = plot({"a": _spectrum([3, 2, 1]), "b": _spectrum([5, 4, 1], status=[0, 1, 1])})
    axes = figure.axes[0]
    assert axes.get_ylabel() == "eigenvalue ± residual [nat]"
    assert _told(figure) == ["a; trace 5 ± 0.5", "b; trace 5 ± 0.5; 2 not converged"]
    assert [list(bars[0].get_ydata()) for bars in axes.containers] == [[3, 2, 1], [5, 4, 1]]
    assert len(figure.axes) == 1


def test_the_density_stands_beside_with_its_unit():
    figure = plot({"a": _spectrum([1.0], density=True), "b": _spectrum([1.0])})
    assert figure.axes[1].get_xlabel() == "eigenvalue [nat]"
    assert figure.axes[1].get_ylabel() == "density ± standard error [1 / nat]"
    assert figure.axes[1].get_yscale() == "log"
    assert [list(line.get_ydata()) for line in figure.axes[1].lines] == [[1.0] * 50]


def test_balls_show_every_ascent_the_worst_and_the_mean():
    figure = plot({"a": _ball([0.1, 0.3]), "b": _ball([0.5])})
    axes = figure.axes[0]
    dots = [line for line in axes.lines if line.get_marker() == "o"]
    assert [list(line.get_ydata()) for line in dots] == [[0.1, 0.3], [0.5]]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["a", "b"]
    assert axes.get_ylabel() == "rise of the loss [nat]"
    assert axes.get_title() == "within a ball, ρ = 0.05 Euclidean length"
    assert _told(figure) == ["each ascent", "worst found", "mean ± standard error"]


def test_an_infinite_rise_is_marked():
    figure = plot(_ball([0.1, math.inf]))
    assert [len(line.get_xdata()) for line in _crosses(figure.axes[0])] == [1]
    assert "not finite" in _told(figure)


@pytest.mark.parametrize(
    ("results", "says"),
    [
        ({}, "give results of one kind, not none"),
        ({"a": _lines(BOWL), "b": _ball([1.0])}, "give results of one kind, not sharpness, slice1d"),
        (xr.Dataset({"x": 1}), "None cannot be drawn; choose from slice1d"),
        (dict.fromkeys("abcdefg", _lines(BOWL)), "7 results in one figure are too many; at most 6"),
        ({"a": _lines(BOWL), "b": _lines(BOWL, unit="bit")}, "loss has the units bit and nat"),
        ({"a": _lines(BOWL), "b": _lines(BOWL, unit="")}, "loss has the units nat and none"),
        ({"a": _plane(np.ones((2, 2))), "b": _plane(np.ones((2, 2)), unit="bit")}, "loss has the units bit and nat"),
        ({"a": _spectrum([1.0]), "b": _spectrum([1.0], unit="bit")}, "eigenvalue has the units bit and nat"),
        ({"a": _ball([1.0]), "b": _ball([1.0], rho=0.1)}, r"rho differs \(0.05 and 0.1\); results must share one"),
    ],
)
def test_what_does_not_compare_is_refused_in_one_line(results, says):
    with pytest.raises(InputError, match=says) as caught:
        plot(results)
    assert "\n" not in str(caught.value)


def _verbs() -> dict[str, xr.Dataset]:
    objective, others = around(small_net()), [small_net(seed) for seed in (3, 4, 5, 6)]
    quiet = {"progress": False}
    return {
        "slice1d": slice1d(objective, num_directions=2, resolution=5, **quiet),
        "hessian": slice1d(objective, directions="hessian", num_directions=1, resolution=3, **quiet),
        "path": linear_path(objective, others[0], resolution=5, **quiet),
        "slice2d": slice2d(objective, resolution=3, **quiet),
        "between": slice2d(objective, directions="between", points=others[:2], resolution=3, **quiet),
        "pca": slice2d(objective, directions="pca", points=others, resolution=3, **quiet),
        "curve": connect(objective, others[0], num_steps=2, resolution=3, **quiet),
        "radius": basin_radius(objective, num_directions=3, **quiet),
        "volume": log_volume(basin_radius(objective, num_directions=3, **quiet)),
        "curvature": curvature(objective, top=2, max_steps=9, density=True, density_starts=2, density_steps=5, **quiet),
        "eigenvalues": curvature(objective, top=1, max_steps=5, trace_vectors=0, scale="filter", **quiet),
        "map": tsne(objective, points=others, perplexity=2),
        "sharpness": sharpness(objective, num_restarts=2, num_steps=2, **quiet),
        "worst alone": sharpness(objective, num_random=0, num_restarts=1, num_steps=2, **quiet),
        "training": Recorder(objective.model, probes=objective).measured(),
    }


ALIASES = {"plane": "slice2d", "slice2d": "plane", "ball": "sharpness", "sharpness": "ball"}


def test_the_result_of_every_verb_is_drawn_alone_and_in_company_and_saved(tmp_path: Path):
    kinds: set[str] = set()
    for name, found in _verbs().items():
        path = tmp_path / f"{name}.png"
        # Each alone, and the first of its kind beside another.
        plot(found if found.attrs["kind"] in kinds else {"one": found, "other": found}).savefig(path, dpi=40)
        kinds.add(found.attrs["kind"])
        if found.attrs["kind"] in ALIASES:
            kinds.add(ALIASES[found.attrs["kind"]])
        assert imread(path).std() > 0.01
    assert kinds == set(DRAWN)


def test_planes_are_drawn_as_surfaces_on_one_scale_with_holes_and_units():
    objective = around(small_net())
    found = slice2d(objective, resolution=5, progress=False)
    other = found.copy(deep=True)
    other["loss"] = 3 * other["loss"]
    other["loss"][0, 0] = np.nan
    figure = plot({"one": found, "other": other}, surface=True)
    one, two = figure.axes
    assert one.get_zlim() == two.get_zlim()
    assert one.get_xlabel() == "direction 1\n[filter norms]"
    assert one.get_zlabel().startswith("loss")
    assert "holes: not finite" in two.get_title()
    assert "holes" not in one.get_title()
    losses = np.concatenate([found["loss"].values.ravel(), other["loss"].values.ravel()])
    low, high = np.nanmin(losses), np.nanmax(losses)
    assert one.get_zlim() == pytest.approx((low, high) if high <= 30 * low else (np.log10(low), np.log10(high)))


def test_surfaces_are_for_planes_only():
    with pytest.raises(InputError, match="surface=True is for planes, not for slice1d"):
        plot(_lines([BOWL]), surface=True)


WAYS = ("sgd", "adamw", "sam", "lion", "asgd", "muon")
LONG = [f"resnet20-cifar10-{way}-lr0.01-wd5e-2-seed3-epoch200" for way in WAYS]
RADII = _radii([0.4, 0.1, 0.2, 0.3])


@pytest.mark.parametrize(
    "one",
    [_lines(BOWL), RADII, _spectrum([3, 2, 1], density=True), _ball([0.1, 0.3]), log_volume(RADII)],
    ids=lambda found: found.attrs["kind"],
)
def test_long_names_hide_nothing_and_stay_within_the_picture(one: xr.Dataset) -> None:
    figure = plot(dict.fromkeys(LONG, one))
    figure.draw_without_rendering()
    axes = [panel.get_window_extent() for panel in figure.axes]
    for legend in figure.legends:
        box = legend.get_window_extent()
        assert figure.bbox.x0 <= box.x0 < box.x1 <= figure.bbox.x1
        assert not any(box.overlaps(panel) for panel in axes)
    for panel in figure.axes:
        title = panel.title.get_window_extent()
        assert figure.bbox.x0 <= title.x0 <= title.x1 <= figure.bbox.x1
        if "resnet20" in panel.get_xticklabels()[0].get_text():
            ticks = [label.get_window_extent() for label in panel.get_xticklabels()]
            assert not any(a.overlaps(b) for a, b in itertools.pairwise(ticks))


def _between(kind):
    """A line or a plane through other minima, by its attributes alone."""
    if kind == "slice2d":
        plane = _plane(np.arange(9.0).reshape(3, 3))
        return plane.assign_attrs(directions="between")
    one, two = perceptron(), perceptron(seed=1)
    return bs.linear_path(bs.Objective(one, sample_losses, vectors()), two, resolution=5, progress=False)


def test_lines_and_planes_through_other_minima_say_so():
    line, plane = (plot(_between(kind)) for kind in ("slice1d", "slice2d"))
    assert line.axes[0].get_title().endswith("straight line to another minimum")
    assert [text.get_text() for text in line.legends[0].get_texts()] == ["other minimum's own loss"]
    assert plane.axes[0].get_title().endswith("plane through other minima")


def _inside(figure):
    """Whether all labels of the axes lie inside the figure."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    whole, labels = figure.bbox, [a.label for axes in figure.axes for a in (axes.xaxis, axes.yaxis, axes.zaxis)]
    boxes = [label.get_window_extent(canvas.get_renderer()) for label in labels]
    return all(whole.x0 <= b.x0 and b.x1 <= whole.x1 and whole.y0 <= b.y0 and b.y1 <= whole.y1 for b in boxes)


@pytest.mark.parametrize("unit", ["filter norms", "distance to the first point"])
def test_labels_of_surfaces_lie_inside_the_figure_and_hide_no_neighbour(unit):
    plane = _plane(np.arange(9.0).reshape(3, 3))
    for name in ("first", "second"):
        plane[name].attrs["units"] = unit
    for results in (plane, {"good": plane, "bad": plane}):
        figure = plot(results, surface=True)
        assert _inside(figure)
        assert not any(axes.patch.get_visible() for axes in figure.axes)


def test_contours_of_another_metric_have_values():
    def error(model, batch):
        return (model(batch[0]).argmax(1) != batch[1]).double()

    objective = bs.Objective(perceptron(), sample_losses, vectors(), metrics={"error": error})
    plane = bs.slice2d(objective, resolution=9, extent=2, progress=False)
    plane["values"].loc[{"metric": "error"}] = np.hypot(*np.meshgrid(plane["first"], plane["second"]))
    for show, wanted in ((("data", "error"), {"0.7", "1.3"}), (None, set())):
        figure = plot(plane, show=show, levels=[0.7, 1.3])
        texts = [artist.get_text() for axes in figure.axes for artist in axes.findobj(Text)]
        assert {"0.7", "1.3"} & set(texts) == wanted


def test_barriers_state_the_number_of_points_and_that_of_a_line_starts_at_the_network_s_own_loss():
    one, two = perceptron(), perceptron(seed=1)
    objective = bs.Objective(one, sample_losses, vectors())
    line = bs.linear_path(objective, two, resolution=6, progress=False)  # without the network itself
    share, loss = line["distance"].values, line["loss"].values[0]
    base, end = objective.center_loss, bs.Objective(two, sample_losses, vectors()).center_loss
    wanted = max(v - ((1 - t) * base + t * end) for t, v in zip(share, loss, strict=True) if 0 <= t <= 1)
    (row,) = path_rows(line)
    assert row.value == pytest.approx(wanted, rel=1e-12)
    assert row.spread == f"largest of {sum(0 <= t <= 1 for t in share)} points"
    curve = bs.connect(objective, two, num_steps=1, resolution=7, progress=False)
    assert [row.spread for row in curve_rows(curve)][:2] == ["largest of 7 points"] * 2
