"""What the command line accepts; everything wrong with it becomes one line."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, NoReturn

from basinscope._version import __version__
from basinscope.errors import InputError


class _Parser(argparse.ArgumentParser):
    def __init__(self, **settings: Any) -> None:
        super().__init__(allow_abbrev=False, **settings)

    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message}; see {self.prog} --help")


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """Parse the command line.

    Raises:
        InputError: It does not make sense.
    """
    parser = _Parser(
        prog="basinscope",
        description="See why neural networks generalise: train good and bad minima, measure around them or around a "
        "network of your own, draw.",
    )
    parser.add_argument("--version", action="version", version=f"basinscope {__version__}")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB", parser_class=_Parser)

    listing = verbs.add_parser("list", help="name the experiments, or one experiment's presets and fields")
    listing.add_argument("names", nargs="*", metavar="NAME", help="an experiment")

    run = verbs.add_parser("run", help="run experiments, or resume them, and draw their figures")
    run.add_argument("names", nargs="+", metavar="NAME", help="experiments, or all")
    run.add_argument("--preset", default="quick", help="size of the experiment (default: quick)")
    run.add_argument("--seed", type=int, default=0, help="moves starts, unseen samples and directions (default: 0)")
    run.add_argument("--data-seed", type=int, default=None, help="draw of the data (default: the published one)")
    run.add_argument("--device", default="auto", help="auto, cpu, cuda, … (default: auto)")
    run.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME.FIELD=VALUE",
        help="change one field of an experiment",
    )
    run.add_argument("--data-dir", type=Path, default=None, help="take images from the files in this folder")
    run.add_argument("--engine", choices=("local", "ray"), default="local", help="where tasks run (default: local)")
    run.add_argument(
        "--jobs",
        type=int,
        default=None,
        metavar="N",
        help="tasks at a time on this machine (default: one a core, up to 8, where a run takes minutes on a CPU)",
    )
    run.add_argument("--address", help="Ray cluster: auto or HOST:PORT (default: Ray on this machine)")
    run.add_argument("--strict", action="store_true", help="exit with 3 if a claim does not hold")
    run.add_argument(
        "--reproducible",
        action="store_true",
        help="never compile: the way of computing does not depend on timings",
    )

    fetching = verbs.add_parser("fetch", help="download CIFAR-10 or SVHN from where it is published")
    fetching.add_argument("name", help="cifar10 or svhn")
    fetching.add_argument("--data-dir", type=Path, default=None, help="where to put the files")

    _add_survey(verbs)

    verbs.add_parser("status", help="show the runs in a folder and how far each has come")
    verbs.add_parser("verify", help="hold every file in a folder to its checksum")
    plot = verbs.add_parser("plot", help="draw figures and claims again from stored results")
    plot.add_argument(
        "names", nargs="*", metavar="NAME", help="experiments, measured or compared networks (default: all)"
    )
    verbs.add_parser("report", help="write OUT/index.html from the figures and claims that are there")

    for verb in verbs.choices.values():
        if verb not in (listing, fetching):
            verb.add_argument("--out", type=Path, default=Path("out"), help="where results are kept (default: out)")
        verb.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return parser.parse_args(arguments)


class _MeasureParser(_Parser):
    """Adds the options of the probes when it is used: reading them from the verbs imports these."""

    _filled = False

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        """See `argparse.ArgumentParser`."""
        if not self._filled:
            self._filled = True
            _add_probe_options(self)
        return super().parse_known_args(args, namespace)


def _add_survey(verbs: Any) -> None:
    """Add the verbs for one's own network."""
    verbs._parser_class = _MeasureParser
    measure = verbs.add_parser("measure", help="measure your own network: slices, radii, curvature, sharpness")
    verbs._parser_class = _Parser
    measure.add_argument(
        "problem", metavar="PROBLEM.py[:NAME]", help="a Python file that defines model, loss_fn and batches"
    )
    measure.add_argument(
        "--checkpoint",
        action="append",
        type=Path,
        default=[],
        metavar="FILE",
        help="weights to measure, .safetensors or .pt, or the folder of a Recorder; may be given several times",
    )
    measure.add_argument("--name", help="what to call the network (default: its checkpoint's name)")
    measure.add_argument("--device", default="auto", help="auto: where the file puts the model; or cpu, cuda, …")

    comparing = verbs.add_parser("compare", help="put several measured networks side by side")
    comparing.add_argument("runs", nargs="+", metavar="RUN", help="names or folders of runs of basinscope measure")


_PREFIX = "probe:"
"""Begins the names under which the options of probes are kept."""


def _by_flag() -> dict[str, list[tuple[Any, Any]]]:
    """Every flag with the probes and options that it sets."""
    from basinscope.probes.table import PROBES

    found: dict[str, list[tuple[Any, Any]]] = {}
    for probe in PROBES.values():
        for option in probe.options:
            found.setdefault(option.flag, []).append((probe, option))
    return found


def _add_probe_options(measure: argparse.ArgumentParser) -> None:
    """Add what the table of probes offers; types, defaults and help come from the verbs."""
    from basinscope.probes.options import explanations, parameters, type_of
    from basinscope.probes.table import PROBES

    standard = ", ".join(probe.name for probe in PROBES.values() if probe.standard)
    measure.add_argument(
        "--probe",
        action="append",
        default=[],
        metavar="PROBE",
        help=f"{', '.join(PROBES)}; may be given several times (default: {standard}). linear_path and connect go from "
        "each checkpoint to the next; tsne and --plane pca or between take all checkpoints, around the last",
    )
    flags = _by_flag()
    either = dict.fromkeys(flags, measure)
    for uses in flags.values():
        for probe, option in uses:
            if option.instead:
                group: Any = measure.add_mutually_exclusive_group()
                replaced = next(one.flag for one in probe.options if one.name == option.instead)
                either[option.flag] = either[replaced] = group
    for flag, uses in flags.items():
        probe, option = uses[0]
        parameter = parameters(probe.verb)[option.name]
        told = explanations(probe.verb).get(option.name, "").replace("%", "%%").rstrip(".")
        default = probe.defaults()[option.name]
        shown = "" if default is None or default is False else f" (default: {default})"
        words = f"{', '.join(one.name for one, _ in uses)}: {told}{shown}"
        kind = type_of(parameter)
        if kind is bool:
            either[flag].add_argument(flag, dest=_PREFIX + flag, action="store_true", default=None, help=words)
        else:
            metavar = option.name.upper()
            either[flag].add_argument(flag, dest=_PREFIX + flag, type=kind, default=None, metavar=metavar, help=words)


def probes_of(options: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """The probes that were asked for, each with the options that were given.

    Args:
        options: Of the verb `measure`.
    """
    from basinscope.probes.table import PROBES, probe_named

    names = options.probe or [probe.name for probe in PROBES.values() if probe.standard]
    given = vars(options)
    found: dict[str, dict[str, Any]] = {}
    for name in names:
        probe = probe_named(name)
        chosen = {} if probe is None else {o.name: given[_PREFIX + o.flag] for o in probe.options}
        found[name] = {option: value for option, value in chosen.items() if value is not None}
    return found
