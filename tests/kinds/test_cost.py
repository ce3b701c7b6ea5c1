"""What the checks cost, in passes over the batches: forward passes by their samples, a backward pass as two."""

import pytest
import torch

import basinscope as bs
from tests.anyones import mean_loss, perceptron, sample_losses, sum_and_count, vectors


class Counted:
    """Counts samples that a loss function sees, and those whose loss is differentiated."""

    def __init__(self, loss):
        self.loss, self.forward, self.backward = loss, 0, 0

    def __call__(self, model, batch):
        found = self.loss(model, batch)
        self.forward += len(batch[1])
        total = found[0] if isinstance(found, tuple) else found
        if total.requires_grad:
            num = len(batch[1])
            total.register_hook(lambda slope: self._differentiated(num))
        return found

    def _differentiated(self, num):
        self.backward += num

    def passes(self, batches):
        return (self.forward + 2 * self.backward) / sum(len(batch[1]) for batch in batches)


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize(("loss", "first", "slopes"), [(sample_losses, 2, 5), (sum_and_count, 3, 5), (mean_loss, 3, 5)])
def test_checks_take_two_or_three_passes_and_five_more_before_the_first_gradient(loss, first, slopes, whole):
    batches = vectors()
    if whole:
        batches = [tuple(torch.cat(parts) for parts in zip(*batches, strict=True))]
    counted = Counted(loss)
    objective = bs.Objective(perceptron(), counted, batches)
    objective.check()
    assert counted.passes(batches) <= first
    before = counted.passes(batches)
    objective._derivatives.verify()
    assert 0 < counted.passes(batches) - before <= slopes
    assert counted.passes(batches) <= 8
    before = counted.passes(batches)
    objective.check()
    objective._derivatives.verify()
    assert counted.passes(batches) == before, "nothing has changed since"
