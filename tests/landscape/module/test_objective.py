import copy
import math
import threading

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import cross_entropy, dropout
from torch.utils.data import DataLoader, Dataset, TensorDataset

from basinscope.errors import InputError
from basinscope.landscape.directions import Combination, Orthogonal, Stored
from basinscope.landscape.module import twin
from basinscope.landscape.module.objective import Objective
from tests.anyones import (
    Attentive,
    Recurrent,
    Vision,
    drawn,
    images,
    labelled,
    mean_loss,
    perceptron,
    sample_losses,
    sum_and_count,
    tokens,
    twin_loss,
    twin_value,
    untouched,
    vectors,
)


@pytest.fixture(autouse=True)
def _same_random_numbers():
    torch.manual_seed(0)
    np.random.seed(0)


LOSSES = [mean_loss, sample_losses, sum_and_count]


def _named(objective, tensors):
    return {f.name: tensor for f, tensor in zip(objective.filters, tensors, strict=True)}


def _at(objective, *steps):
    """The moved tensors at a point, by name."""
    points = []
    for place, own in enumerate(objective.center.tensors):
        points.append(own.detach() + sum(distance * direction.block(place) for direction, distance in steps))
    return _named(objective, points)


def _explicit_hessian(model, batches, objective):
    """The Hessian by all moved tensors as one flat matrix."""
    sizes = [f.size for f in objective.filters]

    def loss(flat):
        parts = [p.reshape(f.shape) for p, f in zip(flat.split(sizes), objective.filters, strict=True)]
        return twin_loss(model, batches, _named(objective, parts))

    center = torch.cat([t.detach().reshape(-1) for t in objective.center.tensors])
    with sdpa_kernel(SDPBackend.MATH):
        return torch.func.hessian(loss)(center)


class Unused(nn.Module):
    """Has a layer that nothing reaches, and one in which the loss is linear."""

    def __init__(self):
        super().__init__()
        self.net, self.idle = perceptron(), nn.Linear(3, 2, dtype=torch.float64)

    def forward(self, inputs):
        return self.net(inputs)


KINDS = {
    "perceptron": (perceptron, vectors),
    "unused layer": (Unused, vectors),
    "attention": (
        lambda: drawn(Attentive()).double(),
        lambda: labelled(torch.linspace(-1, 1, 108, dtype=torch.float64).sin().reshape(9, 3, 4)),
    ),
    "vision": (
        lambda: drawn(Vision()).double(),
        lambda: [(inputs.double(), labels) for inputs, labels in images()],
    ),
    "recurrent": (lambda: drawn(Recurrent()).double(), tokens),
}


@pytest.mark.parametrize("loss_fn", LOSSES)
@pytest.mark.parametrize("scheme", ["filter", "layer", "sphere"])
@pytest.mark.parametrize("one_dim", ["fixed", "moved"])
def test_losses_are_those_of_a_slow_twin_whatever_the_loss_returns(loss_fn, scheme, one_dim):
    model, batches = perceptron(), vectors()
    objective = Objective(model, loss_fn, batches, normalization=scheme, one_dim=one_dim)
    assert objective.center_loss == pytest.approx(twin_value(model, batches, {}), rel=1e-12)
    assert objective.num_samples == 9
    one, two = objective.direction(3, 0), objective.direction(3, 1)
    for steps in ([(one, 0.5)], [(two, -1.5)], [(one, 0.3), (Orthogonal(one, two), 0.7)]):
        wanted = twin_value(model, batches, _at(objective, *steps))
        assert objective.loss_at(*steps) == pytest.approx(wanted, rel=1e-12)


@given(st.lists(st.integers(1, 4), min_size=1, max_size=6), st.floats(-1, 1), st.sampled_from(LOSSES))
def test_losses_do_not_depend_on_how_the_data_is_cut(sizes, distance, loss_fn):
    inputs = torch.linspace(-1, 1, 4 * sum(sizes), dtype=torch.float64).cos().reshape(-1, 4)
    model, batches = perceptron(), labelled(inputs, sizes=tuple(sizes))
    objective = Objective(model, loss_fn, batches)
    step = (objective.direction(0, 0), distance)
    assert objective.loss_at(step) == pytest.approx(twin_value(model, batches, _at(objective, step)), rel=1e-12)


def test_a_count_that_is_not_the_batch_s_length_weighs_the_batches():
    def masked(model, batch):
        found = sample_losses(model, batch)
        keep = batch[1] != 0
        return (found * keep).sum(), keep.sum()

    model, batches = perceptron(), vectors()
    objective = Objective(model, masked, batches)
    inputs, labels = (torch.cat(parts) for parts in zip(*batches, strict=True))
    assert objective.num_samples == int((labels != 0).sum())
    with torch.no_grad():
        wanted = float(cross_entropy(model(inputs), labels.where(labels != 0, -100)))
    assert objective.center_loss == pytest.approx(wanted, rel=1e-12)


