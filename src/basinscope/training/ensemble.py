"""A stack of small networks trained together, each as if it were alone."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from basinscope.data.samples import Sampler, Samples
from basinscope.errors import InputError
from basinscope.losses import cross_entropy, is_correct, poison
from basinscope.models.mlp import MLP
from basinscope.seeds import generator
from basinscope.training.optimizers import Adam, clip_gradient
from basinscope.training.schedules import Schedule

BLOCK = 50
"""Steps between two looks at the stack: unseen samples are drawn, and members may leave, block by block. A member
whose steps are no multiple of this makes its updates up to the end of the block."""
CHECKPOINT_SECONDS = 20.0


@dataclass(frozen=True, kw_only=True)
class Member:
    """One network of the stack."""

    name: str
    """What messages and results call it."""
    seed: int
    """Root of its own random streams: starting weights and unseen samples."""
    schedule: Schedule
    """Its steps, rates, poison and stopping rule."""
    train: Samples
    """Its training set; all members of a stack have equally many samples."""
    unseen: Samples | None = None
    """Its fixed unseen samples; `None` draws fresh ones at every step."""


@dataclass(frozen=True, kw_only=True)
class StackResult:
    """What training a stack gave, members in the order in which they were asked for."""

    points: Float[Tensor, "members params"]
    """Final parameters, on the CPU."""
    steps: Int[Tensor, " members"]
    """Updates each member made."""
    clean_loss: Float[Tensor, " members"]
    """Mean cross-entropy on the member's training set, in nats; NaN for a member that diverged."""
    train_accuracy: Float[Tensor, " members"]
    """Share of the training set that is right."""
    diverged_at: Int[Tensor, " members"]
    """Step at which the gradient was no longer finite; −1 where it always was."""


@runtime_checkable
class Checkpoint(Protocol):
    """A place where an unfinished stack is kept; written whole or not at all."""

    def load(self) -> tuple[dict[str, Tensor], str] | None:
        """Return the tensors and the note that were saved last, or nothing."""
        ...

    def save(self, tensors: dict[str, Tensor], note: str) -> None:
        """Keep `tensors` and `note` in place of what was saved before."""
        ...


