import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from basinscope.checkpoints.points import moved_tensors, spanned
from basinscope.errors import InputError
from basinscope.landscape.module.objective import Objective
from basinscope.probes.curvature import curvature
from basinscope.probes.linear_path import linear_path
from basinscope.probes.slices import slice1d, slice2d
from basinscope.recording.recorder import Recorder
from basinscope.results.convert import check
from tests.problems import Point, around, at, bowl, small_net, whole_loss

QUIET = {"progress": False}
CURVATURES = torch.tensor([5.0, 3.0, 2.0, 1.0])


def _flat(objective, index: int) -> Tensor:
    line = objective.direction(0, index)
    return torch.cat([line.block(place).reshape(-1) for place in range(len(objective.filters))])


def test_the_middle_of_every_line_is_the_network_itself():
    net = small_net()
    found = slice1d(around(net), num_directions=4, resolution=5, **QUIET)
    assert found["distance"].values[2] == 0
    np.testing.assert_allclose(found["loss"][:, 2], whole_loss(net), rtol=1e-12)
    assert check(found) is found


def test_lines_of_a_quadratic_are_those_of_the_closed_form():
    objective = bowl(CURVATURES, floor=0.3)
    found = slice1d(objective, num_directions=3, extent=2.5, resolution=6, **QUIET)
    np.testing.assert_allclose(found["distance"], np.linspace(-2.5, 2.5, 6))
    for k in range(3):
        steepness = float(_flat(objective, k).square() @ CURVATURES.double())
        np.testing.assert_allclose(found["loss"][k], 0.3 + 0.5 * steepness * np.linspace(-2.5, 2.5, 6) ** 2, rtol=1e-6)


@pytest.mark.parametrize("extent", [0.01, 0.3, 7.0])
def test_the_extent_is_half_the_side_in_filter_norms_and_is_honoured(extent):
    objective = around(small_net())
    line = slice1d(objective, num_directions=1, extent=extent, resolution=3, **QUIET)
    plane = slice2d(objective, extent=extent, resolution=3, **QUIET)
    for axis in (line["distance"], plane["first"], plane["second"]):
        np.testing.assert_allclose(axis, [-extent, 0, extent])
        assert axis.attrs["units"] == "filter norms"
    at_end = objective.loss_at((objective.direction(0, 0), extent))
    assert float(line["loss"][0, 2]) == at_end == pytest.approx(float(plane["loss"][2, 1]))


def test_defaults_reach_one_filter_norm_or_a_tenth_along_eigenvectors():
    objective = around(small_net())
    for directions, extent in (("random", 1.0), ("hessian", 0.1)):
        line = slice1d(objective, num_directions=1, directions=directions, resolution=2, **QUIET)
        np.testing.assert_allclose(line["distance"], [-extent, extent])


def test_lines_along_eigenvectors_are_as_steep_as_eigenvalues_say():
    weights = torch.full((4,), 2.0)
    objective = at(weights, lambda w: 0.5 * (CURVATURES.double() * (w - 2).square()).sum(), unit="nat")
    found = slice1d(objective, directions="hessian", num_directions=2, resolution=3, extent=0.1, **QUIET)
    # D is ‖w‖/√4 = 2 for all entries, and a direction is D·v·√4.
    np.testing.assert_allclose(found["loss"][:, 2], 0.5 * np.array([5, 3]) * (0.1 * 2 * 2) ** 2, rtol=1e-3)
    assert found["distance"].attrs["units"] == "filter norms"
    scaled = curvature(objective, scale="filter", top=2, **QUIET)["eigenvalue"].values
    np.testing.assert_allclose(found["loss"][:, 2], 0.5 * scaled * 4 * 0.1**2, rtol=1e-3)


def test_the_first_axis_of_a_plane_lies_along_the_first_direction():
    slope = torch.tensor([1.0, 10.0, -3.0, 0.5]).double()
    objective = at(torch.zeros(4), lambda w: w @ slope)
    found = slice2d(objective, resolution=4, extent=2.0, **QUIET)
    one, two = _flat(objective, 0), _flat(objective, 1)
    # The second direction loses its part along the first, and is as long as before.
    rest = two - (two @ one) / (one @ one) * one
    rest = rest * two.norm() / rest.norm()
    grid = np.linspace(-2, 2, 4)
    assert found["loss"].dims == ("first", "second")
    np.testing.assert_allclose(
        found["loss"], grid[:, None] * float(one @ slope) + grid[None] * float(rest @ slope), rtol=1e-5, atol=1e-6
    )
    assert abs(float(found["cosine"])) < 1e-6


