"""The paper's claims about models and optimizers, with the values measured in a run."""

from __future__ import annotations

import math
from functools import partial

from basinscope.experiments.architectures.collect import Measurements
from basinscope.experiments.architectures.figures import FIT, OPTIMIZERS
from basinscope.experiments.claims import Claim, span

COMPARABLE = 2.0
"""Largest ratio of parameter counts for a fair comparison of network and linear model."""
_WORDS = {"net": "network", "larger": "larger network", "linear": "linear model"}


def claims(found: Measurements, preset: str) -> list[Claim]:
    """Evaluate every claim against the measurements."""
    claim = partial(Claim, preset=preset, data=found.config.data)
    return [*_fit(found, partial(claim, figure=FIT)), *_optimizers(found, partial(claim, figure=OPTIMIZERS))]


def _one(claim: partial[Claim], words: str, value: float, *, target: str = "", published: float | None = None) -> Claim:
    """A claim about one network."""
    spread = (value, value)
    return claim(claim=words, published=published, measured=value, unit="1", num=1, spread=spread, target=target)


def _fit(found: Measurements, claim: partial[Claim]) -> list[Claim]:
    config = found.config
    fits = f">= {config.fit_target:g}"
    rows = [
        _one(
            claim,
            f"{_WORDS[name]}: accuracy on the training images",
            found.of("train_accuracy", name),
            target=fits,
            published=1.0,
        )
        for name in found.histories
    ]
    rows += [
        _one(claim, f"{_WORDS[name]}: accuracy on the test images", found.of("test_accuracy", name))
        for name in found.histories
    ]
    lead = found.of("test_accuracy", "net") - found.of("test_accuracy", "linear")
    net, linear = (found.of("num_parameters", name) for name in ("net", "linear"))
    words = "the network's test accuracy is above the linear model's by at least"
    return [
        *rows,
        _one(claim, words, lead, target=f">= {config.lead_target:g}"),
        _one(
            claim,
            "parameters, the larger count of network and linear model divided by the smaller",
            max(net, linear) / min(net, linear),
            target=f"<= {COMPARABLE:g}",
        ),
    ]


def _optimizers(found: Measurements, claim: partial[Claim]) -> list[Claim]:
    config, fitted = found.config, found.fitted
    tests = fitted["test_accuracy"].values.tolist()
    low, high = span(tests)
    rows = [
        claim(
            claim="span of the test accuracies of all optimizers that fit the training images",
            target=f"<= {config.within_target:g}",
            # A single optimizer has no span.
            measured=high - low if len(tests) > 1 else math.nan,
            unit="1",
            num=len(tests),
            spread=(low, high),
        ),
        claim(
            claim="optimizers that fit the training images, as a share of those tried",
            measured=len(tests) / found.optimizers.sizes["net"],
            unit="1",
            num=found.optimizers.sizes["net"],
            spread=span(found.optimizers["train_accuracy"].values.tolist()),
        ),
    ]
    for name in found.optimizers["net"].values:
        row = found.optimizers.sel(net=name)
        train, test = float(row["train_accuracy"]), float(row["test_accuracy"])
        words = "diverged" if math.isnan(train) else f"training images {100 * train:.1f} %"
        rows.append(_one(claim, f"{row['title'].item()}: accuracy on the test images ({words})", test))
    return rows
