"""Networks whose tensors or layers are not plain: the right number, or one clear line."""

import threading
import warnings

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import basinscope as bs
from basinscope.errors import InputError
from basinscope.landscape.module.copying import plain_copy
from basinscope.landscape.module.settings import check_settings
from tests.anyones import mean_loss, perceptron, untouched, vectors

QUIET = {"progress": False}


class Scaled(nn.Parameter):
    """A parameter of a class of its own, with an attribute that the layer multiplies with."""

    def __new__(cls, data: Tensor, requires_grad: bool = True, *, scale: float = 1.0):
        tensor = super().__new__(cls, data, requires_grad)
        tensor.scale = scale
        return tensor


class Layer(nn.Module):
    def __init__(self, weight: nn.Parameter):
        super().__init__()
        self.weight = weight

    def forward(self, inputs: Tensor) -> Tensor:
        return inputs @ self.weight.T * self.weight.scale  # pyright: ignore[reportAttributeAccessIssue]


def _plain() -> nn.Parameter:
    weight = nn.Parameter(_weights())
    weight.scale = 3.0  # pyright: ignore[reportAttributeAccessIssue]
    return weight


def _weights() -> Tensor:
    return torch.randn(3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("made", [_plain, lambda: Scaled(_weights(), scale=3.0)], ids=["plain", "class of its own"])
def test_attributes_of_parameters_count(made):
    net, wanted = Layer(made()), nn.Linear(4, 3, bias=False, dtype=torch.float64)
    wanted.weight.data = _weights()
    net.weight.lock = threading.Lock()  # cannot be copied, and is not needed
    with untouched(net):
        one = bs.Objective(net, mean_loss, vectors())
        two = bs.Objective(wanted, lambda model, batch: mean_loss(lambda x: 3 * model(x), batch), vectors())
        lines = [bs.slice1d(o, num_directions=2, resolution=51, **QUIET)["loss"] for o in (one, two)]
        np.testing.assert_allclose(*lines, rtol=1e-12)
        assert type(one._twin.copy.weight) is type(net.weight)


def test_a_frozen_parameter_of_a_class_of_its_own_stays_frozen():
    net = Layer(Scaled(_weights(), requires_grad=False, scale=2.0))
    assert not plain_copy(net).weight.requires_grad
    with pytest.raises(InputError, match="all 1 parameters are frozen"):
        bs.Objective(net, mean_loss, vectors())


@pytest.mark.parametrize("where", ["the model", "0", "3"])
def test_scripted_layers_are_refused_in_one_line(where):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scripted, layer = torch.jit.script(perceptron()), torch.jit.script(nn.Tanh())
    nets = {
        "the model": scripted,
        "0": nn.Sequential(scripted, nn.Linear(3, 3, dtype=torch.float64)),
        "3": nn.Sequential(*perceptron(), layer),
    }
    with pytest.raises(InputError, match=f"^{where} is a TorchScript module.*use the nn.Module that it was") as told:
        bs.Objective(nets[where], mean_loss, vectors())
    assert "\n" not in str(told.value)


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_an_exported_network_is_measured_like_its_original():
    net, batches = perceptron(), vectors()
    sizes = {"input": {0: torch.export.Dim("samples", min=1)}}
    program = torch.export.export(net, (batches[0][0],), dynamic_shapes=sizes)
    with pytest.raises(InputError, match=r"^model is an ExportedProgram: pass its \.module\(\)$"):
        check_settings(program, mean_loss, points_at_once=None, masks=None)
    one, two = (bs.Objective(model, mean_loss, batches) for model in (program.module(), net))
    assert one.center_loss == pytest.approx(two.center_loss, rel=1e-12)
    lines = [bs.slice1d(o, num_directions=1, resolution=5, **QUIET)["loss"] for o in (one, two)]
    np.testing.assert_allclose(*lines, rtol=1e-12)
    traces = [float(bs.curvature(o, top=1, trace_vectors=40, **QUIET)["trace"]) for o in (one, two)]
    assert traces[0] == pytest.approx(traces[1], rel=1e-9)
