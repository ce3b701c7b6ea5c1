"""Numbers measured during training, against dense Hessians at the recorded weights."""

import logging

import numpy as np
import pytest
import torch
from torch import nn
from torch.func import functional_call
from torch.nn.functional import cross_entropy

import basinscope as bs
from basinscope.errors import InputError
from basinscope.probes.sharpness import sharpness
from basinscope.recording.recorder import Recorder
from basinscope.recording.training_probes import TrainingProbes, training_probes
from basinscope.runs.result_files import load
from tests.problems import around, small_batches, small_net


def _train(recorder, net, optimizer, steps):
    inputs, labels = (torch.cat(parts) for parts in zip(*small_batches(), strict=True))
    for _ in range(steps):
        optimizer.zero_grad()
        cross_entropy(net(inputs), labels).backward()
        optimizer.step()
        recorder.step()


def _dense(net, state):
    """Loss and Hessian over all parameters at a copy, by torch's own functions."""
    inputs, labels = (torch.cat(parts) for parts in zip(*small_batches(), strict=True))
    names, tensors = zip(*((name, state[name]) for name, _ in net.named_parameters()), strict=True)
    flat = torch.cat([tensor.reshape(-1) for tensor in tensors])

    def loss(vector):
        parts = vector.split([tensor.numel() for tensor in tensors])
        named = {n: part.view_as(tensor) for n, part, tensor in zip(names, parts, tensors, strict=True)}
        return cross_entropy(functional_call(net, named, (inputs,)), labels)

    return float(loss(flat)), torch.autograd.functional.hessian(loss, flat)


def _recorded(probes=None, *, steps=24, rate=0.5, every=8, seed=1, kind=torch.optim.SGD, **settings):
    net = small_net(seed)
    optimizer = kind(net.parameters(), lr=rate)
    given = (probes or (lambda net: around(net, one_dim="moved")))(net)
    recorder = Recorder(net, every=every, probes=given, optimizer=optimizer, **settings)
    _train(recorder, net, optimizer, steps)
    return net, recorder


@pytest.mark.parametrize("seed", [1, 2])
def test_loss_eigenvalue_and_trace_are_those_of_the_dense_hessian(seed):
    net, recorder = _recorded(
        lambda net: TrainingProbes(objective=around(net, one_dim="moved"), trace_vectors=26), seed=seed
    )
    found = recorder.measured()
    assert found["step"].values.tolist() == recorder.steps == [0, 8, 16, 24]
    for k, state in enumerate(recorder):
        loss, hessian = _dense(net, state)
        assert float(found["loss"][k]) == pytest.approx(loss, rel=1e-10)
        assert float(found["top_eigenvalue"][k]) == pytest.approx(float(torch.linalg.eigvalsh(hessian)[-1]), rel=1e-5)
        assert float(found["trace"][k]) == pytest.approx(float(hessian.trace()), rel=1e-8)
    assert not found["top_status"].values.any()
    assert (found["top_residual"].values <= 1e-3 * found["top_eigenvalue"].values).all()
    assert found["top_eigenvalue"].attrs["units"] == "nat / weight²"
    assert found.attrs["threshold_formula"] == "2/η"
    assert (found["threshold"].values == 4.0).all()


def test_sharpness_is_that_of_the_probe_at_the_same_weights():
    net, recorder = _recorded(lambda net: TrainingProbes(objective=around(net), rho=0.1, top_eigenvalue=False))
    found = recorder.measured()
    assert "top_eigenvalue" not in found
    for k, state in enumerate(recorder):
        net.load_state_dict(state)
        wanted = sharpness(around(net), rho=0.1, num_restarts=1, progress=False)
        assert float(found["worst_sharpness"][k]) == pytest.approx(float(wanted["worst"]), rel=1e-12)
        assert float(found["average_sharpness"][k]) == pytest.approx(float(wanted["average"]), rel=1e-12)


def test_functions_of_ones_own_get_the_network_in_eval_mode():
    def several(model):
        assert not model.training
        return {"size": model[0].weight.norm(), "one": 1}

    _, recorder = _recorded(lambda net: {"depth": len, "norm": several})
    found = recorder.measured()
    assert found["probe"].values.tolist() == ["depth", "norm size", "norm one"]
    norms = [float(state["0.weight"].norm()) for state in recorder]
    np.testing.assert_allclose(found["value"].sel(probe="norm size"), norms)
    assert "loss" not in found
    assert found["learning_rate"].values.tolist() == [0.5] * 4


