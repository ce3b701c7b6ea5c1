"""Reads an output folder for the page."""

from __future__ import annotations

import base64
import io
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import xarray as xr

from basinscope.errors import DamagedResultError
from basinscope.experiments import registry
from basinscope.experiments.exhibit import Exhibit
from basinscope.own.request import SurveyRequest
from basinscope.own.tasks import collect
from basinscope.plots.measured import COLOURS
from basinscope.report.payload import pack_exhibit
from basinscope.runs import records
from basinscope.runs.engine import Progress
from basinscope.runs.store import RunFolder

_log = logging.getLogger(__name__)
_SPOKEN = {
    "swissroll": "swiss roll",
    "swissroll-moving": "swiss roll, moving",
    "image-minima": "images",
    "architectures": "a network and a linear model",
    "rings-circle": "how often the circle is found",
}
_MAKERS = {"measured": "measure", "compared": "compare"}


@dataclass(frozen=True)
class CsvDownload:
    """A result that the page offers as a CSV file."""

    exhibit: str
    result: str
    file: str


@dataclass(frozen=True)
class Figure:
    """One figure for print."""

    stem: str
    image: str
    """The picture as a data URL."""
    claims: list[dict[str, Any]]
    """Claims that the figure illustrates."""
    downloads: list[CsvDownload]

    @property
    def title(self) -> str:
        """Title for headings and alternative text."""
        number, _, name = self.stem.partition("-")
        return f"Figure {number}, {_SPOKEN.get(name, name)}"


@dataclass(frozen=True)
class Section:
    """One experiment on the page."""

    name: str
    summary: str
    figures: dict[str, Figure]
    """Pictures by stem."""
    claims: list[dict[str, Any]]
    run: str
    config: str
    provenance: dict[str, Any]
    exhibit: str | None
    """Packed, see `report.payload`; None if the run lacks results that this release explores."""
    facts: Mapping[str, Any]
    """The exhibit's facts; empty without one."""

    @property
    def num_held(self) -> int:
        """Number of claims that hold."""
        return sum(claim["holds"] is True for claim in self.claims)

    @property
    def num_judged(self) -> int:
        """Number of claims with a target."""
        return sum(claim["holds"] is not None for claim in self.claims)


@dataclass(frozen=True)
class SurveySection:
    """One network of the user, or several side by side."""

    key: str
    title: str
    numbers: dict[str, list[dict[str, Any]]]
    """Rows of the summary, by network."""
    figures: list[Figure]
    runs: list[tuple[str, str, dict[str, Any]]]
    """Name, settings and provenance of each run."""
    notes: list[str]
    """Reasons why the numbers are not comparable."""
    exhibit: str | None
    downloads: list[CsvDownload]

    @property
    def names(self) -> list[str]:
        """Names of all numbers that any network has, in order."""
        return list(dict.fromkeys(row["name"] for rows in self.numbers.values() for row in rows))

    def row(self, network: str, name: str) -> dict[str, Any] | None:
        """Return one number of one network, or None."""
        return next((row for row in self.numbers[network] if row["name"] == name), None)


@dataclass(frozen=True)
class Gathered:
    """All content of the page."""

    sections: dict[str, Section]
    surveys: list[SurveySection]
    refused: list[str]
    """Why parts are damaged and left out, and how to re-create them."""


def gather(out: Path, progress: Progress | None = None) -> Gathered:
    """Read every experiment and every network of the user in an output folder."""
    sections, surveys, refused = {}, [], []
    folders = sorted([*(out / "compared").glob("*/run.json"), *(out / "measured").glob("*/run.json")])
    total = len(registry.NAMES) + len(folders)
    for k, name in enumerate(registry.NAMES):
        if progress and (registry.published_folder(out, name) / "run.json").exists():
            progress.update(name, k, total)
        try:
            section = _section(out, name)
        except DamagedResultError as error:
            refused.append(f"{error}; basinscope plot {name} re-creates it")
        else:
            sections |= {name: section} if section else {}
    for k, pointer in enumerate(folders):
        if progress:
            progress.update(pointer.parent.name, len(registry.NAMES) + k, total)
        try:
            surveys.append(_survey(out, pointer.parent, f"own-{k}"))
        except DamagedResultError as error:
            refused.append(f"{error}; basinscope {_MAKERS[pointer.parent.parent.name]} re-creates it")
    return Gathered(sections, surveys, refused)


