"""The commands of the command line, one function each."""

from __future__ import annotations

import argparse
import dataclasses
import logging
import re
from collections.abc import Callable, Mapping
from functools import partial
from inspect import getsource
from pathlib import Path

from basinscope.cli.watch import WATCH, make_page, tell_run, telling
from basinscope.errors import DamagedResultError, InputError
from basinscope.experiments import registry
from basinscope.experiments.registry import Experiment
from basinscope.own import stored as own_runs
from basinscope.runs.inspect import inspect
from basinscope.runs.spelling import AS_FLAGS
from basinscope.runs.store import find_runs
from basinscope.workflows.run import ALL, Order, chosen, conduct
from basinscope.workflows.stored import last_finished, progress_of, redraw_run

_log = logging.getLogger(__name__)
EXIT_CLAIM = 3
EXIT_DAMAGED = 1


def list_(options: argparse.Namespace) -> int:
    """List the experiments, or the fields of some."""
    if not options.names:
        for name in registry.NAMES:
            experiment = registry.load_experiment(name)
            print(f"{name}: {experiment.summary}; presets {', '.join(experiment.presets)}")
        return 0
    for name in chosen(options.names):
        experiment = registry.load_experiment(name)
        print(f"{name}: {experiment.summary}")
        _print_fields(experiment)
    return 0


def _print_fields(experiment: Experiment) -> None:
    presets = experiment.presets
    config_type = type(next(iter(presets.values())))
    # Field docstrings exist only in the source, below each field.
    explanations: dict[str, str] = {}
    for kind in config_type.__mro__[-2::-1]:
        explanations |= re.findall(r'^    (\w+):[^\n]*\n    """(.*?)"""', getsource(kind), re.M | re.S)
    for field in dataclasses.fields(config_type):
        values = [f"{name} {getattr(config, field.name)}" for name, config in presets.items()]
        default = values[0].split(" ", 1)[1] if len({v.split(" ", 1)[1] for v in values}) == 1 else ", ".join(values)
        print(f"  {field.name}: {' '.join(explanations.get(field.name, '').split())} [{default}]")


def _existing(out: Path) -> None:
    """Reject an output path that is a file; a missing folder is reported where it matters."""
    if out.exists() and not out.is_dir():
        raise InputError(f"--out {out}: is a file; name a folder")


def run_command(options: argparse.Namespace) -> int:
    """Run experiments, draw their figures, evaluate their claims, write the page."""
    order = Order(
        names=options.names,
        preset=options.preset,
        seed=options.seed,
        data_seed=options.data_seed,
        settings=options.set,
        out=options.out,
        device=options.device,
        engine=options.engine,
        jobs=options.jobs,
        address=options.address,
        data_dir=options.data_dir,
        reproducible=options.reproducible,
    )
    runs = conduct(order, telling(tell_run), AS_FLAGS)
    print(f"page: {runs[0].page}")
    return EXIT_CLAIM if options.strict and any(c.holds is False for one in runs for c in one.claims) else 0


def status(options: argparse.Namespace) -> int:
    """Show each run in the output folder."""
    _existing(options.out)
    runs, own = find_runs(options.out, registry.spellings(registry.NAMES)), own_runs.told(options.out)
    if not runs and not own:
        print(f"no runs in {options.out}; start some with basinscope run all")
    for line in own:
        print(line)
    for folder in runs:
        print(f"{folder.name}: {progress_of(folder)}")
    return 0


def verify(options: argparse.Namespace) -> int:
    """Check every file in the output folder against its checksum."""
    _existing(options.out)
    inspection = inspect(options.out)
    for line in inspection.damage:
        print(line)
    if not inspection.num_files and not inspection.damage:
        raise InputError(f"no runs in {options.out}; start some with basinscope run all")
    if not inspection.damage:
        print(f"all {inspection.num_files} files are intact")
        return 0
    print(
        f"{len(inspection.damage)} of {inspection.num_files + len(inspection.damage)} files are damaged. Re-create "
        "results with basinscope run or measure; figures, tables and claims with basinscope plot; the page with "
        "basinscope report"
    )
    return EXIT_DAMAGED


def plot_command(options: argparse.Namespace) -> int:
    """Redraw figures and re-evaluate claims from stored results."""
    _existing(options.out)
    drawn = 0
    own = own_runs.published_surveys(options.out)
    wanted = [name for name in options.names if name not in own or name in registry.NAMES]
    for name in chosen(wanted or ([] if options.names else [ALL])):
        folder = last_finished(options.out, name)
        if folder is None:
            if options.names:
                raise InputError(f"{name} has no finished run in {options.out}; start one with basinscope run {name}")
            continue
        what = f"figures and claims of {folder.name} in {options.out / name}"
        drawn += _draw_again(name, partial(redraw_run, folder, options.out, WATCH), what, asked_for=bool(options.names))
    for name in options.names or own:
        if name in own and name not in wanted:
            draw = partial(own_runs.redraw, options.out, own[name], WATCH.waiting)
            drawn += _draw_again(name, draw, f"figures in {own[name]}", asked_for=bool(options.names))
    if not drawn:
        raise InputError(f"no finished run in {options.out}; start one with basinscope run all")
    return 0


def _draw_again(name: str, draw: Callable[[], object], what: str, *, asked_for: bool) -> bool:
    """Draw one set of figures; a damaged set raises if it was requested by name, else it is skipped."""
    try:
        draw()
    except DamagedResultError as error:
        if asked_for:
            raise
        _log.warning("%s; skipping %s, run it again", error, name)
        return False
    print(f"{name}: {what}")
    return True


def report(options: argparse.Namespace) -> int:
    """Write the page."""
    _existing(options.out)
    make_page(options.out)
    return 0


def fetch_(options: argparse.Namespace) -> int:
    """Download an image dataset."""
    from basinscope.cli.fetch import fetch_command

    return fetch_command(options)


def measure_(options: argparse.Namespace) -> int:
    """Measure the user's network."""
    from basinscope.cli.own import measure_command

    return measure_command(options)


def compare_(options: argparse.Namespace) -> int:
    """Compare measured networks."""
    from basinscope.cli.own import compare_command

    _existing(options.out)
    return compare_command(options)


VERBS: Mapping[str, Callable[[argparse.Namespace], int]] = {
    "measure": measure_,
    "compare": compare_,
    "fetch": fetch_,
    "list": list_,
    "run": run_command,
    "status": status,
    "verify": verify,
    "plot": plot_command,
    "report": report,
}