def test_the_rough_loss_is_that_of_the_first_batch_that_counts_anything():
    model, batches = perceptron(), vectors()
    objective = Objective(model, mean_loss, batches)
    step = (objective.direction(0, 0), 0.4)
    wanted = twin_value(model, batches[:1], _at(objective, step))
    assert objective.rough_loss_at(step) == (pytest.approx(wanted, rel=1e-12), 5)

    def skips(model, batch):
        total, count = sum_and_count(model, batch)
        return (total, count) if count < 5 else (0 * total, 0)

    wanted = twin_value(model, batches[1:2], _at(objective, step))
    assert Objective(model, skips, batches).rough_loss_at(step) == (pytest.approx(wanted, rel=1e-12), 3)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("loss_fn", [mean_loss, sum_and_count])
def test_gradients_are_explicit_ones(kind, loss_fn):
    made, data = KINDS[kind]
    model, batches = made(), data()
    objective = Objective(model, loss_fn, batches)
    objective.check()
    step = (objective.direction(0, 0), 0.3)
    point = {name: tensor.requires_grad_() for name, tensor in _at(objective, step).items()}
    wanted = twin_loss(model, batches, point)
    slopes = torch.autograd.grad(wanted, list(point.values()), allow_unused=True)
    loss, found = objective.gradient_at(step)
    assert loss == pytest.approx(float(wanted.detach()), rel=1e-12)
    for slope, part, tensor in zip(slopes, found, point.values(), strict=True):
        torch.testing.assert_close(part, torch.zeros_like(tensor) if slope is None else slope, rtol=1e-9, atol=1e-14)


@pytest.mark.parametrize("kind", ["perceptron", "unused layer", "attention", "vision"])
def test_hessian_vector_products_are_explicit_ones(kind):
    made, data = KINDS[kind]
    model, batches = made(), data()
    objective = Objective(model, mean_loss, batches)
    objective.check()
    hessian = _explicit_hessian(model, batches, objective).detach()
    vector = [objective.direction(0, 1).block(place) for place in range(len(objective.filters))]
    wanted = hessian @ torch.cat([part.reshape(-1) for part in vector])
    found = torch.cat([part.reshape(-1) for part in objective.hessian_vector_product(vector)])
    torch.testing.assert_close(found, wanted, rtol=1e-9, atol=1e-12 * float(wanted.abs().max()))
    assert wanted.any()


@pytest.mark.parametrize("kind", KINDS)
def test_hessian_vector_products_are_differences_of_gradients(kind):
    made, data = KINDS[kind]
    objective = Objective(made(), sample_losses, data())
    objective.check()
    direction, h = objective.direction(0, 1), 1e-5
    product = objective.hessian_vector_product([direction.block(k) for k in range(len(objective.filters))])
    above, below = (objective.gradient_at((direction, sign * h))[1] for sign in (1, -1))
    for found, a, b in zip(product, above, below, strict=True):
        torch.testing.assert_close(found, (a - b) / (2 * h), rtol=1e-5, atol=1e-7)


def test_a_loss_that_is_linear_in_the_weights_has_no_curvature():
    objective = Objective(nn.Linear(4, 2).double(), lambda model, batch: model(batch[0]).sum(1), vectors())
    (product,) = objective.hessian_vector_product([torch.ones(2, 4)])
    assert not product.any()
    _, (slope,) = objective.gradient_at()
    mean = torch.cat([inputs for inputs, _ in vectors()]).mean(0)
    torch.testing.assert_close(slope, mean.expand(2, 4))


def test_settings_of_convolutions_stay_as_they_are_while_curvature_is_measured(monkeypatch):
    for name, value in (("allow_tf32", False), ("deterministic", True), ("benchmark", True)):
        monkeypatch.setattr(torch.backends.cudnn, name, value)
    seen = []

    def spy(model, batch):
        cudnn = torch.backends.cudnn
        seen.append((cudnn.allow_tf32, cudnn.deterministic, cudnn.benchmark))
        return mean_loss(model, batch)

    objective = Objective(drawn(Recurrent()), spy, tokens())
    objective.hessian_vector_product(objective.gradient_at()[1])
    assert set(seen) == {(False, True, True)}
    assert torch.backends.cudnn.enabled


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_nothing_drifts_over_hundreds_of_evaluations(dtype):
    model = perceptron(dtype=dtype)
    objective = Objective(model, mean_loss, vectors(dtype=dtype))
    before, line = objective.center_loss, objective.direction(0, 0)
    first = [objective.loss_at((line, 0.01 * k)) for k in range(100)]
    again = [objective.loss_at((line, 0.01 * k)) for k in reversed(range(100))]
    assert first == again[::-1]
    assert objective.loss_at() == first[0] == before == objective.center_loss == objective.gradient_at()[0]
    assert objective.num_evaluations == 203


def test_a_plane_s_origin_is_the_network_and_its_axes_are_the_lines():
    objective = Objective(perceptron(), mean_loss, vectors())
    one, two = objective.direction(0, 0), objective.direction(0, 1)
    assert objective.loss_at((one, 0.0), (two, 0.0)) == objective.center_loss
    assert objective.loss_at((one, 0.5), (two, 0.0)) == objective.loss_at((one, 0.5))
    assert objective.loss_at((one, 0.0), (two, -2.0)) == objective.loss_at((two, -2.0))


