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
        description="See why neural networks generalise: train good and bad minima, measure around them, draw.",
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

    verbs.add_parser("status", help="show the runs in a folder and how far each has come")
    verbs.add_parser("verify", help="hold every file in a folder to its checksum")
    plot = verbs.add_parser("plot", help="draw figures and claims again from stored results")
    plot.add_argument("names", nargs="*", metavar="NAME", help="experiments (default: all that have run)")
    verbs.add_parser("report", help="write OUT/index.html from the figures and claims that are there")

    for verb in verbs.choices.values():
        if verb not in (listing, fetching):
            verb.add_argument("--out", type=Path, default=Path("out"), help="where results are kept (default: out)")
        verb.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return parser.parse_args(arguments)
