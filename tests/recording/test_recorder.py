import numpy as np
import pytest
import torch

from basinscope.errors import InputError
from basinscope.plots.measured import plot
from basinscope.probes.slices import named_points, slice2d
from basinscope.recording.recorder import Recorder
from tests.problems import around, sample_losses, small_batches, small_net


def _train(recorder, net, steps, rate=0.1):
    optimizer = torch.optim.SGD(net.parameters(), lr=rate)
    seen = [{name: tensor.detach().clone() for name, tensor in net.named_parameters()}]
    for _ in range(steps):
        optimizer.zero_grad()
        sample_losses(net, small_batches()[0]).mean().backward()
        optimizer.step()
        recorder.step()
        seen.append({name: tensor.detach().clone() for name, tensor in net.named_parameters()})
    return seen


@pytest.mark.parametrize("on_disk", [False, True])
def test_every_so_manyth_state_is_kept_as_it_was(tmp_path, on_disk):
    net = small_net(1)
    recorder = Recorder(net, every=3, folder=tmp_path / "path" if on_disk else None)
    seen = _train(recorder, net, 10)
    assert recorder.steps == [0, 3, 6, 9]
    assert len(recorder) == 4
    for state, step in zip(recorder, recorder.steps, strict=True):
        assert set(state) == set(seen[step])
        assert all(torch.equal(state[name], seen[step][name]) for name in state)
    assert torch.equal(recorder[-1]["0.weight"], seen[9]["0.weight"])
    assert [torch.equal(s["0.weight"], seen[k]["0.weight"]) for s, k in zip(recorder[1:3], (3, 6), strict=True)] == [
        True
    ] * 2


def test_paths_of_several_optimizers_lie_on_one_plane_each_drawn_as_a_path():
    paths, nets = {}, {}
    for name, rate in (("slow", 0.02), ("fast", 0.3)):
        nets[name] = small_net(1)
        paths[name] = Recorder(nets[name], every=2)
        _train(paths[name], nets[name], 8, rate)
    objective = around(nets["fast"])
    found = slice2d(objective, directions="pca", points=paths, resolution=3)
    assert found["marker"].values.tolist() == ["model"] + ["slow"] * 5 + ["fast"] * 5
    places = np.stack([found["marker_first"].values, found["marker_second"].values], axis=1)
    np.testing.assert_allclose(places[1], places[6], atol=1e-9)  # both begin at the same weights
    np.testing.assert_allclose(places[-1], places[0], atol=1e-9)  # the fast one ends at the network
    figure = plot(found)
    axes, (legend,) = figure.axes[0], figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["slow", "start of a path", "fast"]
    lines = {line.get_label(): line.get_xydata() for line in axes.get_lines()}
    np.testing.assert_allclose(lines["slow"], places[1:6])


def test_one_path_as_a_list_is_called_so():
    net = small_net(1)
    recorder = Recorder(net)
    _train(recorder, net, 4)
    found = slice2d(around(net), directions="pca", points=recorder, resolution=3)
    assert found["marker"].values.tolist() == ["model"] + ["path"] * 5


@pytest.mark.parametrize("points", [small_net(2), small_net(2).state_dict(), {"a": small_net(2)}])
def test_a_single_point_instead_of_a_list_is_told_of(points):
    with pytest.raises(InputError, match="points is one point: give a list"):
        named_points("slice2d", points, None, "path")


def test_it_shows_its_folder_and_the_number_of_copies(tmp_path):
    net = small_net(1)
    recorder = Recorder(net, every=3, folder=tmp_path / "path")
    assert repr(recorder) == f"<Recorder of Sequential: 1 copy in '{tmp_path / 'path'}', every=3, 0 updates>"
    _train(recorder, net, 10)
    assert repr(recorder) == f"<Recorder of Sequential: 4 copies in '{tmp_path / 'path'}', every=3, 10 updates>"
    assert str([Recorder(net)]) == "[<Recorder of Sequential: 1 copy in memory, every=1, 0 updates>]"


def test_mistakes(tmp_path):
    with pytest.raises(InputError, match="every = 0: must be at least 1"):
        Recorder(small_net(), every=0)
    Recorder(small_net(), folder=tmp_path)
    with pytest.raises(InputError, match="already contains copies"):
        Recorder(small_net(), folder=tmp_path)


def test_the_trainer_of_transformers_calls_it_at_each_update():
    recorder = Recorder(small_net(), every=2)
    callback = recorder.for_transformers()
    for _ in range(4):
        callback.on_step_end(None, None, None)
    assert recorder.steps == [0, 2, 4]


def test_lightning_that_is_not_there_is_told_of(monkeypatch):
    import sys

    for name in ("lightning", "lightning.pytorch", "pytorch_lightning"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(InputError, match="lightning is not installed"):
        Recorder(small_net()).for_lightning()


def test_a_lightning_run_counts_updates_not_batches(monkeypatch):
    import sys
    from types import ModuleType, SimpleNamespace

    modules = {name: ModuleType(name) for name in ("lightning", "lightning.pytorch")}
    modules["lightning.pytorch"].Callback = object
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    recorder = Recorder(small_net())
    callback = recorder.for_lightning()
    for global_step in (0, 1, 1, 2, 2, 3):
        callback.on_train_batch_end(SimpleNamespace(global_step=global_step), None, None, None, 0)
    assert recorder.steps == [0, 1, 2, 3]
