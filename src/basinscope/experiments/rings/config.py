"""Configuration and presets of the rings experiment."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from basinscope.errors import InputError
from basinscope.experiments.configuration import ExperimentConfig
from basinscope.experiments.ranges import check_ranges


@dataclass(frozen=True, kw_only=True)
class Config(ExperimentConfig):
    """Settings of the rings experiment; the defaults are the preset `quick`."""

    NAME: ClassVar[str] = "rings"

    seed: int = 0
    """Seed of initial weights, data order and directions."""
    data_seed: int | None = None
    """Must be none: the rings have no randomness."""
    gaps: tuple[float, ...] = (0.3, 0.1, 0.03, 0.01, 0.003, 0.001)
    """Gaps between the inner and the middle ring, descending."""
    starts: int = 10
    """Random starts at each gap."""
    steps: int = 10_000
    """Full-batch steps of Adam."""
    learning_rate: float = 1e-3
    """Learning rate of Adam."""
    stop_loss: float = 1e-3
    """Clean loss in nats at which a net that fits all points stops; 0 runs all steps."""
    circle_starts: int = 3
    """Nets trained to a circle by closing the gap in stages."""
    circle_factor: float = 0.7
    """Ratio of the gap of each stage to that of the previous one."""
    circle_dense: int = 1_000
    """Additional training points on each of the two inner rings in a stage."""
    circle_batch: int = 400
    """Batch size in a stage."""
    circle_steps: int = 3_000
    """Largest number of steps per stage; the rate has cosine decay and scales with the square root of the gap."""
    circle_loss: float = 0.005
    """Clean loss in nats, over all training points of a stage, at which the next stage begins."""
    compared_loss: float = 0.01
    """Largest clean loss in nats, on the 130 points, of a compared net."""
    cutoff: float = 0.1
    """Clean loss in nats that bounds a basin."""
    num_directions: int = 500
    """Random directions per compared net for radius and mean curvature."""
    scaled_loss: float = 1e-3
    """Clean loss in nats to which last layers are scaled for the second comparison."""
    num_scanned: int = 10
    """Directions per compared net scanned finely for an earlier crossing."""
    held_share: float = 0.99
    """Share of each inner ring that must be classified correctly for a circle."""
    num_dense: int = 4_000
    """Points on each ring for measuring that share."""
    boundary_resolution: int = 400
    """Points along each side of a decision-boundary plot."""
    picture_resolution: int = 96
    """Points along each side of the thumbnails, one per net."""

    def __post_init__(self) -> None:
        check_ranges(
            self.NAME,
            self,
            at_least={
                "seed": 0,
                "starts": 1,
                "steps": 1,
                "stop_loss": 0,
                "circle_starts": 1,
                "circle_factor": 0.1,
                "circle_dense": 10,
                "circle_batch": 1,
                "circle_steps": 1,
                "num_directions": 2,
                "num_scanned": 0,
                "num_dense": 100,
                "boundary_resolution": 2,
                "picture_resolution": 2,
            },
            at_most={
                "starts": 1_000,
                "circle_starts": 100,
                "circle_factor": 0.9,
                "circle_dense": 100_000,
                "num_directions": 20_000,
                "held_share": 1,
                "num_dense": 1_000_000,
                "boundary_resolution": 5_000,
                "picture_resolution": 500,
            },
            positive=("learning_rate", "circle_loss", "compared_loss", "cutoff", "scaled_loss"),
        )
        if self.data_seed is not None:
            raise InputError(f"rings.data_seed = {self.data_seed}: the rings have no randomness; leave --data-seed out")
        falling = all(a > b for a, b in zip(self.gaps, self.gaps[1:], strict=False))
        if len(self.gaps) < 2 or not falling or self.gaps[-1] <= 0 or self.gaps[0] >= 0.5:
            raise InputError(f"rings.gaps = {self.gaps}: must fall from below 0.5 to above 0, with at least two gaps")
        if self.scaled_loss >= self.cutoff or self.compared_loss >= self.cutoff:
            raise InputError(f"rings.cutoff = {self.cutoff}: must be above scaled_loss and compared_loss")

    @property
    def stages(self) -> tuple[float, ...]:
        """Gaps of the stages that lead to a circle, from the widest to the narrowest."""
        gaps = [self.gaps[0]]
        while gaps[-1] * self.circle_factor > self.gaps[-1]:
            gaps.append(gaps[-1] * self.circle_factor)
        return (*gaps, self.gaps[-1])

    @property
    def data(self) -> str:
        """Name of the training points in claims and titles."""
        return "concentric rings"


_QUICK = Config()
PRESETS = {
    "smoke": replace(
        _QUICK,
        gaps=(0.3, 0.05),
        starts=2,
        circle_starts=1,
        circle_factor=0.4,
        circle_dense=100,
        circle_batch=200,
        circle_steps=200,
        num_directions=20,
        num_scanned=2,
        num_dense=500,
        boundary_resolution=60,
        picture_resolution=24,
    ),
    "quick": _QUICK,
    "paper": replace(
        _QUICK,
        gaps=(0.3, 0.2, 0.1, 0.05, 0.03, 0.02, 0.01, 0.005, 0.003, 0.002, 0.001),
        stop_loss=0.0,
        circle_starts=10,
        num_directions=3_000,
        num_scanned=30,
    ),
}
