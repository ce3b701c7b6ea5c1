"""What stands in an output folder, read for the page."""

from __future__ import annotations

import base64
import io
import json
import logging
from collections.abc import Sequence
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
    """Numbers that the page offers as a file."""

    exhibit: str
    result: str
    file: str


@dataclass(frozen=True)
class Figure:
    """One printed figure."""

    stem: str
    image: str
    """The picture as a data address."""
    claims: list[dict[str, Any]]
    """Claims that it is held against."""
    downloads: list[CsvDownload]

    @property
    def title(self) -> str:
        """Words for headings and for those who cannot see it."""
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
    """Packed, see `report.payload`; none where the run lacks what this release explores."""

    @property
    def num_held(self) -> int:
        """Claims that hold."""
        return sum(claim["holds"] is True for claim in self.claims)

    @property
    def num_judged(self) -> int:
        """Claims with a target."""
        return sum(claim["holds"] is not None for claim in self.claims)


@dataclass(frozen=True)
class SurveySection:
    """One network of the user's on the page, or several side by side."""

    key: str
    title: str
    numbers: dict[str, list[dict[str, Any]]]
    """Rows of the summary, by network."""
    figures: list[Figure]
    runs: list[tuple[str, str, dict[str, Any]]]
    """Name, settings and provenance of each run."""
    notes: list[str]
    """What keeps the numbers from being compared."""
    exhibit: str | None
    downloads: list[CsvDownload]

    @property
    def names(self) -> list[str]:
        """Every number that some network has, in order."""
        return list(dict.fromkeys(row["name"] for some in self.numbers.values() for row in some))

    def row(self, network: str, name: str) -> dict[str, Any] | None:
        """One number of one network."""
        return next((row for row in self.numbers[network] if row["name"] == name), None)


@dataclass(frozen=True)
class Gathered:
    """Everything for the page."""

    sections: dict[str, Section]
    surveys: list[SurveySection]
    refused: list[str]
    """What is damaged and left out, and how to make it anew."""


def gather(out: Path, progress: Progress | None = None) -> Gathered:
    """Read every experiment, and every network of the user's, in an output folder."""
    sections, surveys, refused = {}, [], []
    places = sorted([*(out / "compared").glob("*/run.json"), *(out / "measured").glob("*/run.json")])
    total = len(registry.NAMES) + len(places)
    for k, name in enumerate(registry.NAMES):
        if progress and (registry.published_folder(out, name) / "run.json").exists():
            progress.update(name, k, total)
        try:
            section = _section(out, name)
        except DamagedResultError as error:
            refused.append(f"{error}; basinscope plot {name} makes it anew")
        else:
            sections |= {name: section} if section else {}
    for k, place in enumerate(places):
        if progress:
            progress.update(place.parent.name, len(registry.NAMES) + k, total)
        try:
            surveys.append(_survey(out, place.parent, f"own-{k}"))
        except DamagedResultError as error:
            refused.append(f"{error}; basinscope {_MAKERS[place.parent.parent.name]} makes it anew")
    return Gathered(sections, surveys, refused)


def _section(out: Path, name: str) -> Section | None:
    """Read one experiment's figures and claims, if it has any.

    Raises:
        DamagedResultError: A file does not match its checksum.
    """
    place = registry.published_folder(out, name)
    pointer = records.read(place / "run.json")
    if pointer is None:
        return None
    _refuse_damage(place, pointer)
    claims = json.loads((place / "claims.json").read_text(encoding="utf-8"))
    for claim in claims:
        claim["figure"] = registry.OLD_STEMS.get(claim["figure"], claim["figure"])
    experiment = registry.load_experiment(name)
    folder = RunFolder(out / "runs" / pointer["run"])
    stored = (folder.take_json("config.json") or {}).get("config", {})
    exhibit = _exhibit(experiment, folder, stored)
    behind = exhibit.downloads if exhibit else {}
    figures = {}
    for stem in experiment.figures:
        if image := _image(registry.stored_figure(place, stem)):
            files = [CsvDownload(name, result, f"{stem}-{result}.csv") for result in behind.get(stem, ())]
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
    )


