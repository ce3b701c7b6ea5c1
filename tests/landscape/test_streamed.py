import copy
import math
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn.functional import cross_entropy

from basinscope.data.images import Images
from basinscope.errors import InputError
from basinscope.landscape import streamed as module
from basinscope.landscape.normalize import Normalization
from basinscope.landscape.protocol import Evaluation
from basinscope.landscape.rescale import with_last_layer_scaled
from basinscope.landscape.seeded_ray import Ray
from basinscope.landscape.streamed import StreamedLoss
from tests.images import (
    CLASSES,
    flat_hessian,
    flat_loss,
    flat_parameters,
    image_set,
    layout_of,
    random_net,
    snapshot,
    trained_net,
)

IMAGES = image_set(20, 1)
NET = random_net()
CENTER = flat_parameters(NET)
HALF: Any = "half"
RAYS = [Ray(Normalization(layout_of(NET)), 0, index) for index in range(4)]
EASY = image_set(40, 2)
TRAINED = trained_net(EASY)
TRAINED_CENTER = flat_parameters(TRAINED)


class Counted(nn.Module):
    """Counts the forward passes of the network inside, and the samples in them."""

    seen: tuple[int, ...] = ()

    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, inputs):
        # On the class: the landscape works on a copy.
        Counted.seen = (*Counted.seen, len(inputs))
        return self.net(inputs)


def _points(num=3):
    return torch.stack([CENTER + 0.2 * k * ray.direction(CENTER) for k, ray in enumerate(RAYS[:num])])


@pytest.mark.parametrize("batch_size", [1, 7, 20, 1000])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_losses_are_those_of_the_whole_set_in_one_pass(batch_size, dtype):
    net = copy.deepcopy(NET).to(dtype)
    landscape = StreamedLoss(net, IMAGES, batch_size=batch_size)
    center, points = CENTER.to(dtype), _points().to(dtype)
    rtol = 1e-6 if dtype == torch.float32 else 1e-13
    wanted = torch.stack([flat_loss(net, IMAGES, point) for point in points]).detach().double()
    torch.testing.assert_close(landscape.at(points), wanted, rtol=rtol, atol=0)

    directions = torch.stack([ray.direction(center) for ray in RAYS])
    distances = torch.tensor([0.3, 0.1, -0.2, 0.3], dtype=torch.float64)
    rows = torch.tensor([1, 3, 0, 1])
    for chosen, found in (
        (torch.arange(4), landscape.along(center, directions, distances)),
        (rows, landscape.along(center, directions, distances, rows)),
    ):
        ends = [center + float(d) * directions[row] for row, d in zip(chosen, distances, strict=True)]
        wanted = torch.stack([flat_loss(net, IMAGES, end) for end in ends]).detach().double()
        torch.testing.assert_close(found, wanted, rtol=10 * rtol, atol=0)
        looks = [
            landscape.look_along(center, RAYS[int(row)], float(d)) for row, d in zip(chosen, distances, strict=True)
        ]
        torch.testing.assert_close(
            torch.tensor([look.loss for look in looks], dtype=torch.float64), wanted, rtol=10 * rtol, atol=0
        )
        assert {look.share for look in looks} == {1.0}


def test_a_tiny_loss_of_a_double_precision_net_keeps_its_digits():
    center = with_last_layer_scaled(TRAINED_CENTER, layout_of(TRAINED), 5.0)
    found = StreamedLoss(TRAINED, EASY).at(center[None])
    wanted = flat_loss(TRAINED, EASY, center).detach()
    assert float(wanted) < 1e-4
    assert float(found) == pytest.approx(float(wanted), rel=1e-9)


def test_inputs_that_are_not_kept_give_the_same_losses(monkeypatch):
    kept = StreamedLoss(NET, IMAGES, batch_size=7).at(_points())
    monkeypatch.setattr(module, "CACHED_BYTES", 0)
    assert torch.equal(StreamedLoss(NET, IMAGES, batch_size=7).at(_points()), kept)


def test_bfloat16_is_near_and_settings_come_back():
    net = copy.deepcopy(NET).float()
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    exact, rough, tf32 = (
        StreamedLoss(net, IMAGES, precision=precision).at(_points().float())
        for precision in ("float32", "bfloat16", "tf32")
    )
    torch.testing.assert_close(rough, exact, rtol=0.03, atol=0)
    assert not torch.equal(rough, exact)
    torch.testing.assert_close(tf32, exact, rtol=1e-3, atol=0)
    assert (torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32) == before
    assert not torch.is_autocast_enabled("cpu")


