"""The paper's claims about the rings, with the values measured in a run."""

from __future__ import annotations

import math
from functools import partial

import numpy as np

from basinscope.experiments.claims import Claim, span
from basinscope.experiments.rings.collect import Measurements
from basinscope.experiments.rings.figures import STEMS

MOST_STARTS, RED_SHARE = 0.9, 0.3


def claims(found: Measurements, preset: str) -> list[Claim]:
    """Evaluate every claim against the measurements."""
    claim = partial(Claim, preset=preset, data=found.config.data)
    return [
        *_from_random_starts(found, partial(claim, figure=STEMS[0])),
        *_circles(found, partial(claim, figure=STEMS[1])),
        *_side_by_side(found, partial(claim, figure=STEMS[1])),
    ]


def _from_random_starts(found: Measurements, claim: partial[Claim]) -> list[Claim]:
    config, wide, tight = found.config, found.found[0], found.found[-1]
    rows = []
    for nets, gap, target in ((wide, config.gaps[0], f">= {MOST_STARTS:g}"), (tight, config.gaps[-1], "")):
        both = np.minimum(nets["blue_share"].values, nets["red_share"].values)
        rows.append(
            claim(
                claim=f"gap {gap:g}: share of random starts with at least {config.held_share:g} of both inner rings "
                "right (spread: share of the worse ring)",
                target=target,
                measured=found.circle_share(nets),
                unit="1",
                num=len(both),
                spread=span(both.tolist()),
            )
        )
    between = zip(config.gaps[1:-1], found.found[1:-1], strict=True)
    for gap, nets in between:
        shares = nets["red_share"].values
        rows.append(
            claim(
                claim=f"gap {gap:g}: share of random starts that find the circle (spread: share of the red ring)",
                measured=found.circle_share(nets),
                unit="1",
                num=len(shares),
                spread=span(shares.tolist()),
            )
        )
    red, fitted = tight["red_share"].values, tight["train_accuracy"].values
    rows.append(
        claim(
            claim=f"gap {config.gaps[-1]:g}: share of the inner red ring right, mean over random starts",
            target=f"<= {RED_SHARE:g}",
            measured=float(red.mean()),
            unit="1",
            num=len(red),
            spread=span(red.tolist()),
        )
    )
    rows.append(
        claim(
            claim=f"gap {config.gaps[-1]:g}: training accuracy of these nets, mean",
            target="== 1",
            measured=float(fitted.mean()),
            unit="1",
            num=len(fitted),
            spread=span(fitted.tolist()),
        )
    )
    return rows


def _circles(found: Measurements, claim: partial[Claim]) -> list[Claim]:
    """How far the gap can be closed around a circle."""
    last = found.stages[-1]
    worse = np.minimum(last["blue_share"].values, last["red_share"].values)
    gaps = [gap for gap, nets in zip(found.config.stages, found.stages, strict=True) if found.circle_share(nets) > 0]
    smallest = min(gaps, default=math.nan)
    return [
        claim(
            claim="smallest gap tried at which a circle, led there by closing the gap, separates both inner rings",
            measured=smallest,
            unit="1",
            num=last.sizes["net"],
            spread=(smallest, smallest),
        ),
        claim(
            claim=f"circles led to gap {found.config.stages[-1]:g}: share of the worse inner ring right, mean",
            measured=float(worse.mean()),
            unit="1",
            num=len(worse),
            spread=span(worse.tolist()),
        ),
    ]


def _side_by_side(found: Measurements, claim: partial[Claim]) -> list[Claim]:
    """Circles against nets from random starts, at the smallest gap, on the 130 points."""
    circles, others = found.circles, found.beside
    if circles is None or others is None:
        return []
    num = len(circles.names) + len(others.names)
    losses = [*circles.clean_loss, *others.clean_loss]
    at = f"at gap {found.compared_gap:.3g}, circles against nets from random starts"
    rows = [
        claim(
            claim=f"largest clean loss among the compared nets, {at}",
            target=f"<= {found.config.compared_loss:g}",
            measured=float(max(losses)),
            unit="nat",
            num=num,
            spread=span([float(loss) for loss in losses]),
        ),
        _ratio(claim, "margin around the inner points, mean", "<= 1", circles.margin, others.margin, at),
        _ratio(
            claim, "margin around the inner points, smallest", "", circles.smallest_margin, others.smallest_margin, at
        ),
    ]
    for words in ("as trained", "scaled"):
        ours, theirs = circles.size[words], others.size[words]
        difference = float(ours.mean() - theirs.mean())
        extremes = (float(ours.min() - theirs.max()), float(ours.max() - theirs.min()))
        rows += [
            claim(
                claim=f"size of the basin, mean n·log r, {words}, {at}: difference",
                target="<= 0",
                measured=difference,
                unit="orders of magnitude",
                num=num,
                spread=extremes,
            ),
            _ratio(
                claim,
                f"mean curvature, {words}",
                ">= 1",
                circles.mean_curvature[words],
                others.mean_curvature[words],
                at,
            ),
        ]
    return rows


def _ratio(claim: partial[Claim], what: str, target: str, circles: np.ndarray, others: np.ndarray, at: str) -> Claim:
    """Ratio of the groups' medians; the spread is over all pairs of nets."""
    positive = others[others > 0]
    ratios = (circles[:, None] / positive).ravel().tolist()
    return claim(
        claim=f"{what}, {at}: ratio",
        target=target,
        measured=float(np.median(circles) / np.median(others)) if np.median(others) > 0 else math.nan,
        unit="1",
        num=len(circles) + len(others),
        spread=span(ratios),
    )