@pytest.mark.parametrize("one_dim", ["fixed", "moved"])
def test_statistics_of_batchnorm_are_those_of_the_network_at_every_point(one_dim):
    model = drawn(Vision())
    wanted = {name: buffer.clone() for name, buffer in model.named_buffers()}
    seen = []

    def spy(model, batch):
        seen.append(all(torch.equal(buffer, wanted[name]) for name, buffer in model.named_buffers()))
        return mean_loss(model, batch)

    objective = Objective(model, spy, images(), one_dim=one_dim)
    losses = [objective.loss_at((objective.direction(0, k), 20.0)) for k in range(10)]
    objective.gradient_at()
    objective.hessian_vector_product(objective.gradient_at()[1])
    assert all(seen)
    assert np.isfinite(losses).all()


class Marked:
    """A hook of the user's."""

    def __call__(self, *_):
        pass


def _lived_in():
    """A network as users leave it: gradients, a frozen part, a hook, a layer in training mode."""
    model = drawn(Vision())
    model.group.train()
    mean_loss(model, images()[0]).backward()
    model.down.requires_grad_(False)
    model.head.register_forward_hook(Marked())
    model.up.register_forward_pre_hook(Marked())
    return model


def _everything(objective):
    one = objective.direction(0, 0)
    objective.loss_at((one, 0.5))
    objective.rough_loss_at((one, 0.5))
    _, slopes = objective.gradient_at((one, 0.5))
    objective.hessian_vector_product(slopes)


def test_a_network_is_bit_for_bit_as_before_also_while_it_is_measured():
    model = _lived_in()
    loader = DataLoader(
        TensorDataset(*(torch.cat(part) for part in zip(*images(), strict=True))), batch_size=4, shuffle=True
    )
    with untouched(model):
        objective = Objective(model, mean_loss, loader)
    with untouched(model):
        _everything(objective)


@pytest.mark.parametrize("ending", [ValueError, KeyboardInterrupt])
@pytest.mark.parametrize("verb", range(4))
@pytest.mark.parametrize("call", [1, 3])
def test_a_network_is_bit_for_bit_as_before_when_a_measurement_ends_early(ending, verb, call):
    model, left = _lived_in(), [math.inf]

    def fails(model, batch):
        torch.rand(1)
        np.random.rand()
        left[0] -= 1
        if left[0] == 0:
            raise ending
        # Drawn by the first one of all runs anew, so that passes agree.
        return mean_loss(model, batch)

    objective = Objective(model, fails, images())
    before, (_, slopes) = objective.center_loss, objective.gradient_at()
    step = (objective.direction(0, 0), 0.5)
    verbs = [
        lambda: objective.loss_at(step),
        lambda: objective.gradient_at(step),
        lambda: objective.hessian_vector_product(slopes),
        lambda: Objective(model, fails, images()).check(),
    ]
    left[0] = call
    with untouched(model), pytest.raises(ending):
        verbs[verb]()
    left[0] = math.inf
    assert objective.loss_at() == before
    assert not any(part.requires_grad or part.grad is not None for part in objective._twin.copy.parameters())


@pytest.mark.parametrize("place", ["loss", "batches"])
def test_nothing_is_left_on_a_network_whose_check_fails(place):
    model = _lived_in()
    outside = copy.deepcopy(model)
    loss_fn = (lambda _, batch: mean_loss(outside, batch)) if place == "loss" else mean_loss
    with untouched(model), pytest.raises(InputError):
        Objective(model, loss_fn, images() if place == "loss" else []).check()


def test_gradients_can_be_measured_where_they_are_switched_off():
    objective = Objective(perceptron(), mean_loss, vectors())
    loss, wanted = objective.gradient_at()
    for off in (torch.no_grad, torch.inference_mode):
        with off():
            again, found = objective.gradient_at()
            product = objective.hessian_vector_product(wanted)
        assert again == loss
        assert all(torch.equal(a, b) for a, b in zip(found, wanted, strict=True))
        assert all(torch.equal(a, b) for a, b in zip(product, objective.hessian_vector_product(wanted), strict=True))


# The check.


class Functional(nn.Module):
    def __init__(self, draw=dropout):
        super().__init__()
        self.net, self.draw = perceptron(), draw

    def forward(self, inputs):
        return self.net(self.draw(inputs))


def _with(layer):
    return nn.Sequential(nn.Linear(4, 4), layer, nn.Linear(4, 3)).double()


class Noisy(Dataset):
    def __len__(self):
        return 9

    def __getitem__(self, index):
        inputs, labels = (torch.cat(part) for part in zip(*vectors(), strict=True))
        return inputs[index] + 0.1 * torch.randn(4), labels[index]


def _loader(**settings):
    return DataLoader(TensorDataset(*(torch.cat(part) for part in zip(*vectors(), strict=True))), **settings)


def _endless(model, batch):
    return mean_loss(model, batch) / 0


OUTSIDE = perceptron()


def _spent(batches):
    return lambda: batches


