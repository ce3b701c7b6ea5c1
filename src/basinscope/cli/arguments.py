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


def _add_survey(verbs: Any) -> None:
    """Add the verbs for one's own network."""
    measure = verbs.add_parser("measure", help="measure your own network: slices, radii, curvature, sharpness")
    measure.add_argument(
        "problem", metavar="PROBLEM.py[:NAME]", help="a Python file that defines model, loss_fn and batches"
    )
    measure.add_argument(
        "--checkpoint",
        action="append",
        type=Path,
        default=[],
        metavar="FILE",
        help="weights to measure, .safetensors or .pt; may be given several times",
    )
    measure.add_argument("--name", help="what to call the network (default: its checkpoint's name)")
    measure.add_argument(
        "--probe",
        action="append",
        default=[],
        metavar="PROBE",
        help="slice1d, slice2d, radius, curvature or sharpness; may be given several times (default: all)",
    )
    bound = measure.add_mutually_exclusive_group()
    bound.add_argument("--rise", type=float, default=0.1, help="rise of the loss that bounds the basin (default: 0.1)")
    bound.add_argument("--cutoff", type=float, default=None, help="absolute loss that bounds it instead")
    for option, name, kind, default, told in (
        ("--directions", "num_directions", int, 100, "random directions for radii"),
        ("--lines", "num_lines", int, 3, "lines of the 1-D slice"),
        ("--extent", "extent", float, 1.0, "how far slices go to either side, in filter norms"),
        ("--line-resolution", "line_resolution", int, 41, "points on each line of the 1-D slice"),
        ("--resolution", "resolution", int, 21, "grid lines of the 2-D slice"),
        ("--tolerance", "tolerance", float, 0.01, "relative width of the bracket around a radius"),
        ("--top", "top", int, 5, "largest eigenvalues of the Hessian"),
        ("--rho", "rho", float, 0.05, "radius of the ball for sharpness"),
        ("--seed", "seed", int, 0, "moves all directions and random vectors"),
    ):
        measure.add_argument(option, dest=name, type=kind, default=default, help=f"{told} (default: {default})")
    measure.add_argument("--density", action="store_true", help="estimate the density of all eigenvalues, too")
    measure.add_argument("--adaptive", action="store_true", help="let the ball of sharpness follow the weights' sizes")
    measure.add_argument("--device", default="auto", help="auto: where the file puts the model; or cpu, cuda, …")

    comparing = verbs.add_parser("compare", help="put several measured networks side by side")
    comparing.add_argument("runs", nargs="+", metavar="RUN", help="names or folders of runs of basinscope measure")
