"""What the minefield experiment can be asked."""

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
    """Moves starting weights, orders, unseen samples and the map."""
    data_seed: int | None = None
    """Which split of the 400 points; none is the published one."""
    epochs: int = 2_000
    """Epochs of the good run."""
    learning_rate: float = 0.01
    """Learning rate of RMSprop in the good run."""
    l2: float = 0.001
    """Factor of the sum of squared weights in the good run's loss."""
    batch_size: int = 32
    """Training points in each step of the good run."""
    record_every: int = 10
    """Epochs between two recorded iterates of the good run, from epoch 1."""
    final_epochs: int = 100
    """The good run ends at the first of its last so many epochs that fits the training set."""
    other_starts: int = 20
    """Further good runs on the same split, to see the spread."""
    other_splits: int = 20
    """Further good runs on other splits, one start each."""
    good_accuracy: float = 0.9
    """Accuracy on fresh points above which a minimum that fits the training set is called good."""
    bad_starts: int = 120
    """Recorded iterates, evenly spread over the path, from which a bad minimum is sought."""
    poison: float = 0.2
    """Poison factor β of the search for bad minima."""
    unseen: Literal["fresh", "published"] = "fresh"
    """Unseen samples of that search: fresh points of the spiral each step, or the 134 published ones."""
    bad_optimizer: Literal["adam", "rmsprop"] = "adam"
    """Optimizer of that search, on the full batch; rmsprop keeps its rate, adam's falls with a cosine."""
    bad_learning_rate: float = 0.01
    """Highest learning rate of that search."""
    bad_steps: int = 14_000
    """Steps after which that search gives up."""
    clip: float = 8.0
    """Largest norm of one network's gradient in that search."""
    stop_accuracy: float = 0.6
    """A bad minimum is found once the training set is fitted and at most this share of held-out points is right;
    0 never stops early."""
    num_held_out: int = 2_000
    """Fresh points that decide when a bad minimum is found; it is judged by others."""
    num_dense: int = 10_000
    """Fresh points on which accuracies are stated beside those on the 134 test points."""
    fitted: float = 0.99
    """Training accuracy that a bad minimum needs."""
    bad_accuracy: float = 0.53
    """Test accuracy that a bad minimum must stay below."""
    wanted: int = 100
    """Bad minima that should be found."""
    perplexity: float = 30.0
    """Perplexity of the map; a third of the mapped networks at most."""

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
        """Recorded epochs from which bad minima are sought, evenly spread."""
        epochs, num = self.recorded_epochs, self.bad_starts
        return [epochs[k * len(epochs) // num] for k in range(num)]

    @property
    def ending_epochs(self) -> range:
        """Epochs at which the good run may end."""
        return range(self.epochs - self.final_epochs, self.epochs + 1)

    @property
    def data(self) -> str:
        """What the training points are called in claims and titles."""
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
