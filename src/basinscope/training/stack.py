"""State of a stack during training, and its checkpoints."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from basinscope.models.mlp import MLP
from basinscope.seeds import generator
from basinscope.training.members import Member
from basinscope.training.optimizers import RowOptimizer

CHECKPOINT_SECONDS = 20.0
_STATE, _FINAL = "state.", "final."


@runtime_checkable
class Checkpoint(Protocol):
    """Storage for unfinished training; written atomically."""

    def load(self) -> tuple[dict[str, Tensor], str] | None:
        """Return the tensors and note saved last, or None."""
        ...

    def save(self, tensors: dict[str, Tensor], note: str) -> None:
        """Save `tensors` and `note`, replacing earlier ones."""
        ...


@dataclass
class Stack:
    """The members still in training, one per row, and the results of the others."""

    step: int
    active: Tensor
    """Index of the member in each row."""
    points: Tensor
    optimizer: RowOptimizer
    final: dict[str, Tensor]
    """The fields of a `StackResult`, on the CPU."""

    @classmethod
    def start(
        cls,
        net: MLP,
        members: Sequence[Member],
        optimizer: type[RowOptimizer],
        *,
        num_records: int,
        device: torch.device,
        dtype: torch.dtype,
    ) -> Stack:
        """Create a stack with every member at its initial weights."""
        starts = [net.initialize(generator(m.seed, "start")) if m.start is None else m.start for m in members]
        points = torch.stack([start.to(device, dtype) for start in starts])
        count, size = points.shape
        final = {
            "points": torch.zeros(points.shape, dtype=dtype),
            "steps": torch.zeros(count, dtype=torch.long),
            "clean_loss": torch.full((count,), torch.nan, dtype=torch.float64),
            "train_accuracy": torch.full((count,), torch.nan, dtype=torch.float64),
            "diverged_at": torch.full((count,), -1),
            "recorded": torch.full((count, num_records, size), torch.nan, dtype=dtype),
        }
        return cls(0, torch.arange(count), points, optimizer.start(points), final)

    def save(self, checkpoint: Checkpoint) -> None:
        """Save the complete state."""
        live = {"active": self.active, "points": self.points}
        state = {_STATE + name: tensor for name, tensor in self.optimizer.state.items()}
        final = {_FINAL + name: tensor for name, tensor in self.final.items()}
        checkpoint.save(live | state | final, json.dumps({"step": self.step}))

    @classmethod
    def load(cls, checkpoint: Checkpoint, optimizer: type[RowOptimizer], device: torch.device) -> Stack | None:
        """Load a saved stack; None if there is none."""
        stored = checkpoint.load()
        if stored is None:
            return None
        tensors, note = stored

        def named(prefix: str) -> dict[str, Tensor]:
            return {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}

        state = {name: tensor.to(device) for name, tensor in named(_STATE).items()}
        return cls(
            step=json.loads(note)["step"],
            active=tensors["active"],
            points=tensors["points"].to(device),
            optimizer=optimizer(state),
            final=named(_FINAL),
        )

    def retire(self, leaving: Tensor, values: dict[str, Tensor]) -> None:
        """Move the rows where `leaving` is true to the results and drop them from the stack."""
        members = self.active[leaving]
        self.final["points"][members] = self.points[leaving.to(self.points.device)].cpu()
        self.final["steps"][members] = self.step
        for name, value in values.items():
            self.final[name][members] = value[leaving].to(self.final[name].dtype)
        stay = (~leaving).nonzero().squeeze(1)
        self.active = self.active[stay]
        self.points = self.points[stay.to(self.points.device)]
        self.optimizer.keep(stay.to(self.points.device))
