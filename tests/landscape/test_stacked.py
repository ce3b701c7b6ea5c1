import pytest
import torch

from basinscope.data import swissroll
from basinscope.landscape.backend import CLEARLY_FASTER, choose_backend
from basinscope.landscape.gaussian import gaussian
from basinscope.landscape.normalize import Normalization
from basinscope.landscape.stacked import (
    CACHE_BYTES_PER_CORE,
    CleanLoss,
    PointObjective,
    fitting_chunk,
)
from basinscope.models.mlp import MLP
from basinscope.seeds import generator
from tests.quadratics import bowl, ellipsoid, origin
from tests.reference import clean_loss, hessian, small_problem

SWISSROLL = MLP((2, 23, 16, 26, 32, 28, 31, 1))
WIDTHS = [(2, 5, 4, 1), (2, 5, 3), (2, 1), (2, 4, 4, 4, 2)]


def _swissroll():
    train = swissroll.training_draw()[0].to("cpu", torch.float32)
    center = SWISSROLL.initialize(generator(0, "start"))
    normalization = Normalization(SWISSROLL.layout)
    directions = normalization.directions(gaussian(0, range(40), normalization.num_moved), center)
    return train, center, directions


@pytest.mark.parametrize("widths", WIDTHS)
def test_the_loss_is_that_of_the_module(widths):
    net, train, center = small_problem(widths)
    points = torch.stack([center, 2 * center, -center])
    wanted = torch.stack([clean_loss(net.as_module(p)(train.inputs), train.labels) for p in points])
    torch.testing.assert_close(CleanLoss(net, train).at(points), wanted.detach(), rtol=1e-12, atol=0)


def test_losses_are_float64_and_counted():
    train, center, directions = _swissroll()
    landscape = CleanLoss(SWISSROLL, train)
    assert landscape.at(center.expand(3, -1)).dtype == torch.float64
    assert landscape.along(center, directions, torch.ones(40)).dtype == torch.float64
    assert landscape.num_evaluations == 43


@pytest.mark.parametrize(("chunk_size", "tolerance"), [(16, 0), (32, 0), (1, 5e-7), (7, 5e-7), (31, 5e-7)])
def test_eager_losses_do_not_depend_on_the_chunk(chunk_size, tolerance):
    """Chunks of whole vector registers give the same bits; others may round the last one differently."""
    train, center, _ = _swissroll()
    shape = (64, len(center))
    directions, distances = 0.1 * torch.randn(shape, generator=generator(0, "d")), torch.linspace(0, 1, 64)
    whole, chunked = (CleanLoss(SWISSROLL, train, chunk_size=size) for size in (64, chunk_size))
    found = [(o.at(center + directions), o.along(center, directions, distances)) for o in (whole, chunked)]
    torch.testing.assert_close(*found, rtol=tolerance, atol=0)


@pytest.mark.parametrize("chunk_size", [1, 3, 50])
def test_second_derivatives_do_not_depend_on_the_chunk_but_for_rounding(chunk_size):
    net, train, center = small_problem((2, 5, 4, 1))
    directions = gaussian(0, range(10), len(center)).double()
    for kind in (CleanLoss.second_derivative, PointObjective.second_derivative):
        whole, chunked = (kind(CleanLoss(net, train, chunk_size=k), center, directions) for k in (10, chunk_size))
        torch.testing.assert_close(chunked, whole, rtol=1e-12, atol=1e-12)


def test_points_on_a_ray_are_made_from_the_center():
    train, center, directions = _swissroll()
    distances = torch.linspace(-1, 1, 40, dtype=torch.float64)
    landscape = CleanLoss(SWISSROLL, train)
    points = torch.addcmul(center, directions, distances.float()[:, None])
    assert torch.equal(landscape.along(center, directions, distances), landscape.at(points))


def test_evaluating_leaves_its_arguments_as_found():
    train, center, directions = _swissroll()
    copies = center.clone(), directions.clone(), train.inputs.clone()
    landscape = CleanLoss(SWISSROLL, train)
    landscape.at(center[None])
    landscape.along(center, directions, torch.ones(40))
    landscape.second_derivative(center, directions)
    assert torch.equal(center, copies[0])
    assert torch.equal(directions, copies[1])
    assert torch.equal(train.inputs, copies[2])
    assert not center.requires_grad