def test_a_plane_of_random_directions_is_not_sheared():
    found = slice2d(around(small_net()), resolution=3, **QUIET)
    assert abs(float(found["cosine"])) < 1e-6
    assert float(found["loss"][1, 1]) == pytest.approx(whole_loss(small_net()))
    assert found["marker"].values.tolist() == ["model"]


def test_a_plane_of_equal_curvatures_has_two_eigenvectors():
    objective = at(torch.ones(6), lambda w: (w - 1).square().sum())
    found = slice2d(objective, directions="hessian", resolution=3, **QUIET)
    assert abs(float(found["cosine"])) < 1e-6
    np.testing.assert_allclose(found["loss"], found["loss"].values.T, rtol=1e-5)


def test_what_is_not_finite_is_kept():
    def loss(w: Tensor) -> Tensor:
        length = w.norm()
        return torch.where(length > 2, math.nan, torch.where(length > 1, math.inf, length))

    line = slice1d(at(torch.zeros(3), loss), num_directions=1, extent=3, resolution=5, **QUIET)
    assert [str(value) for value in line["loss"].values[0].round(3)] == ["nan", "inf", "0.0", "inf", "nan"]
    plane = slice2d(at(torch.zeros(3), loss), extent=3, resolution=3, **QUIET)["loss"].values
    assert np.isnan(plane).sum() == 8
    assert plane[1, 1] == 0


def _points(*rows: list[float]) -> list[dict[str, Tensor]]:
    return [{"weight": torch.tensor([row], dtype=torch.float64)} for row in rows]


@pytest.mark.parametrize("seed", range(2))
def test_the_loss_where_a_marker_lies_is_that_of_its_own_minimum(seed):
    net, others = small_net(seed), [small_net(10), small_net(11)]
    for other in others:  # what is not moved stays the network's own
        other.load_state_dict({k: v for k, v in net.state_dict().items() if v.ndim < 2}, strict=False)
    objective = around(net)
    found = slice2d(objective, directions="between", points=others, resolution=2, **QUIET)
    np.testing.assert_allclose(found["marker_away"], 0, atol=1e-6)
    assert abs(float(found["cosine"])) < 1e-9
    (one, two), _ = spanned(objective, [moved_tensors(objective, other, "it") for other in others], "between")
    for k, there in enumerate((net, *others)):
        first, second = (float(found[name][k]) for name in ("marker_first", "marker_second"))
        assert objective.loss_at((one, first), (two, second)) == pytest.approx(whole_loss(there), rel=1e-9)


def test_places_between_minima_are_exact():
    # The point (3, 4, 0) is 5 away; (0, 0, 10) stands upright on the way there: two of those lengths.
    objective = at(torch.zeros(3), lambda w: w.square().sum())
    found = slice2d(
        objective, directions="between", points=_points([3, 4, 0], [6, 8, 10]), names=["a", "b"], resolution=4, **QUIET
    )
    np.testing.assert_allclose(found["marker_first"], [0, 1, 2], atol=1e-12)
    np.testing.assert_allclose(found["marker_second"], [0, 0, 2], atol=1e-12)
    assert found["marker"].values.tolist() == ["model", "a", "b"]
    # On this plane the loss is 25 (a² + b²), a quarter of the spread beyond the outermost points.
    np.testing.assert_allclose(found["first"], np.linspace(-0.5, 2.5, 4))
    a, b = found["first"].values[:, None], found["second"].values[None]
    np.testing.assert_allclose(found["loss"], 25 * (a**2 + b**2), rtol=1e-12)
    assert found["first"].attrs["units"] == "distance to the first point"


