"""Trains one network on images, with or without poison; interrupted runs resume exactly."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from basinscope.data.images import Images, ImageTask
from basinscope.errors import InputError, TrainingDivergedError, check_choice
from basinscope.losses import cross_entropy, is_correct, poison
from basinscope.memory import told_of_memory
from basinscope.models.catalog import initialize
from basinscope.seeds import generator
from basinscope.training.optimizer_state import pack_state, unpack
from basinscope.training.schedules import Schedule
from basinscope.training.stack import CHECKPOINT_SECONDS, Checkpoint
from basinscope.training.torch_optimizers import TORCH_OPTIMIZERS

SCORING_BATCH = 250
_MODEL, _OPTIMIZER = "model/", "optimizer/"


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How one network is trained."""

    schedule: Schedule
    """Its updates, rates, poison and settling."""
    optimizer: str = "momentum"
    """A key of `TORCH_OPTIMIZERS`. Full-batch optimizers make one update per epoch."""
    batch_size: int = 125
    """Training images in each update, reshuffled in each epoch; the last update takes the rest."""
    num_unseen: int = 0
    """Unseen images in each update of a poisoned run, in one forward pass with the training images."""
    clip: float = math.inf
    """Largest norm of the gradient."""
    record_every: int = 0
    """Epochs between evaluations of training and test accuracy; 0 evaluates only at the end."""

    def __post_init__(self) -> None:
        check_choice("optimizer", self.optimizer, tuple(TORCH_OPTIMIZERS))
        if self.batch_size < 1:
            raise InputError(f"batch_size = {self.batch_size}: must be at least 1")
        if self.schedule.poison > 0 and self.num_unseen < 1:
            raise InputError("poison > 0 needs unseen images: set num_unseen ≥ 1")
        if self.schedule.poison > 0 and self.full_batch:
            raise InputError(f"poison > 0 with {self.optimizer}: full-batch optimizers train without poison")

    @property
    def full_batch(self) -> bool:
        """Whether each update uses the whole training set."""
        return TORCH_OPTIMIZERS[self.optimizer].full_batch

    def updates_per_epoch(self, num_train: int) -> int:
        """Updates in one pass over the training set."""
        return 1 if self.full_batch else math.ceil(num_train / self.batch_size)


@dataclass
class History:
    """Evaluations of a network during training, one entry each."""

    epoch: list[float] = field(default_factory=list)
    clean_loss: list[float] = field(default_factory=list)
    train_accuracy: list[float] = field(default_factory=list)
    test_accuracy: list[float] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class SingleResult:
    """Result of training one network."""

    state: dict[str, Tensor]
    """Parameters and buffers by name, on the CPU, for `nn.Module.load_state_dict`."""
    steps: int
    """Updates made."""
    clean_loss: float
    """Mean cross-entropy on the training set in nats, in eval mode."""
    train_accuracy: float
    test_accuracy: float
    history: History


@torch.no_grad()
def score(model: nn.Module, images: Images, *, batch_size: int = SCORING_BATCH) -> tuple[float, float]:
    """Compute mean cross-entropy in nats and accuracy in eval mode; the mode is restored."""
    was_training = model.training
    model.eval()
    loss, hits = 0.0, 0
    for start in range(0, len(images), batch_size):
        where = slice(start, start + batch_size)
        logits, labels = model(images.inputs(where)).float(), images.labels[where]
        loss += float(cross_entropy(logits, labels).double().sum())
        hits += int(is_correct(logits, labels).sum())
    model.train(was_training)
    return loss / len(images), hits / len(images)


