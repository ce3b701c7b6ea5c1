"""The order of evaluations changes nothing: buffers, batches and hooks of the user stay as they are."""

import copy

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

import basinscope as bs
from basinscope.errors import InputError
from tests.anyones import mean_loss, perceptron, sample_losses, untouched, vectors


class Ranges(nn.Module):
    """Scales by the largest value met so far, as observers of fake quantisation do."""

    def __init__(self, how):
        super().__init__()
        self.how = how
        self.register_buffer("largest", torch.tensor(0.0, dtype=torch.float64))
        self.register_buffer("seen", torch.tensor(0))

    def forward(self, x):
        largest = torch.maximum(self.largest, x.detach().abs().amax())
        if self.how == "copied":
            self.largest.copy_(largest)
            self.seen += 1
        elif self.how == "replaced":
            self.largest = largest
        elif self.how == "hidden":
            self.largest.data.copy_(largest.data)
        else:
            self.register_buffer("new", largest)
            self.largest = self.new
        return (x / largest * 8).round() / 8 * largest + x


def _observed(how):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), Ranges(how), nn.Linear(8, 3)).double().eval()


@pytest.mark.parametrize("how", ["copied", "replaced", "hidden", "registered"])
@pytest.mark.parametrize("num", [1, None])
def test_buffers_that_a_pass_writes_are_the_network_s_own_at_every_point(how, num):
    model = _observed(how)
    if how == "registered":
        model(vectors()[0][0])
    with untouched(model):
        objective = bs.Objective(model, sample_losses, vectors(), points_at_once=num)
        direction = objective.direction(0, 0)
        before = objective.loss_at((direction, 0.25))
        far = objective.loss_at((direction, 3.0))
        assert objective.loss_at((direction, 0.25)) == before
        assert objective.loss_at((direction, 3.0)) == far
        line = bs.slice1d(objective, num_directions=2, resolution=31, extent=3, progress=False)["loss"].values
        again = bs.slice1d(
            objective, num_directions=2, distances=torch.linspace(3, -3, 31, dtype=torch.float64), progress=False
        )
        np.testing.assert_allclose(again["loss"].values[:, ::-1], line, rtol=1e-12)


def test_batches_do_not_meet_what_earlier_ones_have_written():
    model = _observed("copied")
    alone = [bs.Objective(model, sample_losses, [batch]).center_loss for batch in vectors()]
    wanted = sum(len(b[1]) * loss for b, loss in zip(vectors(), alone, strict=True)) / 9
    for batches in (vectors(), vectors()[::-1]):
        assert bs.Objective(model, sample_losses, batches).center_loss == pytest.approx(wanted, rel=1e-12)


