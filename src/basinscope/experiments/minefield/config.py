"""Configuration and presets of the minefield experiment."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Literal

from basinscope.errors import InputError
from basinscope.experiments.configuration import ExperimentConfig
from basinscope.experiments.ranges import check_data_seed, check_ranges


@dataclass(frozen=True, kw_only=True)
class Config(ExperimentConfig):
    """Settings of the minefield experiment; the defaults are the preset `quick`."""

    NAME: ClassVar[str] = "minefield"

    seed: int = 0
    """Seed of initial weights, data order, unseen samples and the map."""
    data_seed: int | None = None
    """Split of the 400 points; none takes the published one."""
    epochs: int = 2_000
    """Epochs of the good run."""
    learning_rate: float = 0.01
    """Learning rate of RMSprop in the good run."""
    l2: float = 0.001
    """Weight of the sum of squared weights in the good run's loss."""
    batch_size: int = 32
    """Batch size of the good run."""
    record_every: int = 10
    """Epochs between recorded iterates of the good run, starting at epoch 1."""
    final_epochs: int = 100
    """The good run ends at the first of its last `final_epochs` epochs that fits the training set."""
    other_starts: int = 20
    """Further good runs on the same split, for the spread."""
    other_splits: int = 20
    """Further good runs on other splits, one per split."""
    good_accuracy: float = 0.9
    """Minimum accuracy on fresh points for a minimum that fits the training set to count as good."""
    bad_starts: int = 120
    """Number of recorded iterates, evenly spread over the path, from which bad minima are searched."""
    poison: float = 0.2
    """Poison factor β of the search for bad minima."""
    unseen: Literal["fresh", "published"] = "fresh"
    """Unseen samples of the search: fresh points at each step, or the 134 published ones."""
    bad_optimizer: Literal["adam", "rmsprop"] = "adam"
    """Full-batch optimizer of the search: rmsprop at constant rate, or adam with cosine decay."""
    bad_learning_rate: float = 0.01
    """Peak learning rate of the search."""
    bad_steps: int = 14_000
    """Largest number of steps of the search."""
    clip: float = 8.0
    """Gradient clipping threshold (norm) per network in the search."""
    stop_accuracy: float = 0.6
    """The search stops once the training set is fitted and held-out accuracy is at most this; 0 never stops early."""
    num_held_out: int = 2_000
    """Held-out points for that stopping rule; accuracy is reported on others."""
    num_dense: int = 10_000
    """Fresh points for accuracies reported in addition to those on the 134 test points."""
    fitted: float = 0.99
    """Minimum training accuracy of a bad minimum."""
    bad_accuracy: float = 0.53
    """Upper bound of a bad minimum's test accuracy."""
    wanted: int = 100
    """Target number of bad minima."""
    perplexity: float = 30.0
    """Perplexity of the t-SNE map; at most a third of the mapped networks."""

    def __post_init__(self) -> None:
        check_ranges(
            self.NAME,
            self,
            at_least={
                "seed": 0,
                "epochs": 1,
                "batch_size": 1,
                "record_every": 1,
                "final_epochs": 0,
                "other_starts": 0,
                "other_splits": 0,
                "bad_starts": 1,
                "bad_steps": 1,
                "num_held_out": 100,
                "num_dense": 4_000,
                "wanted": 1,
                "l2": 0,
                "poison": 0,
                "stop_accuracy": 0,
                "perplexity": 1,
            },
            at_most={
                "epochs": 100_000,
                "other_starts": 1_000,
                "other_splits": 1_000,
                "num_held_out": 1_000_000,
                "num_dense": 1_000_000,
                "good_accuracy": 1,
                "stop_accuracy": 1,
                "fitted": 1,
                "bad_accuracy": 1,
            },
            positive=("learning_rate", "bad_learning_rate", "clip"),
        )
        check_data_seed(self.NAME, self.data_seed)
        if self.final_epochs > self.epochs:
            raise InputError(f"minefield.final_epochs = {self.final_epochs}: must be at most epochs = {self.epochs}")
        if self.bad_starts > len(self.recorded_epochs):
            raise InputError(
                f"minefield.bad_starts = {self.bad_starts}: only {len(self.recorded_epochs)} iterates are recorded"
            )

    @property
    def recorded_epochs(self) -> range:
        """Epochs after which the good run's iterate is recorded: 1, 11, 21, … ."""
        return range(1, self.epochs + 1, self.record_every)

    @property
    def start_epochs(self) -> list[int]:
        """Recorded epochs, evenly spread, from which bad minima are searched."""
        epochs, num = self.recorded_epochs, self.bad_starts
        return [epochs[k * len(epochs) // num] for k in range(num)]

    @property
    def ending_epochs(self) -> range:
        """Epochs at which the good run may end, see `final_epochs`."""
        return range(self.epochs - self.final_epochs, self.epochs + 1)

    @property
    def data(self) -> str:
        """Name of the training points in claims and titles."""
        return f"two spirals, {'published split' if self.data_seed is None else f'split {self.data_seed}'}"


_QUICK = Config()
PRESETS = {
    "smoke": replace(
        _QUICK,
        epochs=60,
        final_epochs=10,
        other_starts=2,
        other_splits=2,
        bad_starts=4,
        bad_steps=300,
        num_held_out=200,
        num_dense=4_000,
        wanted=1,
    ),
    "quick": _QUICK,
    "paper": replace(
        _QUICK,
        bad_starts=200,
        poison=1.0,
        unseen="published",
        bad_optimizer="rmsprop",
        bad_learning_rate=0.001,
        bad_steps=40_000,
        stop_accuracy=0.0,
        clip=1e9,
    ),
}