def test_numbers_are_stored_at_each_copy(tmp_path):
    net = small_net(1)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.5)
    recorder = Recorder(net, every=2, folder=tmp_path, probes=around(net, one_dim="moved"), optimizer=optimizer)
    for copies in (2, 3):
        _train(recorder, net, optimizer, 2)
        stored = load(tmp_path / "training.nc")
        assert stored.equals(recorder.measured())
        assert stored.sizes["step"] == copies == len(list(tmp_path.glob("step-*.safetensors")))


def test_a_diverging_training_goes_on(caplog):
    _, recorder = _recorded(rate=1e200, steps=6, every=1)
    found = recorder.measured()
    assert found["status"].values.tolist() == [0] + [1] * 6
    assert not np.isfinite(found["loss"].values[1:]).any()
    assert found["top_status"].values.tolist() == [0] + [2] * 6
    assert np.isnan(found["top_eigenvalue"].values[1:]).all()
    assert len(caplog.records) == 1
    assert "training goes on" in caplog.text


def test_a_probe_that_fails_is_logged_once_and_the_others_go_on(caplog):
    calls = []

    def fails(model):
        calls.append(model)
        if len(calls) > 1:
            raise KeyError("a\nb")
        return 3.0

    def probes(net):
        return TrainingProbes(objective=around(net, one_dim="moved"), further={"mine": fails, "other": lambda _: 2.0})

    _, recorder = _recorded(probes)
    found = recorder.measured()
    assert found["status"].values.tolist() == [0, 2, 2, 2]
    np.testing.assert_array_equal(found["value"].sel(probe="mine"), [3.0] + [np.nan] * 3)
    np.testing.assert_array_equal(found["value"].sel(probe="other"), [2.0] * 4)
    assert not found["top_status"].values.any()
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert "mine at update 8: KeyError" in caplog.text


def test_a_network_whose_hessian_is_lost_keeps_its_loss(monkeypatch):
    net = small_net(1)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    objective = around(net, one_dim="moved")
    recorder = Recorder(net, probes=objective, optimizer=optimizer)

    def refuse(vector):
        raise InputError("no second derivative")

    monkeypatch.setattr(objective, "hessian_vector_product", refuse)
    _train(recorder, net, optimizer, 2)
    found = recorder.measured()
    assert found["status"].values.tolist() == [0, 2, 2]
    assert np.isfinite(found["loss"]).all()
    assert found["top_status"].values.tolist() == [0, 2, 2]


def test_an_optimizer_without_a_limit_says_why():
    _, recorder = _recorded(kind=torch.optim.Adam, rate=0.01)
    found = recorder.measured()
    assert "threshold" not in found
    assert found["learning_rate"].values.tolist() == [0.01] * 4
    assert "no raw Hessian for Adam" in found.attrs["threshold_note"]


def test_the_learning_rate_is_that_at_each_copy():
    net = small_net(1)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.4, momentum=0.5)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.5)
    recorder = Recorder(net, probes=around(net, one_dim="moved"), optimizer=optimizer)
    for _ in range(2):
        optimizer.step()
        schedule.step()
        recorder.step()
    found = recorder.measured()
    np.testing.assert_allclose(found["learning_rate"], [0.4, 0.2, 0.1])
    np.testing.assert_allclose(found["threshold"], 3 / found["learning_rate"])


def test_tensors_outside_the_hessian_are_named(caplog):
    _, recorder = _recorded(around)
    assert "leaves out 0.bias, 2.bias, 4.bias, trained" in recorder.measured().attrs["threshold_note"]
    assert "lower bound: pass one_dim='moved'" in caplog.text
    net = small_net(1)
    optimizer = torch.optim.SGD([net[0].weight, net[0].bias], lr=0.1)
    note = Recorder(net, probes=around(net, one_dim="moved"), optimizer=optimizer).measured().attrs["threshold_note"]
    assert note == "the Hessian includes 2.weight, 2.bias, 4.weight and 1 more, not trained"


def test_batchnorm_and_dropout_are_named():
    net = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3), nn.Dropout(0.1)).double()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    recorder = Recorder(net, probes=around(net, one_dim="moved"), optimizer=optimizer)
    assert "eval mode, without training's BatchNorm and dropout" in recorder.measured().attrs["threshold_note"]


