"""Every probe runs on every landscape, and two landscapes of one network agree."""

import contextlib

import numpy as np
import pytest
import torch

import basinscope as bs
from basinscope.errors import InputError
from basinscope.landscape.protocol import moving_all
from tests import images
from tests.anyones import mean_loss

NET = bs.MLP((2, 5, 4, 3))
INPUTS = torch.linspace(-2, 2, 24, dtype=torch.float64).sin().mul(3).cos().reshape(12, 2)
SAMPLES = bs.Samples(INPUTS, torch.arange(12) % 3)


def _flat(seed=0):
    stream = torch.Generator().manual_seed(seed)
    return torch.randn(NET.layout.num_parameters, generator=stream, dtype=torch.float64)


def _objective(one_dim="fixed"):
    batches = [(INPUTS[:7], SAMPLES.labels[:7]), (INPUTS[7:], SAMPLES.labels[7:])]
    return bs.Objective(NET.as_module(_flat()).eval(), mean_loss, batches, unit="nat", one_dim=one_dim)


def _clean():
    return bs.CleanLoss(NET, SAMPLES).around(_flat())


def _point():
    layout = NET.layout
    loss = lambda points: points.square().sum(1) + points.sin().sum(1) ** 2  # noqa: E731
    return bs.PointObjective(loss, layout).around(_flat())


def _streamed():
    return bs.StreamedLoss(images.random_net(0), images.image_set(12, 1), batch_size=5).around()


LANDSCAPES = {"objective": _objective, "clean": _clean, "point": _point, "streamed": _streamed}


def _state(name, seed):
    if name == "streamed":
        return dict(images.random_net(seed).state_dict())
    return dict(NET.as_module(_flat(seed)).state_dict())


def _others(name, num):
    return [_state(name, seed) for seed in range(1, num + 1)]


QUIET = {"progress": False}
PROBES = {
    "slice1d": lambda at, name: bs.slice1d(at, num_directions=2, resolution=5, **QUIET),
    "slice1d hessian": lambda at, name: bs.slice1d(at, num_directions=1, directions="hessian", resolution=5, **QUIET),
    "slice2d": lambda at, name: bs.slice2d(at, resolution=5, **QUIET),
    "slice2d hessian": lambda at, name: bs.slice2d(at, directions="hessian", resolution=5, **QUIET),
    "slice2d between": lambda at, name: bs.slice2d(
        at, directions="between", points=_others(name, 2), resolution=5, **QUIET
    ),
    "slice2d pca": lambda at, name: bs.slice2d(at, directions="pca", points=_others(name, 4), resolution=5, **QUIET),
    "linear_path": lambda at, name: bs.linear_path(at, _state(name, 1), resolution=5, **QUIET),
    "basin_radius": lambda at, name: bs.basin_radius(at, rise=0.2, num_directions=3, **QUIET),
    "curvature": lambda at, name: bs.curvature(at, top=2, trace_vectors=3, **QUIET),
    "curvature by filters": lambda at, name: bs.curvature(at, top=2, trace_vectors=3, scale="filter", **QUIET),
    "mean_curvature": lambda at, name: bs.mean_curvature(at, num_directions=3, **QUIET),
    "sharpness": lambda at, name: bs.sharpness(at, num_restarts=2, num_steps=3, num_random=3, **QUIET),
    "connect": lambda at, name: bs.connect(at, _state(name, 1), num_steps=3, resolution=5, **QUIET),
    "tsne": lambda at, name: bs.tsne(at, points=_others(name, 5), perplexity=2.0),
}
KINDS = {"slice1d": "slice1d", "slice2d": "slice2d", "linear_path": "slice1d", "basin_radius": "radius"} | {
    "connect": "curve",
    "tsne": "weight_map",
}


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("name", LANDSCAPES)
@pytest.mark.parametrize("probe", PROBES)
def test_every_probe_runs_on_every_landscape(probe, name, tmp_path):
    landscape = LANDSCAPES[name]()
    found = PROBES[probe](landscape, name)
    kind = probe.split()[0]
    assert found.attrs["kind"] == KINDS.get(kind, kind)
    assert found.attrs["model"] == landscape.network
    whole = kind in ("linear_path", "connect") or probe in ("slice2d between", "slice2d pca")
    with moving_all(landscape) if whole else contextlib.nullcontext():
        assert found.attrs["num_moved"] == landscape.num_moved
    assert found.attrs["loss_unit"] == "nat"
    for each in found.data_vars.values():
        assert each.dtype.kind not in "fc" or not each.size or np.isfinite(each.values).any()
    bs.save(found, tmp_path / "found.nc")
    assert bs.load(tmp_path / "found.nc").equals(found)


@pytest.mark.parametrize("name", LANDSCAPES)
def test_the_center_of_a_slice_is_the_center_s_loss(name):
    landscape = LANDSCAPES[name]()
    line = bs.slice1d(landscape, num_directions=2, resolution=5, **QUIET)
    plane = bs.slice2d(landscape, resolution=5, **QUIET)
    np.testing.assert_allclose(line["loss"][:, 2], landscape.center_loss, rtol=1e-12)
    np.testing.assert_allclose(plane["loss"][2, 2], landscape.center_loss, rtol=1e-12)
    assert landscape.loss_at() == pytest.approx(landscape.center_loss, rel=1e-12)