def test_the_user_s_network_is_left_alone_bit_for_bit():
    net = copy.deepcopy(NET)
    net[0].eval()
    next(net[1].parameters()).requires_grad_(False)
    before = snapshot(net)
    landscape, center = StreamedLoss(net, IMAGES, batch_size=8), CENTER.clone()
    landscape.at(_points())
    landscape.look_along(center, RAYS[0], 0.5, limit=0.1)
    landscape.look_first_at(landscape.latest_losses)
    landscape.rough_loss(center, RAYS[0], 0.5)
    landscape.logits(center)
    landscape.second_derivatives(center, RAYS[0].direction(center)[None], scales=(1.0, 2.0))
    landscape.hessian_vector_product(center, torch.ones_like(center))
    after = snapshot(net)
    assert torch.equal(center, CENTER)
    assert not center.requires_grad
    for name, value in before["values"].items():
        assert torch.equal(after["values"][name], value), name
    for part in ("places", "modes", "gradients"):
        assert after[part] == before[part]


def test_statistics_of_batchnorm_are_those_of_the_minimum_whatever_is_evaluated():
    landscape = StreamedLoss(NET, IMAGES)
    before = landscape.at(CENTER[None])
    landscape.at(CENTER[None] + torch.linspace(0, 5, 4, dtype=torch.float64)[:, None])
    assert torch.equal(landscape.at(CENTER[None]), before)
    frozen = {name: b.clone() for name, b in NET.named_buffers()}
    moved = copy.deepcopy(NET)
    for name, buffer in moved.named_buffers():
        if name.endswith("running_mean"):
            buffer.add_(1)
    assert not torch.equal(StreamedLoss(moved, IMAGES).at(CENTER[None]), before)
    assert all(torch.equal(frozen[name], b) for name, b in NET.named_buffers())


def test_the_minimum_is_the_network_s_own():
    landscape = StreamedLoss(NET, IMAGES)
    assert torch.equal(landscape.minimum, CENTER)
    kept = landscape.minimum.clone()
    landscape.at(_points())
    assert torch.equal(landscape.minimum, kept)


def test_shared_weights_count_once():
    net = nn.Sequential(
        nn.Flatten(), nn.Linear(32, 32), nn.Tanh(), nn.Linear(32, 32), nn.Tanh(), nn.Linear(32, CLASSES)
    )
    net[3].weight = net[1].weight
    net.double()
    landscape, center = StreamedLoss(net, IMAGES), flat_parameters(net)
    assert landscape.layout.num_parameters == len(center)
    point = center + 0.1
    vector = torch.linspace(-1, 1, len(center), dtype=torch.float64)
    assert float(landscape.at(point[None])) == pytest.approx(float(_shared_loss(net, point)), rel=1e-12)
    slope = torch.autograd.functional.vhp(lambda p: _shared_loss(net, p), point, vector)[1]
    torch.testing.assert_close(landscape.hessian_vector_product(point, vector), slope, rtol=1e-9, atol=1e-12)


def _shared_loss(net, point):
    names = [name for name, _ in net.named_parameters()]
    sizes = [tensor.numel() for tensor in net.parameters()]
    pieces = dict(zip(names, point.split(sizes), strict=True))
    hidden = IMAGES.inputs(dtype=torch.float64).flatten(1)
    square = pieces["1.weight"].view(32, 32)
    hidden = (hidden @ square.T + pieces["1.bias"]).tanh()
    hidden = (hidden @ square.T + pieces["3.bias"]).tanh()
    return cross_entropy(hidden @ pieces["5.weight"].view(CLASSES, 32).T + pieces["5.bias"], IMAGES.labels)


def test_logits_come_in_the_order_of_the_training_set_whatever_the_order_of_evaluation():
    landscape = StreamedLoss(NET, IMAGES, batch_size=7)
    with torch.no_grad():
        wanted = copy.deepcopy(NET).eval()(IMAGES.inputs(dtype=torch.float64))
    torch.testing.assert_close(landscape.logits(CENTER), wanted, rtol=1e-12, atol=1e-12)
    landscape.look_first_at(torch.arange(20.0, dtype=torch.float64))
    torch.testing.assert_close(landscape.logits(CENTER), wanted, rtol=1e-12, atol=1e-12)


