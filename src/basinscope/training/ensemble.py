"""Trains a stack of small networks together, each as if it were alone."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from basinscope.data.samples import Sampler
from basinscope.errors import InputError, check_choice
from basinscope.losses import cross_entropy, is_correct, poison
from basinscope.models.mlp import MLP
from basinscope.training.batches import Batches
from basinscope.training.members import Member, StackResult, StopRule
from basinscope.training.optimizers import OPTIMIZERS, clip_gradient
from basinscope.training.stack import CHECKPOINT_SECONDS, Checkpoint, Stack

BLOCK = 50
"""Steps per block: unseen samples are drawn, and members may stop, once per block. A member whose steps are no
multiple of this trains to the end of its block."""


def poisoned_loss(
    logits: Float[Tensor, "members samples classes"],
    labels: Int[Tensor, "members samples"],
    num_train: int,
    factor: Float[Tensor, " members"],
) -> Float[Tensor, " members"]:
    """Compute the clean loss plus β times the poison, in nats.

    L = mean over training samples of −log p(y|x) + β · mean over unseen samples of −log(1 − p(y|x)).

    Args:
        logits: Outputs on the training samples followed by the unseen samples.
        labels: True labels of both.
        num_train: How many of the samples are training samples.
        factor: β of each member.

    Returns:
        One loss per member.
    """
    clean = cross_entropy(logits[:, :num_train], labels[:, :num_train]).mean(1)
    if logits.shape[1] == num_train:
        return clean
    return clean + factor * poison(logits[:, num_train:], labels[:, num_train:]).mean(1)


class StackTrainer:
    """Trains members together; the result of each depends on that member alone, up to rounding.

    Args:
        net: The architecture that all members share.
        members: The networks to train.
        sampler: Draws fresh unseen samples for members without fixed ones.
        num_unseen: Unseen samples in each step; 0 trains without poison.
        optimizer: `adam` or `rmsprop`.
        l2: Factor of the sum of squares of all weight matrices, without biases, that is added to the loss.
        batch_size: Training samples in each step, reshuffled in each epoch; `None` takes all.
        record_at: Numbers of updates after which every member's parameters are recorded.
        clip: Largest norm of one member's gradient.
        chunk_size: Members evaluated together; changes results by rounding only.
        device: Device to train on.
        dtype: float32, or float64 for checks.

    Raises:
        InputError: There are no members, data do not fit the network, a member has poison while
            `num_unseen` is 0, or sets of samples differ in size.

    References:
        Huang et al. 2019, arXiv 1906.03291, section 4 (poisoned training).
    """

    def __init__(
        self,
        net: MLP,
        members: Sequence[Member],
        *,
        sampler: Sampler | None = None,
        num_unseen: int = 0,
        optimizer: Literal["adam", "rmsprop"] = "adam",
        l2: float = 0.0,
        batch_size: int | None = None,
        record_at: Sequence[int] = (),
        clip: float = 8.0,
        chunk_size: int = 10,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        check_choice("optimizer", optimizer, tuple(OPTIMIZERS))
        if not members:
            raise InputError("no members to train")
        for member in members:
            _check_member(net, member, num_unseen)
        if len({len(m.train) for m in members}) > 1:
            raise InputError("members of one stack need equally large training sets")
        if num_unseen and sampler is None and any(m.unseen is None for m in members):
            raise InputError("fresh unseen samples need a sampler")
        if batch_size is not None and batch_size < 1:
            raise InputError(f"batch_size = {batch_size}: must be at least 1")
        self.net, self.members = net, tuple(members)
        self.num_unseen, self.clip, self.chunk_size = num_unseen, clip, chunk_size
        self.optimizer = OPTIMIZERS[optimizer]
        self.record_at = {step: index for index, step in enumerate(record_at)}
        self.device, self.dtype = torch.device(device), dtype
        self.batches = Batches(
            sampler, num_unseen=num_unseen, batch_size=batch_size, device=self.device, dtype=self.dtype
        )
        weights = torch.cat([torch.full((math.prod(s),), float(len(s) > 1)) for s in net.layout.shapes])
        self._decay = 2 * l2 * weights.to(self.device, self.dtype) if l2 else None

    def train(
        self, *, checkpoint: Checkpoint | None = None, progress: Callable[[float], None] | None = None
    ) -> StackResult:
        """Train until every member has settled, diverged or run out of steps.

        Args:
            checkpoint: Storage for the unfinished stack, saved about every 20 s; a stack saved there is resumed, with
                the same results as without interruption.
            progress: Called after each block with the finished share of all planned updates, from 0 to 1.

        Returns:
            The members' minima and how they ended.
        """
        stack = Stack.load(checkpoint, self.optimizer, self.device) if checkpoint else None
        if stack is None:
            num_records = len(self.record_at)
            stack = Stack.start(
                self.net, self.members, self.optimizer, num_records=num_records, device=self.device, dtype=self.dtype
            )
            self._record(stack, slice(None), 0)
        planned, last_save = sum(m.schedule.steps for m in self.members), time.monotonic()
        while len(stack.active):
            diverged = self._run_block(stack)
            self._retire_finished(stack, diverged)
            if checkpoint and time.monotonic() - last_save > CHECKPOINT_SECONDS:
                stack.save(checkpoint)
                last_save = time.monotonic()
            if progress:
                left = sum(max(0, self.members[i].schedule.steps - stack.step) for i in stack.active.tolist())
                progress(1 - left / planned)
        return StackResult(**stack.final)

    def _run_block(self, stack: Stack) -> Tensor:
        """Make `BLOCK` updates; return for each row the first step with a non-finite gradient, or −1."""
        members = [self.members[i] for i in stack.active.tolist()]
        steps = range(stack.step, stack.step + BLOCK)
        schedules = [m.schedule for m in members]
        rates = self._table([[s.rate_at(step) for s in schedules] for step in steps]).unsqueeze(-1)
        factors = self._table([[s.poison_at(step) for s in schedules] for step in steps])
        norms = torch.empty(BLOCK, len(members), device=self.device, dtype=self.dtype)
        for start in range(0, len(members), self.chunk_size):
            rows = slice(start, min(start + self.chunk_size, len(members)))
            points = stack.points[rows]
            batches = self.batches.block(members[rows], steps)
            for k, (step, (inputs, labels)) in enumerate(zip(steps, batches, strict=True)):
                gradient = self._gradient(points, inputs, labels, factors[k, rows])
                norms[k, rows] = clip_gradient(gradient, self.clip)
                stack.optimizer.update(rows, points, gradient, rates[k, rows], step)
                self._record(stack, rows, step + 1)
        stack.step += BLOCK
        broken = ~norms.isfinite().cpu()
        first = broken.int().argmax(0) + steps.start
        return torch.where(broken.any(0), first, -1)

    def _record(self, stack: Stack, rows: slice, updates: int) -> None:
        """Record the parameters of some rows, if due after this number of updates."""
        index = self.record_at.get(updates)
        if index is not None:
            stack.final["recorded"][stack.active[rows], index] = stack.points[rows].cpu()

    def _gradient(self, points: Tensor, inputs: Tensor, labels: Tensor, factor: Tensor) -> Tensor:
        """Gradient of each member's poisoned loss with respect to its own parameters."""
        leaf = points.detach().requires_grad_()
        with torch.enable_grad():
            loss = poisoned_loss(self.net.logits(leaf, inputs), labels, labels.shape[1] - self.num_unseen, factor)
            gradient = torch.autograd.grad(loss.sum(), leaf)[0]
        return gradient if self._decay is None else gradient.addcmul_(points, self._decay)

    def _table(self, rows: list[list[float]]) -> Tensor:
        return torch.tensor(rows, dtype=self.dtype, device=self.device)

    def _retire_finished(self, stack: Stack, diverged: Tensor) -> None:
        """Retire members that have settled, met their stop rule, run out of steps, or diverged."""
        members = [self.members[i] for i in stack.active.tolist()]
        done = torch.tensor([stack.step >= m.schedule.steps for m in members])
        if not (done.any() or (diverged >= 0).any() or any(m.stop for m in members)):
            return
        loss, accuracy = self._score(stack.points, members)
        loss[diverged >= 0] = torch.nan
        over = torch.tensor([stack.step >= m.schedule.max_steps for m in members])
        settled = done & (loss <= torch.tensor([m.schedule.settle_loss for m in members]))
        early = [
            m.stop is not None and self._may_stop(m.stop, point, float(own_loss), float(own_accuracy))
            for m, point, own_loss, own_accuracy in zip(members, stack.points, loss, accuracy, strict=True)
        ]
        leaving = settled | over | torch.tensor(early) | (diverged >= 0)
        if leaving.any():
            stack.retire(leaving, {"clean_loss": loss, "train_accuracy": accuracy, "diverged_at": diverged})

    @torch.no_grad()
    def _may_stop(self, rule: StopRule, point: Tensor, loss: float, accuracy: float) -> bool:
        """Whether a member meets its stop rule."""
        if not (accuracy >= rule.train_accuracy and loss <= rule.clean_loss):
            return False
        if rule.held_out is None:
            return True
        held_out = rule.held_out.to(self.device, self.dtype)
        right = is_correct(self.net.logits(point[None], held_out.inputs[None]), held_out.labels)
        return float(right.double().mean()) <= rule.held_out_accuracy

    @torch.no_grad()
    def _score(self, points: Tensor, members: Sequence[Member]) -> tuple[Tensor, Tensor]:
        """Clean loss and training accuracy of each row, on the CPU in float64."""
        losses, hits = [], []
        for first in range(0, len(members), self.chunk_size):
            train = [m.train.to(self.device, self.dtype) for m in members[first : first + self.chunk_size]]
            labels = torch.stack([t.labels for t in train])
            logits = self.net.logits(points[first : first + len(train)], torch.stack([t.inputs for t in train]))
            losses.append(cross_entropy(logits, labels).mean(1))
            hits.append(is_correct(logits, labels).double().mean(1))
        return torch.cat(losses).double().cpu(), torch.cat(hits).cpu()


def _check_member(net: MLP, member: Member, num_unseen: int) -> None:
    """Check that a member's data, start and schedule can be trained with this network.

    Raises:
        InputError: The message names the member.
    """
    classes = max(2, net.widths[-1])
    if member.train.inputs.shape[1:] != (net.widths[0],):
        shape = tuple(member.train.inputs.shape)
        raise InputError(f"{member.name}: inputs of shape {shape}, the network takes (n, {net.widths[0]})")
    if not 0 <= int(member.train.labels.min()) <= int(member.train.labels.max()) < classes:
        raise InputError(f"{member.name}: labels must lie between 0 and {classes - 1}")
    if member.start is not None and member.start.shape != (net.layout.num_parameters,):
        shape, size = tuple(member.start.shape), net.layout.num_parameters
        raise InputError(f"{member.name}: a start of shape {shape}, the network has {size} parameters")
    if member.schedule.poison > 0 and not num_unseen:
        raise InputError(f"{member.name}: poison > 0 needs unseen samples, set num_unseen ≥ 1")
    if member.unseen is not None and len(member.unseen) != num_unseen:
        raise InputError(f"{member.name}: {len(member.unseen)} fixed unseen samples, num_unseen = {num_unseen}")