WRONG = {
    "dropout": (lambda: _with(nn.Dropout(0.5)), mean_loss, vectors, r"^1 \(Dropout\) is in training mode.*eval"),
    "batchnorm": (
        lambda: _with(nn.BatchNorm1d(4)),
        mean_loss,
        vectors,
        r"^1 \(BatchNorm1d\) is in training mode.*eval",
    ),
    "functional dropout": (lambda: Functional().eval(), mean_loss, vectors, r"two passes.*draws random numbers"),
    "dropout of a recurrent layer": (
        lambda: Recurrent2().double(),
        lambda model, batch: cross_entropy(model(batch[0][:, None])[:, 0], batch[1]),
        vectors,
        r"two passes.*in training mode; call model\.eval\(\)",
    ),
    "numpy's random numbers": (
        lambda: Functional(lambda inputs: inputs + np.random.rand()).eval(),
        mean_loss,
        vectors,
        r"two passes.*draws random numbers",
    ),
    "augmentation": (perceptron, mean_loss, lambda: DataLoader(Noisy(), batch_size=4), r"batches change from pass to"),
    "shuffling that drops": (
        perceptron,
        mean_loss,
        lambda: _loader(batch_size=5, shuffle=True, drop_last=True),
        r"batches change from pass to pass",
    ),
    "infinite": (
        perceptron,
        _endless,
        vectors,
        r"^the loss at the network's current weights is inf; nothing can be measured around it$",
    ),
    "not a number": (
        perceptron,
        lambda model, batch: mean_loss(model, batch) * math.nan,
        vectors,
        r"^the loss at the network's current weights is nan; nothing can be measured around it$",
    ),
    "outside model": (
        perceptron,
        lambda _, batch: mean_loss(OUTSIDE, batch),
        vectors,
        r"does not depend on the weights.*use the model passed to it",
    ),
    "matrix of losses": (perceptron, lambda model, batch: model(batch[0]), vectors, r"tensor of shape \(5, 3\)"),
    "losses and a count": (
        perceptron,
        lambda model, batch: (sample_losses(model, batch), len(batch[1])),
        vectors,
        r"both must be a single number",
    ),
    "loss and logits": (
        perceptron,
        lambda model, batch: (mean_loss(model, batch), model(batch[0])),
        vectors,
        r"both must be a single number",
    ),
    "list": (perceptron, lambda model, batch: [mean_loss(model, batch)], vectors, r"is a list: a tensor is needed"),
    "nothing": (perceptron, lambda model, batch: None, vectors, r"is a NoneType: a tensor is needed"),
    "complex": (perceptron, lambda model, batch: mean_loss(model, batch) + 0j, vectors, r"is complex: a real tensor"),
    "uncountable": (
        perceptron,
        lambda model, batch: mean_loss(model, batch["data"].pair),
        lambda: [{"data": Opaque(pair)} for pair in vectors()],
        r"has no tensor.*return \(sum of losses, count\)",
    ),
    "no batches": (perceptron, mean_loss, list, r"batches is empty"),
    "used up": (perceptron, mean_loss, lambda: _spent(iter(vectors())), r"batches is empty"),
}


class Opaque:
    def __init__(self, pair):
        self.pair = pair


class Recurrent2(nn.LSTM):
    def __init__(self):
        super().__init__(4, 3, num_layers=2, dropout=0.5, batch_first=True)

    def forward(self, inputs):
        return super().forward(inputs)[0]


@pytest.mark.parametrize("kind", WRONG)
def test_what_cannot_be_measured_is_told_in_one_line(kind):
    made, loss_fn, data, told = WRONG[kind]
    objective = Objective(made(), loss_fn, data())
    for verb in (objective.check, objective.loss_at, lambda: objective.center_loss):
        with pytest.raises(InputError, match=told) as caught:
            verb()
        assert "\n" not in str(caught.value)


RIGHT = {
    "shuffling": (perceptron, mean_loss, lambda: _loader(batch_size=4, shuffle=True)),
    "dropout of nothing": (lambda: _with(nn.Dropout(0)), mean_loss, vectors),
    "dropout that is off": (lambda: _with(nn.Dropout(0.5)).eval(), mean_loss, vectors),
    "training mode without random layers": (lambda: perceptron().train(), mean_loss, vectors),
    "noise that is the same each time": (
        lambda: Functional(lambda x: x + torch.randn(x.shape, generator=torch.Generator().manual_seed(0))),
        sample_losses,
        vectors,
    ),
    "a loss that is a number": (perceptron, lambda model, batch: float(mean_loss(model, batch)), vectors),
    "a loss of 0": (perceptron, lambda model, batch: 0 * mean_loss(model, batch), vectors),
    "a loss below 0": (perceptron, lambda model, batch: mean_loss(model, batch) - 5, vectors),
    "weights used without a call": (
        lambda: nn.Linear(4, 3).double(),
        lambda model, batch: cross_entropy(batch[0] @ model.weight.T, batch[1]),
        vectors,
    ),
}


@pytest.mark.parametrize("kind", RIGHT)
def test_what_can_be_measured_is_not_refused(kind):
    made, loss_fn, data = RIGHT[kind]
    objective = Objective(made(), loss_fn, data())
    assert math.isfinite(objective.center_loss)
    assert objective.num_samples == 9


