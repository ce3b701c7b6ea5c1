"""Table of the probes that a survey offers: the function, options, summary rows and figure of each.

The command line, requests, tasks, summaries and figures of a survey are built from this table. A new probe needs a
function and an entry here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Literal

import xarray as xr

from basinscope.probes import rows as numbers
from basinscope.probes.options import OF_THE_VERB, Option, parameters
from basinscope.probes.rows import Row

Options = Mapping[str, Any]
"""Values of a probe function's parameters by name."""
Others = Literal["none", "next", "ends", "paths"]
"""Which other checkpoints a probe takes: none; the next one, as `other`; all others, as `points`: their final weights
(`ends`) or whole training paths (`paths`)."""
SHARE = 20
"""Directions per task: the most that an interruption can lose."""
PASSES_OF_A_RADIUS, PASSES_OF_A_SCAN, PASSES_OF_A_PRODUCT, PRODUCTS = 4.2, 20, 10.0, 60
"""Costs from which the time left is estimated: passes over the batches, and products of a Hessian probe."""


def _load(what: str | Callable[..., Any]) -> Callable[..., Any]:
    """Import the function named by `MODULE:FUNCTION` inside the package."""
    if not isinstance(what, str):
        return what
    module, _, name = what.partition(":")
    return getattr(import_module(f"basinscope.{module}"), name)


@dataclass(frozen=True, kw_only=True)
class Shown:
    """How a result is summarised and drawn."""

    stem: str = ""
    """Name of its files and of its figure; default the probe's name."""
    rows: Callable[[xr.Dataset], list[Row]] = numbers.no_rows
    """Returns its rows of the summary."""
    center: Callable[[xr.Dataset], float | None] = numbers.stated_loss
    """Returns the network's own loss, if the result has it."""
    drawn: str | Callable[..., Any] = "plots.measured:plot"
    """Draws one result, or several by network: `MODULE:FUNCTION` or a function; empty for results without a figure."""

    def draw(self, results: xr.Dataset | Mapping[str, xr.Dataset]) -> Any:
        """Draw one result, or those of several networks on one scale.

        Returns:
            A matplotlib figure, or None if the result has no figure.
        """
        return _load(self.drawn)(results) if self.drawn else None


@dataclass(frozen=True, kw_only=True)
class Derived(Shown):
    """A result that is computed from another one."""

    run: Callable[[xr.Dataset], xr.Dataset | None]
    """Result of the probe -> derived result, or None if there are too few data."""


@dataclass(frozen=True, kw_only=True)
class Probe(Shown):
    """One probe of a survey."""

    name: str
    run: str | Callable[..., xr.Dataset]
    """`f(landscape, *, …, progress) -> Dataset`, as `MODULE:FUNCTION` or a function."""
    options: tuple[Option, ...] = ()
    """Parameters that the command line offers; others can be set from Python."""
    cost: Callable[[Options], float]
    """Options -> expected passes over the batches."""
    standard: bool = True
    """Whether it is measured by default."""
    aliases: tuple[str, ...] = ()
    others: Callable[[Options], Others] = lambda _: "none"
    split: Callable[[Options], list[Options]] | None = None
    """Options -> those of each task, if the work is split into several."""
    join: Callable[[Sequence[xr.Dataset]], xr.Dataset] = lambda parts: parts[0]
    """Results of the tasks -> the whole result."""
    derived: tuple[Derived, ...] = ()

    def __post_init__(self) -> None:
        if not self.stem:
            object.__setattr__(self, "stem", self.name)

    @property
    def verb(self) -> Callable[..., xr.Dataset]:
        """The function that runs it."""
        return _load(self.run)

    def defaults(self) -> dict[str, Any]:
        """Default of each option: the function's, unless the table sets another."""
        known = parameters(self.verb)
        return {o.name: known[o.name].default if o.default is OF_THE_VERB else o.default for o in self.options}

    def tasks(self, options: Options) -> dict[str, Options]:
        """Options of each of its tasks, by task name."""
        if self.split is None:
            return {self.stem: options}
        return {f"{self.stem}-{k}": part for k, part in enumerate(self.split(options))}


def _rays(options: Options) -> list[Options]:
    """Split radii into tasks of `SHARE` directions each; only the first scans rays."""
    num = options["num_directions"]
    chosen = options.get("indices") or range(num)
    rest = {name: value for name, value in options.items() if name != "num_directions"}
    return [
        rest | {"indices": chosen[k : k + SHARE], "num_scanned": options.get("num_scanned", 0) if k == 0 else 0}
        for k in range(0, len(chosen), SHARE)
    ]


def _join_rays(parts: Sequence[xr.Dataset]) -> xr.Dataset:
    return xr.concat(
        list(parts), "ray", data_vars="minimal", coords="minimal", compat="override", combine_attrs="override"
    )


def _volume(radii: xr.Dataset) -> xr.Dataset | None:
    """The log-volume; None with fewer than two rays that have a radius."""
    enough = int((radii["status"] <= 1).sum()) > 1
    return _load(_VOLUME)(radii) if enough else None


