"""Losses and derivatives are of one function, that of the weights that are moved, in whatever context."""

import copy
import functools
import time
import types

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy
from torch.utils.checkpoint import checkpoint

import basinscope as bs
from basinscope.errors import InputError
from tests.anyones import perceptron, sample_losses, untouched, vectors


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.a, self.b = nn.Linear(4, 16), nn.Linear(16, 3)

    def forward(self, x):
        return self.b(self.a(x).relu())


def _batches(dtype=torch.float32):
    generator = torch.Generator().manual_seed(1)
    return [(torch.randn(32, 4, generator=generator).to(dtype), torch.randint(3, (32,), generator=generator))]


def _line(model, loss=sample_losses):
    return bs.slice1d(bs.Objective(model, loss, _batches()), num_directions=1, resolution=5)["loss"].values


def _compiled(model):
    model.forward = torch.compile(model.forward, backend="eager")


def _compiled_layer(model):
    model.a.forward = torch.compile(model.a.forward, backend="eager")


def _bound(model):
    model.forward = types.MethodType(type(model).forward, model)


def _partial(model):
    model.forward = functools.partial(type(model).forward, model)


@pytest.mark.parametrize("change", [_compiled, _compiled_layer, _bound, _partial])
def test_a_replaced_forward_that_can_follow_the_copy_does(change):
    model = Net().eval()
    wanted = _line(copy.deepcopy(model))
    change(model)
    assert _line(model).tolist() == wanted.tolist()


@pytest.mark.parametrize("wrap", [torch.compile, nn.DataParallel])
def test_wrapped_networks_are_measured_like_the_network_itself(wrap):
    model = Net().eval()
    whole, part = wrap(model), nn.Sequential(Net(), nn.Identity()).eval()
    assert _line(whole).tolist() == _line(model).tolist()
    wanted = _line(part)
    part[0] = wrap(part[0])
    assert _line(part).tolist() == wanted.tolist()
    objective = bs.Objective(whole, sample_losses, _batches())
    assert {f.name for f in objective.filters} <= set(dict(whole.named_parameters()))
    assert float(bs.curvature(objective, top=1, progress=False)["eigenvalue"][0]) > 0


def _timed(model):
    old = model.forward

    def forward(x):
        time.perf_counter()
        return old(x)

    model.forward = forward


def _timed_layer(model):
    old = model.a.forward
    model.a.forward = lambda x: 1.0 * old(x)


def _scale_of_the_original(model):
    model.b.forward = lambda x: nn.functional.linear(x, model.b.weight, model.b.bias)


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize(
    ("change", "names"), [(_timed, "forward of Net"), (_timed_layer, "a"), (_scale_of_the_original, "b")]
)
def test_a_replaced_forward_that_uses_the_network_s_own_weights_is_refused(change, names, frozen):
    model = Net().eval()
    model.requires_grad_(not frozen)
    change(model)
    objective = bs.Objective(model, sample_losses, _batches(), parameters="*")
    with pytest.raises(InputError, match=rf"{names}\b.*") as caught:
        objective.check()
    assert "\n" not in str(caught.value)


def test_a_loss_of_another_network_is_refused_with_the_layer_s_name():
    model = Net().eval()
    outer = bs.Objective(model, lambda m, b: cross_entropy(model(b[0]), b[1]), _batches())
    with pytest.raises(InputError, match=r"itself runs instead of its copy.*must use the model passed to it"):
        outer.check()
    decay = bs.Objective(
        model, lambda m, b: cross_entropy(m(b[0]), b[1]) + 1e-3 * model.a.weight.square().sum(), _batches()
    )
    with pytest.raises(InputError, match=r"depends on a\.weight of the network itself"):
        decay.check()


def test_a_frozen_teacher_in_the_loss_is_no_mistake():
    model, teacher = Net().eval(), Net().eval()
    objective = bs.Objective(model, lambda m, b: (m(b[0]) - teacher(b[0])).square().sum(1), _batches())
    assert objective.center_loss == 0


class Encoder(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)
        self.encoder, self.head = nn.TransformerEncoder(layer, 2), nn.Linear(16, 3)

    def forward(self, x, padding):
        return self.head(self.encoder(x, src_key_padding_mask=padding).mean(1))