def _section(out: Path, name: str) -> Section | None:
    """Read one experiment's figures and claims, if it has any.

    Raises:
        DamagedResultError: A file does not match its checksum.
    """
    published = registry.published_folder(out, name)
    pointer = records.read(published / "run.json")
    if pointer is None:
        return None
    _refuse_damage(published, pointer)
    claims = json.loads((published / "claims.json").read_text(encoding="utf-8"))
    for claim in claims:
        claim["figure"] = registry.OLD_STEMS.get(claim["figure"], claim["figure"])
    experiment = registry.load_experiment(name)
    folder = RunFolder(out / "runs" / pointer["run"])
    stored = (folder.take_json("config.json") or {}).get("config", {})
    exhibit = _exhibit(experiment, folder, stored)
    downloads = exhibit.downloads if exhibit else {}
    figures = {}
    for stem in experiment.figures:
        if image := _image(registry.stored_figure(published, stem)):
            files = [CsvDownload(name, result, f"{stem}-{result}.csv") for result in downloads.get(stem, ())]
            figures[stem] = Figure(stem, image, [claim for claim in claims if claim["figure"] == stem], files)
    return Section(
        name=name,
        summary=experiment.summary,
        figures=figures,
        claims=claims,
        run=folder.name,
        config=json.dumps(stored, indent=1, ensure_ascii=False),
        provenance=folder.take_json("provenance.json") or {},
        exhibit=pack_exhibit(exhibit) if exhibit else None,
        facts=exhibit.facts if exhibit else {},
    )


def _exhibit(experiment: registry.Experiment, folder: RunFolder, stored: dict[str, Any]) -> Exhibit | None:
    """Read what can be explored of a run; None if another release made it or its results are missing."""
    try:
        return experiment.exhibit(folder, registry.restore(experiment, stored))
    except DamagedResultError as error:
        _log.warning(
            "%s; the page shows only figures for print of %s; for the interactive part: basinscope run %s",
            error,
            experiment.name,
            experiment.name,
        )
        return None


def _refuse_damage(folder: Path, pointer: dict[str, Any]) -> None:
    damaged = RunFolder(folder).damage(pointer)
    if damaged:
        raise DamagedResultError(next(iter(damaged.values())))


def _survey(out: Path, folder: Path, key: str) -> SurveySection:
    """Read the measurements around one network of the user, or around several that were compared.

    Raises:
        DamagedResultError: A file does not match its checksum.
    """
    pointer = records.read(folder / "run.json") or {}
    _refuse_damage(folder, pointer)
    numbers = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    stems = [Path(name).stem for name in pointer["files"] if name.endswith(".png")]
    runs = pointer.get("runs") or [pointer["run"]]
    exhibit = _explored(out, list(numbers), runs)
    results = exhibit.results if exhibit else ()
    return SurveySection(
        key=key,
        title=" · ".join(numbers),
        numbers=numbers,
        figures=[Figure(stem, image, [], []) for stem in stems if (image := _image(folder / f"{stem}.png"))],
        runs=[_circumstances(out, run) for run in runs],
        notes=pointer.get("notes", []),
        exhibit=pack_exhibit(exhibit) if exhibit else None,
        downloads=[CsvDownload(key, result, f"{_named(result, list(numbers))}.csv") for result in results],
    )


def _circumstances(out: Path, run: str) -> tuple[str, str, dict[str, Any]]:
    """Name, settings and provenance of a run; empty if it is stored elsewhere or damaged."""
    folder = RunFolder(out / "runs" / run)
    settings = (folder.take_json("config.json") or {}).get("config", {})
    return run, json.dumps(settings, indent=1, ensure_ascii=False), folder.take_json("provenance.json") or {}


def _named(result: str, labels: Sequence[str]) -> str:
    """Name a file after network and probe."""
    number, _, probe = result.partition("/")
    return f"{labels[int(number)]}-{probe}"


def _explored(out: Path, labels: Sequence[str], runs: Sequence[str]) -> Exhibit | None:
    """Read the results of compared networks as `0/radius` and so on; None if a run is missing or damaged."""
    results: dict[str, xr.Dataset] = {}
    try:
        for k, run in enumerate(runs):
            folder = RunFolder(out / "runs" / run)
            record = folder.read_json("config.json")
            if record is None:
                return None
            request = SurveyRequest.restore(record["config"])
            results |= {f"{k}/{probe}": _numeric(result) for probe, result in collect(folder, request).items()}
    except DamagedResultError:
        return None
    units = {str(result.attrs.get("loss_unit", "")) for result in results.values()}
    facts = {"labels": list(labels), "colours": list(COLOURS), "loss_unit": units.pop() if len(units) == 1 else ""}
    return Exhibit(facts=facts, results=results) if results else None


def _numeric(result: xr.Dataset) -> xr.Dataset:
    """Drop variables of types that browsers lack: complex numbers and times."""
    return result.drop_vars(
        [str(name) for name in result.variables if np.asarray(result[name].values).dtype.kind in "cmM"]
    )


def _image(file: Path) -> str | None:
    """Encode a picture as a data URL, in the smallest lossless format that browsers read."""
    if not file.exists():
        return None
    buffer = io.BytesIO()
    with PIL.Image.open(file) as picture:
        picture.convert("RGB").save(buffer, "WEBP", lossless=True, quality=20, method=1)
    return f"data:image/webp;base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"
