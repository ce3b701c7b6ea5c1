"""The paper's claims about good and bad minima of image networks, with the values measured in a run."""

from __future__ import annotations

from functools import partial

import numpy as np

from basinscope.experiments.claims import Claim, span
from basinscope.experiments.compared import slice_claim
from basinscope.experiments.image_minima.collect import Measurements
from basinscope.experiments.image_minima.figures import LINES, RELATIONS, SLICES
from basinscope.experiments.relations import COMPARED_LOSS, relation_claims

ENOUGH_EVALUATIONS = 4.0
"""Target for the passes over the training set per radius."""


def claims(found: Measurements, preset: str) -> list[Claim]:
    """Evaluate every claim against the measurements."""
    claim = partial(Claim, preset=preset, data=found.config.data)
    return [
        *_figure4(found, partial(claim, figure=SLICES)),
        *relation_claims(found.relations, partial(claim, figure=RELATIONS)),
        *_figure7(found, partial(claim, figure=LINES)),
    ]


def _figure4(found: Measurements, claim: partial[Claim]) -> list[Claim]:
    config, relations = found.config, found.relations
    good, bad = (found.nets.sel(net=names) for names in relations.ends)
    fits = f">= {config.good_train:g}"
    lowest = float(found.nets["train_accuracy"].min())
    below = found.of("test_accuracy", found.good) - bad["test_accuracy"].values
    return [
        claim(
            claim="good net (run 0, ordinary training): accuracy on the training images",
            published=1.0,
            target=fits,
            measured=found.of("train_accuracy", found.good),
            unit="1",
            num=config.runs,
            spread=span(good["train_accuracy"].values.tolist()),
        ),
        claim(
            claim="good net (run 0, ordinary training): accuracy on the test images",
            published=0.98,
            measured=found.of("test_accuracy", found.good),
            unit="1",
            num=config.runs,
            spread=span(good["test_accuracy"].values.tolist()),
        ),
        claim(
            claim=f"bad nets (β = {config.poisons[-1]:g}): lowest accuracy on the training images",
            published=1.0,
            target=fits,
            measured=float(bad["train_accuracy"].min()),
            unit="1",
            num=config.runs,
            spread=span(bad["train_accuracy"].values.tolist()),
        ),
        claim(
            claim=f"bad net (run 0, β = {config.poisons[-1]:g}): accuracy on the test images",
            published=0.29,
            measured=found.of("test_accuracy", found.bad),
            unit="1",
            num=config.runs,
            spread=span(bad["test_accuracy"].values.tolist()),
        ),
        claim(
            claim="test accuracy of every bad net is below the good net's by at least",
            published=0.69,
            target=f">= {config.bad_below:g}",
            measured=float(below.min()),
            unit="1",
            num=config.runs,
            spread=span(below.tolist()),
        ),
        claim(
            claim="largest clean loss among the bad nets",
            target=f"<= {COMPARED_LOSS:g}",
            measured=float(bad["clean_loss"].max()),
            unit="nat",
            num=config.runs,
            spread=span(bad["clean_loss"].values.tolist()),
        ),
        claim(
            claim="lowest training accuracy among all networks",
            target=fits,
            measured=lowest,
            unit="1",
            num=found.nets.sizes["net"],
            spread=span(found.nets["train_accuracy"].values.tolist()),
        ),
        slice_claim(found, found.surfaces, claim),
    ]


def _figure7(found: Measurements, claim: partial[Claim]) -> list[Claim]:
    radius = found.relations.natural.radius
    good, bad = (radius["radius"].sel(net=net).values for net in (found.good, found.bad))
    later = good > bad
    spent = np.concatenate(
        [part.radius["num_evaluations"].values.ravel() for part in (found.relations.natural, found.relations.scaled)]
    )
    spent = spent[np.isfinite(spent)]
    return [
        claim(
            claim="share of the directions along which the good net's loss reaches the cutoff later than the bad net's",
            target=">= 0.99",
            measured=float(later.mean()),
            unit="1",
            num=len(later),
            spread=span(later.astype(float).tolist()),
        ),
        claim(
            claim="passes over the training set per radius (a pass that ends early counts as a fraction)",
            target=f"<= {ENOUGH_EVALUATIONS:g}",
            measured=float(spent.mean()) if len(spent) else float("nan"),
            unit="passes",
            num=len(spent),
            spread=span(spent.tolist()),
        ),
    ]