class Remembers(nn.Module):
    """Keeps its hidden state between calls, not as a buffer."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.a, self.b = nn.Linear(4, 4), nn.Linear(4, 3)
        self.hidden = 0.0

    def forward(self, x):
        self.hidden = 0.5 * self.hidden + self.a(x).detach().mean()
        return self.b(self.a(x) + self.hidden)


def test_state_outside_buffers_is_named_as_such():
    model = nn.Sequential(Remembers()).double().eval()
    with untouched(model), pytest.raises(InputError, match=r"keeps state between calls in 0\.hidden") as caught:
        bs.Objective(model, sample_losses, vectors()).check()
    assert "random" not in str(caught.value)


class Cache:
    """Grows at each call, as the caches of language models do."""

    def __init__(self):
        self.layers = [torch.zeros(1, 4, dtype=torch.float64)]


def _with_cache(model, batch):
    inputs, labels, cache = batch
    cache.layers[0] = torch.cat([cache.layers[0], inputs[:1]])
    return cross_entropy(model(inputs + cache.layers[0].sum(0)), labels, reduction="none")


def _scaled_in_place(model, batch):
    return cross_entropy(model(batch[0].mul_(2)), batch[1], reduction="none")


def _popped(model, batch):
    inputs = batch.pop("x")
    return cross_entropy(model(inputs), batch["y"], reduction="none")


@pytest.mark.parametrize(
    ("loss", "make"),
    [
        (_with_cache, lambda: [(*batch, Cache()) for batch in vectors()]),
        (_scaled_in_place, vectors),
        (_popped, lambda: [{"x": x, "y": y} for x, y in vectors()]),
    ],
)
def test_batches_that_a_loss_modifies_are_given_out_as_copies(loss, make):
    wanted = np.concatenate([loss(perceptron(), batch).detach().numpy() for batch in make()]).mean()
    batches = make()
    kept = copy.deepcopy(batches)
    objective = bs.Objective(perceptron(), loss, batches)
    line = bs.slice1d(objective, num_directions=4, resolution=21, progress=False)["loss"].values
    assert objective.center_loss == pytest.approx(float(wanted), rel=1e-12)
    np.testing.assert_allclose(line[:, 10], wanted, rtol=1e-12)
    for batch, before in zip(batches, kept, strict=True):
        parts = [batch.values(), before.values()] if isinstance(batch, dict) else [batch[:2], before[:2]]
        assert all(torch.equal(a, b) for a, b in zip(*parts, strict=True))
        if len(batch) == 3:
            assert len(batch[2].layers[0]) == 1


LISTED, BY_NAME = [], {}


def _global(module, inputs, outputs):
    LISTED.append(outputs)


def _made(name):
    def hook(module, inputs, outputs):
        BY_NAME[name] = outputs.detach()

    return hook


class Collector:
    def __init__(self):
        self.kept = []

    def hook(self, module, inputs, outputs):
        self.kept.append(outputs)


def test_hooks_that_only_look_do_not_run_and_fill_no_list_of_the_user():
    collector, inner = Collector(), []
    model = perceptron()
    model[0].register_forward_hook(_global)
    model[0].register_forward_hook(lambda m, i, o: inner.append(o))
    model[0].register_forward_hook(lambda m, i, o: collector.kept.append(o))
    model[2].register_forward_hook(collector.hook)
    model[2].register_forward_hook(_made("last"))
    model[0].register_forward_pre_hook(lambda m, i: inner.append(i))
    with untouched(model):
        objective = bs.Objective(model, sample_losses, vectors())
        found = bs.slice2d(objective, resolution=7, progress=False)
        bs.curvature(objective, top=1, progress=False)
    assert (LISTED, BY_NAME, inner, collector.kept) == ([], {}, [], [])
    wanted = bs.slice2d(bs.Objective(perceptron(), sample_losses, vectors()), resolution=7, progress=False)
    np.testing.assert_allclose(found["loss"], wanted["loss"], rtol=1e-12)


def _adds(module, inputs, outputs):
    LISTED.append(outputs)
    return outputs + 1


def _in_place(module, inputs, outputs):
    outputs.add_(1)


@pytest.mark.parametrize("hook", [_adds, _in_place])
def test_hooks_that_change_the_outputs_belong_to_the_network(hook):
    model, plain = perceptron(), perceptron()
    model[0].register_forward_hook(hook)
    with torch.no_grad():
        plain[0].bias.add_(1)
    objective = bs.Objective(model, mean_loss, vectors())
    wanted = bs.Objective(plain, mean_loss, vectors())
    assert objective.center_loss == pytest.approx(wanted.center_loss, rel=1e-12)
    step = objective.direction(0, 0), 0.5
    assert objective.loss_at(step) == pytest.approx(wanted.loss_at(step), rel=1e-12)
    assert LISTED == []


def test_backward_hooks_are_no_part_of_the_loss():
    model = perceptron()
    model[0].register_full_backward_hook(lambda m, i, o: (None if i[0] is None else 2 * i[0],))
    model[2].weight.register_hook(lambda slope: 3 * slope)
    found, wanted = (bs.Objective(m, mean_loss, vectors()).gradient_at()[1] for m in (model, perceptron()))
    for a, b in zip(found, wanted, strict=True):
        torch.testing.assert_close(a, b)


KEPT = {}


def _keeps(module, inputs, outputs):
    KEPT["h"] = outputs.detach()


def _reads_the_hook(model, batch):
    return sample_losses(model, batch) + KEPT["h"].square().sum(1)


def test_a_loss_that_reads_what_a_hook_collects_is_refused_with_the_layer_s_name():
    model, inner = perceptron(), []
    model[0].register_forward_hook(_keeps)
    with pytest.raises(InputError, match=r"loss function reads what a forward hook of 0 collects"):
        bs.Objective(model, _reads_the_hook, vectors()).check()
    model[2].register_forward_hook(lambda m, i, o: inner.append(o))
    metrics = {"kept": lambda m, b: m(b[0]).sum(1) + len(inner)}
    with pytest.raises(InputError, match=r"metrics\['kept'\] reads what a forward hook of 2 collects"):
        bs.Objective(model, sample_losses, vectors(), metrics=metrics).check()


def test_activations_kept_as_attributes_do_not_stop_the_copy():
    model, collector = perceptron(), Collector()
    model[0].register_forward_hook(lambda m, i, o: setattr(m, "kept", o))
    model[2].register_forward_hook(collector.hook)
    model(vectors()[0][0])
    wanted = bs.Objective(perceptron(), sample_losses, vectors()).center_loss
    assert bs.Objective(model, sample_losses, vectors()).center_loss == pytest.approx(wanted, rel=1e-12)
    assert len(collector.kept) == 1


SETTINGS = {"shift": 1.0}


def _reads_settings(module, inputs, outputs):
    return outputs + SETTINGS["shift"]


def test_settings_that_a_hook_and_the_loss_both_read_are_no_mistake():
    model = perceptron()
    model[0].register_forward_hook(_reads_settings)
    objective = bs.Objective(model, lambda m, b: SETTINGS["shift"] * sample_losses(m, b), vectors())
    wanted = torch.cat([sample_losses(model, batch) for batch in vectors()]).mean()
    assert objective.center_loss == pytest.approx(float(wanted.detach()), rel=1e-12)
