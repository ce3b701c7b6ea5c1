"""The paper's claims about the swiss roll, with the values measured in a run."""

from __future__ import annotations

import math
from functools import partial

import numpy as np

from basinscope.experiments.claims import Claim, span
from basinscope.experiments.compared import slice_claim
from basinscope.experiments.relations import relation_claims
from basinscope.experiments.swissroll.collect import Measurements
from basinscope.experiments.swissroll.figures import BOUNDARIES, RELATIONS, SURFACES
from basinscope.experiments.swissroll.tasks import FITTED, PANEL_GAPS


def claims(found: Measurements, preset: str) -> list[Claim]:
    """Evaluate every claim against the measurements."""
    claim = partial(Claim, preset=preset, data=found.config.data)
    return [
        *_figure3(found, partial(claim, figure=SURFACES)),
        *relation_claims(found.relations, partial(claim, figure=RELATIONS)),
        *_figure6(found, partial(claim, figure=BOUNDARIES)),
    ]


def _figure3(found: Measurements, claim: partial[Claim]) -> list[Claim]:
    config = found.config
    rows = []
    for net, poison, role in (
        (found.good, config.poisons[0], "good net (run 0, ordinary training)"),
        (found.bad, config.poisons[-1], f"bad net (run 0, β = {config.poisons[-1]:g})"),
    ):
        level = found.relations.level(poison)
        target = f">= {config.good_target:g}" if net == found.good else f"<= {config.bad_target:g}"
        both = (
            ("train_accuracy", "accuracy on the training set", 1.0, "== 1"),
            ("dense_accuracy", "accuracy on the dense test set", 1.0 if net == found.good else 0.07, target),
        )
        for name, words, published, wanted in both:
            rows.append(
                claim(
                    claim=f"{role}: {words}",
                    published=published,
                    target=wanted,
                    measured=found.of(name, net),
                    unit="1",
                    num=config.runs,
                    spread=span(level[name].values.tolist()),
                )
            )
    return [*rows, slice_claim(found, found.wide, claim)]


def _figure6(found: Measurements, claim: partial[Claim]) -> list[Claim]:
    panels = found.nets.sel(net=found.panels)
    train, gaps = panels["train_accuracy"].values, panels["gap"].values
    offs = np.abs(gaps - np.array(PANEL_GAPS[: len(gaps)]))
    return [
        claim(
            claim="lowest training accuracy among the panels: all fit the training set",
            target=f">= {FITTED:g}",
            measured=float(train.min()) if len(train) == len(PANEL_GAPS) else math.nan,
            unit="1",
            num=len(train),
            spread=span(train.tolist()),
        ),
        claim(
            claim="largest difference between a panel's gap and its nominal gap",
            measured=span(offs.tolist())[1],
            unit="1",
            num=len(gaps),
            spread=span(offs.tolist()),
        ),
    ]
