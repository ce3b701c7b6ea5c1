"""Settings of the experiments that compare good and bad minima of one network."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from basinscope.errors import InputError
from basinscope.experiments.configuration import ExperimentConfig
from basinscope.experiments.ranges import check_data_seed, check_poisons, check_ranges, check_warmup

AT_LEAST: Mapping[str, float] = {
    "seed": 0,
    "runs": 1,
    "num_directions": 2,
    "num_scanned": 0,
    "num_lines": 1,
    "line_points": 2,
    "slice_resolution": 3,
}
AT_MOST: Mapping[str, float] = {
    "runs": 1_000,
    "num_directions": 100_000,
    "num_lines": 10_000,
    "line_points": 10_001,
    "slice_resolution": 1_001,
}
POSITIVE = ("learning_rate", "settle_loss", "cutoff", "scaled_loss", "line_extent", "slice_extent")


@dataclass(frozen=True, kw_only=True)
class MinimaConfig(ExperimentConfig):
    """Settings for several networks per poison factor, with the same measurements around each."""

    runs: int
    """Networks per poison factor."""
    poisons: tuple[float, ...]
    """Poison factors β, ascending; the first is 0 (ordinary training), the last gives the bad net."""
    learning_rate: float
    """Highest learning rate."""
    warmup: float = 0.04
    """Fraction of the steps over which the learning rate rises."""
    settle_ratio: float
    """β at the last planned step as a fraction of β before settling."""
    settle_loss: float = 0.005
    """Clean loss in nats at which a network stops after its planned steps."""
    cutoff: float = 0.1
    """Clean loss in nats that bounds a basin."""
    num_directions: int
    """Random directions per network for the radius."""
    num_scanned: int
    """Directions per network scanned finely for an earlier crossing."""
    scaled_loss: float = 1e-3
    """Clean loss in nats to which last layers are scaled for the second comparison."""
    slice_extent: float = 0.3
    """Half the side length of the 2-D slice, in filter norms."""
    slice_resolution: int
    """Points along each side of a 2-D slice."""
    num_lines: int
    """Random lines per network along which the loss is measured outwards."""
    line_extent: float
    """Length of these lines, in filter norms."""
    line_points: int
    """Points on each of these lines."""

    def check(
        self, *, at_least: Mapping[str, float], at_most: Mapping[str, float], positive: Iterable[str] = ()
    ) -> None:
        """Check all fields; bounds of fields specific to one experiment are arguments, see `check_ranges`.

        Raises:
            InputError: A field is out of range; the message names field, value and bound.
        """
        check_ranges(
            self.NAME,
            self,
            at_least={**AT_LEAST, **at_least},
            at_most={**AT_MOST, **at_most},
            positive=(*POSITIVE, *positive),
        )
        check_data_seed(self.NAME, self.data_seed)
        check_poisons(self.NAME, self.poisons)
        check_warmup(self.NAME, self.warmup)
        if self.scaled_loss >= self.cutoff:
            raise InputError(f"{self.NAME}.scaled_loss = {self.scaled_loss}: must be below the cutoff {self.cutoff}")
        if not 0 < self.settle_ratio <= 1:
            raise InputError(f"{self.NAME}.settle_ratio = {self.settle_ratio}: must be above 0 and at most 1")

    def net_names(self) -> list[str]:
        """Names of all networks, by poison factor and run."""
        return [net_name(poison, run) for poison in self.poisons for run in range(self.runs)]

    @property
    def compared(self) -> tuple[str, str]:
        """Names of the good and the bad net: run 0 of ordinary training and of the largest poison factor."""
        return net_name(self.poisons[0], 0), net_name(self.poisons[-1], 0)


def net_name(poison: float, run: int) -> str:
    """Name a network by poison factor and run."""
    return f"beta{poison:g}-run{run}"
