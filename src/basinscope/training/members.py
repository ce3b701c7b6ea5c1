"""What is asked of each network of a stack, and what comes back."""

from __future__ import annotations

import math
from dataclasses import dataclass

from jaxtyping import Float, Int
from torch import Tensor

from basinscope.data.samples import Samples
from basinscope.errors import InputError
from basinscope.training.schedules import Schedule


@dataclass(frozen=True, kw_only=True)
class StopRule:
    """When a member may leave before its planned steps are done: as soon as all of this holds.

    It is looked at every 50 steps, and decides on nothing that a result is later judged by.
    """

    train_accuracy: float = 1.0
    """Smallest share of the training set that is right."""
    clean_loss: float = math.inf
    """Largest clean loss, in nats."""
    held_out: Samples | None = None
    """Samples neither trained on nor tested on; a set of its own for bad minima."""
    held_out_accuracy: float = 1.0
    """Largest share of the held-out samples that is right."""

    def __post_init__(self) -> None:
        for field in ("train_accuracy", "held_out_accuracy"):
            if not 0 <= getattr(self, field) <= 1:
                raise InputError(f"{field} = {getattr(self, field)} is out of range")


@dataclass(frozen=True, kw_only=True)
class Member:
    """One network of the stack."""

    name: str
    """What messages and results call it."""
    seed: int
    """Root of its own random streams: starting weights, order of batches and unseen samples."""
    schedule: Schedule
    """Its steps, rates, poison and settling."""
    train: Samples
    """Its training set; all members of a stack have equally many samples."""
    unseen: Samples | None = None
    """Its fixed unseen samples; `None` draws fresh ones at every step."""
    start: Float[Tensor, " params"] | None = None
    """Where it starts; `None` draws starting weights."""
    stop: StopRule | None = None
    """Lets it leave early."""


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
    recorded: Float[Tensor, "members records params"]
    """Parameters after each recorded number of updates; NaN where a member had left before."""
