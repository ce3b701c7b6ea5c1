import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from transformers.pytorch_utils import Conv1D

from basinscope.errors import InputError
from basinscope.landscape.filters import Filters, moved_filters
from tests.anyones import Vision


def _image(*shape):
    return torch.rand(1, *shape) + 0.1


LAYERS = {
    # A layer, the tensor that is cut into filters, inputs, and the axis of its output that filters lead to.
    "Linear": (nn.Linear(3, 4), "weight", (_image(3),), 1),
    "Bilinear": (nn.Bilinear(2, 3, 4), "weight", (_image(2), _image(3)), 1),
    "Conv1d": (nn.Conv1d(2, 4, 3), "weight", (_image(2, 5),), 1),
    "Conv2d": (nn.Conv2d(2, 4, 3), "weight", (_image(2, 4, 4),), 1),
    "Conv2d in groups": (nn.Conv2d(4, 6, 3, groups=2), "weight", (_image(4, 4, 4),), 1),
    "Conv3d": (nn.Conv3d(1, 2, 2), "weight", (_image(1, 3, 3, 3),), 1),
    "ConvTranspose1d": (nn.ConvTranspose1d(3, 2, 2), "weight", (_image(3, 4),), 1),
    "ConvTranspose1d in groups": (nn.ConvTranspose1d(4, 6, 2, groups=2), "weight", (_image(4, 3),), 1),
    "ConvTranspose2d in groups": (nn.ConvTranspose2d(6, 6, 3, groups=3), "weight", (_image(6, 3, 3),), 1),
    "ConvTranspose3d": (nn.ConvTranspose3d(2, 3, 2), "weight", (_image(2, 2, 2, 2),), 1),
    "Conv1D of GPT-2": (Conv1D(4, 3), "weight", (_image(3),), 1),
    "Embedding": (nn.Embedding(5, 3), "weight", (torch.arange(5),), 0),
    "EmbeddingBag": (nn.EmbeddingBag(5, 3), "weight", (torch.arange(5)[:, None],), 0),
}


def _labels(filters: Filters) -> torch.Tensor:
    """The number of its filter at each entry of a tensor."""
    shape = [1 if axis in filters.inner else size for axis, size in enumerate(filters.split)]
    return torch.arange(filters.num_filters).reshape(shape).expand(filters.split).reshape(filters.shape)


@pytest.mark.parametrize("kind", LAYERS)
def test_a_filter_is_exactly_what_leads_to_one_output(kind):
    layer, name, inputs, axis = LAYERS[kind]
    (filters,) = moved_filters(layer)
    assert filters.name == name
    labels, found = _labels(filters), []
    outputs = layer(*inputs)
    for index in range(outputs.shape[axis]):
        (slope,) = torch.autograd.grad(outputs.select(axis, index).sum(), getattr(layer, name), retain_graph=True)
        own = labels[slope != 0].unique()
        assert len(own) == 1
        assert torch.equal(slope != 0, labels == own)
        found.append(int(own))
    assert sorted(found) == list(range(filters.num_filters))


@pytest.mark.parametrize(
    ("layer", "names", "counts"),
    [
        (nn.MultiheadAttention(4, 2), ["in_proj_weight", "out_proj.weight"], [12, 4]),
        (nn.RNN(2, 3), ["weight_ih_l0", "weight_hh_l0"], [3, 3]),
        (nn.LSTM(2, 3), ["weight_ih_l0", "weight_hh_l0"], [12, 12]),
        (nn.GRU(2, 3), ["weight_ih_l0", "weight_hh_l0"], [9, 9]),
    ],
    ids=lambda part: type(part).__name__,
)
def test_matrices_of_attention_and_recurrent_layers_fall_into_rows(layer, names, counts):
    found = moved_filters(layer)
    assert [filters.name for filters in found] == names
    assert [filters.num_filters for filters in found] == counts
    for filters in found:
        assert torch.equal(_labels(filters), torch.arange(filters.shape[0])[:, None].expand(filters.shape))


class Loose(nn.Module):
    def __init__(self, tensor):
        super().__init__()
        self.tensor = nn.Parameter(tensor)


def test_a_tensor_of_an_unknown_layer_falls_apart_along_its_first_axis():
    for shape in ((2, 3), (2, 3, 4, 5)):
        (filters,) = moved_filters(Loose(torch.ones(shape)))
        assert filters.num_filters == 2
        wanted = torch.arange(2).reshape(2, *[1] * (len(shape) - 1)).expand(shape)
        assert torch.equal(_labels(filters), wanted)
    (filters,) = moved_filters(Loose(torch.ones(1, 3, 4)))
    assert filters.num_filters == 1


