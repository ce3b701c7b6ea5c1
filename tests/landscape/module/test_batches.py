import collections
import random
from collections import UserDict

import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset
from transformers import BatchEncoding

from basinscope.errors import InputError
from basinscope.landscape.module.batches import checked, cut, length, to_device

META = torch.device("meta")


def _listed(begin):
    return [part.tolist() for part in begin()]


@pytest.mark.parametrize(
    "batches",
    [
        [torch.arange(3), torch.arange(2)],
        (torch.arange(3), torch.arange(2)),
        lambda: iter([torch.arange(3), torch.arange(2)]),
        lambda: (torch.arange(num) for num in (3, 2)),
        lambda: [torch.arange(3), torch.arange(2)],
    ],
    ids=["list", "tuple", "function of an iterator", "function of a generator", "function of a list"],
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
    ],
    ids=["generator", "iterator", "zip", "dictionary", "encoding"],
)
def test_what_cannot_be_gone_through_again_is_refused_in_one_line(batches, told):
    with pytest.raises(InputError, match=told) as caught:
        checked(batches)
    assert "\n" not in str(caught.value)


def test_a_function_that_returns_no_batches_is_refused():
    with pytest.raises(InputError, match=r"returns a int: return an iterator"):
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


@pytest.mark.parametrize(
    ("batch", "num"),
    [
        (torch.ones(4, 2), 4),
        ((torch.ones(3, 2), torch.ones(5)), 3),
        ([[torch.tensor(1.0), (torch.ones(6),)]], 6),
        ({"name": "x", "inputs": torch.ones(2, 7)}, 2),
        (BatchEncoding({"input_ids": torch.ones(5, 3)}), 5),
        (torch.ones(0, 3), 0),
    ],
)
def test_length_is_the_first_axis_of_the_first_tensor_that_has_one(batch, num):
    assert length(batch) == num


@pytest.mark.parametrize("batch", [torch.tensor(1.0), "text", {"a": 5}, [], random.Random(0)])
def test_a_batch_that_cannot_be_counted_says_what_to_return_instead(batch):
    with pytest.raises(InputError, match=r"has no tensor with a batch axis.*\(sum of losses, count\)"):
        length(batch)


def test_a_batch_is_cut_along_its_first_axis_whatever_it_is_made_of():
    inputs, labels = torch.arange(10.0).reshape(5, 2), torch.arange(5)
    nested = {"x": (inputs, [labels, torch.tensor(7)]), "scale": 2.0, "none": None}
    pieces = cut(nested, 2)
    assert pieces is not None
    assert [len(piece["x"][0]) for piece in pieces] == [2, 2, 1]
    assert torch.equal(torch.cat([piece["x"][0] for piece in pieces]), inputs)
    assert torch.equal(torch.cat([piece["x"][1][0] for piece in pieces]), labels)
    assert all(piece["x"][1][1] == 7 and piece["scale"] == 2.0 and piece["none"] is None for piece in pieces)


def test_batches_of_hugging_face_are_cut_and_stay_what_they_are():
    batch = UserDict({"input_ids": torch.arange(6).reshape(3, 2), "labels": torch.arange(3)})
    batch.kind = "encoded"
    pieces = cut(batch, 2)
    assert pieces is not None
    assert [(type(p), p.kind, len(p["labels"])) for p in pieces] == [(UserDict, "encoded", 2), (UserDict, "encoded", 1)]
    assert len(batch["labels"]) == 3


@pytest.mark.parametrize("batch", [(torch.zeros(3), torch.zeros(4)), (torch.zeros(3), "name"), torch.zeros(()), "x"])
def test_what_has_no_common_first_axis_is_not_cut(batch):
    assert cut(batch, 1) is None
