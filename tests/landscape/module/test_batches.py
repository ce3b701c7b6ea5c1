import collections

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset
from transformers import BatchEncoding

from basinscope.errors import InputError
from basinscope.landscape.module.batches import checked, to_device

META = torch.device("meta")


def _listed(begin):
    return [part.tolist() for part in begin()]


@pytest.mark.parametrize(
    "batches",
    [
        [torch.arange(3), torch.arange(2)],
        lambda: iter([torch.arange(3), torch.arange(2)]),
        lambda: (torch.arange(num) for num in (3, 2)),
        lambda: [torch.arange(3), torch.arange(2)],
    ],
    ids=["list", "function of an iterator", "function of a generator", "function of a list"],
)
def test_batches_are_gone_through_again_and_again(batches):
    begin = checked(batches)
    assert [_listed(begin) for _ in range(3)] == [[[0, 1, 2], [0, 1]]] * 3


def test_a_loader_is_gone_through_again_and_draws_nothing_before_it_begins():
    loader = DataLoader(TensorDataset(torch.arange(5)), batch_size=2)
    before = torch.get_rng_state()
    begin = checked(loader)
    assert torch.equal(torch.get_rng_state(), before)
    assert [[len(batch[0]) for batch in begin()] for _ in range(2)] == [[2, 2, 1]] * 2


@pytest.mark.parametrize(
    ("batches", "told"),
    [
        ((torch.ones(1) for _ in range(2)), r"a generator, which can be iterated only once.*DataLoader"),
        (iter([torch.ones(1)]), r"a list_iterator, which can be iterated only once"),
        (zip([1], [2], strict=True), r"a zip, which can be iterated only once"),
        ({"inputs": torch.ones(2)}, r"a dict, which is one batch"),
        (BatchEncoding({"inputs": torch.ones(2)}), r"a BatchEncoding, which is one batch"),
        (torch.ones(3, 2), r"a Tensor, which is one batch.*\[\(x, y\)\]"),
        (np.ones((3, 2)), r"a ndarray, which is one batch"),
        ((torch.ones(3, 2), torch.ones(3)), r"tuple of arrays of shape \(3, 2\), \(3,\), which looks like one batch"),
        ([torch.ones(3, 2), torch.arange(3)], r"list of arrays of shape .*\[\(x, y\)\]"),
        ([np.ones((3, 2)), np.arange(3)], r"list of arrays of shape"),
    ],
    ids=["generator", "iterator", "zip", "dictionary", "encoding", "tensor", "array", "pair", "list", "arrays"],
)
def test_what_cannot_be_gone_through_again_is_refused_in_one_line(batches, told):
    with pytest.raises(InputError, match=told) as caught:
        checked(batches)
    assert "\n" not in str(caught.value)


def test_a_function_that_returns_no_batches_is_refused():
    with pytest.raises(InputError, match=r"returns an int: return an iterator"):
        checked(lambda: 5)()


def test_an_unstarted_generator_is_not_used_up_by_being_refused():
    generator = (k for k in range(2))
    with pytest.raises(InputError):
        checked(generator)
    assert list(generator) == [0, 1]


Pair = collections.namedtuple("Pair", ["inputs", "label"])


def test_tensors_move_wherever_they_lie_in_a_batch_and_the_rest_stays():
    word = object()
    batch = ({"a": [torch.ones(2), word], "b": Pair(torch.ones(3), "label")}, None, 5)
    moved = to_device(batch, META)
    assert moved[0]["a"][0].device == META
    assert moved[0]["b"].inputs.device == META
    assert isinstance(moved[0]["b"], Pair)
    assert (moved[0]["a"][1], moved[0]["b"].label, *moved[1:]) == (word, "label", None, 5)
    assert batch[0]["a"][0].device.type == batch[0]["b"].inputs.device.type == "cpu"


def test_an_encoding_moves_and_the_user_s_own_stays_where_it_is():
    batch = BatchEncoding({"input_ids": torch.ones(2, 3)})
    moved = to_device([batch], META)[0]
    assert isinstance(moved, BatchEncoding)
    assert moved["input_ids"].device == META
    assert batch["input_ids"].device.type == "cpu"


def test_what_is_on_the_device_already_is_not_copied():
    tensor = torch.ones(3)
    batch = {"a": (tensor, BatchEncoding({"b": tensor}))}
    moved = to_device(batch, torch.device("cpu"))
    assert moved["a"][0] is tensor
    assert moved["a"][1]["b"] is tensor


def test_tensors_of_inference_mode_can_be_differentiated_through_after_all():
    with torch.inference_mode():
        inputs = torch.ones(2)
    weight = torch.ones(2, requires_grad=True)
    sent = to_device(inputs, torch.device("cpu"))
    (weight * sent).sum().backward()
    assert torch.equal(weight.grad, torch.ones(2))
