"""Schedules of learning rate and poison factor."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from basinscope.errors import InputError, check_choice


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """Learning rate and poison factor of one training run, as functions of the step.

    After `steps`, the rate stays at its floor while the poison keeps falling: the settle phase lasts until the clean
    loss is small or `max_steps` is reached.
    """

    steps: int
    """Planned number of steps."""
    learning_rate: float
    """Highest learning rate."""
    poison: float = 0.0
    """Poison factor β before settling; 0 is ordinary training."""
    decay: Literal["cosine", "tenfold", "steps", "constant"] = "cosine"
    """`cosine` falls smoothly to the floor; `tenfold` divides by ten at each third of the steps, `steps` at each of
    the `milestones`."""
    milestones: tuple[float, ...] = (0.4, 0.6, 0.8)
    """Fractions of the planned steps at which the decay `steps` divides the rate by ten."""
    rate_floor: float = 0.005
    """Lowest learning rate as a fraction of the highest."""
    warmup: float = 0.0
    """Fraction of the planned steps over which the learning rate ramps up linearly."""
    settle_from: float = 0.6
    """Fraction of the planned steps after which β starts to fall."""
    settle_ratio: float = 0.05
    """β after the planned steps, as a fraction of β before settling."""
    settle_loss: float = 0.005
    """Clean loss, in nats, at or below which a run stops after its planned steps."""
    patience: float = 0.5
    """Longest settle phase, as a fraction of `steps`."""

    def __post_init__(self) -> None:
        check_choice("decay", self.decay, ("cosine", "tenfold", "steps", "constant"))
        bounds = {
            "steps": self.steps >= 1,
            "learning_rate": self.learning_rate > 0,
            "poison": self.poison >= 0,
            "warmup": 0 <= self.warmup < 1,
            "settle_from": 0 <= self.settle_from < 1,
            "settle_ratio": 0 < self.settle_ratio <= 1,
            "milestones": all(0 < share < 1 for share in self.milestones),
        }
        for field, holds in bounds.items():
            if not holds:
                raise InputError(f"{field} = {getattr(self, field)} is out of range")

    @property
    def max_steps(self) -> int:
        """Number of steps after which the run ends even if its clean loss has not settled."""
        return self.steps + math.ceil(self.patience * self.steps)

    def rate_at(self, step: int) -> float:
        """Learning rate of the update that follows `step` finished updates."""
        course = min(1.0, step / self.steps)
        rise = min(1.0, (step + 1) / (self.warmup * self.steps)) if self.warmup else 1.0
        if self.decay == "constant":
            return rise * self.learning_rate
        if self.decay == "steps":
            return rise * self.learning_rate * 10.0 ** -sum(course >= share for share in self.milestones)
        if self.decay == "cosine":
            fall = 0.5 * (1 + math.cos(math.pi * course))
            return rise * self.learning_rate * (self.rate_floor + (1 - self.rate_floor) * fall)
        return rise * self.learning_rate * max(self.rate_floor, 10.0 ** -min(2, math.floor(3 * course)))

    def poison_at(self, step: int) -> float:
        """Poison factor of the update that follows `step` finished updates."""
        settled = (step / self.steps - self.settle_from) / (1 - self.settle_from)
        return self.poison * self.settle_ratio ** max(0.0, settled)
