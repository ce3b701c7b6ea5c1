"""Surveys of your own networks in one call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import xarray as xr
from torch import nn

from basinscope.errors import InputError, kind_of
from basinscope.landscape.module.batches import Batches
from basinscope.landscape.module.objective import Loss, Objective
from basinscope.own.measure import measure
from basinscope.own.networks import of_model, plain
from basinscope.own.request import options_by_probe, standard
from basinscope.own.stored import side_by_side
from basinscope.own.summary import table
from basinscope.probes.rows import Row
from basinscope.probes.table import Options, name_of, probe_named
from basinscope.progress import Watcher
from basinscope.runs.life import watching, writing
from basinscope.runs.spelling import IN_PYTHON
from basinscope.settings import checks_settings
from basinscope.workflows.page import need_page, update_page


@dataclass(frozen=True, kw_only=True)
class Survey:
    """Measurements around one or several networks.

    `print` shows the table of all numbers.
    """

    datasets: Mapping[str, Mapping[str, xr.Dataset]]
    """Results by network, then by probe; `volume` is derived from `basin_radius`."""
    failures: Mapping[str, Mapping[str, str]]
    """By network, the probes that could not be measured, and why."""
    rows: Mapping[str, Sequence[Row]]
    """Numbers by network, each with its uncertainty, unit and sample size."""
    notes: tuple[str, ...]
    """Caveats for readers of the numbers."""
    figures: Mapping[str, Path]
    """PNG files by probe, with all networks on one scale; SVG and PDF files are in the same folder."""
    folders: Mapping[str, Path]
    """By network, the folder of its run: results with checksums, provenance."""
    page: Path
    """The page that shows everything in the output folder."""
    num_done: int
    """Tasks run by this call; 0 if all were done already."""

    @property
    def table(self) -> str:
        """All numbers as plain text, one column per network."""
        return table(self.rows)

    def __str__(self) -> str:
        return "\n".join([self.table, *(f"note: {note}" for note in self.notes)])


@checks_settings
def survey(
    network: nn.Module | Objective,
    loss_fn: Loss | None = None,
    batches: Batches | None = None,
    *,
    checkpoints: Any = None,
    probes: str | Sequence[str] | Mapping[str, Options] | None = None,
    seed: int | None = None,
    out: str | Path = "out",
    name: str | None = None,
    progress: Watcher = None,
) -> Survey:
    """Measure networks with the chosen probes, draw them side by side and write the page, like `basinscope measure`.

    Finished results are stored at once, identified by the networks' weights, class, batches and loss: repeating a call
    resumes it, or does nothing if all is done. A probe that cannot be measured is listed in `failures` and in the
    notes; the others are drawn.

    Args:
        network: A network in eval mode, with `loss_fn` and `batches`; or an `Objective`, which also defines what is
            moved. Not modified.
        loss_fn: See `Objective`.
        batches: See `Objective`; one extra pass computes their fingerprint.
        checkpoints: Weights to measure the network at: a list, or a mapping from names, of state dictionaries,
            networks, safetensors or `torch.save` files. None uses its current weights. A `Recorder`, its folder, or a
            list of weights in place of one checkpoint is a training path, measured at its end.
        probes: Names, or options by name: `{"basin_radius": {"num_directions": 50}, "curvature": {}}`. Default:
            `slice1d`, `slice2d`, `basin_radius`, `curvature` and `sharpness`. `linear_path` and `connect` run from each
            checkpoint to the next; `tsne`, and `slice2d` with `directions="pca"` or `"between"`, are measured at the
            last checkpoint and use all others.
        seed: Seed of all directions and random vectors, unless a probe's own options set it; default 0.
        out: Folder of results.
        name: Name of the network; with several checkpoints, the prefix of their names.
        progress: True or None shows a line with the time left, False nothing; a function is called with the finished
            share of each network in turn.

    Returns:
        Datasets, numbers and figures by network and probe, and the path of the page.

    Raises:
        InputError: A checkpoint does not fit, a loss cannot be measured, an option is out of range, or no probe can be
            measured.
        DamagedResultError: A stored result is damaged.

    Example:
        >>> result = survey(model, loss_fn, batches, checkpoints={"small batches": "a.pt", "large batches": "b.pt"})
        >>> print(result)
        >>> result.datasets["small batches"]["basin_radius"].radius.median()
    """
    need_page()
    objective = _objective(network, loss_fn, batches)
    options = options_by_probe(_seeded(standard() if probes is None else probes, seed), IN_PYTHON)
    watch = watching(progress)
    with writing(Path(out), IN_PYTHON) as folder:
        networks = of_model(objective, checkpoints, name=name)
        measured = measure(networks, options, out=folder, watch=watch, spell=IN_PYTHON)
    published = [one.published for one in measured if one.published is not None]
    combined = published[0]
    if len(published) > 1:
        labels = {one.label: one.folder for one in measured if one.results}
        combined = side_by_side(folder / "compared" / plain("-".join(labels)), labels, watch.waiting)
    figures = {name_of(stem): path for one in [*published, combined] for stem, path in one.figures.items()}
    return Survey(
        datasets={one.label: {name_of(s): result for s, result in one.results.items()} for one in measured},
        failures={one.label: one.failures for one in measured if one.failures},
        rows={label: rows for one in published for label, rows in one.numbers.items()},
        notes=tuple(combined.notes),
        figures=figures,
        folders={one.label: one.folder.path for one in measured},
        page=update_page(folder, watch),
        num_done=sum(one.num_done for one in measured),
    )


def _objective(network: nn.Module | Objective, loss_fn: Loss | None, batches: Batches | None) -> Objective:
    given = [name for name, value in (("loss_fn", loss_fn), ("batches", batches)) if value is not None]
    if isinstance(network, Objective):
        if given:
            raise InputError(f"survey: an Objective already has {' and '.join(given)}: omit {' and '.join(given)}")
        return network
    if not isinstance(network, nn.Module):
        raise InputError(f"survey: network is {kind_of(network)}: give an nn.Module or an Objective")
    if loss_fn is None or batches is None:
        missing = [name for name in ("loss_fn", "batches") if name not in given]
        raise InputError(f"survey: a network needs {' and '.join(missing)}; or give an Objective")
    return Objective(network, loss_fn, batches)


def _seeded(probes: str | Sequence[str] | Mapping[str, Options], seed: int | None) -> dict[str, Options]:
    """Options by probe, with the seed added for every probe that draws random numbers."""
    if isinstance(probes, str):
        probes = [probes]
    given: dict[str, Options] = dict(probes) if isinstance(probes, Mapping) else {name: {} for name in probes}
    if seed is None:
        return given
    drawing = {
        name
        for name in given
        if (probe := probe_named(name)) and any(option.name == "seed" for option in probe.options)
    }
    return {name: {"seed": seed, **options} if name in drawing else options for name, options in given.items()}
