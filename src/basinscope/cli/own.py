"""The `measure` and `compare` commands for your own networks."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from basinscope.cli.arguments import probes_of
from basinscope.cli.watch import WATCH, make_page, tell_measured, telling
from basinscope.own.measure import measure as measured
from basinscope.own.networks import of_problem
from basinscope.own.problem import load_problem
from basinscope.own.request import options_by_probe
from basinscope.own.stored import compare_runs as compared
from basinscope.own.summary import table
from basinscope.runs import provenance
from basinscope.runs.life import writing
from basinscope.runs.spelling import AS_FLAGS
from basinscope.workflows.page import need_page


def measure_command(options: argparse.Namespace) -> int:
    """Measure the user's network at each checkpoint; draw figures and print a table.

    Raises:
        InputError: The problem file, a checkpoint or a setting cannot be used.
    """
    need_page()
    with writing(options.out, AS_FLAGS):
        probes = options_by_probe(probes_of(options), AS_FLAGS)
        device = None if options.device == "auto" else provenance.pick_device(options.device)
        networks = of_problem(load_problem(options.problem), options.checkpoint, name=options.name, device=device)
        results = measured(
            networks,
            probes,
            out=options.out,
            watch=telling(tell_measured),
            spell=AS_FLAGS,
            device="as it is" if device is None else str(device),
        )
    numbers: dict[str, Any] = {}
    for one in results:
        numbers |= one.published.numbers if one.published else {}
    print(table(numbers))
    make_page(options.out)
    return 0


def compare_command(options: argparse.Namespace) -> int:
    """Compare runs of `measure`: one table, and figures with common scales.

    Raises:
        InputError: There are too few runs, or one does not exist.
    """
    comparison = compared(options.out, options.runs, WATCH.waiting)
    for line in comparison.notes:
        print(f"  note: {line}")
    print(table(comparison.numbers))
    print(f"figures: {comparison.place}")
    make_page(Path(options.out))
    return 0
