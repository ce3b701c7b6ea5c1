"""Defects that other packages for loss landscapes have or had, each with a test that would have caught it."""

import math

import numpy as np
import pytest
import torch
import xarray as xr
from torch import Tensor, nn

import basinscope as bs
from basinscope.landscape.directions import cosine
from tests.anyones import Vision, drawn, images, perceptron, sample_losses, untouched, vectors
from tests.problems import at, bowl, radial

QUIET = {"progress": False}


def _objective(**options) -> bs.Objective:
    return bs.Objective(perceptron(), sample_losses, vectors(), **options)


# Directions


@pytest.mark.parametrize("distance", [0.25, 1.0, 4.0])
def test_a_larger_distance_goes_farther_by_as_much(distance: float):
    """`distance` divides in one package and is ignored in another."""
    found = bs.slice1d(bowl([2.0, 2.0, 2.0]), num_directions=2, extent=distance, resolution=3, **QUIET)
    np.testing.assert_allclose(found["loss"].values[:, [0, -1]], distance**2)
    assert found["distance"].values[-1] == distance


def test_two_random_directions_have_nothing_in_common():
    """Uniform entries on [0, 1] have cosine 0.75."""
    objective = bs.Objective(drawn(nn.Linear(200, 100)), sample_losses, [(torch.zeros(2, 200), torch.zeros(2).long())])
    for first, second in ((0, 1), (2, 3)):
        assert abs(cosine(objective.center, objective.direction(0, first), objective.direction(0, second))) < 0.05


@pytest.mark.parametrize("scheme", ["filter", "layer", "sphere"])
def test_the_axes_of_a_plane_are_orthogonal_and_say_so(scheme):
    """Axes that were called orthogonal had cosine 0.97; planes were sheared into a saw-tooth."""
    found = bs.slice2d(_objective(normalization=scheme), resolution=3, **QUIET)
    assert abs(float(found["cosine"])) < 1e-10


def test_a_plane_is_what_its_axes_say_and_not_sheared():
    """On a bowl the loss is that of the distance from the middle, wherever a point lies."""
    found = bs.slice2d(bowl([2.0] * 6), extent=1.0, resolution=9, **QUIET)
    first, second = np.meshgrid(found["first"], found["second"], indexing="ij")
    np.testing.assert_allclose(found["loss"].transpose("first", "second"), first**2 + second**2, atol=1e-12)


def test_the_first_index_of_a_plane_is_the_first_direction_also_where_the_grid_is_no_square():
    """Grids of unequal sides came out scrambled; here a plane through points has unequal axes."""
    objective = at([0.0, 0.0], lambda w: w[0] + 10 * w[1])
    ends = [{"weight": torch.tensor([[2.0, 0.0]]).double()}, {"weight": torch.tensor([[0.0, 1.0]]).double()}]
    found = bs.slice2d(objective, directions="between", points=ends, resolution=5, **QUIET)
    first, second = np.meshgrid(found["first"], found["second"], indexing="ij")
    np.testing.assert_allclose(found["loss"].transpose("first", "second"), 2 * first + 20 * second, atol=1e-12)


def test_a_filter_of_norm_0_is_no_division_by_0():
    """A bias of BatchNorm that is 0 made every direction infinite."""
    model = drawn(Vision())
    with torch.no_grad():
        model.batch.bias.zero_()
        model.down.weight[1].zero_()
    for options in ({}, {"one_dim": "moved"}):
        found = bs.slice1d(bs.Objective(model, sample_losses, images(), **options), resolution=5, **QUIET)
        assert np.isfinite(found["loss"]).all()


def test_running_statistics_are_not_moved():
    """A running variance below 0 made 76 of 121 points not a number."""
    objective = bs.Objective(drawn(Vision()), sample_losses, images(), one_dim="moved")
    assert not [f.name for f in objective.filters if "running" in f.name]
    assert np.isfinite(bs.slice2d(objective, extent=3.0, resolution=5, **QUIET)["loss"]).all()


def test_no_rounding_adds_up_along_a_line():
    """Points made from one another drift; each is made from the network itself."""
    model = perceptron(dtype=torch.float32)
    batches = vectors(dtype=torch.float32)

    def line_of(resolution: int) -> xr.Dataset:
        objective = bs.Objective(model, sample_losses, batches, points_at_once=8)
        return bs.slice1d(objective, num_directions=1, resolution=resolution, **QUIET)

    line, ends = line_of(401), line_of(3)
    assert line["loss"].values[0, [0, 200, 400]].tolist() == ends["loss"].values[0].tolist()


def test_the_network_is_left_as_it_was():
    """Weights were overwritten, and `requires_grad` left False."""
    model = perceptron()
    objective = bs.Objective(model, sample_losses, vectors())
    with untouched(model):
        bs.slice2d(objective, resolution=3, **QUIET)
        bs.basin_radius(objective, num_directions=2, **QUIET)
        bs.curvature(objective, top=1, **QUIET)
        bs.sharpness(objective, **QUIET)
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_a_verb_gives_the_same_numbers_piece_by_piece_and_at_once():
    """A plane computed in parallel differed from the same plane computed in turn."""
    whole = bs.basin_radius(_objective(), rise=0.5, indices=range(4), tolerance=1e-4, **QUIET)
    parts = [bs.basin_radius(_objective(), rise=0.5, indices=[k], tolerance=1e-4, **QUIET) for k in range(4)]
    np.testing.assert_allclose(whole["radius"], [float(part["radius"][0]) for part in parts], rtol=2e-4)


