"""Paths reach the other minimum: all parameters are moved, statistics renewed, both ends have their own losses."""

import copy

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

import basinscope as bs
from basinscope.errors import InputError
from tests.anyones import perceptron, sample_losses, untouched, vectors


class Normed(nn.Module):
    def __init__(self, seed):
        super().__init__()
        torch.manual_seed(seed)
        self.conv, self.norm, self.out = nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Linear(4, 3)

    def forward(self, x):
        return self.out(self.norm(self.conv(x)).relu().mean((2, 3)))


def _images():
    generator = torch.Generator().manual_seed(0)
    return [(torch.randn(6, 1, 5, 5, generator=generator).double(), torch.arange(6) % 3) for _ in range(3)]


def _trained(seed):
    """A network whose statistics are running means, and whose biases and scales are its own."""
    model = Normed(seed).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(seed)).double())
        for _ in range(20):
            for inputs, _ in _images():
                model(inputs)
    return model.eval()


def _loss(model, batches):
    with torch.no_grad():
        return float(torch.cat([cross_entropy(model(x), y, reduction="none") for x, y in batches]).mean())


def _between(one, two, t, *, renewed):
    """The loss at a point of the line, from scratch."""
    model = copy.deepcopy(one)
    with torch.no_grad():
        for parameter, a, b in zip(model.parameters(), one.parameters(), two.parameters(), strict=True):
            parameter.copy_(a + t * (b - a))
        if renewed:
            model.norm.reset_running_stats()
            model.norm.momentum = None
            model.train()
            for inputs, _ in _images():
                model(inputs)
            model.eval()
    return _loss(model, _images())


def test_a_line_between_batchnorm_networks_is_that_of_renewed_statistics():
    one, two, batches = _trained(0), _trained(1), _images()
    objective = bs.Objective(one, sample_losses, batches)
    with untouched(one), untouched(two):
        found = bs.linear_path(objective, two, resolution=5, beyond=0, progress=False)
        fixed = bs.linear_path(objective, two, resolution=5, beyond=0, recalibrate=False, progress=False)
    ends = [_loss(one, batches), _loss(two, batches)]
    inner = [_between(one, two, t, renewed=True) for t in (0.25, 0.5, 0.75)]
    np.testing.assert_allclose(found["loss"][0], [ends[0], *inner, ends[1]], rtol=1e-9)
    stale = [_between(one, two, t, renewed=False) for t in (0.25, 0.5, 0.75)]
    np.testing.assert_allclose(fixed["loss"][0], [ends[0], *stale, _between(one, two, 1.0, renewed=False)], rtol=1e-9)
    assert (found.attrs["recalibrated"], fixed.attrs["recalibrated"]) == (1, 0)
    assert int(found.attrs["num_moved"]) == sum(p.numel() for p in one.parameters())
    assert objective.num_moved < found.attrs["num_moved"], "lines in random directions move filters alone, as before"


def test_statistics_may_come_from_other_batches():
    one, two, other = _trained(0), _trained(1), [(x + 1, y) for x, y in _images()]
    objective = bs.Objective(one, sample_losses, _images())
    found, wanted = (
        bs.linear_path(objective, two, resolution=3, beyond=0, recalibrate=recalibrate, progress=False)["loss"]
        for recalibrate in (other, None)
    )
    assert abs(float(found[0, 1]) - float(wanted[0, 1])) > 1e-6
    assert found[0, [0, 2]].values.tolist() == wanted[0, [0, 2]].values.tolist()


def test_a_curve_has_the_minima_s_own_losses_at_its_ends():
    one, two, batches = _trained(0), _trained(1), _images()
    with untouched(one):
        found = bs.connect(bs.Objective(one, sample_losses, batches), two, num_steps=4, resolution=5, progress=False)
    ends = [_loss(one, batches), _loss(two, batches)]
    for path in ("loss", "straight_loss"):
        np.testing.assert_allclose(found[path].values[[0, -1]], ends, rtol=1e-9)
    middle = _between(one, two, 0.5, renewed=True)
    assert float(found["straight_loss"][2]) == pytest.approx(middle, rel=1e-9)


def test_a_plane_through_minima_moves_biases_too():
    one, two, three = (perceptron(seed=seed) for seed in range(3))
    with torch.no_grad():
        for model, shift in ((two, 1.0), (three, -1.0)):
            model[0].bias.add_(shift)
    objective = bs.Objective(one, sample_losses, vectors())
    plane = bs.slice2d(objective, directions="between", points=[two, three], resolution=9, progress=False)
    marks = np.stack([plane["marker_first"], plane["marker_second"]], axis=1)
    assert plane.attrs["num_moved"] == sum(p.numel() for p in one.parameters())
    np.testing.assert_allclose(marks[1], [1, 0], atol=1e-12)
    near = plane.interp(first=marks[2, 0], second=marks[2, 1], method="linear")["loss"]
    assert float(near) == pytest.approx(bs.Objective(three, sample_losses, vectors()).center_loss, rel=0.2)