def test_latest_losses_are_those_of_the_latest_whole_evaluation_in_order():
    landscape = StreamedLoss(NET, IMAGES, batch_size=6)
    point = _points()[1]
    wanted = cross_entropy(_logits_at(point), IMAGES.labels, reduction="none")
    for order in (None, torch.arange(20.0, dtype=torch.float64).sin()):
        if order is not None:
            landscape.look_first_at(order)
        landscape.at(point[None])
        landscape.look_along(CENTER, RAYS[2], 0.4, limit=1e-3)
        torch.testing.assert_close(landscape.latest_losses, wanted, rtol=1e-9, atol=0)


def _logits_at(point):
    net = copy.deepcopy(NET).eval()
    nn.utils.vector_to_parameters(point, net.parameters())
    with torch.no_grad():
        return net(IMAGES.inputs(dtype=torch.float64))


@pytest.mark.parametrize("batch_size", [1, 6, 40])
@given(
    index=st.integers(0, 50),
    distance=st.floats(0, 2),
    log_limit=st.floats(-7, 3),
    first_at=st.none() | st.floats(0.1, 1.5),
)
def test_an_early_end_gives_the_verdict_of_the_whole_evaluation(batch_size, index, distance, log_limit, first_at):
    landscape = StreamedLoss(TRAINED, EASY, batch_size=batch_size)
    if first_at is not None:
        landscape.look_along(TRAINED_CENTER, RAYS[0], first_at)
        landscape.look_first_at(landscape.latest_losses)
    limit, ray = math.exp(log_limit), Ray(RAYS[0].normalization, 0, index)
    whole = landscape.look_along(TRAINED_CENTER, ray, distance)
    look = landscape.look_along(TRAINED_CENTER, ray, distance, limit=limit)
    assert (look.loss > limit) == (whole.loss > limit)
    assert whole.share == 1
    if look.share == 1:
        assert look.loss == whole.loss
    if whole.loss <= limit:
        assert look.share == 1


@given(index=st.integers(0, 50), distance=st.floats(0, 1.5), batch_size=st.integers(1, 40), ahead=st.booleans())
def test_a_limit_that_is_the_loss_itself_is_not_passed(index, distance, batch_size, ahead):
    landscape = StreamedLoss(TRAINED, EASY, batch_size=batch_size)
    if ahead:
        landscape.look_along(TRAINED_CENTER, RAYS[0], 0.3)
        landscape.look_first_at(landscape.latest_losses)
    ray = Ray(RAYS[0].normalization, 0, index)
    whole = landscape.look_along(TRAINED_CENTER, ray, distance).loss
    assert landscape.look_along(TRAINED_CENTER, ray, distance, limit=whole).loss == whole
    below = math.nextafter(whole, 0)
    assert landscape.look_along(TRAINED_CENTER, ray, distance, limit=below).loss > below


@pytest.mark.parametrize("num", range(7, 30))
def test_rounding_does_not_put_a_loss_beyond_itself_where_the_last_samples_lose_nothing(num):
    net = nn.Sequential(nn.Flatten(), nn.Linear(1, 2, bias=False))
    net[1].weight.data = torch.tensor([[1.0], [-1.0]])
    pixels = torch.full((num, 1, 1, 1), 255, dtype=torch.uint8)
    pixels[:3, 0, 0, 0] = torch.tensor([140, 130, 90])
    images = Images(pixels, torch.zeros(num, dtype=torch.int64), (0.5,), (0.005,), 2)
    landscape = StreamedLoss(net, images, batch_size=3)
    still = Ray(Normalization(landscape.layout), 0, 0)
    whole = landscape.look_along(landscape.minimum, still, 0.0).loss
    assert landscape.latest_losses[3:].max() == 0
    assert landscape.look_along(landscape.minimum, still, 0.0, limit=whole) == Evaluation(whole, 1.0)


