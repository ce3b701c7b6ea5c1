import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from transformers.pytorch_utils import Conv1D

from basinscope.landscape.directions import (
    UNITS,
    Center,
    Combination,
    Orthogonal,
    RandomDirection,
    Stored,
    cosine,
    inner_product,
)
from basinscope.landscape.filters import moved_filters
from basinscope.landscape.module.objective import Objective
from tests.anyones import Recurrent, Vision, drawn, mean_loss, perceptron, vectors


def _net():
    return drawn(nn.Sequential(Vision(), Recurrent(), Conv1D(4, 3), nn.MultiheadAttention(4, 2), nn.Linear(1, 3)))


def _center(net, **settings):
    filters, own = moved_filters(net, **settings), dict(net.named_parameters())
    return Center(filters, tuple(own[f.name] for f in filters))


CENTER = _center(_net())
PLACES = range(len(CENTER.filters))
WIDE = _center(drawn(nn.Linear(60, 50)))


def _entries(filters):
    """Masks of the filters of a tensor that move, one by one."""
    shape = [1 if axis in filters.inner else size for axis, size in enumerate(filters.split)]
    labels = torch.arange(filters.num_filters).reshape(shape).expand(filters.split).reshape(filters.shape)
    return [labels == k for k in range(filters.num_filters) if k != filters.still]


def _length(tensor):
    return math.sqrt(sum(float(entry) ** 2 for entry in tensor.flatten()))


def test_each_filter_of_a_direction_is_as_long_as_its_weights():
    direction = RandomDirection(CENTER, 3, 1)
    for place, filters in enumerate(CENTER.filters):
        block, weights = direction.block(place), CENTER.tensors[place].detach()
        assert block.shape == weights.shape
        for entries in _entries(filters):
            assert _length(block[entries]) == pytest.approx(_length(weights[entries]), rel=1e-5)


def test_a_direction_is_the_drawn_entries_scaled_filter_by_filter():
    plain, scaled = (RandomDirection(CENTER, 3, 1, scheme) for scheme in ("sphere", "filter"))
    for place, filters in enumerate(CENTER.filters):
        for entries in _entries(filters):
            one, other = plain.block(place)[entries], scaled.block(place)[entries]
            assert float(torch.nn.functional.cosine_similarity(one, other, dim=0)) == pytest.approx(1, abs=1e-5)


@given(st.integers(0, 2**40), st.integers(0, 10**6), st.sampled_from(sorted(UNITS)))
def test_a_direction_depends_on_seed_and_index_alone(seed, index, scheme):
    torch.rand(1)
    first = [RandomDirection(CENTER, seed, index, scheme).block(place) for place in PLACES]
    torch.rand(1)
    again = RandomDirection(CENTER, seed, index, scheme)
    for place in reversed(PLACES):
        assert torch.equal(again.block(place), first[place])
    other = [RandomDirection(CENTER, seed + 1, index, scheme), RandomDirection(CENTER, seed, index + 1, scheme)]
    assert not any(torch.equal(direction.block(0), first[0]) for direction in other)


@pytest.mark.parametrize("scheme", UNITS)
def test_drawing_leaves_the_global_random_state_alone(scheme):
    before = torch.get_rng_state()
    RandomDirection(CENTER, 0, 0, scheme).block(0)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("scheme", UNITS)
def test_random_directions_are_nearly_orthogonal_to_each_other(scheme):
    family = [RandomDirection(WIDE, 0, index, scheme) for index in range(12)]
    pairs = [cosine(WIDE, a, b) for k, a in enumerate(family) for b in family[:k]]
    # The standard deviation of a cosine in 3000 dimensions is 0.018, of the mean of 66 of them 0.0022.
    assert max(map(abs, pairs)) < 0.09
    assert abs(sum(pairs) / len(pairs)) < 0.011
    assert cosine(WIDE, family[0], family[0]) == pytest.approx(1, abs=1e-9)


def test_entries_are_normal_and_not_all_of_one_sign():
    entries = torch.cat([RandomDirection(WIDE, 0, k, "sphere").block(0).flatten() for k in range(10)]).double()
    entries *= math.sqrt(3000)
    num = len(entries)
    assert abs(float(entries.mean())) < 4 / num**0.5
    assert float(entries.pow(4).mean()) == pytest.approx(3, abs=4 * (96 / num) ** 0.5)