@pytest.mark.parametrize("name", LANDSCAPES)
def test_slices_are_the_losses_at_their_points(name):
    landscape = LANDSCAPES[name]()
    line = bs.slice1d(landscape, indices=[3], resolution=5, seed=2, **QUIET)
    direction = landscape.direction(2, 3)
    wanted = [landscape.loss_at((direction, float(distance))) for distance in line["distance"]]
    np.testing.assert_allclose(line["loss"][0], wanted, rtol=1e-10)
    plane = bs.slice2d(landscape, resolution=3, seed=2, **QUIET)
    first, second = landscape.orthogonal(2, (0, 1))
    wanted = [
        [landscape.loss_at((first, float(a)), (second, float(b))) for b in plane["second"]] for a in plane["first"]
    ]
    np.testing.assert_allclose(plane["loss"], wanted, rtol=1e-10)


@pytest.mark.parametrize("name", LANDSCAPES)
def test_the_top_eigenvalue_is_the_first_of_the_curvature(name):
    landscape = LANDSCAPES[name]()
    top = bs.top_eigenvalue(landscape, tolerance=1e-6)
    found = bs.curvature(landscape, top=1, trace_vectors=0, scale="filter", tolerance=1e-5, **QUIET)
    assert top == pytest.approx(float(found["eigenvalue"][0]), rel=1e-3)


@pytest.mark.parametrize("scale", ["plain", "filter"])
def test_two_landscapes_of_one_network_have_the_same_eigenvalues(scale):
    first, second = (
        bs.curvature(at, top=3, trace_vectors=0, tolerance=1e-5, scale=scale, **QUIET)["eigenvalue"].values
        for at in (_objective(), _clean())
    )
    np.testing.assert_allclose(first, second, rtol=1e-4)


def test_two_landscapes_of_one_network_have_the_same_path():
    first, second = (bs.linear_path(at, _state("clean", 1), resolution=7, **QUIET) for at in (_objective(), _clean()))
    np.testing.assert_allclose(first["distance"], second["distance"], rtol=1e-12)
    np.testing.assert_allclose(first["loss"], second["loss"], rtol=1e-10)


@pytest.mark.parametrize("directions", ["between", "pca", "hessian"])
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_two_landscapes_of_one_network_have_the_same_planes(directions):
    points = {} if directions == "hessian" else {"points": _others("clean", 2 if directions == "between" else 3)}
    first, second = (
        bs.slice2d(at, directions=directions, resolution=5, **points, **QUIET) for at in (_objective(), _clean())
    )
    np.testing.assert_allclose(first["first"], second["first"], rtol=1e-6)
    np.testing.assert_allclose(first["loss"], second["loss"], rtol=1e-2 if directions == "hessian" else 1e-6)


def test_two_landscapes_of_one_network_are_equally_sharp():
    first, second = (
        float(bs.sharpness(at, num_restarts=1, num_random=2, num_steps=40, **QUIET)["worst"])
        for at in (_objective(), _clean())
    )
    assert first == pytest.approx(second, rel=1e-4)


def test_two_landscapes_of_one_network_have_the_same_top_eigenvalue():
    first, second = (bs.top_eigenvalue(at, tolerance=1e-8) for at in (_objective(), _clean()))
    assert first == pytest.approx(second, rel=1e-4)


def test_two_landscapes_of_one_network_agree_in_gradients_and_products():
    first, second = _objective(), _clean()
    vector = [torch.ones_like(tensor) for tensor in second.center.tensors]
    loss, slopes = first.gradient_at()
    other, others = second.gradient_at()
    assert loss == pytest.approx(other, rel=1e-12)
    products = [at.hessian_vector_product(vector) for at in (first, second)]
    for pair in (zip(slopes, others, strict=True), zip(*products, strict=True)):
        for one, two in pair:
            torch.testing.assert_close(one, two, rtol=1e-10, atol=1e-12)


ASKED = {
    "slice1d": bs.slice1d,
    "slice2d": bs.slice2d,
    "linear_path": lambda at: bs.linear_path(at, _state("clean", 1)),
    "basin_radius": lambda at: bs.basin_radius(at, rise=0.1),
    "curvature": bs.curvature,
    "mean_curvature": bs.mean_curvature,
    "sharpness": bs.sharpness,
    "connect": lambda at: bs.connect(at, _state("clean", 1)),
    "tsne": lambda at: bs.tsne(at, points=_others("clean", 5)),
    "top_eigenvalue": bs.top_eigenvalue,
}
WRONG = {
    "model": (lambda: NET.as_module(_flat()), "Sequential"),
    "dataset": (lambda: bs.slice1d(_clean(), num_directions=1, resolution=3, **QUIET), "Dataset"),
    "loss": (lambda: bs.CleanLoss(NET, SAMPLES), "CleanLoss(...).around(point)"),
    "streamed": (lambda: bs.StreamedLoss(images.random_net(0), images.image_set(12, 1)), "around"),
}


@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize("probe", ASKED)
def test_what_is_no_landscape_is_refused_in_one_line(probe, wrong, untyped):
    make, words = WRONG[wrong]
    given = make()
    with pytest.raises(InputError) as caught:
        ASKED[probe](given)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(f"{probe}: a ")
    assert words in message


@pytest.fixture
def untyped():
    """Without the checker of annotations, as a user's process is."""
    from jaxtyping import config

    before = config.jaxtyping_disable
    config.update("jaxtyping_disable", True)
    yield
    config.update("jaxtyping_disable", before)
