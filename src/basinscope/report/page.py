"""Writes OUT/index.html: one self-contained, interactive page with everything in an output folder."""

from __future__ import annotations

import logging
from importlib import resources
from pathlib import Path

import jinja2

from basinscope._version import __version__
from basinscope.errors import InputError
from basinscope.plots import style
from basinscope.report.gather import gather
from basinscope.report.scripts import scripts
from basinscope.report.topics import parts
from basinscope.report.words import comparison, number
from basinscope.runs import atomic, records
from basinscope.runs.engine import Progress
from basinscope.runs.inspect import checksums

_log = logging.getLogger(__name__)


def write_page(out: Path, progress: Progress | None = None) -> Path:
    """Write the page for everything in an output folder; damaged parts are left out with a warning.

    Args:
        out: The folder that `--out` names.
        progress: Notified of each part that is read.

    Raises:
        InputError: There is nothing to show yet.
    """
    content = gather(out, progress)
    if not content.sections and not content.surveys:
        raise InputError(
            content.refused[0] if content.refused else f"no figures in {out}; basinscope run all creates them"
        )
    for why in content.refused:
        _log.warning("%s; left out of the page", why)
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("basinscope.report"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters.update(number=number, comparison=comparison)
    text = environment.get_template("page.html.j2").render(
        sections=content.sections,
        surveys=content.surveys,
        parts=parts(content.sections),
        num_held=sum(section.num_held for section in content.sections.values()),
        small=any(s.claims and s.claims[0]["preset"].startswith("smoke") for s in content.sections.values()),
        num_judged=sum(section.num_judged for section in content.sections.values()),
        scripts=scripts(),
        style=(resources.files("basinscope.report") / "page.css").read_text(encoding="utf-8"),
        look=style,
        version=__version__,
    )
    page = out / "index.html"
    atomic.write_text(page, text)
    records.write_record(out / "page.json", {"files": checksums([page], out)})
    return page