def test_two_tensors_of_one_shape_get_different_entries():
    center = _center(drawn(nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))))
    one, two = (RandomDirection(center, 0, 0, "sphere").block(place) for place in (0, 1))
    assert abs(float(torch.nn.functional.cosine_similarity(one.flatten(), two.flatten(), dim=0))) < 0.9


@given(st.integers(0, 1000))
def test_on_the_sphere_the_whole_direction_has_length_1(index):
    direction = RandomDirection(CENTER, 0, index, "sphere")
    assert math.sqrt(sum(_length(direction.block(place)) ** 2 for place in PLACES)) == pytest.approx(1, rel=1e-5)


@given(st.integers(0, 1000))
def test_by_layer_each_tensor_is_as_long_as_its_weights(index):
    direction = RandomDirection(CENTER, 0, index, "layer")
    for place in PLACES:
        assert _length(direction.block(place)) == pytest.approx(_length(CENTER.tensors[place].detach()), rel=1e-5)


@given(st.integers(0, 1000))
def test_the_orthogonal_direction_is_orthogonal_and_as_long_filter_by_filter(seed):
    first, second = (RandomDirection(CENTER, seed, index) for index in (0, 1))
    made = Orthogonal(first, second)
    assert made.units == "filter norms"
    for place, filters in enumerate(CENTER.filters):
        a, b, found = (d.block(place) for d in (first, second, made))
        for entries in _entries(filters):
            if int(entries.sum()) == 1:
                assert not found[entries].any()
                continue
            length = _length(b[entries])
            assert _length(found[entries]) == pytest.approx(length, rel=1e-4)
            assert abs(float(found[entries] @ a[entries])) < 1e-4 * length * _length(a[entries])
            # It lies in the plane of the two.
            plane = torch.stack([a[entries], b[entries]]).T.double()
            rest = found[entries].double() - plane @ torch.linalg.lstsq(plane, found[entries].double()).solution
            assert _length(rest) < 1e-3 * length


@pytest.mark.parametrize("scheme", ["layer", "sphere"])
def test_other_schemes_are_made_orthogonal_tensor_by_tensor(scheme):
    first, second = (RandomDirection(CENTER, 5, index, scheme) for index in (0, 1))
    made = Orthogonal(first, second)
    assert abs(cosine(CENTER, first, made)) < 1e-6
    for place in PLACES:
        assert _length(made.block(place)) == pytest.approx(_length(second.block(place)), rel=1e-4)
        assert abs(float((made.block(place) * first.block(place)).sum())) < 1e-5


def test_a_direction_orthogonal_to_itself_stays_at_rest():
    direction = RandomDirection(CENTER, 0, 0)
    same = Orthogonal(direction, direction)
    assert not any(same.block(place).any() for place in PLACES)