def _plane_others(options: Options) -> Others:
    through: dict[str, Others] = {"between": "ends", "pca": "paths"}
    return through.get(options.get("directions", ""), "none")


_VOLUME = "probes.volume:log_volume"
_SEED, _EXTENT = Option("seed", "--seed"), Option("extent", "--extent", above=0)
_ALIGN = Option("align", "--align")
_ON_PATH = Option("resolution", "--path-resolution", least=3)
_ENTRIES = (
    Probe(
        name="slice1d",
        run="probes.slices:slice1d",
        options=(
            Option("num_directions", "--lines", least=1),
            _EXTENT,
            Option("resolution", "--line-resolution", least=2),
            _SEED,
        ),
        cost=lambda o: o["num_directions"] * o["resolution"],
        center=numbers.loss_of_lines,
    ),
    Probe(
        name="slice2d",
        run="probes.slices:slice2d",
        options=(
            Option("directions", "--plane"),
            _EXTENT,
            Option("resolution", "--resolution", least=2),
            _SEED,
        ),
        cost=lambda o: o["resolution"] ** 2,
        others=_plane_others,
        rows=numbers.plane_rows,
    ),
    Probe(
        name="basin_radius",
        stem="radius",
        aliases=("radius",),
        run="probes.radius:basin_radius",
        options=(
            Option("rise", "--rise", above=0),
            Option("cutoff", "--cutoff", above_loss=True, instead="rise"),
            Option("num_directions", "--directions", least=2),
            Option("tolerance", "--tolerance", above=0),
            # Unlike the function, a survey checks its method by default.
            Option("num_scanned", "--scanned", default=2, least=0),
            _SEED,
        ),
        cost=lambda o: PASSES_OF_A_RADIUS * len(o["indices"]) + PASSES_OF_A_SCAN * o["num_scanned"],
        split=_rays,
        join=_join_rays,
        rows=numbers.radius_rows,
        derived=(Derived(stem="volume", run=_volume, rows=numbers.volume_rows),),
    ),
    Probe(
        name="curvature",
        run="probes.curvature:curvature",
        options=(
            Option("top", "--top", least=1),
            Option("smallest", "--smallest", least=0),
            Option("density", "--density"),
            _SEED,
        ),
        cost=lambda o: PASSES_OF_A_PRODUCT * (PRODUCTS + 320 * o["density"]),
        rows=numbers.curvature_rows,
    ),
    Probe(
        name="sharpness",
        run="probes.sharpness:sharpness",
        options=(Option("rho", "--rho", above=0), Option("adaptive", "--adaptive"), _SEED),
        cost=lambda _: 120,
        rows=numbers.sharpness_rows,
    ),
    Probe(
        name="mean_curvature",
        standard=False,
        run="probes.mean_curvature:mean_curvature",
        options=(Option("num_directions", "--curvature-directions", least=2), _SEED),
        cost=lambda o: PASSES_OF_A_PRODUCT * (2 * o["num_directions"] + PRODUCTS),
        rows=numbers.mean_curvature_rows,
        drawn="",
    ),
    Probe(
        name="linear_path",
        standard=False,
        run="probes.linear_path:linear_path",
        options=(_ON_PATH, Option("beyond", "--beyond", least=0), _ALIGN),
        cost=lambda o: (1 + o["align"]) * (o["resolution"] + 1),
        others=lambda _: "next",
        rows=numbers.path_rows,
        center=numbers.loss_of_lines,
    ),
    Probe(
        name="connect",
        standard=False,
        run="probes.connect:connect",
        options=(Option("num_steps", "--steps", least=0), _ON_PATH, _ALIGN, _SEED),
        cost=lambda o: 3 * o["num_steps"] + (2 + o["align"]) * o["resolution"],
        others=lambda _: "next",
        rows=numbers.curve_rows,
        center=numbers.loss_of_curve,
    ),
    Probe(
        name="tsne",
        standard=False,
        run="probes.tsne:tsne",
        options=(Option("perplexity", "--perplexity", above=0),),
        cost=lambda _: 1,
        others=lambda _: "paths",
        rows=numbers.map_rows,
    ),
)
PROBES: dict[str, Probe] = {probe.name: probe for probe in _ENTRIES}
"""Every probe by name, in the order of the summary."""


def probe_named(name: str) -> Probe | None:
    """The probe with a name or alias; None if there is none."""
    return next((probe for probe in PROBES.values() if name in (probe.name, *probe.aliases)), None)


def figures_by_kind() -> dict[str, Shown]:
    """Every result that a survey may hold, by its stem, in the order of the summary."""
    return {one.stem: one for probe in PROBES.values() for one in (probe, *probe.derived)}


def modules_of_probes() -> list[str]:
    """Full names of the modules that hold the functions of probes and of derived results."""
    runs = [probe.run for probe in PROBES.values() if isinstance(probe.run, str)]
    return [f"basinscope.{run.partition(':')[0]}" for run in [*runs, _VOLUME]]


def name_of(stem: str) -> str:
    """Name of a result in Python: the probe's name, or the stem of a derived result."""
    return next((probe.name for probe in PROBES.values() if probe.stem == stem), stem)
