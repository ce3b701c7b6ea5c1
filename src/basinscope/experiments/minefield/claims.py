"""The paper's claims about the minefield, with the values measured in a run."""

from __future__ import annotations

import math
from functools import partial

import numpy as np

from basinscope.experiments.claims import Claim, span
from basinscope.experiments.minefield.collect import Measurements
from basinscope.experiments.minefield.figures import STEMS

NAMED = 20
"""Largest number of failed searches listed by epoch; the stored results contain all."""


def claims(found: Measurements, preset: str) -> list[Claim]:
    """Evaluate every claim against the measurements."""
    claim = partial(Claim, figure=STEMS[0], preset=preset, data=found.config.data)
    return [*_bad(found, claim), *_good(found, claim), *_nearby(found, claim)]


def _bad(found: Measurements, claim: partial[Claim]) -> list[Claim]:
    config, chosen = found.config, found.found
    test, dense = (found.bad[name].values[chosen] for name in ("test_accuracy", "dense_accuracy"))
    failed = found.bad["start_epoch"].values[~chosen].tolist()
    listed = ", ".join(map(str, failed[:NAMED])) + (f" and {len(failed) - NAMED} more" if len(failed) > NAMED else "")
    named = f", from the iterates of epochs {listed}" if failed else ""
    num = len(chosen)
    return [
        claim(
            claim=f"bad minima: training accuracy at least {config.fitted:g}, test accuracy below "
            f"{config.bad_accuracy:g}, sought from iterates of the good run",
            target=f">= {config.wanted}",
            measured=float(chosen.sum()),
            unit="minima",
            num=num,
            spread=(float(chosen.sum()), float(chosen.sum())),
        ),
        claim(
            claim=f"searches that ended without one{named}",
            measured=float(len(failed)),
            unit="searches",
            num=num,
            spread=(float(len(failed)), float(len(failed))),
        ),
        claim(
            claim="bad minima: accuracy on the 134 test points, median",
            measured=float(np.median(test)) if len(test) else math.nan,
            unit="1",
            num=len(test),
            spread=span(test.tolist()),
        ),
        claim(
            claim="bad minima: accuracy on fresh points from the whole spiral, median",
            measured=float(np.median(dense)) if len(dense) else math.nan,
            unit="1",
            num=len(dense),
            spread=span(dense.tolist()),
        ),
    ]


def _good(found: Measurements, claim: partial[Claim]) -> list[Claim]:
    config = found.config
    same, everything = (found.good_runs("test_accuracy", same_split=s) for s in (True, False))
    return [
        claim(
            claim=f"good run, at epoch {int(found.path['final_epoch'])}: accuracy on the training set",
            published=1.0,
            target="== 1",
            measured=found.final("train_accuracy"),
            unit="1",
            num=len(same),
            spread=span(found.good_runs("train_accuracy", same_split=True).tolist()),
        ),
        claim(
            claim="good run: accuracy on the 134 test points (spread: other starts)",
            published=0.985,
            target=f">= {config.good_accuracy:g}",
            measured=found.final("test_accuracy"),
            unit="1",
            num=len(same),
            spread=span(same.tolist()),
        ),
        claim(
            claim="accuracy on the test points, median over all starts and splits",
            measured=float(np.median(everything)),
            unit="1",
            num=len(everything),
            spread=span(everything.tolist()),
        ),
        *(_reached(found, claim, same_split=same_split) for same_split in (True, False)),
    ]


def _reached(found: Measurements, claim: partial[Claim], *, same_split: bool) -> Claim:
    """Share of good runs that end in a good minimum; the paper says "always"."""
    reached = found.reach_good(same_split=same_split)
    share, which = float(reached.mean()), "starts on this split" if same_split else "starts and other splits"
    return claim(
        claim=f"share of {which} that reach a good minimum: all training points and at least "
        f"{found.config.good_accuracy:g} of fresh points right (published: always)",
        published=1.0,
        target="== 1",
        measured=share,
        unit="1",
        num=len(reached),
        spread=(share, share),
    )


def _nearby(found: Measurements, claim: partial[Claim]) -> list[Claim]:
    distances = found.bad["distance"].values[found.found]
    travelled = found.travelled
    median = float(np.median(distances)) if len(distances) else math.nan
    norms = found.path["norm"].values
    starts = found.bad["start_epoch"].values[found.found]
    ratios = distances * found.norm_at(starts) / float(found.path["travelled"].isel(epoch=-1))
    ratio = float(np.median(ratios)) if len(ratios) else math.nan
    return [
        claim(
            claim="bad minima: distance from the start of the search, in norms of the start, median",
            measured=median,
            unit="1",
            num=len(distances),
            spread=span(distances.tolist()),
        ),
        claim(
            claim="good run: distance from first to last iterate, in norms of the first (spread: over the path)",
            measured=float(travelled[-1]),
            unit="1",
            num=len(norms),
            spread=span(travelled.tolist()),
        ),
        claim(
            claim="bad minima are nearby: median distance from their start, divided by that covered by the good run",
            target="<= 1",
            measured=ratio,
            unit="1",
            num=len(distances),
            spread=span(ratios.tolist()),
        ),
    ]
