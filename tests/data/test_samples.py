import pytest
import torch
from jaxtyping import TypeCheckError

from basinscope.data.samples import Samples


def test_inputs_change_their_type_and_labels_do_not():
    samples = Samples(torch.zeros(3, 2, dtype=torch.float64), torch.tensor([0, 1, 1])).to("cpu", torch.float32)
    assert samples.inputs.dtype == torch.float32
    assert samples.labels.dtype == torch.int64
    assert len(samples) == 3


def test_each_input_needs_a_label():
    with pytest.raises((AssertionError, TypeCheckError)):
        Samples(torch.zeros(3, 2), torch.tensor([0, 1]))
