"""Figures, table and pointer of a survey, or of several side by side, in a folder of their own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import xarray as xr

from basinscope.plots.measured import DRAWN, plot
from basinscope.plots.style import save, styled
from basinscope.runs import atomic, records
from basinscope.runs.inspect import checksums
from basinscope.survey.summary import Row, rows, table

Surveys = Mapping[str, Mapping[str, xr.Dataset]]
"""Results by probe, by the name of their network."""


def publish(place: Path, surveys: Surveys, facts: Mapping[str, Any], notes: Sequence[str] = ()) -> dict[str, list[Row]]:
    """Draw and write all that one or several networks' results give.

    Args:
        place: Folder for the files.
        surveys: What was measured.
        facts: What the pointer file says of them, such as their runs.
        notes: What a reader of the numbers should know.

    Returns:
        The numbers of each network.
    """
    files: list[Path] = []
    probes = dict.fromkeys(probe for results in surveys.values() for probe in results)
    for probe in probes:
        having = {name: results[probe] for name, results in surveys.items() if probe in results}
        if not all(str(found.attrs["kind"]) in DRAWN for found in having.values()):
            continue
        shown: Any = having if len(surveys) > 1 else next(iter(having.values()))
        figure = plot(shown)
        with styled():
            files += save(figure, place / probe, atomic.write)
    numbers = {name: rows(results) for name, results in surveys.items()}
    summary = place / "summary.json"
    atomic.write_json(summary, {name: [row.to_json() for row in some] for name, some in numbers.items()})
    text = place / "summary.txt"
    atomic.write_text(text, "\n".join([table(numbers), *(f"note: {note}" for note in notes)]) + "\n")
    # Last, so that the pointer never names files that are not there.
    records.write(
        place / "run.json", {**facts, "notes": list(notes), "files": checksums([*files, summary, text], place)}
    )
    return numbers