@pytest.mark.parametrize(
    "loss_fn",
    [
        lambda model, batch: mean_loss(model, batch).detach(),
        lambda model, batch: (model(batch[0]).argmax(1) != batch[1]).double(),
    ],
    ids=["detached", "errors"],
)
def test_a_loss_without_a_gradient_can_be_looked_at_but_not_differentiated(loss_fn):
    objective = Objective(perceptron(), loss_fn, vectors())
    line = objective.direction(0, 0)
    assert len({objective.loss_at((objective.direction(0, index), 9.0)) for index in range(5)}) > 1
    vector = [line.block(place) for place in range(2)]
    for verb in (objective.gradient_at, lambda: objective.hessian_vector_product(vector)):
        with pytest.raises(InputError, match=r"cannot be differentiated by the moved weights"):
            verb()


class Once(torch.autograd.Function):
    @staticmethod
    def forward(ctx, inputs):
        ctx.save_for_backward(inputs)
        return inputs**2

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, slope):
        return 2 * ctx.saved_tensors[0] * slope


def _once(model, batch):
    return cross_entropy(Once.apply(model(batch[0])), batch[1])


def _twice(model, batch):
    return cross_entropy(model(batch[0]) ** 2, batch[1])


def test_without_a_second_derivative_products_are_differences_of_gradients(caplog):
    model, batches = perceptron(dtype=torch.float64), vectors(dtype=torch.float64)
    objective, smooth = Objective(model, _once, batches), Objective(model, _twice, batches)
    vector = smooth.gradient_at()[1]
    found, wanted = (o.hessian_vector_product(vector) for o in (objective, smooth))
    for part, right in zip(found, wanted, strict=True):
        torch.testing.assert_close(part, right, rtol=1e-6, atol=1e-8)
    assert "differences of gradients" in caplog.text


def test_lack_of_memory_is_not_taken_for_a_missing_derivative():
    class Full(Once):
        @staticmethod
        def backward(ctx, slope):
            return Greedy.apply(2 * ctx.saved_tensors[0] * slope)

    class Greedy(torch.autograd.Function):
        @staticmethod
        def forward(ctx, inputs):
            return inputs.clone()

        @staticmethod
        def backward(ctx, slope):
            raise torch.OutOfMemoryError("full")

    objective = Objective(perceptron(), lambda model, batch: Full.apply(model(batch[0])).sum(1), vectors())
    vector = objective.gradient_at()[1]
    with pytest.raises(InputError, match=r"^out of memory with a single sample \(full\)$"):
        objective.hessian_vector_product(vector)


def test_a_check_is_made_once_as_long_as_nothing_changes():
    objective = Objective(perceptron(), mean_loss, vectors())
    objective.check()
    assert objective.num_evaluations == 2
    assert not any(module._forward_pre_hooks for module in objective._twin.copy.modules())
    objective.check()
    assert objective.center_loss == objective.center_loss
    assert objective.num_evaluations == 2


# Networks that change between two measurements.


def _by_optimizer(model):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    mean_loss(model, vectors()[0]).backward()
    optimizer.step()


def _by_data(model):
    for parameter in model.parameters():
        parameter.data.mul_(1.5)


def _bias_by_data(model):
    model[0].bias.data.add_(1)


def _by_numpy(model):
    model[2].weight.detach().numpy()[0] += 1


def _loaded(model):
    model.load_state_dict(perceptron(seed=5).state_dict())


def _assigned(model):
    model.load_state_dict(perceptron(seed=5).state_dict(), assign=True)


def _from_vector(model):
    vector = nn.utils.parameters_to_vector(model.parameters()).detach()
    nn.utils.vector_to_parameters(2 * vector, model.parameters())


def _replaced(model):
    model[0].weight = nn.Parameter(model[0].weight.detach() * 2)


@pytest.mark.parametrize(
    "change", [_by_optimizer, _by_data, _bias_by_data, _by_numpy, _loaded, _assigned, _from_vector, _replaced]
)
def test_a_network_that_has_changed_is_measured_anew(change):
    model, batches = perceptron(), vectors()
    objective = Objective(model, mean_loss, batches)
    before = objective.center_loss
    change(model)
    wanted = twin_value(model, batches, {})
    assert abs(wanted - before) > 1e-3
    assert objective.center_loss == pytest.approx(wanted, rel=1e-12)
    step = (objective.direction(0, 0), 0.5)
    assert objective.loss_at(step) == pytest.approx(twin_value(model, batches, _at(objective, step)), rel=1e-12)


def test_a_network_that_has_changed_is_followed_without_being_asked_for_its_loss():
    model, batches = perceptron(), vectors()
    objective = Objective(model, mean_loss, batches)
    objective.check()
    _loaded(model)
    assert objective.loss_at() == pytest.approx(twin_value(model, batches, {}), rel=1e-12)


def test_statistics_that_have_changed_are_followed():
    model, batches = drawn(Vision()), images()
    objective = Objective(model, mean_loss, batches)
    before = objective.center_loss
    model.batch.running_mean.data.add_(1)
    assert objective.center_loss != before
    assert objective.center_loss == pytest.approx(twin_value(model, batches, {}), rel=1e-5)


