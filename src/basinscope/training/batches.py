"""Batches of a stack's training steps: training samples first, then unseen ones."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from basinscope.data.samples import Sampler
from basinscope.seeds import generator
from basinscope.training.members import Member

Batch = tuple[Float[Tensor, "members samples features"], Int[Tensor, "members samples"]]


class Batches:
    """Draws the batches of some members, block by block of steps.

    Args:
        sampler: Draws fresh unseen samples for members without fixed ones.
        num_unseen: Unseen samples in each step.
        batch_size: Training samples in each step, the last step of an epoch taking the rest; `None` takes all.
        device: Device of the batches.
        dtype: Dtype of their inputs.
    """

    def __init__(
        self,
        sampler: Sampler | None,
        *,
        num_unseen: int,
        batch_size: int | None,
        device: torch.device,
        dtype: torch.dtype,
    ) -> None:
        self.sampler, self.num_unseen, self.batch_size = sampler, num_unseen, batch_size
        self.device, self.dtype = device, dtype

    def block(self, members: Sequence[Member], steps: range) -> Iterator[Batch]:
        """Yield inputs and labels of each step; tensors may be reused between steps."""
        train = [m.train.to(self.device, self.dtype) for m in members]
        inputs, labels = torch.stack([t.inputs for t in train]), torch.stack([t.labels for t in train])
        unseen = self._unseen_block(members, steps) if self.num_unseen else None
        if self.batch_size is not None:
            yield from self._small(members, inputs, labels, unseen, steps)
            return
        num_train = inputs.shape[1]
        # Features first, samples along the contiguous axis: the memory layout that the network uses.
        shape = (len(members), inputs.shape[2], num_train + self.num_unseen)
        whole_inputs = torch.empty(shape, device=self.device, dtype=self.dtype).transpose(1, 2)
        whole_labels = torch.empty(len(members), shape[2], device=self.device, dtype=torch.long)
        whole_inputs[:, :num_train], whole_labels[:, :num_train] = inputs, labels
        if unseen is None:
            yield from itertools.repeat((whole_inputs, whole_labels), len(steps))
            return
        for k in range(len(steps)):
            whole_inputs[:, num_train:], whole_labels[:, num_train:] = unseen[0][:, k], unseen[1][:, k]
            yield whole_inputs, whole_labels

    def _small(
        self,
        members: Sequence[Member],
        inputs: Tensor,
        labels: Tensor,
        unseen: tuple[Tensor, Tensor] | None,
        steps: range,
    ) -> Iterator[Batch]:
        """Batches in each member's own order, which depends on its seed and the epoch alone."""
        assert self.batch_size is not None
        num_train = inputs.shape[1]
        an_epoch = -(-num_train // self.batch_size)
        rows = torch.arange(len(members), device=self.device).unsqueeze(1)
        epoch, order = -1, torch.empty(0, dtype=torch.long)
        for k, step in enumerate(steps):
            if step // an_epoch != epoch:
                epoch = step // an_epoch
                orders = [torch.randperm(num_train, generator=generator(m.seed, "order", epoch)) for m in members]
                order = torch.stack(orders).to(self.device)
            first = step % an_epoch * self.batch_size
            chosen = order[:, first : first + self.batch_size]
            batch = inputs[rows, chosen], labels[rows, chosen]
            if unseen is not None:
                batch = torch.cat([batch[0], unseen[0][:, k]], 1), torch.cat([batch[1], unseen[1][:, k]], 1)
            yield batch

    def _unseen_block(self, members: Sequence[Member], steps: range) -> tuple[Tensor, Tensor]:
        """Unseen samples of a block: inputs (members, steps, unseen, features), labels (members, steps, unseen)."""
        drawn = [self._unseen(member, steps) for member in members]
        return torch.stack([inputs for inputs, _ in drawn]), torch.stack([labels for _, labels in drawn])

    def _unseen(self, member: Member, steps: range) -> tuple[Tensor, Tensor]:
        if member.unseen is not None:
            fixed = member.unseen.to(self.device, self.dtype)
            return fixed.inputs.expand(len(steps), -1, -1), fixed.labels.expand(len(steps), -1)
        assert self.sampler is not None
        stream = generator(member.seed, "unseen", steps.start)
        drawn = self.sampler(len(steps) * self.num_unseen, stream).to(self.device, self.dtype)
        shape = (len(steps), self.num_unseen)
        return drawn.inputs.unflatten(0, shape), drawn.labels.unflatten(0, shape)
