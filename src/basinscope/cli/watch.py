"""Progress, summaries and notes that the command line prints for runs."""

from __future__ import annotations

import dataclasses
import math
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from basinscope.cli.progress import progress_bar, spoken
from basinscope.experiments.claims import Claim
from basinscope.own.measure import Measured, words
from basinscope.runs.life import Watch
from basinscope.workflows.page import update_page
from basinscope.workflows.run import Run


def _waiting(what: str) -> None:
    print(f"basinscope: another process is working on {what}; waiting for it", file=sys.stderr, flush=True)


WATCH = Watch(progress=lambda name, in_seconds: progress_bar(name, in_seconds=in_seconds), waiting=_waiting)
"""Shows a bar on a terminal, lines elsewhere."""


def telling(done: Callable[[Any], object]) -> Watch:
    """`WATCH`, with `done` called for each completed run."""
    return dataclasses.replace(WATCH, done=done)


def make_page(out: Path) -> None:
    """Write the page of an output folder and print its path.

    Raises:
        InputError: There is nothing to show yet.
    """
    print(f"page: {update_page(out, WATCH)}")


def tell_run(found: Run) -> None:
    """Print a summary of an experiment's run, and which of its claims hold."""
    done = f"{found.num_done} of {found.num_tasks} tasks run now, in {spoken(found.seconds)}"
    print(f"{found.name}: {done}; run {found.folder.name}")
    if found.preset.startswith("smoke"):
        print("  smoke only tests that everything works; it is too small for the claims to hold")
    _tell_claims(found.claims)


def _tell_claims(claims: Sequence[Claim]) -> None:
    verdict = {True: "holds", False: "DOES NOT HOLD"}
    for claim in claims:
        if claim.holds is not None:
            number = f"{claim.measured:.4g}" if math.isfinite(claim.measured) else "could not be measured"
            print(f"  {verdict[claim.holds]}: {claim.claim}: {number} ({claim.target})")


def tell_measured(found: Measured) -> None:
    """Print a summary of a measured network, and what could not be measured."""
    done = f"{found.num_done} of {found.num_tasks} tasks run now, in {spoken(found.seconds)}"
    drawn = found.published
    figures = f"figures in {drawn.place}, " if drawn else ""
    print(f"{found.label}: {done}; {figures}run {found.folder.name}")
    for note in drawn.notes if drawn else words(found.failures):
        print(f"  note: {note}")
    if drawn and drawn.replaced:
        print(f"  note: these figures replace those of run {drawn.replaced}; use --name to keep both")