def test_a_network_that_was_put_into_training_mode_is_refused_until_it_is_back():
    model = drawn(Vision())
    objective = Objective(model, mean_loss, images())
    before = objective.center_loss
    model.train()
    for _ in range(2):
        with pytest.raises(InputError, match=r"batch \(BatchNorm2d\) is in training mode"):
            objective.loss_at()
    model.eval()
    assert objective.center_loss == before


def _widened(model):
    model[2] = nn.Linear(5, 4, dtype=torch.float64)


def _lengthened(model):
    model.append(nn.Linear(3, 3, dtype=torch.float64))


def _tied(model):
    model[2].bias = model[0].bias


def _other_activation(model):
    model[1] = nn.Sigmoid()


def _softened(model):
    model.append(nn.Softmax(1))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (_widened, "tensors"),
        (_lengthened, "tensors"),
        (_tied, "tensors"),
        (lambda model: model.float(), "tensors"),
        (lambda model: model.to("meta"), "tensors"),
        (_other_activation, "layers"),
        (_softened, "layers"),
    ],
    ids=["wider", "longer", "tied", "precision", "device", "activation", "layer without tensors"],
)
def test_another_structure_is_refused(change, told):
    model = perceptron()
    objective = Objective(model, mean_loss, vectors())
    objective.check()
    change(model)
    with pytest.raises(InputError, match=rf"Sequential has other {told} than before: create a new Objective"):
        objective.loss_at()


# Networks of unusual kinds.


def test_a_network_of_half_precision_is_moved_in_single_precision_and_rounded_once():
    model = perceptron(dtype=torch.bfloat16)
    batches = vectors(dtype=torch.bfloat16)
    objective = Objective(model, mean_loss, batches, precision="own")
    step = (objective.direction(0, 0), 0.37)
    point = {
        f.name: (own.detach().float() + 0.37 * step[0].block(place)).bfloat16()
        for place, (f, own) in enumerate(zip(objective.filters, objective.center.tensors, strict=True))
    }
    with torch.no_grad():
        totals = [float(torch.func.functional_call(model, point, (i,)).sum()) for i, _ in batches]
    sums = Objective(model, lambda m, b: (m(b[0]).sum(), 1), batches, precision="own")
    assert sums.loss_at(step) == pytest.approx(sum(totals) / 3, rel=1e-6)


def test_sums_over_many_batches_of_half_precision_lose_nothing():
    model, (batch, *_) = perceptron(dtype=torch.bfloat16), vectors(dtype=torch.bfloat16)
    one, many = (Objective(model, mean_loss, [batch] * num) for num in (1, 300))
    _, wanted = one.gradient_at()
    _, found = many.gradient_at()
    for a, b in zip(found, wanted, strict=True):
        assert a.dtype == torch.float32
        # The scale of the incoming gradient is rounded alike in both.
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)
    products = [o.hessian_vector_product(wanted) for o in (many, one)]
    for a, b in zip(*products, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)


class Mixed(nn.Module):
    """Layers of several precisions, a complex buffer and an integer one."""

    def __init__(self):
        super().__init__()
        self.low = nn.Linear(4, 4, dtype=torch.bfloat16)
        self.single = nn.Linear(4, 4)
        self.fine = nn.Linear(4, 3, dtype=torch.float64)
        self.register_buffer("phase", torch.exp(1j * torch.arange(4.0)))
        self.register_buffer("order", torch.tensor([2, 0, 1]), persistent=False)

    def forward(self, inputs):
        hidden = self.single(self.low(inputs.bfloat16()).float())
        hidden = (hidden * self.phase).abs()
        return self.fine(hidden.double())[:, self.order]


def test_precisions_may_be_mixed_and_buffers_complex():
    model, batches = Mixed().eval(), vectors()
    with untouched(model):
        with pytest.raises(InputError, match="evaluated in float32: remove casts"):
            Objective(model, mean_loss, batches).check()
        objective = Objective(model, mean_loss, batches, precision="own")
        assert objective.center_loss == pytest.approx(twin_value(model, batches, {}), rel=1e-3)
        _everything(objective)
    found = objective.gradient_at()[1]
    assert [part.dtype for part in found] == [torch.float32, torch.float32, torch.float64]
    model.phase.data.mul_(2)
    before = objective.loss_at()
    assert objective.center_loss != before


def test_tensors_of_inference_mode_are_measured_like_others():
    batches, reference = vectors(), perceptron()
    with torch.inference_mode():
        model = nn.Sequential(perceptron(), nn.BatchNorm1d(3, dtype=torch.float64)).eval()
        cold = [tuple(part.clone() for part in batch) for batch in batches]
    assert all(parameter.is_inference() for parameter in model.parameters())
    warm = nn.Sequential(reference, nn.BatchNorm1d(3, dtype=torch.float64)).eval()
    wanted = Objective(warm, mean_loss, batches)
    with untouched(model):
        for context in (torch.inference_mode(), torch.inference_mode(False)):
            with context:
                objective = Objective(model, mean_loss, cold)
            assert objective.center_loss == wanted.center_loss
            _, slopes = objective.gradient_at()
            for found, own in zip(slopes, wanted.gradient_at()[1], strict=True):
                assert torch.equal(found, own)
            objective.hessian_vector_product(slopes)