class SingleTrainer:
    """Trains one network; the result depends only on its seed, its data and its recipe.

    Args:
        model: The network; its parameters and buffers are initialised from the seed.
        task: Training, unseen and test images; the test images are only evaluated, never trained on.
        recipe: How to train.
        seed: Root seed of its random streams: initial weights, order of batches, unseen images.
        name: Its name in messages.
        device: Device to train on. On a GPU, forward passes run in bfloat16 where that is safe (autocast).

    Raises:
        InputError: The network does not output one logit for each class, or poison has no unseen images.

    References:
        Huang et al. 2019, arXiv 1906.03291, section 4 (poisoned training).
    """

    def __init__(
        self,
        model: nn.Module,
        task: ImageTask,
        recipe: Recipe,
        *,
        seed: int,
        name: str = "the network",
        device: torch.device | str = "cpu",
    ) -> None:
        self.device, self.recipe, self.seed, self.name = torch.device(device), recipe, seed, name
        if recipe.schedule.poison > 0 and not len(task.unseen):
            raise InputError(f"{name}: poison > 0, but the data contain no unseen images")
        self.task = task.to(self.device)
        initialize(model, generator(seed, "start"))
        # Full-batch optimizers flatten gradients, which channels-last tensors do not allow.
        layout = torch.contiguous_format if recipe.full_batch else torch.channels_last
        self.model = model.to(self.device, memory_format=layout).train()  # pyright: ignore[reportCallIssue]
        row = TORCH_OPTIMIZERS[recipe.optimizer]
        self.optimizer = row.make(self.model, recipe.schedule.learning_rate)
        self.step, self.history = 0, History()
        self._first_bad = torch.full((), math.inf, device=self.device)
        with torch.no_grad():
            shape = tuple(self.model.eval()(self.task.train.inputs(slice(0, 1))).shape)
            self.model.train()
        if shape != (1, task.train.num_classes):
            raise InputError(
                f"{name}: outputs shape {shape} for one image, the data have {task.train.num_classes} classes"
            )

    def train(
        self, *, checkpoint: Checkpoint | None = None, progress: Callable[[float], None] | None = None
    ) -> SingleResult:
        """Train to the end of the recipe.

        Args:
            checkpoint: Storage for unfinished training, saved about every 20 s; training saved there is resumed, with
                the same results as without interruption.
            progress: Called after each update with the finished share of the planned updates, from 0 to 1.

        Returns:
            The minimum and its training history.

        Raises:
            InputError: Memory runs out.
            TrainingDivergedError: The loss became NaN or infinite; the message names the network and the update. The
                checkpoint of the last finite state remains.
        """
        if checkpoint is not None and (saved := checkpoint.load()) is not None:
            self._restore(*saved)
        with told_of_memory(f"training {self.name}", "batch_size"):
            return self._train(checkpoint, progress)

    def _train(self, checkpoint: Checkpoint | None, progress: Callable[[float], None] | None) -> SingleResult:
        schedule, num_train = self.recipe.schedule, len(self.task.train)
        in_epoch = self.recipe.updates_per_epoch(num_train)
        saved = time.monotonic()
        while not self._is_over(in_epoch):
            for inputs, labels in self._batches(self.step // in_epoch, self.step % in_epoch):
                self._update(inputs, labels)
                if time.monotonic() - saved > CHECKPOINT_SECONDS:
                    self._check_divergence(checkpoint)
                    if checkpoint:
                        self._save(checkpoint)
                    saved = time.monotonic()
                if progress:
                    progress(min(1.0, self.step / schedule.steps))
            self._check_divergence(checkpoint)
        self._evaluate(self.step / in_epoch)
        self._check_divergence(checkpoint)
        return self._result()

    def _is_over(self, in_epoch: int) -> bool:
        """Evaluate if due; return whether training is done and, after poison, the loss has settled."""
        # Both happen at the end of an epoch: an interrupted epoch is finished first.
        if self.step % in_epoch:
            return False
        schedule, every, epoch = self.recipe.schedule, self.recipe.record_every, self.step // in_epoch
        if epoch == 0 or (every and epoch % every == 0):
            self._evaluate(epoch)
        if self.step < schedule.steps:
            return False
        if self.step >= schedule.max_steps or schedule.poison == 0:
            return True
        self._evaluate(epoch)
        return self.history.clean_loss[-1] <= schedule.settle_loss

    def _batches(self, epoch: int, skip: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the batches of an epoch from number `skip` on: training images, then unseen ones."""
        train, unseen, recipe = self.task.train, self.task.unseen, self.recipe
        if recipe.full_batch:
            yield torch.empty(0), torch.empty(0)
            return
        order = torch.randperm(len(train), generator=generator(self.seed, "order", epoch)).to(self.device)
        num_unseen = recipe.num_unseen if recipe.schedule.poison > 0 else 0
        num_updates = recipe.updates_per_epoch(len(train))
        stream = generator(self.seed, "unseen", epoch)
        drawn = torch.randint(max(1, len(unseen)), (num_updates, num_unseen), generator=stream).to(self.device)
        for k in range(skip, num_updates):
            rows = order[k * recipe.batch_size : (k + 1) * recipe.batch_size]
            inputs, labels = train.inputs(rows), train.labels[rows]
            if num_unseen:
                inputs = torch.cat([inputs, unseen.inputs(drawn[k])])
                labels = torch.cat([labels, unseen.labels[drawn[k]]])
            yield inputs.contiguous(memory_format=torch.channels_last), labels

    def _update(self, inputs: Tensor, labels: Tensor) -> None:
        """Make one update."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.recipe.schedule.rate_at(self.step)
        if self.recipe.full_batch:
            # Torch annotates the closure as returning a number; its optimizers take a tensor.
            closure: Any = self._whole_gradient
            loss = torch.as_tensor(self.optimizer.step(closure), device=self.device)
        else:
            num_unseen = self.recipe.num_unseen if self.recipe.schedule.poison > 0 else 0
            num_train = len(labels) - num_unseen
            self.optimizer.zero_grad(set_to_none=True)
            logits = self._forward(inputs)
            loss = cross_entropy(logits[:num_train], labels[:num_train]).mean()
            if num_unseen:
                factor = self.recipe.schedule.poison_at(self.step)
                loss = loss + factor * poison(logits[num_train:], labels[num_train:]).mean()
            loss.backward()
            self._clip()
            self.optimizer.step()
        bad = torch.where(loss.detach().isfinite(), math.inf, float(self.step))
        self._first_bad = torch.minimum(self._first_bad, bad)
        self.step += 1

    def _forward(self, inputs: Tensor) -> Tensor:
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda"):
            return self.model(inputs).float()

    def _whole_gradient(self) -> Float[Tensor, ""]:
        """Set the gradient of the mean loss over the whole training set, batch by batch; return the loss."""
        self.optimizer.zero_grad(set_to_none=True)
        train, total = self.task.train, torch.zeros((), device=self.device)
        for start in range(0, len(train), self.recipe.batch_size):
            where = slice(start, start + self.recipe.batch_size)
            loss = cross_entropy(self._forward(train.inputs(where)), train.labels[where]).sum() / len(train)
            loss.backward()
            total += loss.detach()
        self._clip()
        return total

    def _clip(self) -> None:
        if math.isfinite(self.recipe.clip):
            nn.utils.clip_grad_norm_(self.model.parameters(), self.recipe.clip)

    @torch.no_grad()
    def _recompute_statistics(self) -> None:
        """Recompute BatchNorm's running statistics for the current weights, as means over the training set's batches.

        A full-batch optimizer leaves the statistics of the last point that its line search tried.
        """
        layers = [layer for layer in self.model.modules() if isinstance(layer, nn.modules.batchnorm._BatchNorm)]
        momenta = [layer.momentum for layer in layers]
        for layer in layers:
            layer.reset_running_stats()
            layer.momentum = None
        train = self.task.train
        for start in range(0, len(train), self.recipe.batch_size):
            self.model(train.inputs(slice(start, start + self.recipe.batch_size)))
        for layer, momentum in zip(layers, momenta, strict=True):
            layer.momentum = momentum

    def _evaluate(self, epoch: float) -> None:
        """Record loss and accuracies on training and test set, once per epoch."""
        if self.history.epoch and self.history.epoch[-1] == epoch:
            return
        if self.recipe.full_batch and self.step:
            self._recompute_statistics()
        loss, train_accuracy = score(self.model, self.task.train)
        _, test_accuracy = score(self.model, self.task.test)
        entry = (epoch, loss, train_accuracy, test_accuracy)
        for values, value in zip(vars(self.history).values(), entry, strict=True):
            values.append(value)

    def _check_divergence(self, checkpoint: Checkpoint | None) -> None:
        """Raise if the loss was not finite since the last check, or cannot be finite at the next update."""
        first = float(self._first_bad)
        if math.isinf(first):
            if self._is_sound():
                return
            first = self.step
        note = ""
        if checkpoint is not None and (saved := checkpoint.load()) is not None:
            note = f"; the checkpoint of update {json.loads(saved[1])['step']} is kept"
        raise TrainingDivergedError(
            f"{self.name}: the loss is not finite at update {int(first)}{note}; lower the learning rate and run again"
        )

    def _is_sound(self) -> bool:
        """Whether all parameters and the latest clean loss are finite."""
        finite = torch.stack([parameter.isfinite().all() for parameter in self.model.parameters()])
        return bool(finite.all()) and all(map(math.isfinite, self.history.clean_loss[-1:]))

    def _save(self, checkpoint: Checkpoint) -> None:
        tensors, note = pack_state(self.optimizer)
        whole = {_MODEL + name: tensor for name, tensor in self.model.state_dict().items()}
        whole |= {_OPTIMIZER + name: tensor for name, tensor in tensors.items()}
        whole["random"] = torch.get_rng_state()
        facts = {"step": self.step, "history": vars(self.history), "optimizer": note}
        checkpoint.save(whole, json.dumps(facts))

    def _restore(self, tensors: dict[str, Tensor], note: str) -> None:
        facts = json.loads(note)
        self.step, self.history = facts["step"], History(**facts["history"])
        self.model.load_state_dict(_below(tensors, _MODEL))
        unpack(self.optimizer, _below(tensors, _OPTIMIZER), facts["optimizer"])
        torch.set_rng_state(tensors["random"])

    def _result(self) -> SingleResult:
        return SingleResult(
            state={
                name: tensor.detach().cpu().clone().contiguous() for name, tensor in self.model.state_dict().items()
            },
            steps=self.step,
            clean_loss=self.history.clean_loss[-1],
            train_accuracy=self.history.train_accuracy[-1],
            test_accuracy=self.history.test_accuracy[-1],
            history=self.history,
        )


def _below(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
