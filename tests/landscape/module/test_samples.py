import random
from collections import UserDict

import numpy as np
import pytest
import torch
from torch.nn.utils.rnn import pack_sequence
from transformers import BatchEncoding

from basinscope.landscape.module.samples import cut, in_pieces, layout_of


class Graphs:
    """Batch of graphs, as PyTorch Geometric's."""

    num_graphs = 4


def _images(*heights):
    return [torch.zeros(3, height, 9) for height in heights]


@pytest.mark.parametrize(
    ("batch", "num", "kind"),
    [
        (torch.ones(4, 2), 4, "samples"),
        ((torch.ones(3, 2), torch.ones(3)), 3, "samples"),
        ({"name": "x", "inputs": torch.ones(2, 7)}, 2, "samples"),
        (BatchEncoding({"input_ids": torch.ones(5, 3)}), 5, "samples"),
        (torch.ones(0, 3), 0, "samples"),
        ((np.ones((6, 2)), np.ones(6)), 6, "samples"),
        ({"x": torch.ones(40, 2, 5), "y": torch.ones(2, 3), "lengths": torch.ones(2)}, 2, "samples"),
        ((_images(8, 9, 10, 11, 12), [{"boxes": torch.ones(4)}] * 5), 5, "listed"),
        (_images(8, 9), 2, "listed"),
        ({"image": _images(8, 9, 9, 7), "label": torch.ones(4)}, 4, "listed"),
        (Graphs(), 4, "graphs"),
        ((Graphs(), torch.ones(9)), 4, "graphs"),
        ((pack_sequence([torch.ones(5), torch.ones(2)]), torch.ones(2)), 2, "sequences"),
    ],
)
def test_samples_are_counted_in_every_layout(batch, num, kind):
    layout = layout_of(batch)
    assert (layout.num, layout.kind) == (num, kind)


@pytest.mark.parametrize(
    "batch",
    [
        torch.tensor(1.0),
        "text",
        {"a": 5},
        [],
        random.Random(0),
        (torch.ones(3), torch.ones(4)),
        (torch.ones(3, 4), torch.ones(4, 3)),
    ],
)
def test_a_batch_without_a_common_axis_has_no_layout(batch):
    assert layout_of(batch) is None
    assert cut(batch, [(0, 1)]) is None


def test_a_batch_is_split_along_its_first_axis():
    inputs, labels = torch.arange(10.0).reshape(5, 2), torch.arange(5)
    nested = {"x": (inputs, [labels, torch.tensor(7)]), "scale": 2.0, "none": None}
    pieces = in_pieces(nested, 2)
    assert [len(piece["x"][0]) for piece in pieces] == [2, 2, 1]
    assert torch.equal(torch.cat([piece["x"][0] for piece in pieces]), inputs)
    assert torch.equal(torch.cat([piece["x"][1][0] for piece in pieces]), labels)
    assert all(piece["x"][1][1] == 7 and piece["scale"] == 2.0 and piece["none"] is None for piece in pieces)


def test_a_batch_with_time_first_is_split_by_sequences():
    batch = {"x": torch.arange(24.0).reshape(4, 2, 3), "lengths": torch.tensor([4, 2])}
    one, two = cut(batch, [(0, 1), (1, 2)])
    assert torch.equal(one["x"], batch["x"][:, :1])
    assert torch.equal(two["x"], batch["x"][:, 1:])
    assert [part["lengths"].tolist() for part in (one, two)] == [[4], [2]]


def test_lists_of_samples_are_split():
    images, targets = _images(8, 9, 10), [{"id": k} for k in range(3)]
    (few, first), (rest, others) = cut((images, targets), [(0, 1), (1, 3)])
    assert ([i.shape[1] for i in few], [i.shape[1] for i in rest]) == ([8], [9, 10])
    assert (first, others) == ([{"id": 0}], [{"id": 1}, {"id": 2}])


def test_batches_of_hugging_face_keep_their_type_and_attributes():
    batch = UserDict({"input_ids": torch.arange(6).reshape(3, 2), "labels": torch.arange(3)})
    batch.kind = "encoded"
    pieces = in_pieces(batch, 2)
    assert [(type(p), p.kind, len(p["labels"])) for p in pieces] == [(UserDict, "encoded", 2), (UserDict, "encoded", 1)]
    assert len(batch["labels"]) == 3


@pytest.mark.parametrize("batch", [(torch.zeros(3), "name"), (torch.zeros(2), ["a", "b"]), Graphs()])
def test_a_batch_with_other_objects_is_counted_but_not_split(batch):
    assert layout_of(batch) is not None
    assert cut(batch, [(0, 1)]) is None
