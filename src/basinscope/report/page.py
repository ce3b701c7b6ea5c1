"""Writes OUT/index.html: every figure, every claim beside its measured number, and where they come from."""

from __future__ import annotations

import base64
import json
import logging
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2

from basinscope._version import __version__
from basinscope.errors import DamagedResultError, InputError
from basinscope.experiments import registry
from basinscope.runs import atomic, records
from basinscope.runs.inspect import checksums
from basinscope.runs.store import RunFolder

_log = logging.getLogger(__name__)
_KINDS = {".png": "image/png", ".gif": "image/gif"}
_MINUS = "\u2212"
_RAISED = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")


@dataclass(frozen=True)
class Figure:
    """One figure and the claims that it is held against."""

    stem: str
    image: str
    """Picture or animation as a data address."""
    claims: list[dict[str, Any]]


@dataclass(frozen=True)
class Section:
    """One experiment on the page."""

    name: str
    summary: str
    figures: list[Figure]
    claims: list[dict[str, Any]]
    run: str
    config: str
    provenance: dict[str, Any]

    @property
    def num_held(self) -> int:
        """Claims that hold."""
        return sum(claim["holds"] is True for claim in self.claims)

    @property
    def num_judged(self) -> int:
        """Claims with a target."""
        return sum(claim["holds"] is not None for claim in self.claims)


@dataclass(frozen=True)
class Survey:
    """One network of the user's on the page, or several side by side."""

    title: str
    numbers: dict[str, list[dict[str, Any]]]
    """Rows of the summary, by network."""
    figures: list[tuple[str, str]]
    """Stem and picture of each figure."""
    runs: list[str]
    notes: list[str]
    """What keeps the numbers from being compared."""

    @property
    def names(self) -> list[str]:
        """Every number that some network has, in order."""
        return list(dict.fromkeys(row["name"] for some in self.numbers.values() for row in some))

    def row(self, network: str, name: str) -> dict[str, Any] | None:
        """One number of one network."""
        return next((row for row in self.numbers[network] if row["name"] == name), None)


def write_page(out: Path) -> Path:
    """Write the page for everything that stands in an output folder; damaged parts are named and left out.

    Raises:
        InputError: There is nothing to show yet.
    """
    sections, refused = [], []
    for name in registry.NAMES:
        try:
            section = _section(out, name)
        except DamagedResultError as error:
            refused.append(f"{error}; basinscope plot {name} makes it anew")
        else:
            sections += [section] if section else []
    surveys = []
    for place in sorted([*(out / "compared").glob("*/run.json"), *(out / "measured").glob("*/run.json")]):
        try:
            surveys.append(_survey(place.parent))
        except DamagedResultError as error:
            refused.append(f"{error}; basinscope {_MAKERS[place.parent.parent.name]} makes it anew")
    if not sections and not surveys:
        raise InputError(refused[0] if refused else f"no figures in {out}; basinscope run all makes them")
    for why in refused:
        _log.warning("%s; left out of the page", why)
    room = resources.files("basinscope.report")
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    environment.filters.update(number=number, comparison=comparison)
    template = environment.from_string((room / "page.html.j2").read_text(encoding="utf-8"))
    style = (room / "page.css").read_text(encoding="utf-8")
    page = out / "index.html"
    atomic.write_text(page, template.render(sections=sections, surveys=surveys, style=style, version=__version__))
    records.write(out / "page.json", {"files": checksums([page], out)})
    return page


_MAKERS = {"measured": "measure", "compared": "compare"}


def _survey(place: Path) -> Survey:
    """Read what was measured around one network of the user's, or compared.

    Raises:
        DamagedResultError: A file does not match its checksum.
    """
    pointer = records.read(place / "run.json") or {}
    damaged = RunFolder(place).damage(pointer)
    if damaged:
        raise DamagedResultError(next(iter(damaged.values())))
    numbers = json.loads((place / "summary.json").read_text(encoding="utf-8"))
    stems = [Path(name).stem for name in pointer["files"] if name.endswith(".png")]
    figures = [(stem, image) for stem in stems if (image := _image(place / f"{stem}.png"))]
    runs = pointer.get("runs") or [pointer["run"]]
    return Survey(" · ".join(numbers), numbers, figures, runs, pointer.get("notes", []))


def number(value: float | None) -> str:
    """Write a number the way a reader wants it: four digits, no needless exponent."""
    if value is None:
        return "–"
    if value != 0 and not 1e-3 <= abs(value) < 1e6:
        mantissa, exponent = f"{value:.2e}".split("e")
        return f"{mantissa}·10{str(int(exponent)).translate(_RAISED)}".replace("-", _MINUS)
    return (f"{value:.4g}" if abs(value) < 1e4 else f"{value:,.0f}").replace("-", _MINUS)


def comparison(target: str) -> str:
    """Write a target with the signs of a textbook: `>= -0.9` becomes `≥ −0.9`."""
    return target.translate(str.maketrans({"-": _MINUS})).replace(">=", "≥").replace("<=", "≤").replace("==", "=")


def _image(file: Path) -> str | None:
    """A picture as a data address."""
    if not file.exists():
        return None
    data = base64.b64encode(file.read_bytes()).decode("ascii")
    return f"data:{_KINDS[file.suffix]};base64,{data}"


def _section(out: Path, name: str) -> Section | None:
    """Read one experiment's figures and claims, if it has any.

    Raises:
        DamagedResultError: A file does not match its checksum.
    """
    place = out / name
    pointer = records.read(place / "run.json")
    if pointer is None:
        return None
    damaged = RunFolder(place).damage(pointer)
    if damaged:
        raise DamagedResultError(next(iter(damaged.values())))
    claims = json.loads((place / "claims.json").read_text(encoding="utf-8"))
    experiment = registry.load(name)
    figures = []
    for stem in experiment.figures:
        image = next((i for suffix in _KINDS if (i := _image(place / f"{stem}{suffix}"))), None)
        if image:
            figures.append(Figure(stem, image, [claim for claim in claims if claim["figure"] == stem]))
    folder = RunFolder(out / "runs" / pointer["run"])
    config = (folder.take_json("config.json") or {}).get("config", {})
    return Section(
        name=name,
        summary=experiment.summary,
        figures=figures,
        claims=claims,
        run=folder.name,
        config=json.dumps(config, indent=1, ensure_ascii=False),
        provenance=folder.take_json("provenance.json") or {},
    )
