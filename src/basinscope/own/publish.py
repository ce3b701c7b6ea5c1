"""Writes figures, table and pointer of one or several surveys into a folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import xarray as xr

from basinscope.errors import InputError
from basinscope.own.summary import rows, table
from basinscope.plots.style import save_figure, styled
from basinscope.probes.rows import Row
from basinscope.probes.table import figures_by_kind
from basinscope.runs import atomic, life
from basinscope.runs.store import RunFolder

Surveys = Mapping[str, Mapping[str, xr.Dataset]]
"""Results by network, then by stem."""


@dataclass(frozen=True)
class Published:
    """Published figures and numbers of a survey."""

    place: Path
    """The folder."""
    numbers: Mapping[str, Sequence[Row]]
    """Rows of the summary by network."""
    figures: Mapping[str, Path]
    """Figures as PNG, by stem."""
    notes: Sequence[str]
    """Caveats for readers of the numbers."""
    replaced: str
    """The run whose figures were replaced, if it was a different one."""


def publish_survey(
    place: Path,
    surveys: Surveys,
    facts: Mapping[str, Any],
    notes: Sequence[str],
    waiting: Callable[[str], object],
) -> Published:
    """Draw the figures and write the table of one or several networks; a figure that cannot be drawn is noted.

    Args:
        place: Folder for the files.
        surveys: The measurements.
        facts: Content of the pointer file, such as their runs.
        notes: Caveats for readers of the numbers.
        waiting: Called with the folder if another process has locked it.
    """
    all_notes = list(notes)

    def write() -> tuple[Sequence[Path], Published]:
        earlier = (RunFolder(place).take_json("run.json") or {}).get("run", "")
        figures: dict[str, list[Path]] = {}
        for stem in dict.fromkeys(stem for results in surveys.values() for stem in results):
            available = {name: results[stem] for name, results in surveys.items() if stem in results}
            try:
                figure = figures_by_kind()[stem].draw(available if len(surveys) > 1 else next(iter(available.values())))
            except InputError as error:
                all_notes.append(f"{stem} was not drawn: {error}")
                continue
            if figure is not None:
                with styled():
                    figures[stem] = save_figure(figure, place / stem, atomic.write)
        numbers = {name: rows(results) for name, results in surveys.items()}
        summary, text = place / "summary.json", place / "summary.txt"
        atomic.write_json(summary, {name: [row.to_json() for row in one] for name, one in numbers.items()})
        atomic.write_text(text, "\n".join([table(numbers), *(f"note: {note}" for note in all_notes)]) + "\n")
        files = [file for one in figures.values() for file in one]
        replaced = earlier if earlier != facts.get("run", "") else ""
        drawn = {stem: one[0] for stem, one in figures.items()}
        return [*files, summary, text], Published(place, numbers, drawn, all_notes, replaced)

    # `all_notes` is complete only when everything is drawn.
    return life.publish(place, write, {**facts, "notes": all_notes}, waiting)