def test_tied_weights_move_together():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.one, self.two = (nn.Linear(4, 4, dtype=torch.float64) for _ in range(2))
            self.two.weight = self.one.weight

        def forward(self, inputs):
            return self.two(self.one(inputs).tanh())

    model, batches = Tied(), vectors()
    objective = Objective(model, mean_loss, batches)
    assert objective.num_moved == 16
    step = (objective.direction(0, 0), 0.5)
    point = _at(objective, step)["one.weight"].requires_grad_()
    wanted = twin_loss(model, batches, {"one.weight": point})
    loss, (slope,) = objective.gradient_at(step)
    assert loss == pytest.approx(float(wanted.detach()), rel=1e-12)
    torch.testing.assert_close(slope, torch.autograd.grad(wanted, point)[0])


def test_only_what_is_chosen_moves():
    model, batches = perceptron(), vectors()
    objective = Objective(model, mean_loss, batches, parameters="2.*")
    assert [f.name for f in objective.filters] == ["2.weight"]
    assert objective.num_moved == 15
    step = (objective.direction(0, 0), 1.0)
    assert objective.loss_at(step) == pytest.approx(twin_value(model, batches, _at(objective, step)), rel=1e-12)


class Locked(nn.Module):
    def __init__(self):
        super().__init__()
        self.net, self.lock = nn.Linear(4, 3), threading.Lock()


@pytest.mark.parametrize("made", [Locked], ids=["lock"])
def test_a_network_that_cannot_be_copied_is_told_in_one_line(made):
    with pytest.raises(InputError, match=r"(Locked|Linear) cannot be copied: ") as caught:
        Objective(made(), mean_loss, vectors())
    assert "\n" not in str(caught.value)


def test_a_direction_that_is_kept_is_followed_as_given():
    model, batches = perceptron(), vectors()
    objective = Objective(model, mean_loss, batches)
    way = Stored(tuple(torch.ones(f.shape) for f in objective.filters), "")
    point = {f.name: own.detach() - 0.25 for f, own in zip(objective.filters, objective.center.tensors, strict=True)}
    assert objective.loss_at((way, -0.25)) == pytest.approx(twin_value(model, batches, point), rel=1e-12)


def test_units_and_sizes_are_those_of_the_moved_tensors():
    objective = Objective(drawn(Vision()), mean_loss, images(), one_dim="moved", normalization="sphere", unit="nat")
    assert objective.num_moved == sum(parameter.numel() for parameter in objective.model.parameters())
    assert (objective.units, objective.unit, objective.device.type) == ("Euclidean length", "nat", "cpu")


class Cramped:
    """A loss for which memory suffices only for so many samples, as a GPU would tell."""

    def __init__(self, loss, most, *, error=torch.OutOfMemoryError):
        self.loss, self.most, self.error, self.failed = loss, most, error, 0

    def __call__(self, model, batch):
        if len(batch[0]) > self.most:
            self.failed += 1
            raise self.error("CUDA out of memory. Tried to allocate 2.00 GiB\nmore")
        return self.loss(model, batch)


@pytest.mark.parametrize("error", [torch.OutOfMemoryError, RuntimeError, MemoryError])
@pytest.mark.parametrize("loss", LOSSES)
def test_batches_are_halved_where_memory_runs_out_and_nothing_comes_out_differently(loss, error, caplog):
    model, batches = perceptron(), vectors()
    cramped = Cramped(loss, 2, error=error)
    plain, halved = Objective(model, loss, batches), Objective(model, cramped, batches)
    step = (plain.direction(0, 0), 0.3)
    vector = [torch.ones(f.shape, dtype=torch.float64) for f in plain.filters]
    with untouched(model):
        assert halved.loss_at(step) == pytest.approx(plain.loss_at(step), rel=1e-12)
        failed = cramped.failed
        assert 0 < failed < 8, "the size that was found is kept to"
        assert halved.rough_loss_at(step) == pytest.approx(plain.rough_loss_at(step), rel=1e-12)
        assert cramped.failed == failed
        for got, wanted in (
            (halved.gradient_at(step)[1], plain.gradient_at(step)[1]),
            (halved.hessian_vector_product(vector), plain.hessian_vector_product(vector)),
        ):
            for part, own in zip(got, wanted, strict=True):
                torch.testing.assert_close(part, own, rtol=1e-10, atol=1e-12)
    assert halved.num_samples == plain.num_samples
    assert any("out of memory with" in r.message and "continuing with 2" in r.message for r in caplog.records)


def test_memory_that_does_not_suffice_for_one_sample_is_told_of():
    objective = Objective(perceptron(), Cramped(sample_losses, 0), vectors())
    with pytest.raises(InputError, match=r"^out of memory with a single sample \(CUDA out of memory. Tried .* GiB\)$"):
        _ = objective.center_loss


def test_a_batch_that_cannot_be_cut_is_told_of():
    batches = [(inputs, labels, "a name") for inputs, labels in vectors()]
    objective = Objective(perceptron(), Cramped(lambda model, batch: sample_losses(model, batch[:2]), 2), batches)
    with pytest.raises(InputError, match="the batch cannot be split; use smaller batches"):
        _ = objective.center_loss