def test_a_mistake_is_refused_when_the_recorder_is_created(tmp_path):
    net, other = small_net(1), small_net(2)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    with pytest.raises(InputError, match="objective is of another Sequential than the recorded network"):
        Recorder(net, probes=around(other))
    with pytest.raises(InputError, match="trains no tensor of the network"):
        Recorder(other, probes=around(other), optimizer=optimizer)
    with pytest.raises(InputError, match="optimizer= without probes="):
        Recorder(net, optimizer=optimizer)
    with pytest.raises(InputError, match="nothing was measured"):
        Recorder(net).measured()
    with pytest.raises(InputError, match="the probe 'mine' fails: ZeroDivisionError"):
        Recorder(net, folder=tmp_path, probes={"mine": lambda model: 1 / 0})
    with pytest.raises(InputError, match="the probe 'mine' returned a str: return a number"):
        Recorder(net, folder=tmp_path, probes={"mine": lambda model: "x"})
    assert not list(tmp_path.iterdir())
    with torch.no_grad():
        other[0].weight.fill_(torch.nan)
    with pytest.raises(InputError, match="nan; nothing can be measured"):
        Recorder(other, probes=around(other))


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({}, "nothing to measure"),
        ({"further": {" ": len}}, "not a valid name"),
        ({"further": {"loss": len}, "objective": around(small_net())}, "named like a measurement"),
        ({"further": {"mine": len}, "rho": 0.0}, "rho = 0.0: must be above 0"),
        ({"further": {"mine": len}, "trace_vectors": 1}, "at least 2, or 0 for none"),
        ({"further": {"mine": len}, "max_steps": 0}, "must be at least 1"),
        ({"further": {"mine": len}, "tolerance": 1.0}, "must lie between 0 and 1"),
    ],
)
def test_settings_are_checked(settings, says):
    with pytest.raises(InputError, match=says):
        TrainingProbes(**settings)


def test_names_of_ready_made_measurements_are_free_without_an_objective():
    assert list(training_probes({"loss": len, "top eigenvalue": len}).further) == ["loss", "top eigenvalue"]


def test_the_trainer_of_transformers_brings_its_optimizer(caplog):
    from transformers.trainer_callback import CallbackHandler, TrainerControl, TrainerState

    net = small_net(1)
    recorder = Recorder(net, every=2, probes=around(net, one_dim="moved"))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.25)
    handler = CallbackHandler([recorder.for_transformers()], net, None, optimizer, None)
    handler.on_train_begin(None, TrainerState(), TrainerControl())
    for _ in range(4):
        handler.on_step_end(None, TrainerState(), TrainerControl())
    found = recorder.measured()
    assert found["step"].values.tolist() == [0, 2, 4]
    assert found["threshold"].values.tolist() == [8.0] * 3
    other = Recorder(net, probes=around(net, one_dim="moved"))
    other.for_transformers().on_train_begin(None, None, None, optimizer=torch.optim.SGD(small_net(2).parameters()))
    assert "the learning rate is not recorded" in caplog.text
    assert "learning_rate" not in other.measured()


def test_a_lightning_run_brings_its_optimizer_if_it_has_one(monkeypatch):
    import sys
    from types import ModuleType, SimpleNamespace

    modules = {name: ModuleType(name) for name in ("lightning", "lightning.pytorch")}
    modules["lightning.pytorch"].Callback = object
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    net = small_net(1)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.25)
    for optimizers, wanted in (([optimizer], True), ([optimizer, optimizer], False)):
        recorder = Recorder(net, probes=around(net, one_dim="moved"))
        callback = recorder.for_lightning()
        callback.on_train_start(SimpleNamespace(optimizers=optimizers), None)
        callback.on_train_batch_end(SimpleNamespace(global_step=1), None, None, None, 0)
        assert recorder.steps == [0, 1]
        assert ("threshold" in recorder.measured()) == wanted


def test_warnings_of_the_checks_are_logged_once(caplog):
    class Unused(nn.Sequential):
        """A network with a layer that does not reach the loss."""

        def forward(self, inputs):
            return self[0](inputs)

    net = Unused(nn.Linear(3, 3), nn.Linear(3, 3)).double()
    optimizer = torch.optim.SGD(net[0].parameters(), lr=0.1)
    recorder = Recorder(net, probes=around(net, one_dim="moved"), optimizer=optimizer)
    _train(recorder, net, optimizer, 3)
    assert [record.getMessage().partition(":")[0] for record in caplog.records] == [
        "the loss does not depend on 1.weight, 1.bias"
    ]
    assert recorder.measured().attrs["num_moved"] == 12


def test_they_are_public():
    assert bs.TrainingProbes is TrainingProbes
    assert bs.Recorder is Recorder
