"""Directions that a user gives, and directions that probes return, are the same thing."""

import json

import numpy as np
import pytest
import torch
from torch.func import functional_call
from torch.nn.utils import prune

import basinscope as bs
from basinscope.errors import InputError
from tests.anyones import perceptron, sample_losses, vectors


def _objective(**settings):
    return bs.Objective(perceptron().double(), sample_losses, [(x.double(), y) for x, y in vectors()], **settings)


def _loss_at(objective, displaced):
    """The loss with displacements added by name, from scratch."""
    model = objective.model
    point = {n: p.detach() + displaced.get(n, 0) for n, p in model.named_parameters()}
    losses = [sample_losses(lambda x: functional_call(model, point, (x,)), batch) for batch in objective.batches()]
    return float(torch.cat(losses).mean())


def _drawn(objective, seed=0):
    stream = torch.Generator().manual_seed(seed)
    return {f.name: torch.randn(f.shape, generator=stream, dtype=torch.float64) for f in objective.filters}


@pytest.mark.parametrize("points_at_once", [1, None])
def test_a_line_along_an_own_direction_in_every_form(points_at_once):
    objective = _objective(points_at_once=points_at_once)
    direction = _drawn(objective)
    tensors = list(direction.values())
    flat = torch.cat([t.reshape(-1) for t in tensors])
    wanted = [_loss_at(objective, {n: c * t for n, t in direction.items()}) for c in (-0.3, 0.0, 0.3)]
    for form in ([direction], [tensors], [flat], [flat.numpy()], flat[None], flat.numpy()[None]):
        line = bs.slice1d(objective, directions=form, extent=0.3, resolution=3, progress=False)
        np.testing.assert_allclose(line["loss"][0], wanted, rtol=1e-12)
    assert line["distance"].attrs["units"] == "direction lengths"
    assert line.attrs["directions"] == "given"


def test_missing_names_are_not_perturbed():
    objective = _objective()
    first = objective.filters[0].name
    only = {first: _drawn(objective)[first]}
    line = bs.slice1d(objective, directions=[only], resolution=3, progress=False)
    np.testing.assert_allclose(line["loss"][0, 2], _loss_at(objective, only), rtol=1e-12)


def test_a_plane_of_two_own_directions():
    objective = _objective()
    one, two = _drawn(objective, 0), _drawn(objective, 1)
    plane = bs.slice2d(objective, directions=[one, two], extent=0.2, resolution=3, progress=False)
    wanted = _loss_at(objective, {n: 0.2 * one[n] - 0.2 * two[n] for n in one})
    np.testing.assert_allclose(plane["loss"][2, 0], wanted, rtol=1e-12)
    a, b = (torch.cat([t.reshape(-1) for t in d.values()]) for d in (one, two))
    np.testing.assert_allclose(plane["cosine"], float(a @ b / (a.norm() * b.norm())), rtol=1e-9)


def test_radii_along_own_directions_have_verified_brackets():
    objective = _objective()
    directions = [_drawn(objective, k) for k in range(3)]
    radii = bs.basin_radius(objective, directions=directions, rise=0.2, progress=False)
    assert list(radii["status"].values) == [0, 0, 0]
    for k, direction in enumerate(directions):
        inside, outside = (
            _loss_at(objective, {n: float(radii[end][k]) * t for n, t in direction.items()})
            for end in ("lower", "upper")
        )
        assert inside <= float(radii["cutoff"]) < outside
    assert radii["radius"].attrs["units"] == "direction lengths"
    with pytest.raises(InputError, match="a volume needs random ones"):
        bs.log_volume(radii)


def test_a_random_direction_given_again_is_the_same_line():
    objective = _objective(points_at_once=1)
    random = bs.slice1d(objective, num_directions=2, resolution=5, progress=False)
    given = bs.slice1d(
        objective, directions=[objective.direction(0, 0), objective.direction(0, 1)], resolution=5, progress=False
    )
    np.testing.assert_array_equal(random["loss"], given["loss"])


def test_the_axes_of_a_plane_and_the_worst_step_come_back(tmp_path):
    objective = _objective(one_dim="moved")
    points = [{n: p + 0.3 * torch.randn_like(p) for n, p in objective.model.state_dict().items()} for _ in range(4)]
    plane = bs.slice2d(objective, directions="pca", points=points, resolution=3, vectors=True, progress=False)
    axes = plane["axis_vector"].values
    np.testing.assert_allclose(axes @ axes.T, np.eye(2), atol=1e-12)
    where = [float(plane[name][2]) for name in ("first", "second")]
    line = bs.slice1d(objective, directions=(where @ axes)[None], resolution=3, progress=False)
    np.testing.assert_allclose(line["loss"][0, 2], plane["loss"][2, 2], rtol=1e-10)
    worst = bs.sharpness(objective, rho=0.1, num_random=2, vectors=True, progress=False)
    np.testing.assert_allclose(np.linalg.norm(worst["worst_vector"]), 0.1, rtol=1e-6)
    line = bs.slice1d(objective, directions=worst["worst_vector"].values[None], resolution=3, progress=False)
    np.testing.assert_allclose(line["loss"][0, 2] - line["loss"][0, 1], worst["worst"], rtol=1e-6)
    assert [name for name, _ in json.loads(worst.attrs["tensors"])] == [f.name for f in objective.filters]
    bs.save(plane, tmp_path / "plane.nc")
    np.testing.assert_array_equal(bs.load(tmp_path / "plane.nc")["axis_vector"], axes)
    bs.plot(plane)


