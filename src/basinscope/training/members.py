"""Specification of the networks of a stack, and the result of training it."""

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
    """Early stopping of a member: it stops as soon as all conditions hold.

    They are checked every 50 steps, and use no data on which results are later evaluated.
    """

    train_accuracy: float = 1.0
    """Smallest training accuracy."""
    clean_loss: float = math.inf
    """Largest clean loss, in nats."""
    held_out: Samples | None = None
    """Samples used neither for training nor for testing; for bad minima."""
    held_out_accuracy: float = 1.0
    """Largest accuracy on the held-out samples."""

    def __post_init__(self) -> None:
        for field in ("train_accuracy", "held_out_accuracy"):
            if not 0 <= getattr(self, field) <= 1:
                raise InputError(f"{field} = {getattr(self, field)} is out of range")


@dataclass(frozen=True, kw_only=True)
class Member:
    """One network of the stack."""

    name: str
    """Its name in messages and results."""
    seed: int
    """Root seed of its random streams: initial weights, order of batches and unseen samples."""
    schedule: Schedule
    """Its steps, rates, poison and settling."""
    train: Samples
    """Its training set; all members of a stack have equally many samples."""
    unseen: Samples | None = None
    """Its fixed unseen samples; `None` draws fresh ones at every step."""
    start: Float[Tensor, " params"] | None = None
    """Initial weights; `None` draws them."""
    stop: StopRule | None = None
    """When it may stop early."""


@dataclass(frozen=True, kw_only=True)
class StackResult:
    """Result of training a stack, members in the order given."""

    points: Float[Tensor, "members params"]
    """Final parameters, on the CPU."""
    steps: Int[Tensor, " members"]
    """Updates each member made."""
    clean_loss: Float[Tensor, " members"]
    """Mean cross-entropy on the member's training set, in nats; NaN for a member that diverged."""
    train_accuracy: Float[Tensor, " members"]
    """Fraction of the training set classified correctly."""
    diverged_at: Int[Tensor, " members"]
    """Step at which the gradient became non-finite; −1 if it never did."""
    recorded: Float[Tensor, "members records params"]
    """Parameters after each recorded number of updates; NaN if a member had stopped before."""
