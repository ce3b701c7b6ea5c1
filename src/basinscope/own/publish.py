"""Figures, table and pointer of a survey, or of several side by side, in a folder of their own."""

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
"""Results by stem, by the name of their network."""


@dataclass(frozen=True)
class Published:
    """What was drawn and written."""

    place: Path
    """The folder."""
    numbers: Mapping[str, Sequence[Row]]
    """Rows of the summary by network."""
    figures: Mapping[str, Path]
    """Figures as PNG, by stem."""
    notes: Sequence[str]
    """What a reader of the numbers should know."""
    replaced: str
    """The run whose figures stood there before, if it was another one."""


def publish_survey(
    place: Path,
    surveys: Surveys,
    facts: Mapping[str, Any],
    notes: Sequence[str],
    waiting: Callable[[str], object],
) -> Published:
    """Draw and write what the results of one or several networks give; a figure that cannot be drawn is noted.

    Args:
        place: Folder for the files.
        surveys: What was measured.
        facts: What the pointer file says of them, such as their runs.
        notes: What a reader of the numbers should know.
        waiting: Told if another process holds the folder.
    """
    said = list(notes)

    def make() -> tuple[Sequence[Path], Published]:
        earlier = (RunFolder(place).take_json("run.json") or {}).get("run", "")
        figures: dict[str, list[Path]] = {}
        for stem in dict.fromkeys(stem for results in surveys.values() for stem in results):
            having = {name: results[stem] for name, results in surveys.items() if stem in results}
            try:
                figure = figures_by_kind()[stem].draw(having if len(surveys) > 1 else next(iter(having.values())))
            except InputError as error:
                said.append(f"{stem} is not drawn: {error}")
                continue
            if figure is not None:
                with styled():
                    figures[stem] = save_figure(figure, place / stem, atomic.write)
        numbers = {name: rows(results) for name, results in surveys.items()}
        summary, text = place / "summary.json", place / "summary.txt"
        atomic.write_json(summary, {name: [row.to_json() for row in some] for name, some in numbers.items()})
        atomic.write_text(text, "\n".join([table(numbers), *(f"note: {note}" for note in said)]) + "\n")
        files = [file for some in figures.values() for file in some]
        replaced = earlier if earlier != facts.get("run", "") else ""
        drawn = {stem: some[0] for stem, some in figures.items()}
        return [*files, summary, text], Published(place, numbers, drawn, said, replaced)

    # `said` is complete only when everything is drawn.
    return life.publish(place, make, {**facts, "notes": said}, waiting)