def test_own_directions_of_a_landscape_of_flat_vectors():
    net = bs.MLP((2, 3, 1))
    samples = bs.Samples(torch.randn(8, 2, dtype=torch.float64), torch.tensor([0, 1] * 4))
    landscape = bs.CleanLoss(net, samples).around(torch.randn(net.layout.num_parameters, dtype=torch.float64))
    direction = landscape.direction(0, 0)
    random = bs.slice1d(landscape, num_directions=1, resolution=5, progress=False)
    blocks = {f.name: direction.block(k) for k, f in enumerate(landscape.filters)}
    given = bs.slice1d(landscape, directions=[blocks], resolution=5, progress=False)
    np.testing.assert_allclose(random["loss"], given["loss"], rtol=1e-12)
    random = bs.basin_radius(landscape, num_directions=1, cutoff=5.0, progress=False)
    given = bs.basin_radius(landscape, directions=[blocks], cutoff=5.0, progress=False)
    assert float(given["lower"][0]) <= float(random["upper"][0])
    assert float(random["lower"][0]) <= float(given["upper"][0])


@pytest.mark.parametrize(
    ("directions", "message"),
    [
        ([], r"directions has 0 entries: give one or more"),
        (torch.ones(5), r"directions is a Tensor: give a list of directions"),
        ({"a": torch.ones(2)}, r"directions is a dict: must be one of random, hessian or a list"),
        ([{"nothing": torch.ones(2)}], r"directions\[0\]: nothing not among the moved tensors"),
        ([torch.ones(5)], r"directions\[0\] has shape \(5,\), not \(\d+,\)"),
        ([[torch.ones(5)]], r"directions\[0\] has 1 tensors, not \d"),
        (["random"], r"directions\[0\] is a str: give displacements by name"),
        ([None], r"directions\[0\] is a NoneType|has shape \(\)"),
    ],
)
def test_what_is_no_direction_is_refused(directions, message):
    with pytest.raises(InputError, match=message):
        bs.slice1d(_objective(), directions=directions, progress=False)


def test_directions_that_are_zero_not_finite_or_parallel_are_refused():
    objective = _objective()
    num = objective.num_moved
    with pytest.raises(InputError, match="is zero on all moved tensors"):
        bs.slice1d(objective, directions=[torch.zeros(num)], progress=False)
    with pytest.raises(InputError, match="is not finite"):
        bs.slice1d(objective, directions=[torch.full((num,), torch.nan)], progress=False)
    with pytest.raises(InputError, match="are parallel"):
        bs.slice2d(objective, directions=[torch.ones(num), 2 * torch.ones(num)], progress=False)
    with pytest.raises(InputError, match="has 1 entries: give 2"):
        bs.slice2d(objective, directions=[torch.ones(num)], progress=False)


def test_vectors_of_pruned_networks_span_the_whole_tensors():
    model = perceptron().double()
    prune.l1_unstructured(model[0], "weight", 5)
    batches = [(x.double(), y) for x, y in vectors()]
    objective = bs.Objective(model, sample_losses, batches)
    found = bs.curvature(objective, top=1, vectors=True, diagonal_vectors=100, trace_vectors=0, progress=False)
    sizes = [int(np.prod(shape)) for _, shape in json.loads(found.attrs["tensors"])]
    first = found["eigenvector"].values[0][: sizes[0]].reshape(tuple(objective.filters[0].shape))
    resting = model[0].weight_mask.numpy() == 0
    assert found.sizes["entry"] == sum(sizes) == objective.num_moved + 5
    assert not first[resting].any()
    assert not found["diagonal"].values[: sizes[0]].reshape(first.shape)[resting].any()
    line = bs.slice1d(objective, directions=found["eigenvector"], extent=1e-2, resolution=3, progress=False)
    second = (line["loss"][0, 0] - 2 * line["loss"][0, 1] + line["loss"][0, 2]) / 1e-4
    np.testing.assert_allclose(second, found["eigenvalue"][0], rtol=1e-2)
    with pytest.raises(InputError, match=r"moves entries of 0\.weight that masks exclude: multiply it by the mask"):
        bs.slice1d(objective, directions=[np.ones(sum(sizes))], progress=False)


def test_vectors_of_other_tensors_and_complex_ones_are_refused():
    worst = bs.sharpness(_objective(), num_random=0, num_restarts=1, vectors=True, progress=False)["worst_vector"]
    other = torch.nn.Sequential(*(torch.nn.Linear(5, 7, bias=False), torch.nn.Linear(7, 3, bias=False))).double()
    num = sum(p.numel() for p in other.parameters())
    objective = bs.Objective(other, sample_losses, [(torch.randn(4, 5).double(), torch.arange(4) % 3)])
    vector = worst.isel(entry=np.zeros(num, dtype=int))
    with pytest.raises(InputError, match=r"is a vector of other tensors than the moved ones, such as 0\.weight"):
        bs.slice1d(objective, directions=[vector], progress=False)
    with pytest.raises(InputError, match="is complex, but the tensors that it moves are real"):
        bs.slice1d(objective, directions=[torch.ones(num, dtype=torch.complex64)], progress=False)
    for bad in (torch.ones(num).to_sparse(), torch.ones(num, device="meta")):
        with pytest.raises(InputError, match="is not a dense tensor with data"):
            bs.slice1d(objective, directions=[bad], progress=False)
