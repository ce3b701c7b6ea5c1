"""Parser of the command line; every mistake becomes a one-line `InputError`."""

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
        InputError: The arguments are invalid.
    """
    parser = _Parser(
        prog="basinscope",
        description="See why neural networks generalise: train good and bad minima, measure and plot the loss "
        "landscape around them or around your own network.",
    )
    parser.add_argument("--version", action="version", version=f"basinscope {__version__}")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB", parser_class=_Parser)

    listing = verbs.add_parser("list", help="list the experiments, or one experiment's presets and fields")
    listing.add_argument("names", nargs="*", metavar="NAME", help="an experiment")

    run = verbs.add_parser("run", help="run or resume experiments and draw their figures")
    run.add_argument("names", nargs="+", metavar="NAME", help="experiments, or all")
    run.add_argument("--preset", default="quick", help="size of the experiment (default: quick)")
    run.add_argument("--seed", type=int, default=0, help="seed of start, unseen samples and directions (default: 0)")
    run.add_argument("--data-seed", type=int, default=None, help="seed of the data (default: the published draw)")
    run.add_argument("--device", default="auto", help="auto, cpu, cuda, … (default: auto)")
    run.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME.FIELD=VALUE",
        help="change one field of an experiment",
    )
    run.add_argument("--data-dir", type=Path, default=None, help="folder of image files")
    run.add_argument("--engine", choices=("local", "ray"), default="local", help="where tasks run (default: local)")
    run.add_argument(
        "--jobs",
        type=int,
        default=None,
        metavar="N",
        help="parallel tasks on this machine (default: one per core, up to 8, if a run takes minutes on a CPU)",
    )
    run.add_argument("--address", help="Ray cluster: auto or HOST:PORT (default: Ray on this machine)")
    run.add_argument("--strict", action="store_true", help="exit with 3 if a claim does not hold")
    run.add_argument(
        "--reproducible",
        action="store_true",
        help="never compile, so that the choice of backend does not depend on timings",
    )

    fetching = verbs.add_parser("fetch", help="download CIFAR-10 or SVHN from its official site")
    fetching.add_argument("name", help="cifar10 or svhn")
    fetching.add_argument("--data-dir", type=Path, default=None, help="folder for the files")

    _add_survey(verbs)

    verbs.add_parser("status", help="show the runs in a folder and their progress")
    verbs.add_parser("verify", help="check every file in a folder against its checksum")
    plot = verbs.add_parser("plot", help="redraw figures and re-evaluate claims from stored results")
    plot.add_argument(
        "names", nargs="*", metavar="NAME", help="experiments, measured or compared networks (default: all)"
    )
    verbs.add_parser("report", help="write OUT/index.html from stored figures and claims")

    for verb in verbs.choices.values():
        if verb not in (listing, fetching):
            verb.add_argument("--out", type=Path, default=Path("out"), help="folder of results (default: out)")
        verb.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return parser.parse_args(arguments)


class _MeasureParser(_Parser):
    """Adds the probes' options on first use, because reading them imports every probe."""

    _filled = False

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        """See `argparse.ArgumentParser`."""
        if not self._filled:
            self._filled = True
            _add_probe_options(self)
        return super().parse_known_args(args, namespace)


def _add_survey(verbs: Any) -> None:
    """Add the commands for your own network: `measure` and `compare`."""
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
        help="weights to measure, .safetensors or .pt, or the folder of a Recorder; repeatable",
    )
    measure.add_argument("--name", help="name of the network (default: its checkpoint's name)")
    measure.add_argument("--device", default="auto", help="auto (keep the file's device), cpu, cuda, … (default: auto)")

    comparing = verbs.add_parser("compare", help="compare several measured networks")
    comparing.add_argument("runs", nargs="+", metavar="RUN", help="names or folders of basinscope measure runs")


_PREFIX = "probe:"
"""Prefix of the probes' options in the parsed namespace."""


def _by_flag() -> dict[str, list[tuple[Any, Any]]]:
    """Map every flag to the probes and options that it sets."""
    from basinscope.probes.table import PROBES

    uses: dict[str, list[tuple[Any, Any]]] = {}
    for probe in PROBES.values():
        for option in probe.options:
            uses.setdefault(option.flag, []).append((probe, option))
    return uses


def _add_probe_options(measure: argparse.ArgumentParser) -> None:
    """Add the options in the table of probes; types, defaults and help come from the probe functions."""
    from basinscope.probes.options import explanations, parameters, type_of
    from basinscope.probes.table import PROBES

    standard = ", ".join(probe.name for probe in PROBES.values() if probe.standard)
    measure.add_argument(
        "--probe",
        action="append",
        default=[],
        metavar="PROBE",
        help=f"{', '.join(PROBES)}; repeatable (default: {standard}). linear_path and connect run from each checkpoint "
        "to the next; tsne and --plane pca or between use all checkpoints, centred on the last",
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
        explanation = explanations(probe.verb).get(option.name, "").replace("%", "%%").rstrip(".")
        default = probe.defaults()[option.name]
        shown = "" if default is None or default is False else f" (default: {default})"
        text = f"{', '.join(one.name for one, _ in uses)}: {explanation}{shown}"
        kind = type_of(parameter)
        if kind is bool:
            either[flag].add_argument(flag, dest=_PREFIX + flag, action="store_true", default=None, help=text)
        else:
            metavar = option.name.upper()
            either[flag].add_argument(flag, dest=_PREFIX + flag, type=kind, default=None, metavar=metavar, help=text)


def probes_of(options: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """The requested probes, each with the options given on the command line.

    Args:
        options: Parsed arguments of `measure`.
    """
    from basinscope.probes.table import PROBES, probe_named

    names = options.probe or [probe.name for probe in PROBES.values() if probe.standard]
    given = vars(options)
    requested: dict[str, dict[str, Any]] = {}
    for name in names:
        probe = probe_named(name)
        chosen = {} if probe is None else {o.name: given[_PREFIX + o.flag] for o in probe.options}
        requested[name] = {option: value for option, value in chosen.items() if value is not None}
    return requested