@pytest.mark.filterwarnings("ignore:.*nested")
def test_the_fast_path_of_transformers_is_off():
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(16, 6, 16, generator=generator), torch.randint(3, (16,), generator=generator)
    padding = torch.arange(6)[None] >= torch.randint(3, 7, (16, 1), generator=generator)
    padding[0] = False
    before = torch.backends.mha.get_fastpath_enabled()
    objective = bs.Objective(
        Encoder().eval(), lambda m, b: cross_entropy(m(b[0], b[1]), b[2], reduction="none"), [(x, padding, y)]
    )
    assert objective.center_loss == pytest.approx(objective.gradient_at()[0], rel=1e-6)
    assert torch.backends.mha.get_fastpath_enabled() == before


def _numbers(objective):
    sharpness = bs.sharpness(objective, rho=0.5, num_restarts=1, num_steps=3, num_random=3, progress=False)
    line = bs.slice1d(objective, num_directions=1, resolution=5, progress=False)["loss"].values
    top = bs.curvature(objective, top=1, trace_vectors=0, progress=False)["eigenvalue"].values
    return [float(sharpness["worst"]), float(sharpness["average"]), *line.ravel().tolist(), *top.tolist()]


def test_autocast_around_a_verb_is_autocast_of_the_loss_function_alone():
    model = Net().eval()

    def inside(m, batch):
        with torch.autocast("cpu", torch.bfloat16):
            return cross_entropy(m(batch[0]).float(), batch[1], reduction="none")

    def plain(m, batch):
        return cross_entropy(m(batch[0]).float(), batch[1], reduction="none")

    wanted = _numbers(bs.Objective(model, inside, _batches()))
    objective = bs.Objective(model, plain, _batches())
    without = objective.center_loss
    with torch.autocast("cpu", torch.bfloat16):
        assert _numbers(objective) == wanted
        assert objective.center_loss != without
    assert objective.center_loss == without


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode, torch.enable_grad])
def test_numbers_do_not_depend_on_the_gradient_mode_around_a_verb(context):
    wanted = _numbers(bs.Objective(Net().eval(), sample_losses, _batches()))
    with context():
        assert _numbers(bs.Objective(Net().eval(), sample_losses, _batches())) == wanted


