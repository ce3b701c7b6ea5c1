"""Data of image minima for the page: measurements, slices, lines, and predictions of pushed networks."""

from __future__ import annotations

from basinscope.experiments.exhibit import Exhibit, numbers_of
from basinscope.experiments.image_minima.collect import collect
from basinscope.experiments.image_minima.config import Config
from basinscope.experiments.image_minima.figures import FLOOR, LINES, RELATIONS, SLICES
from basinscope.landscape.normalize import Normalization
from basinscope.parameters import ParameterLayout
from basinscope.results.convert import stack_nets
from basinscope.runs.store import RunFolder


def exhibit(folder: RunFolder, config: Config) -> Exhibit:
    """Collect the interactive data of a finished run.

    Raises:
        DamagedResultError: A result is missing or unreadable.
    """
    found = collect(folder, config)
    compared = list(config.compared)
    examples = stack_nets(compared, [folder.dataset(f"examples-{net}") for net in compared])
    shown = examples[["logits"]].assign(
        {name: examples[name].isel(net=0, drop=True) for name in ("pixels", "labels", "seen")}
    )
    return Exhibit(
        facts={
            **found.facts(),
            "floor": FLOOR,
            "ceiling": config.line_ceiling,
            "num_moved": _num_moved(folder, found.good),
        },
        results={
            "nets": numbers_of(found.relations),
            "radii": found.relations.natural.radius[["radius"]],
            "lines": found.lines[["loss"]],
            "slices": found.slices[["loss"]],
            "slice": found.surfaces[["loss"]],
            "examples": shown,
        },
        downloads={SLICES: ("slices", "slice"), RELATIONS: ("nets", "radii"), LINES: ("lines", "radii")},
    )


def _num_moved(folder: RunFolder, net: str) -> int:
    """Number of weights that directions move; running statistics are not parameters."""
    state = folder.weights(f"weights-{net}")
    buffers = ("running_mean", "running_var", "num_batches_tracked")
    return Normalization(ParameterLayout.of({k: v for k, v in state.items() if not k.endswith(buffers)})).num_moved