def _exhibit(experiment: registry.Experiment, folder: RunFolder, stored: dict[str, Any]) -> Exhibit | None:
    """What can be explored of a run; nothing where another release made it, or its results are gone."""
    try:
        return experiment.exhibit(folder, registry.restore(experiment, stored))
    except DamagedResultError as error:
        _log.warning(
            "%s; the page shows printed figures of %s only; basinscope run %s makes what can be explored",
            error,
            experiment.name,
            experiment.name,
        )
        return None


def _refuse_damage(place: Path, pointer: dict[str, Any]) -> None:
    damaged = RunFolder(place).damage(pointer)
    if damaged:
        raise DamagedResultError(next(iter(damaged.values())))


def _survey(out: Path, place: Path, key: str) -> SurveySection:
    """Read what was measured around one network of the user's, or compared.

    Raises:
        DamagedResultError: A file does not match its checksum.
    """
    pointer = records.read(place / "run.json") or {}
    _refuse_damage(place, pointer)
    numbers = json.loads((place / "summary.json").read_text(encoding="utf-8"))
    stems = [Path(name).stem for name in pointer["files"] if name.endswith(".png")]
    runs = pointer.get("runs") or [pointer["run"]]
    exhibit = _explored(out, list(numbers), runs)
    held = exhibit.results if exhibit else ()
    return SurveySection(
        key=key,
        title=" · ".join(numbers),
        numbers=numbers,
        figures=[Figure(stem, image, [], []) for stem in stems if (image := _image(place / f"{stem}.png"))],
        runs=[_circumstances(out, run) for run in runs],
        notes=pointer.get("notes", []),
        exhibit=pack_exhibit(exhibit) if exhibit else None,
        downloads=[CsvDownload(key, result, f"{_named(result, list(numbers))}.csv") for result in held],
    )


def _circumstances(out: Path, run: str) -> tuple[str, str, dict[str, Any]]:
    """Name, settings and provenance of a run; empty where it lies elsewhere or is damaged."""
    folder = RunFolder(out / "runs" / run)
    settings = (folder.take_json("config.json") or {}).get("config", {})
    return run, json.dumps(settings, indent=1, ensure_ascii=False), folder.take_json("provenance.json") or {}


def _named(result: str, labels: Sequence[str]) -> str:
    """Name a file after network and probe."""
    number, _, probe = result.partition("/")
    return f"{labels[int(number)]}-{probe}"


def _explored(out: Path, labels: Sequence[str], runs: Sequence[str]) -> Exhibit | None:
    """The results of networks side by side, `0/radius` and so on; nothing where a run lies elsewhere or is damaged."""
    results: dict[str, xr.Dataset] = {}
    try:
        for k, run in enumerate(runs):
            folder = RunFolder(out / "runs" / run)
            record = folder.read_json("config.json")
            if record is None:
                return None
            request = SurveyRequest.restore(record["config"])
            results |= {f"{k}/{probe}": _numeric(found) for probe, found in collect(folder, request).items()}
    except DamagedResultError:
        return None
    units = {str(found.attrs.get("loss_unit", "")) for found in results.values()}
    facts = {"labels": list(labels), "colours": list(COLOURS), "loss_unit": units.pop() if len(units) == 1 else ""}
    return Exhibit(facts=facts, results=results) if results else None


def _numeric(found: xr.Dataset) -> xr.Dataset:
    """Leave out what browsers have no numbers for."""
    return found.drop_vars(
        [str(name) for name in found.variables if np.asarray(found[name].values).dtype.kind in "cmM"]
    )


def _image(file: Path) -> str | None:
    """A picture as a data address, without loss in the smallest format that browsers read."""
    if not file.exists():
        return None
    squeezed = io.BytesIO()
    with PIL.Image.open(file) as picture:
        picture.convert("RGB").save(squeezed, "WEBP", lossless=True, quality=20, method=1)
    return f"data:image/webp;base64,{base64.b64encode(squeezed.getvalue()).decode('ascii')}"