class Oscillator(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.net = nn.Sequential(nn.Linear(1, 8), nn.Tanh(), nn.Linear(8, 1))

    def forward(self, x):
        return self.net(x)


def _residual(model, x):
    x = x.clone().requires_grad_()
    u = model(x)
    (du,) = torch.autograd.grad(u.sum(), x, create_graph=True)
    (d2u,) = torch.autograd.grad(du.sum(), x, create_graph=True)
    return (d2u + 9 * u).square().squeeze(1)


def test_losses_with_derivatives_by_inputs_work_for_every_verb():
    model, batches = Oscillator().double().eval(), [torch.linspace(0, 1, 12, dtype=torch.float64)[:, None]]
    objective = bs.Objective(model, _residual, batches)
    parameters = [p for p in model.parameters() if p.ndim > 1]
    loss = _residual(model, batches[0]).mean()
    slopes = torch.autograd.grad(loss, parameters, create_graph=True)
    assert objective.center_loss == pytest.approx(float(loss.detach()), rel=1e-12)
    flat = torch.cat([s.reshape(-1) for s in slopes])
    rows = [torch.autograd.grad(entry, parameters, retain_graph=True) for entry in flat]
    hessian = torch.stack([torch.cat([part.reshape(-1) for part in row]) for row in rows])
    found = bs.curvature(objective, top=1, progress=False)
    largest = torch.linalg.eigvalsh(hessian).abs().max()
    assert abs(float(found["eigenvalue"][0])) == pytest.approx(float(largest), rel=1e-6)
    other = {name: tensor + 0.1 for name, tensor in model.state_dict().items()}
    assert bs.slice1d(objective, num_directions=1, resolution=3, progress=False)["loss"].notnull().all()
    assert (bs.basin_radius(objective, num_directions=2, progress=False)["status"] == 0).all()
    assert float(bs.connect(objective, other, num_steps=2, resolution=3, progress=False)["barrier"]) >= 0


def test_a_loss_that_asks_for_gradients_of_the_user_s_own_batch_leaves_it_as_it_is():
    batch = torch.linspace(0, 1, 12)[:, None]

    def loss(model, x):
        x.requires_grad_()
        (du,) = torch.autograd.grad(model(x).sum(), x, create_graph=True)
        return du.square().squeeze(1)

    objective = bs.Objective(Oscillator().eval(), loss, [batch])
    bs.slice1d(objective, num_directions=1, resolution=3, progress=False)
    assert not batch.requires_grad


class Checkpointed(nn.Module):
    def __init__(self, reentrant):
        super().__init__()
        torch.manual_seed(0)
        self.a, self.b, self.c = nn.Linear(4, 8), nn.Sequential(nn.Linear(8, 8), nn.Tanh()), nn.Linear(8, 3)
        self.reentrant = reentrant

    def forward(self, x):
        return self.c(checkpoint(self.b, self.a(x), use_reentrant=self.reentrant))


@pytest.mark.filterwarnings("ignore:None of the inputs")
def test_reentrant_checkpoints_give_the_numbers_of_others():
    found, wanted = (
        bs.Objective(Checkpointed(kind).double().eval(), sample_losses, _batches(torch.float64))
        for kind in (True, False)
    )
    for a, b in zip(found.gradient_at()[1], wanted.gradient_at()[1], strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-12)
    tops = [float(bs.curvature(o, top=1, progress=False)["eigenvalue"][0]) for o in (found, wanted)]
    assert tops[0] == pytest.approx(tops[1], rel=1e-5)
    worst = [float(bs.sharpness(o, num_random=2, progress=False)["worst"]) for o in (found, wanted)]
    assert worst[0] == pytest.approx(worst[1], rel=1e-6)


class Straight(torch.autograd.Function):
    """Rounds, and passes the gradient through."""

    @staticmethod
    def forward(ctx, x):
        return (10 * x).round() / 10

    @staticmethod
    def backward(ctx, slope):
        return slope


class Detached(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.a, self.b = nn.Linear(4, 8), nn.Linear(8, 3)

    def forward(self, x):
        return self.b(self.a(x).tanh() * self.a(x).detach())


@pytest.mark.parametrize(
    ("model", "loss"),
    [
        (Detached, sample_losses),
        (Net, lambda m, b: 3 * sample_losses(m, b) - 2 * sample_losses(m, b).detach()),
        (Net, lambda m, b: (Straight.apply(m(b[0])) - 1).square().sum(1) * sample_losses(m, b).detach()),
    ],
)
def test_a_gradient_that_is_not_the_slope_of_the_loss_is_refused(model, loss):
    objective = bs.Objective(model().eval(), loss, _batches())
    assert objective.center_loss > 0
    with pytest.raises(InputError, match="gradient of the loss is not its slope") as caught:
        bs.sharpness(objective, progress=False)
    assert "\n" not in str(caught.value)


def test_the_network_stays_untouched_by_the_checks():
    model = perceptron()
    with untouched(model):
        objective = bs.Objective(model, sample_losses, vectors())
        objective.check()
        objective.gradient_at()


def test_a_gradient_that_was_refused_stays_refused():
    objective = bs.Objective(Detached().eval(), sample_losses, _batches())
    for verb in (bs.sharpness, bs.curvature, bs.sharpness):
        with pytest.raises(InputError, match="gradient of the loss is not its slope"):
            verb(objective, progress=False)


class Frozen(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.a, self.b = nn.Linear(4, 8), nn.Linear(8, 3)

    def forward(self, x):
        return self.b(self.a(x).tanh().detach())


def test_tensors_that_change_the_loss_without_a_gradient_are_named():
    objective = bs.Objective(Frozen().eval(), sample_losses, _batches())
    assert bs.slice1d(objective, num_directions=1, resolution=3, progress=False)["loss"].notnull().all()
    with pytest.raises(InputError, match=r"changes with a\.weight but has no gradient for it"):
        bs.curvature(objective, top=1, progress=False)