def test_an_early_end_costs_the_share_that_was_looked_at():
    landscape = StreamedLoss(Counted(TRAINED), EASY, batch_size=6)
    rays = [Ray(Normalization(landscape.layout), 0, index) for index in range(6)]
    shares = []
    for limit in (1e-9, 0.01, 0.1, 0.2, math.inf):
        for ray in rays:
            Counted.seen, before = (), landscape.num_evaluations
            look = landscape.look_along(TRAINED_CENTER, ray, 0.7, limit=limit)
            assert look.share == sum(Counted.seen) / 40
            assert landscape.num_evaluations - before == pytest.approx(look.share)
            assert set(Counted.seen[:-1]) <= {6}
            shares.append(look.share)
    assert min(shares) == 6 / 40
    assert max(shares) == 1
    assert len(set(shares)) > 3
    Counted.seen, before = (), landscape.num_evaluations
    landscape.rough_loss(TRAINED_CENTER, rays[0], 0.4)
    assert Counted.seen == (6,)
    assert landscape.num_evaluations - before == pytest.approx(6 / 40)


def test_the_rough_loss_is_that_of_the_first_batch():
    landscape = StreamedLoss(NET, IMAGES, batch_size=6)
    first = IMAGES.subset(torch.arange(6))
    wanted = flat_loss(NET, first, CENTER + 0.3 * RAYS[1].direction(CENTER))
    assert landscape.rough_loss(CENTER, RAYS[1], 0.3) == pytest.approx(float(wanted), rel=1e-12)


def test_the_rough_loss_scales_what_the_worst_samples_lose():
    landscape = StreamedLoss(TRAINED, EASY, batch_size=2)
    ray = Ray(Normalization(landscape.layout), 0, 3)
    whole = landscape.look_along(TRAINED_CENTER, ray, 0.6).loss
    losses = landscape.latest_losses.sort(descending=True).values
    landscape.look_first_at(landscape.latest_losses)
    for share in (0.0, 0.1, 0.33, 1.0):
        # At the same point what the worst lose is scaled to the whole exactly, however few they are.
        assert landscape.rough_loss(TRAINED_CENTER, ray, 0.6, share=share) == pytest.approx(whole, rel=1e-9)
        before = landscape.num_evaluations
        near = landscape.rough_loss(TRAINED_CENTER, ray, 0.61, share=share)
        assert landscape.num_evaluations - before == pytest.approx(max(2, math.ceil(share * 40 / 2) * 2) / 40)
        assert near == pytest.approx(landscape.look_along(TRAINED_CENTER, ray, 0.61).loss, rel=0.1)
    for fraction in (0.1, 0.5, 0.9, 0.999):
        num = round(40 * landscape.share_that_loses(fraction))
        assert losses[:num].sum() >= fraction * losses.sum() > losses[: num - 2].sum()


def test_looking_first_at_what_loses_most_ends_earlier():
    plain, ahead = (StreamedLoss(TRAINED, EASY, batch_size=2) for _ in range(2))
    normalization = Normalization(plain.layout)
    ahead.look_along(TRAINED_CENTER, Ray(normalization, 0, 0), 0.6)
    ahead.look_first_at(ahead.latest_losses)
    costs = {plain: 0.0, ahead: 0.0}
    for index in range(1, 20):
        ray = Ray(normalization, 0, index)
        whole = plain.look_along(TRAINED_CENTER, ray, 0.6).loss
        for landscape in costs:
            look = landscape.look_along(TRAINED_CENTER, ray, 0.6, limit=0.7 * whole)
            assert look.loss > 0.7 * whole
            costs[landscape] += look.share
    assert costs[ahead] < 0.75 * costs[plain]
    assert costs[plain] < 0.9 * 19