@dataclass
class _Stack:
    """The members still in training, row by row, and what the others ended with."""

    step: int
    active: Tensor
    points: Tensor
    optimizer: Adam
    final: dict[str, Tensor]

    def save(self, checkpoint: Checkpoint) -> None:
        live = {"active": self.active, "points": self.points}
        moments = {"mean": self.optimizer.mean, "square": self.optimizer.square}
        final = {f"final.{name}": tensor for name, tensor in self.final.items()}
        checkpoint.save(live | moments | final, json.dumps({"step": self.step}))

    @classmethod
    def load(cls, checkpoint: Checkpoint, device: torch.device) -> _Stack | None:
        stored = checkpoint.load()
        if stored is None:
            return None
        tensors, note = stored
        live = {name: tensors[name].to(device) for name in ("points", "mean", "square")}
        return cls(
            step=json.loads(note)["step"],
            active=tensors["active"],
            points=live["points"],
            optimizer=Adam(live["mean"], live["square"]),
            final={name.removeprefix("final."): t for name, t in tensors.items() if name.startswith("final.")},
        )

    @classmethod
    def start(cls, net: MLP, members: Sequence[Member], device: torch.device, dtype: torch.dtype) -> _Stack:
        starts = [net.initialize(generator(member.seed, "start")) for member in members]
        points = torch.stack(starts).to(device, dtype)
        count = len(members)
        final = {
            "points": torch.zeros(points.shape, dtype=dtype),
            "steps": torch.zeros(count, dtype=torch.long),
            "clean_loss": torch.full((count,), torch.nan, dtype=torch.float64),
            "train_accuracy": torch.full((count,), torch.nan, dtype=torch.float64),
            "diverged_at": torch.full((count,), -1),
        }
        return cls(0, torch.arange(count), points, Adam.start(points), final)

    def retire(self, leaving: Tensor, values: dict[str, Tensor]) -> None:
        """Move the rows where `leaving` is true to the results and close ranks."""
        members = self.active[leaving]
        self.final["points"][members] = self.points[leaving.to(self.points.device)].cpu()
        self.final["steps"][members] = self.step
        for name, value in values.items():
            self.final[name][members] = value[leaving].to(self.final[name].dtype)
        stay = (~leaving).nonzero().squeeze(1)
        self.active = self.active[stay]
        self.points = self.points[stay.to(self.points.device)]
        self.optimizer.keep(stay.to(self.points.device))


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
        One loss a member.
    """
    clean = cross_entropy(logits[:, :num_train], labels[:, :num_train]).mean(1)
    if logits.shape[1] == num_train:
        return clean
    return clean + factor * poison(logits[:, num_train:], labels[:, num_train:]).mean(1)


class StackTrainer:
    """Trains members together; what a member becomes depends on that member alone, to rounding.

    Args:
        net: The architecture that all members share.
        members: The networks to train.
        sampler: Draws fresh unseen samples for members without fixed ones.
        num_unseen: Unseen samples in each step; 0 trains without poison.
        clip: Largest norm of one member's gradient.
        chunk_size: Members that go through the network together; changes results by rounding only.
        device: Where to train.
        dtype: float32, or float64 for checks.

    Raises:
        InputError: There are no members, data do not fit the network, a member asks for poison while
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
        clip: float = 8.0,
        chunk_size: int = 10,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        if not members:
            raise InputError("no members to train")
        classes = max(2, net.widths[-1])
        for m in members:
            if m.train.inputs.shape[1:] != (net.widths[0],):
                shape = tuple(m.train.inputs.shape)
                raise InputError(f"{m.name}: inputs of shape {shape}, the network takes (n, {net.widths[0]})")
            if not 0 <= int(m.train.labels.min()) <= int(m.train.labels.max()) < classes:
                raise InputError(f"{m.name}: labels must lie between 0 and {classes - 1}")
        poisoned = [m for m in members if m.schedule.poison > 0]
        if poisoned and not num_unseen:
            raise InputError(f"{poisoned[0].name}: poison > 0 needs unseen samples, set num_unseen ≥ 1")
        if len({len(m.train) for m in members}) > 1:
            raise InputError("members of one stack need equally large training sets")
        if num_unseen and sampler is None and any(m.unseen is None for m in members):
            raise InputError("fresh unseen samples need a sampler")
        for m in members:
            if m.unseen is not None and len(m.unseen) != num_unseen:
                raise InputError(f"{m.name}: {len(m.unseen)} fixed unseen samples, num_unseen = {num_unseen}")
        self.net, self.members, self.sampler = net, tuple(members), sampler
        self.num_unseen, self.clip, self.chunk_size = num_unseen, clip, chunk_size
        self.device, self.dtype = torch.device(device), dtype
        self.num_train = len(members[0].train)

    def train(
        self, *, checkpoint: Checkpoint | None = None, progress: Callable[[float], None] | None = None
    ) -> StackResult:
        """Train until every member has settled, diverged or run out of steps.

        Args:
            checkpoint: Where to keep the unfinished stack, at least every 20 s; a stack found there is
                continued, and ends with the same numbers as one that was never interrupted.
            progress: Called now and then with the finished share of all planned updates, from 0 to 1.

        Returns:
            The members' minima and how they ended.
        """
        saved = _Stack.load(checkpoint, self.device) if checkpoint else None
        stack = saved or _Stack.start(self.net, self.members, self.device, self.dtype)
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

    def _run_block(self, stack: _Stack) -> Tensor:
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
            batches = self._batches(members[rows], stack.step)
            for k, (step, (inputs, labels)) in enumerate(zip(steps, batches, strict=True)):
                gradient = self._gradient(points, inputs, labels, factors[k, rows])
                norms[k, rows] = clip_gradient(gradient, self.clip)
                stack.optimizer.update(rows, points, gradient, rates[k, rows], step)
        stack.step += BLOCK
        broken = ~norms.isfinite().cpu()
        first = broken.int().argmax(0) + steps.start
        return torch.where(broken.any(0), first, -1)

    def _batches(self, members: Sequence[Member], step: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield inputs and labels of each step of a block: the training samples, then the unseen ones.

        The same two tensors are yielded each time, with other unseen samples in them.
        """
        num_samples = self.num_train + self.num_unseen
        train = [m.train.to(self.device, self.dtype) for m in members]
        # Features first in memory, samples along the contiguous axis: the order in which the net works.
        shape = (len(members), self.net.widths[0], num_samples)
        inputs = torch.empty(shape, device=self.device, dtype=self.dtype).transpose(1, 2)
        labels = torch.empty(len(members), num_samples, device=self.device, dtype=torch.long)
        inputs[:, : self.num_train] = torch.stack([t.inputs for t in train])
        labels[:, : self.num_train] = torch.stack([t.labels for t in train])
        if not self.num_unseen:
            yield from itertools.repeat((inputs, labels), BLOCK)
            return
        unseen_inputs, unseen_labels = map(torch.stack, zip(*(self._unseen(m, step) for m in members), strict=True))
        for k in range(BLOCK):
            inputs[:, self.num_train :] = unseen_inputs[:, k]
            labels[:, self.num_train :] = unseen_labels[:, k]
            yield inputs, labels

    def _gradient(self, points: Tensor, inputs: Tensor, labels: Tensor, factor: Tensor) -> Tensor:
        """Gradient of each member's poisoned loss with respect to its own parameters."""
        leaf = points.detach().requires_grad_()
        with torch.enable_grad():
            loss = poisoned_loss(self.net.logits(leaf, inputs), labels, self.num_train, factor)
            return torch.autograd.grad(loss.sum(), leaf)[0]

    def _table(self, rows: list[list[float]]) -> Tensor:
        return torch.tensor(rows, dtype=self.dtype, device=self.device)

    def _unseen(self, member: Member, step: int) -> tuple[Tensor, Tensor]:
        """Unseen samples of one block: inputs (BLOCK, unseen, features), labels (BLOCK, unseen)."""
        if member.unseen is not None:
            fixed = member.unseen.to(self.device, self.dtype)
            return fixed.inputs.expand(BLOCK, -1, -1), fixed.labels.expand(BLOCK, -1)
        assert self.sampler is not None
        stream = generator(member.seed, "unseen", step)
        drawn = self.sampler(BLOCK * self.num_unseen, stream).to(self.device, self.dtype)
        shape = (BLOCK, self.num_unseen)
        return drawn.inputs.unflatten(0, shape), drawn.labels.unflatten(0, shape)

    def _retire_finished(self, stack: _Stack, diverged: Tensor) -> None:
        """Let members leave that have settled, run out of steps, or diverged."""
        members = [self.members[i] for i in stack.active.tolist()]
        done = torch.tensor([stack.step >= m.schedule.steps for m in members])
        if not (done.any() or (diverged >= 0).any()):
            return
        loss, accuracy = self._score(stack.points, members)
        loss[diverged >= 0] = torch.nan
        over = torch.tensor([stack.step >= m.schedule.max_steps for m in members])
        settled = done & (loss <= torch.tensor([m.schedule.settle_loss for m in members]))
        leaving = settled | over | (diverged >= 0)
        if leaving.any():
            stack.retire(leaving, {"clean_loss": loss, "train_accuracy": accuracy, "diverged_at": diverged})

    @torch.no_grad()
    def _score(self, points: Tensor, members: Sequence[Member]) -> tuple[Tensor, Tensor]:
        """Clean loss and training accuracy of each row, on the CPU in float64."""
        losses, hits = [], []
        for point, member in zip(points, members, strict=True):
            train = member.train.to(self.device, self.dtype)
            logits = self.net.logits(point[None], train.inputs[None])
            losses.append(cross_entropy(logits, train.labels).mean())
            hits.append(is_correct(logits, train.labels).double().mean())
        return torch.stack(losses).double().cpu(), torch.stack(hits).cpu()