def test_an_error_of_the_loss_function_names_it_and_the_batch():
    def broken(model, batch):
        if len(batch[1]) < 5:
            raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")
        return mean_loss(model, batch)

    told = r"the loss function fails on batch 2, a tuple of Tensor of shape \(3, 4\).*RuntimeError: mat1 and mat2"
    with pytest.raises(InputError, match=told) as caught:
        _ = Objective(perceptron(), broken, vectors()).center_loss
    assert isinstance(caught.value.__cause__, RuntimeError)


def _directions(objective):
    one = objective.direction(3, 0)
    way = [torch.full(f.shape, 0.1, dtype=torch.float64) for f in objective.filters]
    other = Combination(objective.center, [way, [2 * w for w in way]], (0.5, -1.0), "x")
    return [one, Orthogonal(one, objective.direction(3, 1)), Stored(tuple(way), "x"), other]


@pytest.mark.parametrize("scheme", ["filter", "layer", "sphere"])
def test_held_or_not_losses_gradients_and_products_are_the_same_to_the_last_bit(scheme, monkeypatch):
    model, batches = perceptron(), vectors()[:1]
    objective = Objective(model, sample_losses, batches, normalization=scheme)
    directions = _directions(objective)
    steps = [[], *([(d, 0.3)] for d in directions), [(directions[0], 0.2), (directions[1], -0.4)]]
    vector = [torch.ones(f.shape, dtype=torch.float64) for f in objective.filters]

    def everything():
        return (
            [objective.loss_at(*step) for step in steps],
            [objective.gradient_at(*step) for step in steps],
            [objective.hessian_vector_product([k * v for v in vector]) for k in (1.0, 1.0, 2.0)],
        )

    def same(first, second):
        assert first[0] == second[0]
        for (loss, slopes), (other, theirs) in zip(first[1], second[1], strict=True):
            assert loss == other
            assert all(map(torch.equal, slopes, theirs))
        for product, theirs in zip(first[2], second[2], strict=True):
            assert all(map(torch.equal, product, theirs))

    free = everything()
    with untouched(model), objective.held():
        same(everything(), free)
        with objective.held():
            same(everything(), free)
        same(everything(), free)  # leaving the inner one does not let go
    same(everything(), free)
    monkeypatch.setattr(twin, "CACHED_BYTES", 0)
    with objective.held():
        same(everything(), free)


def test_held_the_gradient_over_an_only_batch_is_made_once_and_let_go_of_afterwards():
    calls = []

    def counted(model, batch):
        calls.append(len(batch[0]))
        return sample_losses(model, batch)

    objective = Objective(perceptron(), counted, vectors()[:1])
    vector = [torch.ones(f.shape, dtype=torch.float64) for f in objective.filters]
    objective.check()
    wanted, free = objective.hessian_vector_product(vector), len(calls)
    with objective.held():
        for _ in range(3):
            assert all(map(torch.equal, objective.hessian_vector_product(vector), wanted))
        assert len(calls) == free + 1
        objective.loss_at((objective.direction(0, 0), 0.5))  # moves the weights that the gradient belongs to
        assert all(map(torch.equal, objective.hessian_vector_product(vector), wanted))
        assert len(calls) == free + 3
    assert objective._derivatives.kept is None
    assert not objective._twin.cached
    two = Objective(perceptron(), counted, vectors()[:2])
    two.gradient_at()
    calls.clear()
    with two.held():
        two.hessian_vector_product(vector)
        two.hessian_vector_product(vector)
    assert len(calls) == 4, "several batches are never kept at once"


def test_directions_are_not_kept_past_a_change_of_the_network():
    objective = Objective(perceptron(), sample_losses, vectors())
    direction = objective.direction(0, 0)
    with objective.held():
        before = objective.loss_at((direction, 0.5))
    with torch.no_grad():
        objective.model[0].weight.mul_(3)
    with objective.held():
        changed = objective.direction(0, 0)
        after = objective.loss_at((changed, 0.5))
    assert after == Objective(objective.model, sample_losses, vectors()).loss_at((changed, 0.5))
    assert after != before


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_whatever_ends_a_held_objective_leaves_everything_as_it_was(error):
    model = perceptron()
    objective = Objective(model, sample_losses, vectors())

    def draws():
        torch.rand(3)
        np.random.rand()
        raise error

    with untouched(model), pytest.raises(error), objective.held():
        draws()
    assert objective._held == 0
    with untouched(model):
        objective.loss_at((objective.direction(0, 0), 0.1))


def test_memory_that_runs_out_over_a_kept_gradient_is_given_back_and_the_product_made_otherwise(monkeypatch):
    objective = Objective(perceptron(), sample_losses, vectors()[:1])
    vector = [torch.ones(f.shape, dtype=torch.float64) for f in objective.filters]
    wanted = objective.hessian_vector_product(vector)
    multiply = objective._derivatives._multiply

    def cramped(slopes, vector, *, keep=False):
        if keep:
            raise torch.OutOfMemoryError("full")
        return multiply(slopes, vector)

    monkeypatch.setattr(objective._derivatives, "_multiply", cramped)
    with objective.held():
        for _ in range(2):
            assert all(map(torch.equal, objective.hessian_vector_product(vector), wanted))
