"""Configuration and presets of the swiss-roll experiment."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Literal

from basinscope.experiments.minima import MinimaConfig


@dataclass(frozen=True, kw_only=True)
class Config(MinimaConfig):
    """Settings of the swiss-roll experiment; the defaults are the preset `quick`."""

    NAME: ClassVar[str] = "swissroll"

    seed: int = 0
    """Seed of initial weights, unseen samples and directions."""
    data_seed: int | None = None
    """Draw of the training points; none takes the published one."""
    runs: int = 10
    poisons: tuple[float, ...] = (0.0, 0.005, 0.02, 0.05, 0.1, 0.3)
    steps: int = 12_000
    """Training steps for every poison factor except the largest."""
    worst_steps: int = 60_000
    """Training steps for the largest poison factor."""
    unseen_per_step: int = 400
    """Unseen samples drawn afresh in each poisoned step."""
    learning_rate: float = 0.01
    """Peak learning rate of Adam."""
    decay: Literal["cosine", "tenfold"] = "cosine"
    """Learning-rate schedule."""
    warmup: float = 0.04
    """Fraction of the steps over which the learning rate rises; warm-up leaves fewer dead units."""
    settle_ratio: float = 0.1
    clip: float = 8.0
    """Gradient clipping threshold (norm) per network."""
    num_dense: int = 10_000
    """Fresh points on which generalisation is measured."""
    num_directions: int = 3_000
    """Random directions per network for radius and mean curvature."""
    num_scanned: int = 30
    num_lines: int = 16
    line_extent: float = 1.0
    """Length of the lines, in filter norms; the first point is at 1e-4 of it."""
    line_points: int = 81
    """Points on each of these lines, evenly spaced on a log scale."""
    slice_extent: float = 0.3
    """Half the side length of the large slice, in filter norms."""
    inset_extent: float = 0.03
    """Half the side length of the small slice, in filter norms."""
    slice_resolution: int = 51
    """Points along each side of a slice."""
    boundary_resolution: int = 500
    """Points along each side of a decision-boundary plot."""
    frame_extent: float = 0.3
    """Largest distance in the animation, in filter norms."""
    num_frames: int = 31
    """Frames of the animation outwards; it returns through the same frames."""
    frame_resolution: int = 150
    """Points along each side of the animation's decision boundaries."""
    good_target: float = 0.98
    """Dense test accuracy that the good net should reach."""
    bad_target: float = 0.16
    """Dense test accuracy that the bad net should not exceed."""

    def __post_init__(self) -> None:
        self.check(
            at_least={
                "steps": 1,
                "worst_steps": 1,
                "unseen_per_step": 1,
                "num_dense": 4_000,
                "boundary_resolution": 2,
                "num_frames": 2,
                "frame_resolution": 2,
            },
            at_most={
                "num_dense": 10_000_000,
                "unseen_per_step": 100_000,
                "boundary_resolution": 5_000,
                "num_frames": 200,
                "frame_resolution": 500,
                "good_target": 1,
                "bad_target": 1,
            },
            positive=("clip", "inset_extent", "frame_extent"),
        )

    @property
    def data(self) -> str:
        """Name of the training points in claims and titles."""
        draw = "published draw" if self.data_seed is None else f"draw {self.data_seed}"
        return f"swiss roll, {draw}"

    def steps_of(self, poison: float) -> int:
        """Planned training steps for a poison factor."""
        return self.worst_steps if poison == self.poisons[-1] else self.steps


_QUICK = Config()
PRESETS = {
    "smoke": replace(
        _QUICK,
        runs=2,
        poisons=(0.0, 0.05, 0.3),
        steps=600,
        worst_steps=1_000,
        unseen_per_step=100,
        settle_loss=0.05,
        num_dense=4_000,
        num_directions=40,
        num_scanned=5,
        scaled_loss=0.01,
        num_lines=3,
        line_points=21,
        slice_resolution=11,
        boundary_resolution=60,
        num_frames=4,
        frame_resolution=30,
    ),
    "quick": _QUICK,
    "paper": replace(
        _QUICK,
        poisons=(0.0, 0.003, 0.006, 0.012, 0.025, 0.05, 0.1, 0.2, 0.4),
        steps=800_000,
        worst_steps=800_000,
        unseen_per_step=200,
        decay="tenfold",
        warmup=0.01,
        num_scanned=100,
        bad_target=0.08,
    ),
}