def test_principal_axes_are_those_of_a_singular_value_decomposition():
    stream = np.random.default_rng(0)
    here = stream.normal(size=7)
    rows = here + stream.normal(size=(5, 7)) * np.array([5, 3, 1, 0.5, 0.2, 0.1, 0.1])
    objective = at(torch.from_numpy(here), lambda w: w.square().sum())
    found = slice2d(objective, directions="pca", points=_points(*rows.tolist()), resolution=9, **QUIET)
    ways = rows - here
    _, _, axes = np.linalg.svd(ways)
    places = ways @ axes[:2].T
    for k, name in enumerate(("marker_first", "marker_second")):
        np.testing.assert_allclose(np.abs(found[name][1:]), np.abs(places[:, k]), rtol=1e-8)
        assert found[name].values[0] == 0
    away = np.sqrt((ways**2).sum(1) - (places**2).sum(1))
    np.testing.assert_allclose(found["marker_away"][1:], away, rtol=1e-6)
    # The loss at a grid point is that of the point of the plane, whose axes are of length 1.
    signs = [np.sign(found[name].values[1] * places[0, k]) for k, name in enumerate(("marker_first", "marker_second"))]
    for i, j in ((0, 0), (8, 3), (2, 7)):
        place = here + signs[0] * float(found["first"][i]) * axes[0] + signs[1] * float(found["second"][j]) * axes[1]
        assert float(found["loss"][i, j]) == pytest.approx((place**2).sum(), rel=1e-9)
    assert found["first"].attrs["units"] == "Euclidean length"


@pytest.mark.parametrize("directions", ["between", "pca"])
@pytest.mark.parametrize(
    "rows",
    [
        [[1, 2, 3], [2, 4, 6]],
        [[1, 2, 3], [-0.1, -0.2, -0.3]],
        [[0, 0, 0], [1, 2, 3]],
        [[1, 2, 3], [0, 0, 0]],
        [[0, 0, 0], [0, 0, 0]],
        [[1, 2, 3], [1, 2, 3]],
        [[1, 2, 3], [2, 4, 6.000001]],
    ],
)
def test_points_on_one_line_are_refused(directions, rows):
    with pytest.raises(InputError, match="lie on one line"):
        slice2d(bowl([1.0] * 3), directions=directions, points=_points(*rows), resolution=3, **QUIET)


def test_the_ends_of_a_path_have_the_losses_of_both_minima():
    net, other = small_net(), small_net(5)
    other.load_state_dict({k: v for k, v in net.state_dict().items() if v.ndim < 2}, strict=False)
    found = linear_path(around(net), other.state_dict(), resolution=7, beyond=0.5, **QUIET)
    np.testing.assert_allclose(found["distance"], np.linspace(-0.5, 1.5, 7))
    ends = linear_path(around(net), other, resolution=2, beyond=0, **QUIET)
    assert ends["distance"].values.tolist() == [0, 1]
    np.testing.assert_allclose(ends["loss"][0], [whole_loss(net), whole_loss(other)], rtol=1e-12)
    assert ends["distance"].attrs["units"] == "share of the way"
    assert check(found) is found


def test_a_path_through_a_quadratic_is_a_parabola():
    objective = at([1.0, 1.0], lambda w: w.square().sum())
    found = linear_path(objective, Point(torch.tensor([-1.0, 3.0])), resolution=5, **QUIET)
    t = found["distance"].values
    np.testing.assert_allclose(found["loss"][0], (1 - 2 * t) ** 2 + (1 + 2 * t) ** 2, rtol=1e-12)


@pytest.mark.parametrize("resolution", [3, 6])
def test_a_point_costs_one_evaluation_however_many_there_are(resolution):
    objective = around(small_net())
    objective.check()
    other = small_net(5).state_dict()
    for wanted, measure in (
        (2 * resolution, lambda: slice1d(objective, num_directions=2, resolution=resolution, **QUIET)),
        (resolution**2, lambda: slice2d(objective, resolution=resolution, **QUIET)),
        (
            # And for each of two points, the loss on the plane and its own.
            resolution**2 + 4,
            lambda: slice2d(
                objective, directions="between", points=[other, small_net(6)], resolution=resolution, **QUIET
            ),
        ),
        (resolution + 2, lambda: linear_path(objective, other, resolution=resolution, **QUIET)),
    ):
        before = objective.num_evaluations
        measure()
        assert objective.num_evaluations - before == wanted


def test_the_model_stays_as_found_and_points_too():
    net, other = small_net(), small_net(5)
    before = [tensor.clone() for one in (net, other) for tensor in one.state_dict().values()]
    objective = around(net)
    slice2d(objective, directions="between", points=[other, small_net(6)], resolution=3, **QUIET)
    linear_path(objective, other, resolution=3, **QUIET)
    after = [tensor for one in (net, other) for tensor in one.state_dict().values()]
    assert all(torch.equal(one, two) for one, two in zip(before, after, strict=True))
    assert all(parameter.requires_grad for one in (net, other) for parameter in one.parameters())


