"""Another minimum that lacks tensors is refused, or what is used in their place is said."""

import logging

import numpy as np
import pytest
import torch
from torch import nn

import basinscope as bs
from basinscope.errors import InputError
from tests.anyones import perceptron, sample_losses, vectors


def _normed(seed):
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Tanh(), nn.Linear(6, 3)).double()
    with torch.no_grad():
        for _ in range(10):
            net(torch.randn(8, 4).double())
    return net.eval()


def _batches():
    return [(torch.randn(6, 4, generator=torch.Generator().manual_seed(0)).double(), torch.arange(6) % 3)]


VERBS = {
    "linear_path": lambda o, s: bs.linear_path(o, s, resolution=3, progress=False),
    "connect": lambda o, s: bs.connect(o, s, num_steps=1, resolution=3, progress=False),
    "align": lambda o, s: bs.align(o, s, progress=False),
    "slice2d": lambda o, s: bs.slice2d(o, directions="between", points=[s, _normed(2)], resolution=3, progress=False),
}


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("lacking", ["3.bias", "1.weight", "3.weight"])
def test_a_missing_parameter_is_refused(verb, lacking):
    objective = bs.Objective(_normed(0), sample_losses, _batches())
    state = _normed(1).state_dict()
    del state[lacking]
    with pytest.raises(InputError, match=f"does not fit Sequential: {lacking}: missing"):
        VERBS[verb](objective, state)


def test_missing_statistics_are_renewed_and_said(caplog):
    one, two, batches = _normed(0), _normed(1), _batches()
    objective = bs.Objective(one, sample_losses, batches)
    state = dict(two.named_parameters())
    with caplog.at_level(logging.WARNING):
        path = bs.linear_path(objective, state, resolution=3, beyond=0, progress=False)
    assert "other has no running statistics, such as 1.running_mean" in caplog.text
    two.train()
    two[1].momentum = 1.0
    with torch.no_grad():
        two(batches[0][0])
        right = sample_losses(two.eval(), batches[0]).mean()
    np.testing.assert_allclose(path["loss"][0, 2], right, rtol=1e-9)
    with pytest.raises(InputError, match=r"other has no running statistics, such as 1\.running_mean: pass the whole"):
        bs.linear_path(objective, state, resolution=3, recalibrate=False, progress=False)


def test_chosen_parameters_alone_may_be_given():
    model, other = perceptron(), perceptron(seed=1)
    chosen = {name: tensor for name, tensor in other.state_dict().items() if name.startswith("0.")}
    objective = bs.Objective(model, sample_losses, vectors(), parameters="0.*", one_dim="moved")
    path = bs.linear_path(objective, chosen, resolution=3, beyond=0, progress=False)
    model.load_state_dict({**model.state_dict(), **chosen})
    right = bs.Objective(model, sample_losses, vectors()).center_loss
    np.testing.assert_allclose(path["loss"][0, 2], right, rtol=1e-6)