def _with_bad_logits(value, batch_size=5):
    """A net whose 12th image of 20 gets `value` as a logit of its true class, wherever the net is evaluated."""

    class Broken(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = copy.deepcopy(NET)

        def forward(self, inputs):
            logits = self.net(inputs)
            hit = (inputs == IMAGES.inputs(slice(11, 12), dtype=inputs.dtype)).flatten(1).all(1)
            return torch.where(hit[:, None], torch.full_like(logits, value) * torch.eye(3)[0].to(logits), logits)

    return StreamedLoss(Broken(), IMAGES, batch_size=batch_size)


@pytest.mark.parametrize("limit", [1e6, math.inf])
def test_an_undefined_loss_stays_undefined_and_ends_at_once(limit):
    landscape = _with_bad_logits(math.nan)
    look = landscape.look_along(CENTER, RAYS[0], 0.1, limit=limit)
    assert math.isnan(look.loss)
    assert look.share == 15 / 20
    assert not landscape.latest_losses.any()


def test_a_loss_beyond_the_limit_before_it_is_undefined_is_beyond_the_limit():
    look = _with_bad_logits(math.nan).look_along(CENTER, RAYS[0], 0.1, limit=1e-3)
    assert math.isfinite(look.loss)
    assert look.loss > 1e-3


@pytest.mark.parametrize("limit", [1e6, math.inf])
def test_an_infinite_loss_is_infinite(limit):
    linear = nn.Linear(32, CLASSES)
    with torch.no_grad():
        linear.weight.zero_()
        linear.bias.copy_(torch.tensor([0.0, -torch.inf, 0.0]))
    net = nn.Sequential(nn.Flatten(), linear).double()
    landscape = StreamedLoss(net, IMAGES, batch_size=5)
    still = Ray(Normalization(landscape.layout), 0, 0)
    assert landscape.look_along(landscape.minimum, still, 0.0, limit=limit).loss == math.inf
    assert landscape.at(landscape.minimum[None]).tolist() == [math.inf]
    assert not landscape.latest_losses.any()


@pytest.mark.parametrize("batch_size", [3, 40])
@pytest.mark.parametrize("one_dim", ["fixed", "moved"])
def test_second_derivatives_are_those_of_the_explicit_hessian(batch_size, one_dim):
    matrix = flat_hessian(NET, IMAGES, CENTER)
    normalization = Normalization(layout_of(NET), one_dim=one_dim)
    directions = torch.stack([Ray(normalization, 0, index).direction(CENTER) for index in range(5)])
    wanted = ((directions @ matrix) * directions).sum(1)
    landscape = StreamedLoss(NET, IMAGES, batch_size=batch_size)
    torch.testing.assert_close(landscape.second_derivative(CENTER, directions), wanted, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("scheme", ["filter", "gaussian_filter"])
def test_second_derivatives_for_scales_are_those_of_the_nets_that_were_really_scaled(scheme):
    normalization, scales = Normalization(layout_of(NET), scheme), (0.3, 1.0, 4.0)
    directions = torch.stack([Ray(normalization, 1, index).direction(CENTER) for index in range(3)])
    landscape = StreamedLoss(NET, IMAGES, batch_size=7)
    found = landscape.second_derivatives(CENTER, directions, scales=scales)
    assert found.shape == (3, 3)
    for scale, row in zip(scales, found, strict=True):
        scaled = CENTER.clone()
        scaled[-CLASSES * 13 :] *= scale
        own = torch.stack([Ray(normalization, 1, index).direction(scaled) for index in range(3)])
        matrix = flat_hessian(NET, IMAGES, scaled)
        torch.testing.assert_close(row, ((own @ matrix) * own).sum(1), rtol=1e-9, atol=1e-12)


def test_curvatures_in_single_precision_are_near_those_in_double():
    directions = torch.stack([ray.direction(CENTER) for ray in RAYS])
    single = StreamedLoss(copy.deepcopy(NET).float(), IMAGES).second_derivative(CENTER.float(), directions.float())
    double = StreamedLoss(NET, IMAGES).second_derivative(CENTER, directions)
    torch.testing.assert_close(single, double, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("batch_size", [1, 7, 20])
def test_products_with_the_hessian_are_explicit_whatever_the_batch_size(batch_size):
    matrix = flat_hessian(NET, IMAGES, CENTER)
    vector = torch.linspace(-1, 1, len(CENTER), dtype=torch.float64)
    landscape = StreamedLoss(NET, IMAGES, batch_size=batch_size)
    found = landscape.hessian_vector_product(CENTER, vector)
    torch.testing.assert_close(found, matrix @ vector, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: StreamedLoss(nn.Flatten(), IMAGES), "nothing to move"),
        (lambda: StreamedLoss(nn.Sequential(nn.Flatten(), nn.Linear(32, 4)), IMAGES), r"\(1, 4\).*\(1, 3\) is needed"),
        (lambda: StreamedLoss(nn.Conv2d(2, 3, 1), IMAGES), "for one image"),
        (lambda: StreamedLoss(NET, IMAGES, batch_size=0), "batch_size = 0"),
        (lambda: StreamedLoss(NET, IMAGES, precision=HALF), "precision"),
    ],
)
def test_what_cannot_be_measured_is_refused_in_one_line(make, message):
    # Without the checker of annotations, which would refuse a wrong word first.
    with pytest.raises(Exception, match=message) as caught:
        make()
    if isinstance(caught.value, InputError):
        assert "\n" not in str(caught.value)