@pytest.mark.parametrize("measure", ["slice1d", "slice2d", "linear_path"])
def test_progress_grows_to_1(measure):
    shares: list[float] = []
    verbs = {
        "slice1d": lambda **s: slice1d(bowl([1.0, 2.0]), **s),
        "slice2d": lambda **s: slice2d(bowl([1.0, 2.0]), **s),
        "linear_path": lambda **s: linear_path(bowl([1.0, 2.0]), Point(torch.ones(2)), **s),
    }
    verbs[measure](resolution=4, progress=shares.append)
    assert shares == sorted(shares)
    assert shares[-1] == 1


TWO = _points([1, 0, 0], [0, 1, 0])


@pytest.mark.parametrize(
    ("verb", "setting", "says"),
    [
        (slice1d, {"directions": "pca"}, "directions = 'pca'"),
        (slice1d, {"num_directions": 0}, "num_directions = 0"),
        (slice1d, {"resolution": 1}, "resolution = 1"),
        (slice1d, {"extent": 0.0}, "extent = 0.0"),
        (slice1d, {"extent": -1.0}, "extent = -1.0"),
        (slice1d, {"extent": math.inf}, "extent = inf"),
        (slice1d, {"directions": "hessian", "num_directions": 4}, "4 eigenvectors of a network with 3"),
        (slice2d, {"directions": "best"}, "directions = 'best'"),
        (slice2d, {"extent": 0.0}, "extent = 0.0"),
        (slice2d, {"resolution": 1}, "resolution = 1"),
        (slice2d, {"points": TWO}, "takes no points"),
        (slice2d, {"names": ["a"]}, "1 names for 0 points"),
        (slice2d, {"directions": "between"}, "needs points"),
        (slice2d, {"directions": "between", "points": TWO[:1]}, "needs two points, not 1"),
        (slice2d, {"directions": "pca", "points": TWO[:1]}, "needs two points or more, not 1"),
        (slice2d, {"directions": "pca", "points": TWO, "names": ["a"]}, "1 names for 2 points"),
        (slice2d, {"directions": "pca", "points": TWO, "extent": 2.0}, "leave out extent"),
        (slice2d, {"directions": "pca", "points": TWO, "resolution": 1}, "resolution = 1"),
        (slice2d, {"directions": "pca", "points": _points([1, 0, math.nan], [0, 1, 0])}, "not finite"),
        (linear_path, {"other": TWO[0], "resolution": 1}, "resolution = 1"),
        (linear_path, {"other": TWO[0], "beyond": -0.1}, "beyond = -0.1"),
        (linear_path, {"other": nn.Linear(2, 2)}, "other does not fit Point"),
    ],
)
def test_a_mistake_is_refused_in_one_line(verb, setting, says):
    with pytest.raises(InputError, match=says) as caught:
        verb(bowl([1.0, 2.0, 3.0]), **setting)
    assert "\n" not in str(caught.value)


def test_a_plane_through_paths_with_other_running_statistics_renews_them(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def trained(seed: int) -> tuple[nn.Module, Recorder]:
        torch.manual_seed(seed)
        model = nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 2))
        recorder = Recorder(model)
        updates = torch.optim.SGD(model.parameters(), 0.1)
        for _ in range(3):
            updates.zero_grad()
            cross_entropy(model(10 * seed + inputs), labels).backward()
            updates.step()
            recorder.step()
        return model.eval(), recorder

    inputs, labels = torch.randn(20, 3), torch.arange(20) % 2
    (one, path), (_, other) = trained(1), trained(2)
    objective = Objective(
        one, lambda model, batch: cross_entropy(model(batch[0]), batch[1], reduction="none"), [(inputs, labels)]
    )
    points = {"one": path, "other": other}
    found = slice2d(objective, directions="pca", points=points, resolution=3, progress=False)
    assert found.attrs["recalibrated"] == 1
    # Both ends are told where their own statistics are other than those of the data.
    assert any(text.startswith("points['other'][3] has a loss of") for text in caplog.messages)
    assert all("renewed running statistics" in text for text in caplog.messages)