# What is shown


def test_what_is_not_finite_stays_so_and_nothing_is_added_to_a_maximum():
    """NaN was replaced by the mean, and the maximum by noise."""

    def loss(w: Tensor) -> Tensor:
        far = w.detach().norm()
        return (w.square().sum()).clamp_max(0.5) + (math.nan if far > 0.9 else 0.0)

    found = bs.slice1d(at([0.0, 0.0], loss), num_directions=1, extent=1.0, resolution=11, **QUIET)
    losses, distances = found["loss"].values[0], np.abs(found["distance"].values)
    assert np.isnan(losses[distances > 0.9]).all()
    assert (losses[(distances > 0.75) & (distances < 0.9)] == 0.5).all()


def test_axes_name_what_was_moved_and_its_unit():
    axes = bs.plot(bs.slice2d(_objective(unit="nat"), resolution=3, **QUIET)).axes
    assert (axes[0].get_xlabel(), axes[0].get_ylabel()) == ("direction 1 [filter norms]", "direction 2 [filter norms]")
    assert axes[1].get_ylabel() == "loss [nat]"


# Radii and volumes


def test_a_line_that_is_not_a_number_has_no_radius():
    """NaN counted as a crossing that had been found."""
    found = bs.basin_radius(
        radial(lambda r: r**2 + (math.nan if r > 0.2 else 0.0)), rise=0.5, num_directions=3, **QUIET
    )
    assert np.isnan(found["radius"]).all()
    assert (found["status"] == 2).all()


@pytest.mark.parametrize("tolerance", [0.1, 0.01, 0.001])
def test_the_radius_lies_within_the_bracket_that_was_checked(tolerance: float):
    """The radius that came back lay one step beyond: 63 % violated the tolerance."""
    objective = bowl(torch.linspace(0.5, 3, 6))
    found = bs.basin_radius(objective, rise=0.3, num_directions=20, tolerance=tolerance, **QUIET)
    for index, radius, lower, upper in zip(
        *(found[v].values for v in ("ray", "radius", "lower", "upper")), strict=True
    ):
        direction = objective.direction(0, int(index))
        assert objective.loss_at((direction, lower)) <= 0.3 < objective.loss_at((direction, upper))
        assert lower <= radius <= upper <= lower * (1 + tolerance) * (1 + 1e-12)


def test_the_first_of_several_crossings_is_found_and_narrow_ones_can_be_looked_for():
    """A line that comes back below the cutoff has its radius where it first leaves."""
    wavy = radial(lambda r: 1.2 * torch.sin(3 * r).square())
    found = bs.basin_radius(wavy, cutoff=0.6, num_directions=2, num_scanned=2, **QUIET)
    np.testing.assert_allclose(found["radius"], math.asin(math.sqrt(0.5)) / 3, rtol=0.01)
    assert int(found["num_earlier"]) == 0


def test_a_flat_ray_counts_and_fails_no_other():
    """One flat ray failed the whole batch; rays that never cross were dropped."""
    objective = at([0.0, 0.0, 0.0], lambda w: w[0].clamp_min(0).square() + 0 * w.sum())
    found = bs.basin_radius(objective, rise=0.1, num_directions=12, **QUIET)
    # Along a ray with less of the first entry than this the loss rises by 0.1 beyond distance 10 only.
    crosses = np.array([float(objective.direction(0, k).block(0)[0, 0]) > 0.1**0.5 / 10 for k in range(12)])
    assert 0 < crosses.sum() < 12
    assert (found["status"].values[crosses] == 0).all()
    assert (found["status"].values[~crosses] == 1).all()
    assert (found["radius"].values[~crosses] == 10).all()
    assert int(bs.log_volume(found)["num_unbounded"]) == (~crosses).sum()


def test_a_ray_that_is_done_costs_nothing_more():
    """Finished rays were evaluated again as long as any other was at work."""
    alone = [bs.basin_radius(_objective(), indices=[k], **QUIET) for k in range(3)]
    together = bs.basin_radius(_objective(), indices=range(3), **QUIET)
    assert float(together["num_evaluations"].sum()) <= sum(float(found["num_evaluations"][0]) for found in alone)


@pytest.mark.parametrize("size", [3, 300])
def test_the_unit_of_a_radius_is_that_of_its_direction(size: int):
    """The length of an unnormalised direction, which grows with the dimension, was taken instead."""
    found = bs.basin_radius(bowl([2.0] * size), rise=0.25, num_directions=3, tolerance=1e-3, **QUIET)
    np.testing.assert_allclose(found["radius"], 0.5, rtol=1e-3)


def test_a_volume_says_on_how_many_rays_it_rests():
    radii = bs.basin_radius(bowl(torch.linspace(0.01, 100, 50)), rise=0.1, num_directions=40, **QUIET)
    found = bs.log_volume(radii)
    assert 1 <= float(found["effective_rays"]) < 40


# Curvature


def test_the_density_of_eigenvalues_comes_out():
    """A call to a function that torch no longer has."""
    found = bs.curvature(bowl([1.0, 2.0, 3.0, 4.0]), top=2, density=True, density_starts=4, **QUIET)
    area = np.trapezoid if hasattr(np, "trapezoid") else np.trapz
    assert float(area(found["density"], found["value"])) == pytest.approx(1, rel=0.05)
