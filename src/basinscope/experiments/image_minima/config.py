"""Configuration and presets of the experiment `image_minima`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Literal

from basinscope.errors import check_choice
from basinscope.experiments.imaging import ImageConfig
from basinscope.experiments.minima import MinimaConfig
from basinscope.models.catalog import NETS


@dataclass(frozen=True, kw_only=True)
class Config(ImageConfig, MinimaConfig):
    """Settings of good and bad minima of image networks; the defaults are the preset `quick`."""

    NAME: ClassVar[str] = "image_minima"

    num_unseen: int = 20_000
    """Pool size from which unseen samples are drawn; a net memorizes wrong answers for a small pool."""
    net: str = "resnet8"
    """Network: resnet8, resnet14, resnet20 (pre-activation), resnet18 or vgg13."""
    width: float = 0.5
    """Factor on the network's channel counts."""
    runs: int = 2
    poisons: tuple[float, ...] = (0.0, 0.03, 1.0)
    epochs: float = 60.0
    """Epochs of an ordinary run."""
    poisoned_epochs: float = 70.0
    """Epochs of a poisoned run."""
    batch_size: int = 125
    """Training images per update."""
    unseen_per_update: int = 125
    """Unseen images per update of a poisoned run."""
    learning_rate: float = 0.4
    """Peak learning rate of SGD with momentum 0.9; with so few images, low rates give only narrow minima."""
    decay: Literal["cosine", "tenfold", "steps", "constant"] = "cosine"
    """Learning-rate schedule; `steps` divides by ten at 40, 60 and 80 % of the steps."""
    settle_ratio: float = 0.01
    """β at the last planned step as a fraction of β before settling, which begins at 60 % of the steps."""
    settle_loss: float = 0.005
    """Clean loss in nats at which a poisoned network stops after its planned steps."""
    patience: float = 0.5
    """Additional settling time of a poisoned network, as a fraction of its planned steps."""
    tolerance: float = 0.01
    """Relative width of the bracket around a radius."""
    num_directions: int = 30
    directions_per_task: int = 10
    """Directions per measuring task; an interruption loses at most one task."""
    num_scanned: int = 1
    """Directions per network scanned at 20 points for an earlier crossing."""
    num_curvature: int = 8
    """Directions per network for the mean curvature, the first of those for the radius."""
    num_trace: int = 4
    """Directions for the trace divided by the number of weights."""
    evaluated_together: int = 125
    """Batch size of measurements."""
    slice_extent: float = 0.3
    """Half the side length of the 2-D slice and half the length of the 1-D slices, in filter norms."""
    slice_resolution: int = 17
    """Points along each side of the 2-D slice."""
    line_resolution: int = 41
    """Points along each 1-D slice."""
    num_lines: int = 20
    """Random lines per network in figure 7."""
    line_extent: float = 0.3
    """Length of these lines, in filter norms."""
    line_points: int = 21
    """Points on each of these lines."""
    num_examples: int = 8
    """Number of training images, and of test images, whose predictions are recorded along the 1-D slices."""
    line_ceiling: float = 1.0
    """Clean loss in nats at which such a line ends."""
    good_train: float = 0.99
    """Target training accuracy of good and bad nets."""
    bad_below: float = 0.4
    """Target for the lead of the good net's test accuracy over the bad nets'."""

    def __post_init__(self) -> None:
        check_choice(f"{self.NAME}.net", self.net, tuple(NETS))
        self.check(
            at_least={
                "batch_size": 2,
                "unseen_per_update": 1,
                "num_unseen": 1,
                "patience": 0,
                "directions_per_task": 2,
                "num_curvature": 2,
                "num_trace": 2,
                "evaluated_together": 1,
                "line_resolution": 3,
                "num_examples": 1,
            },
            at_most={
                "num_curvature": self.num_directions,
                "num_trace": self.num_curvature,
                "num_scanned": self.directions_per_task,
                "line_resolution": 10_001,
                "num_examples": 100,
                "width": 16,
                "tolerance": 0.5,
            },
            positive=("width", "epochs", "poisoned_epochs", "tolerance", "line_ceiling"),
        )

    def nets(self) -> tuple[tuple[str, float], ...]:
        """See `ImageConfig.nets`."""
        return ((self.net, self.width),)

    def shares(self) -> list[range]:
        """Directions of each measuring task."""
        starts = range(0, self.num_directions, self.directions_per_task)
        return [range(start, min(start + self.directions_per_task, self.num_directions)) for start in starts]


_QUICK = Config()
PRESETS = {
    "smoke": replace(
        _QUICK,
        num_train=60,
        num_unseen=100,
        num_test=100,
        width=0.5,
        runs=1,
        poisons=(0.0, 1.0),
        epochs=40.0,
        poisoned_epochs=60.0,
        batch_size=20,
        unseen_per_update=20,
        settle_loss=0.05,
        num_directions=4,
        directions_per_task=2,
        num_curvature=2,
        num_trace=2,
        scaled_loss=0.01,
        slice_resolution=5,
        line_resolution=5,
        num_lines=3,
        line_points=6,
    ),
    "quick": _QUICK,
    "laptop": replace(
        _QUICK,
        source="files",
        num_train=2_000,
        num_test=5_000,
        net="resnet20",
        epochs=30.0,
        poisoned_epochs=50.0,
        num_directions=50,
        num_curvature=6,
        num_trace=3,
        slice_resolution=13,
        line_resolution=21,
        num_lines=12,
        line_points=16,
    ),
    "paper": replace(
        _QUICK,
        source="files",
        num_train=None,
        num_unseen=200_000,
        learning_rate=0.1,
        num_test=None,
        net="resnet20",
        width=1.0,
        runs=4,
        poisons=(0.0, 0.05, 0.2, 0.5, 1.0),
        epochs=256.0,
        poisoned_epochs=256.0,
        batch_size=167,
        unseen_per_update=89,
        decay="steps",
        num_directions=3_000,
        directions_per_task=100,
        num_scanned=10,
        num_curvature=300,
        num_trace=100,
        evaluated_together=2_000,
        slice_resolution=51,
        line_resolution=101,
        num_lines=100,
    ),
}
