"""A survey of anyone's networks as one call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import xarray as xr
from torch import nn

from basinscope.errors import InputError
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
from basinscope.runs.life import watching, writable
from basinscope.runs.spelling import IN_PYTHON
from basinscope.workflows.page import need_page, update_page


@dataclass(frozen=True, kw_only=True)
class Survey:
    """What was measured around one or several networks.

    `print` shows the table of all numbers.
    """

    datasets: Mapping[str, Mapping[str, xr.Dataset]]
    """Results by network, then by probe; `volume` follows from `basin_radius`."""
    failures: Mapping[str, Mapping[str, str]]
    """By network, the probes that could not be measured, and why."""
    rows: Mapping[str, Sequence[Row]]
    """Numbers by network, each with its uncertainty, unit and sample size."""
    notes: tuple[str, ...]
    """What a reader of the numbers should know."""
    figures: Mapping[str, Path]
    """PNG files by probe; networks side by side on one scale. SVG and PDF lie beside them."""
    folders: Mapping[str, Path]
    """By network, the folder of its run: results with checksums, provenance."""
    page: Path
    """The page that shows everything in the output folder."""
    num_done: int
    """Tasks that this call did; 0 if everything was there already."""

    @property
    def table(self) -> str:
        """All numbers as plain text, a column a network."""
        return table(self.rows)

    def __str__(self) -> str:
        return "\n".join([self.table, *(f"note: {note}" for note in self.notes)])


def survey(
    network: nn.Module | Objective,
    loss_fn: Loss | None = None,
    batches: Batches | None = None,
    *,
    checkpoints: Any = None,
    probes: Sequence[str] | Mapping[str, Options] | None = None,
    seed: int | None = None,
    out: str | Path = "out",
    name: str | None = None,
    progress: Watcher = None,
) -> Survey:
    """Measure networks by every probe, draw them side by side, and write the page, as `basinscope measure` does.

    What is finished is stored at once, and found again by the networks' weights, class, batches and loss: the same call
    goes on where it was interrupted, and does nothing where all is done. A probe that cannot be measured is named in
    `failures` and in the notes; the others are drawn.

    Args:
        network: A network, in eval mode, with `loss_fn` and `batches`; or an `Objective`, which also says what is
            moved. It is not changed.
        loss_fn: See `Objective`.
        batches: See `Objective`; one more pass over them makes their fingerprint.
        checkpoints: None measures the network at its current weights. Or weights to measure it at: a list, or a mapping
            from names, of state dictionaries, networks, or files of safetensors or of `torch.save`. A `Recorder`, its
            folder, or a list of weights in place of one checkpoint is a path of training, measured at its end.
        probes: Names, or options by name: `{"basin_radius": {"num_directions": 50}, "curvature": {}}`. Default:
            `slice1d`, `slice2d`, `basin_radius`, `curvature` and `sharpness`. `linear_path` and `connect` go from each
            checkpoint to the next; `tsne`, and `slice2d` with `directions="pca"` or `"between"`, are measured at the
            last checkpoint and take all others.
        seed: Of all directions and random vectors, where a probe's own options do not say otherwise; default 0.
        out: Where results are kept.
        name: What to call the network; beside several checkpoints, what their names begin with.
        progress: True or None shows a line with the time left, False none; a function gets the finished share of each
            network in turn.

    Returns:
        Datasets, numbers and figures by network and probe, and where the page lies.

    Raises:
        InputError: A checkpoint does not fit, a loss cannot be measured, an option is out of range, or no probe can be
            measured.
        DamagedResultError: A stored result is not as it was written.

    Example:
        >>> found = survey(model, loss_fn, batches, checkpoints={"small batches": "a.pt", "large batches": "b.pt"})
        >>> print(found)
        >>> found.datasets["small batches"]["basin_radius"].radius.median()
    """
    need_page()
    objective = _objective(network, loss_fn, batches)
    wanted = options_by_probe(_seeded(standard() if probes is None else probes, seed), IN_PYTHON)
    place = writable(Path(out), IN_PYTHON)
    watch = watching(progress)
    networks = of_model(objective, checkpoints, name=name)
    found = measure(networks, wanted, out=place, watch=watch, spell=IN_PYTHON)
    drawn = [one.published for one in found if one.published is not None]
    whole = drawn[0]
    if len(drawn) > 1:
        labels = {one.label: one.folder for one in found if one.results}
        whole = side_by_side(place / "compared" / plain("-".join(labels)), labels, watch.waiting)
    figures = {name_of(stem): path for one in [*drawn, whole] for stem, path in one.figures.items()}
    return Survey(
        datasets={one.label: {name_of(s): result for s, result in one.results.items()} for one in found},
        failures={one.label: one.failures for one in found if one.failures},
        rows={label: rows for one in drawn for label, rows in one.numbers.items()},
        notes=tuple(whole.notes),
        figures=figures,
        folders={one.label: one.folder.path for one in found},
        page=update_page(place, watch),
        num_done=sum(one.num_done for one in found),
    )


def _objective(network: nn.Module | Objective, loss_fn: Loss | None, batches: Batches | None) -> Objective:
    given = [name for name, value in (("loss_fn", loss_fn), ("batches", batches)) if value is not None]
    if isinstance(network, Objective):
        if given:
            raise InputError(f"survey: an Objective has its {' and '.join(given)}: leave {' and '.join(given)} out")
        return network
    if not isinstance(network, nn.Module):
        raise InputError(f"survey: network is a {type(network).__name__}: give an nn.Module or an Objective")
    if loss_fn is None or batches is None:
        missing = [name for name in ("loss_fn", "batches") if name not in given]
        raise InputError(f"survey: a network needs {' and '.join(missing)}; or give an Objective")
    return Objective(network, loss_fn, batches)


def _seeded(probes: Sequence[str] | Mapping[str, Options], seed: int | None) -> dict[str, Options]:
    """Options by probe, with the seed for every probe that draws random numbers."""
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
