"""Measurements, facts and claims shared by the experiments that compare good and bad minima."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np
import xarray as xr

from basinscope.experiments.claims import Claim
from basinscope.experiments.minima import MinimaConfig
from basinscope.experiments.relations import Probed, Relations
from basinscope.plots.style import BAD, GOOD

ABOVE_SHARE = 0.9
"""Share of the good net's low points at which the bad net's loss should exceed the cutoff."""

Settings = TypeVar("Settings", bound=MinimaConfig)


class Compared(NamedTuple):
    """One of the two networks that figures show side by side."""

    role: str
    """`good` or `bad`."""
    net: str
    colour: str
    training: str
    """How it was trained."""


@dataclass(frozen=True)
class MinimaMeasurements(Generic[Settings]):
    """All measurements of a finished run on good and bad minima."""

    config: Settings
    nets: xr.Dataset
    """Poison factor, accuracies, loss and gap of every network, along `net`."""
    relations: Relations
    """Radius, volume and mean curvature of every network."""

    @property
    def good(self) -> str:
        """Name of the good net."""
        return self.config.compared[0]

    @property
    def bad(self) -> str:
        """Name of the bad net."""
        return self.config.compared[1]

    @property
    def pair(self) -> tuple[Compared, Compared]:
        """The good and the bad net."""
        beta = f"poison factor β = {self.config.poisons[-1]:g}"
        return Compared("good", self.good, GOOD, "ordinary training"), Compared("bad", self.bad, BAD, beta)

    def of(self, name: str, net: str) -> float:
        """Value of a variable of `nets` for one network."""
        return float(self.nets[name].sel(net=net))

    def scores(self, net: str, *, test: str = "test_accuracy", words: str = "test") -> str:
        """State the accuracy of a network on the training set and on a test set.

        Args:
            net: Name of the network.
            test: Variable that holds the accuracy on the test set.
            words: What to call the test set.
        """
        return f"train {100 * self.of('train_accuracy', net):.1f} %, {words} {100 * self.of(test, net):.1f} %"

    def facts(self) -> dict[str, Any]:
        """Facts for the page: settings, and how the good and the bad net compare; None where not measured."""
        natural = self.relations.natural
        good, bad = (natural.median_radius.sel(net=net).item() for net in (self.good, self.bad))
        sizes = natural.volume["mean_n_log_r"] / math.log(10)
        difference = sizes.sel(net=self.good).item() - sizes.sel(net=self.bad).item()
        is_known = math.isfinite(difference) and bad > 0
        return {
            "good": self.good,
            "bad": self.bad,
            "poisons": list(self.config.poisons),
            "cutoff": self.config.cutoff,
            "num_directions": self.config.num_directions,
            "train_accuracy": {
                "good": self.of("train_accuracy", self.good),
                "bad": self.of("train_accuracy", self.bad),
            },
            "radius_ratio": good / bad if is_known else None,
            "size_difference": difference if is_known else None,
        }


def relations_of(
    config: MinimaConfig, nets: xr.Dataset, probed: Callable[[bool], Probed], *, enough_nets: int
) -> Relations:
    """Collect the measurements around every network.

    Args:
        config: Configuration of the run.
        nets: Poison factor, accuracies, loss and gap of every network.
        probed: Reads the measurements: as trained (False), or with last layers scaled to one clean loss (True).
        enough_nets: Smallest number of networks at which a rank correlation is tested against its target.
    """
    return Relations(
        nets=nets,
        natural=probed(False),
        scaled=probed(True),
        scaled_loss=config.scaled_loss,
        num_directions=config.num_directions,
        enough_nets=enough_nets,
    )


def slice_claim(found: MinimaMeasurements[Any], surfaces: xr.Dataset, claim: partial[Claim]) -> Claim:
    """Claim that, in the plane, the bad net's loss is high where the good net's is low.

    Args:
        found: Measurements of the run.
        surfaces: 2-D slices of both nets on the same grid, with `loss` along `net`.
        claim: Makes a claim about the figure.
    """
    good, bad = (surfaces["loss"].sel(net=net).values for net in (found.good, found.bad))
    # NaN counts as low for the good net, and as not exceeding the cutoff for the bad one.
    low = ~(good > found.config.cutoff)
    share = float((bad[low] > found.config.cutoff).mean()) if np.any(low) else math.nan
    return claim(
        claim="2-D slice: share of the points below the cutoff for the good net at which the bad net exceeds it",
        target=f">= {ABOVE_SHARE:g}",
        measured=share,
        unit="1",
        num=int(low.sum()),
        spread=(share, share),
    )
