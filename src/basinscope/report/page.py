"""Writes OUT/index.html: every figure, every claim beside its measured number, and where they come from."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2

from basinscope._version import __version__
from basinscope.errors import InputError
from basinscope.experiments import registry
from basinscope.runs import atomic
from basinscope.runs.store import RunFolder

_MINUS = "\u2212"
_RAISED = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")


@dataclass(frozen=True)
class Figure:
    """One figure and the claims that it is held against."""

    stem: str
    image: str
    """PNG as a data address."""
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


def write_page(out: Path) -> Path:
    """Write the page for everything that stands in an output folder.

    Raises:
        InputError: There is nothing to show yet.
    """
    sections = [section for name in registry.NAMES if (section := _section(out, name))]
    if not sections:
        raise InputError(f"no figures in {out}; basinscope run all makes them")
    room = resources.files("basinscope.report")
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    environment.filters.update(number=number, comparison=comparison)
    template = environment.from_string((room / "page.html.j2").read_text(encoding="utf-8"))
    style = (room / "page.css").read_text(encoding="utf-8")
    page = out / "index.html"
    atomic.write_text(page, template.render(sections=sections, style=style, version=__version__))
    return page


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


def _section(out: Path, name: str) -> Section | None:
    """Read one experiment's figures and claims, if it has any."""
    place = out / name
    try:
        claims = json.loads((place / "claims.json").read_text(encoding="utf-8"))
        run = json.loads((place / "run.json").read_text(encoding="utf-8"))["run"]
    except FileNotFoundError:
        return None
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise InputError(
            f"{place}: claims.json or run.json is damaged; basinscope plot {name} writes them anew"
        ) from error
    experiment = registry.load(name)
    figures = []
    for stem in experiment.figures:
        file = place / f"{stem}.png"
        if file.exists():
            data = base64.b64encode(file.read_bytes()).decode("ascii")
            mine = [claim for claim in claims if claim["figure"] == stem]
            figures.append(Figure(stem, f"data:image/png;base64,{data}", mine))
    folder = RunFolder(out / "runs" / run)
    config = (folder.read_json("config.json") or {}).get("config", {})
    return Section(
        name=name,
        summary=experiment.summary,
        figures=figures,
        claims=claims,
        run=run,
        config=json.dumps(config, indent=1, ensure_ascii=False),
        provenance=folder.read_json("provenance.json") or {},
    )