@pytest.mark.parametrize("scheme", UNITS)
@pytest.mark.parametrize("one_dim", ["fixed", "moved"])
def test_nothing_is_nan_where_layers_begin_at_zero_and_zero_filters_stay_at_rest(scheme, one_dim):
    net = nn.Sequential(nn.Embedding(5, 3, padding_idx=0), nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
    nn.init.zeros_(net[3].weight)
    nn.init.zeros_(net[3].bias)
    center = _center(net, one_dim=one_dim)
    one, two = (RandomDirection(center, 0, index, scheme) for index in (0, 1))
    made = [one, two, Orthogonal(one, two)]
    for place, filters in enumerate(center.filters):
        for direction in made:
            block = direction.block(place)
            assert block.isfinite().all()
            if scheme == "filter":
                still = filters.norms(center.tensors[place]).expand(filters.split).reshape(filters.shape) == 0
                assert not block[still].any()
                if not isinstance(direction, Orthogonal):
                    assert block[~still].all()
    if scheme == "filter":
        assert not one.block(0)[0].any()
    assert math.isfinite(cosine(center, one, two))


@pytest.mark.parametrize("scheme", UNITS)
@pytest.mark.parametrize("layer", [nn.Embedding, nn.EmbeddingBag])
def test_the_vector_of_padding_stays_at_rest_whatever_it_is(scheme, layer):
    net = layer(5, 3, padding_idx=2)
    nn.init.normal_(net.weight, std=1e4)
    center = _center(net)
    one, two = (RandomDirection(center, 0, index, scheme) for index in (0, 1))
    for direction in (one, two, Orthogonal(one, two)):
        block = direction.block(0)
        assert not block[2].any()
        assert block[[0, 1, 3, 4]].all()


def test_the_cosine_of_a_direction_at_rest_is_not_a_number():
    center = _center(nn.Linear(2, 2))
    still = Stored((torch.zeros(2, 2),), "")
    assert math.isnan(cosine(center, still, RandomDirection(center, 0, 0)))


@given(st.integers(0, 100), st.floats(-2, 2), st.floats(0.01, 100))
def test_losses_do_not_change_when_a_layer_is_scaled_up_and_the_next_one_down(index, distance, factor):
    net, scaled = (perceptron(activation=nn.ReLU) for _ in range(2))
    with torch.no_grad():
        scaled[0].weight.mul_(factor)
        scaled[0].bias.mul_(factor)
        scaled[2].weight.div_(factor)
    plain, other = (Objective(n, mean_loss, vectors()) for n in (net, scaled))
    one, two = (o.loss_at((o.direction(0, index), distance)) for o in (plain, other))
    assert two == pytest.approx(one, rel=1e-9)


def test_scaled_by_a_power_of_two_losses_are_the_same_bit_for_bit_and_on_the_sphere_they_are_not():
    net, scaled = (perceptron(activation=nn.ReLU, dtype=torch.float32) for _ in range(2))
    with torch.no_grad():
        scaled[0].weight.mul_(4)
        scaled[0].bias.mul_(4)
        scaled[2].weight.div_(4)
    batches = vectors(dtype=torch.float32)
    for scheme, same in (("filter", True), ("layer", True), ("sphere", False)):
        plain, other = (Objective(n, mean_loss, batches, normalization=scheme) for n in (net, scaled))
        losses = [[o.loss_at((o.direction(0, k), 0.7)) for k in range(5)] for o in (plain, other)]
        assert (losses[0] == losses[1]) == same


@pytest.mark.parametrize("scheme", UNITS)
def test_models_in_single_and_double_precision_get_the_same_directions(scheme):
    single, double = _center(_net()), _center(_net().double())
    for place in PLACES:
        one, two = (RandomDirection(center, 1, 2, scheme).block(place) for center in (single, double))
        assert (one.dtype, two.dtype) == (torch.float32, torch.float64)
        torch.testing.assert_close(one.double(), two, rtol=2e-6, atol=1e-12)


def test_directions_around_weights_of_half_precision_are_made_in_single_precision():
    center = _center(_net().to(torch.bfloat16))
    direction = RandomDirection(center, 0, 0)
    assert {direction.block(place).dtype for place in PLACES} == {torch.float32}
    norms = center.filters[0].norms(center.tensors[0].double())
    torch.testing.assert_close(center.filters[0].norms(direction.block(0).double()), norms, rtol=1e-5, atol=0)


def test_a_combination_is_the_weighted_sum_of_the_ways_to_other_points():
    others = [[torch.randn_like(t) for t in CENTER.tensors] for _ in range(3)]
    made = Combination(CENTER, others, [0.5, -2.0, 1.0], "")
    for place, here in enumerate(CENTER.tensors):
        slow = sum(w * (other[place] - here.detach()) for w, other in zip((0.5, -2.0, 1.0), others, strict=True))
        torch.testing.assert_close(made.block(place), slow)


def test_inner_products_are_summed_over_all_tensors():
    one, two = (RandomDirection(CENTER, 0, index, "layer") for index in (0, 1))
    pairs = (zip(one.block(k).flatten(), two.block(k).flatten(), strict=True) for k in PLACES)
    slow = sum(float(a * b) for pair in pairs for a, b in pair)
    assert inner_product(CENTER, one, two) == pytest.approx(slow, rel=1e-5, abs=1e-6)