def test_slices_along_random_directions_renew_statistics_if_asked():
    one = _trained(0)
    objective = bs.Objective(one, sample_losses, _images())
    direction = objective.direction(0, 0)
    found, fixed = (
        bs.slice1d(objective, num_directions=1, resolution=3, recalibrate=recalibrate, progress=False)["loss"].values
        for recalibrate in (True, None)
    )
    moved = copy.deepcopy(one)
    with torch.no_grad():
        for place, filters in enumerate(objective.filters):
            dict(moved.named_parameters())[filters.name].add_(direction.block(place))
    assert fixed[0, 2] == pytest.approx(_loss(moved, _images()), rel=1e-9)
    assert found[0, 2] == pytest.approx(_between(moved, moved, 0.0, renewed=True), rel=1e-9)
    assert found[0, 1] == pytest.approx(_between(one, one, 0.0, renewed=True), rel=1e-9)


def test_networks_without_statistics_cannot_renew_them():
    objective = bs.Objective(perceptron(), sample_losses, vectors())
    with pytest.raises(InputError, match="no BatchNorm layers with running statistics"):
        bs.linear_path(objective, perceptron(seed=1), recalibrate=True, progress=False)


@pytest.mark.parametrize(
    ("recalibrate", "says"),
    [
        (_images()[0], "recalibrate: batches is a tuple of arrays of shape"),
        ("images", "recalibrate: batches is a str: pass a list"),
        ([_images()[0][0]], "recalibrate: the loss function fails on a Tensor of shape .*; pass batches like those of"),
        ([(x[:1, :, :3, :3], y[:1]) for x, y in _images()], "one sample"),
    ],
)
def test_batches_for_new_statistics_are_like_those_of_the_objective(recalibrate, says):
    objective = bs.Objective(_trained(0), sample_losses, _images())
    with pytest.raises(InputError, match=says):
        bs.slice1d(objective, recalibrate=recalibrate, num_directions=1, resolution=3, progress=False)


def test_the_state_of_an_adapter_alone_is_a_point():
    model = perceptron()
    model[0].requires_grad_(False)
    objective = bs.Objective(model, sample_losses, vectors())
    state = {"2.weight": model[2].weight.detach() + 0.5, "2.bias": model[2].bias.detach()}
    found = bs.linear_path(objective, state, resolution=3, beyond=0, progress=False)
    other = copy.deepcopy(model)
    with torch.no_grad():
        other[2].weight.add_(0.5)
    assert float(found["loss"][0, 2]) == pytest.approx(_loss(other, vectors()), rel=1e-12)


def test_the_residual_of_an_eigenvalue_is_what_its_name_says():
    model = perceptron(dtype=torch.float32)
    objective = bs.Objective(model, sample_losses, vectors(dtype=torch.float32))
    found = bs.curvature(objective, top=3, tolerance=1e-9, progress=False)
    parameters = [p for p in model.parameters() if p.ndim > 1]
    loss = torch.cat([sample_losses(model, b) for b in vectors(dtype=torch.float32)]).double().mean()
    slopes = torch.cat([s.reshape(-1) for s in torch.autograd.grad(loss, parameters, create_graph=True)])
    rows = [torch.autograd.grad(s, parameters, retain_graph=True) for s in slopes]
    hessian = torch.stack([torch.cat([part.reshape(-1) for part in row]) for row in rows]).double()
    values = torch.linalg.eigvalsh(0.5 * (hessian + hessian.T)).flip(0)[:3]
    np.testing.assert_allclose(found["eigenvalue"], values, rtol=1e-4)
    # An estimate from the tridiagonal matrix falls far below the rounding of products in single precision.
    assert (found["residual"] > 1e-9 * float(values[0])).all()


def test_a_path_to_the_network_itself_is_none():
    model = perceptron()
    with pytest.raises(InputError, match="has the same weights"):
        bs.linear_path(bs.Objective(model, sample_losses, vectors()), copy.deepcopy(model), progress=False)


def test_a_setting_of_tensors_is_refused_without_printing_them():
    objective = bs.Objective(perceptron(), sample_losses, vectors())
    with pytest.raises(InputError, match=r"^slice1d: directions\[0\] has shape \(100, 100\), not \(35,\): give "):
        bs.slice1d(objective, directions=[torch.ones(100, 100)], progress=False)


def test_checkpoints_of_training_scripts_are_points():
    one, two = perceptron(), perceptron(seed=1)
    objective = bs.Objective(one, sample_losses, vectors())
    saved = {"model": two.state_dict(), "epoch": 3}
    found, wanted = (bs.linear_path(objective, point, resolution=3, progress=False)["loss"] for point in (saved, two))
    np.testing.assert_array_equal(found, wanted)
    with pytest.raises(InputError, match="other is a NoneType: give a state dictionary, a network or a file"):
        bs.linear_path(objective, None, progress=False)


def test_a_batch_in_place_of_batches_to_recalibrate_from_is_refused():
    objective = bs.Objective(_trained(0), sample_losses, _images())
    with pytest.raises(InputError, match="which is one batch"):
        bs.slice1d(objective, recalibrate=_images()[0][0], progress=False)