def test_a_stack_of_matrices_falls_into_the_rows_of_each():
    layer = Loose(torch.ones(2, 3, 4))
    (filters,) = moved_filters(layer)
    assert torch.equal(_labels(filters), torch.arange(6).reshape(2, 3, 1).expand(2, 3, 4))
    layer.is_transposed = True
    (filters,) = moved_filters(layer)
    assert torch.equal(_labels(filters), torch.arange(8).reshape(2, 1, 4).expand(2, 3, 4))


def test_a_convolution_of_ours_is_no_transposed_layer():
    class Conv1D(nn.Conv1d):
        pass

    (filters,) = moved_filters(Conv1D(2, 3, 4))
    assert filters.num_filters == 3


@given(st.sampled_from(sorted(LAYERS)), st.integers(0, 2**32))
def test_norms_are_those_of_a_slow_loop(kind, seed):
    (filters,) = moved_filters(LAYERS[kind][0])
    tensor = torch.randn(filters.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    labels = _labels(filters)
    slow = [math.sqrt(sum(float(x) ** 2 for x in tensor[labels == k])) for k in range(filters.num_filters)]
    torch.testing.assert_close(filters.norms(tensor).flatten(), torch.tensor(slow, dtype=torch.float64))


def test_tensors_of_one_axis_are_moved_only_on_request_each_as_one_filter():
    net = Vision()
    fixed = [filters.name for filters in moved_filters(net)]
    assert fixed == ["down.weight", "up.weight", "head.weight"]
    moved = moved_filters(net, one_dim="moved")
    assert [filters.name for filters in moved] == [name for name, _ in net.named_parameters()]
    assert {filters.num_filters for filters in moved if len(filters.shape) == 1} == {1}
    (scalar,) = moved_filters(Loose(torch.tensor(2.0)), one_dim="moved")
    assert (scalar.num_filters, scalar.size) == (1, 1)
    assert scalar.norms(torch.tensor(-2.0)).tolist() == [2.0]


def test_tied_weights_are_one_tensor_and_the_first_layer_says_how_it_is_cut():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.up = nn.ConvTranspose1d(3, 2, 1)
            self.down = nn.Conv1d(2, 3, 1)
            self.down.weight = self.up.weight

    found = moved_filters(Tied())
    assert [(filters.name, filters.num_filters) for filters in found] == [("up.weight", 2)]


def test_the_vector_of_padding_stays_at_rest_unless_it_is_used_elsewhere():
    net = nn.Sequential(nn.Embedding(5, 3, padding_idx=-1), nn.Linear(3, 5, bias=False))
    assert [filters.still for filters in moved_filters(net)] == [4, None]
    net[1].weight = net[0].weight
    assert [filters.still for filters in moved_filters(net)] == [None]


def test_buffers_and_integer_tensors_are_not_moved():
    net = Vision()
    net.codes = nn.Parameter(torch.zeros(3, 3, dtype=torch.int8), requires_grad=False)
    names = {filters.name for filters in moved_filters(net, parameters="*", one_dim="moved")}
    assert names == {name for name, _ in net.named_parameters()} - {"codes"}


def test_frozen_tensors_are_left_alone_unless_they_are_named():
    net = Vision()
    net.down.requires_grad_(False)
    assert [filters.name for filters in moved_filters(net)] == ["up.weight", "head.weight"]
    assert [filters.name for filters in moved_filters(net, parameters="down*")] == ["down.weight"]


@pytest.mark.parametrize(
    ("choice", "names"),
    [
        ("*.weight", ["down.weight", "up.weight", "head.weight"]),
        ("[du]*.weight", ["down.weight", "up.weight"]),
        (["head.*", "up.*"], ["up.weight", "head.weight"]),
        (("down.weight",), ["down.weight"]),
        (lambda name, tensor: tensor.ndim == 4 and name != "up.weight", ["down.weight"]),
    ],
)
def test_patterns_lists_and_functions_choose(choice, names):
    assert [filters.name for filters in moved_filters(Vision(), parameters=choice)] == names


def _frozen():
    return Vision().requires_grad_(False)


@pytest.mark.parametrize(
    ("model", "choice", "told"),
    [
        (_frozen(), None, r"Vision: all 10 parameters are frozen.*parameters='\*'"),
        (nn.LayerNorm(3), None, r"LayerNorm: weight, bias have one axis or none.*one_dim='moved'"),
        (nn.ReLU(), None, "ReLU has no parameters"),
        (Vision(), "encoder.*", r"parameters='encoder\.\*' matches none of 10 names, such as down\.weight"),
        (Vision(), ["a", "b"], r"parameters=\['a', 'b'\] matches none"),
        (nn.Sequential(nn.LazyLinear(3)), None, r"0\.weight has no shape yet.*call the model"),
    ],
    ids=["frozen", "one axis", "nothing", "pattern", "patterns", "lazy"],
)
def test_mistakes_are_told_in_one_line(model, choice, told):
    with pytest.raises(InputError, match=told) as caught:
        moved_filters(model, parameters=choice)
    assert "\n" not in str(caught.value)