@pytest.mark.parametrize("widths", WIDTHS)
def test_second_derivatives_are_those_of_the_explicit_hessian(widths):
    net, train, center = small_problem(widths)
    directions = gaussian(0, range(6), len(center)).double()
    wanted = ((directions @ hessian(net, train, center)) * directions).sum(1)
    landscape = CleanLoss(net, train)
    taylor = landscape.second_derivative(center, directions)
    nested = PointObjective.second_derivative(landscape, center, directions)
    torch.testing.assert_close(taylor, wanted, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(nested, wanted, rtol=1e-10, atol=1e-12)


def test_second_derivatives_of_a_quadratic_are_exact():
    curvatures = torch.tensor([1.0, 4.0, 0.0, -2.0], dtype=torch.float64)
    found = ellipsoid(curvatures).second_derivative(origin(4), torch.eye(4, dtype=torch.float64))
    torch.testing.assert_close(found, curvatures)


def test_the_second_derivative_of_a_sure_net_keeps_its_digits():
    net, train, _ = small_problem((2, 1))
    train = type(train)(train.inputs[:1].float(), torch.tensor([1]))
    # A single sample with logit 30: p(1 − p) = e⁻³⁰, which 1 − p in float32 cannot show.
    sure = torch.tensor([0.0, 0.0, 30.0])
    found = CleanLoss(net, train).second_derivative(sure, torch.tensor([[0.0, 0.0, 1.0]]))
    assert found.item() == pytest.approx(9.357622968839299e-14, rel=1e-3)


@pytest.mark.parametrize("num_samples", [1, 200, 10**7])
@pytest.mark.parametrize("threads", [1, 2, 3])
def test_a_chunk_is_bounded_and_shared_evenly(num_samples, threads, monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    rows = fitting_chunk(SWISSROLL, num_samples, torch.device("cpu"))
    assert 8 <= rows <= 256
    assert rows % threads == 0 or rows == 8


def test_a_chunk_fits_the_cache():
    rows = fitting_chunk(SWISSROLL, 200, torch.device("cpu"))
    assert rows * SWISSROLL.bytes_per_point * 200 <= CACHE_BYTES_PER_CORE * torch.get_num_threads()


def test_reproducible_work_is_eager_without_a_trial():
    def make(backend):
        raise AssertionError("tried")

    choice = choose_backend(make, origin(3), planned=10**12, reproducible=True)
    assert choice.backend == "eager"


def test_short_work_is_eager_without_compiling():
    tried = []

    def make(backend):
        tried.append(backend)
        return bowl(3)

    choice = choose_backend(make, origin(3), planned=1)
    assert choice.backend == "eager"
    assert tried == ["eager"]
    assert choice.eager_us > 0


def test_a_compiler_that_fails_is_replaced_by_eager_with_a_reason():
    def broken(points):
        raise RuntimeError("no C++ compiler")

    def make(backend):
        return bowl(3) if backend == "eager" else PointObjective(broken, bowl(3).layout)

    choice = choose_backend(make, origin(3), planned=10**12)
    assert choice.backend == "eager"
    assert "RuntimeError" in choice.reason
    assert choice.compiled_us is None


def test_long_work_is_tried_both_ways_and_the_trial_is_kept():
    choice = choose_backend(lambda backend: bowl(3), origin(3), planned=10**12)
    assert choice.reason == "measured"
    faster = choice.compiled_us < CLEARLY_FASTER * choice.eager_us
    assert choice.backend == ("compiled" if faster else "eager")
    assert choice.compile_seconds >= 0


def test_a_compiled_loss_is_taken_where_it_is_clearly_faster(monkeypatch):
    speeds = iter([1e-3, 0.5e-3, 1e-3, 0.95e-3])
    monkeypatch.setattr("basinscope.landscape.backend._seconds_per_evaluation", lambda *_: next(speeds))
    choices = [choose_backend(lambda backend: bowl(3), origin(3), planned=10**6) for _ in range(2)]
    assert [c.backend for c in choices] == ["compiled", "eager"]
