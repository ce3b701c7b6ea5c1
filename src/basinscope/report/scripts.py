"""The page's programs: what is inlined, in which order, and the policy that lets nothing else run."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from functools import cache
from importlib import resources

from basinscope.report.payload import deflate

ENGINE = ("engine/network.js", "engine/directions.js", "engine/score.js", "engine/worker.js")
"""What runs in workers; the page has it, too."""
SHARED = ("engine", "data", "page")
"""Folders of what several parts use."""


@dataclass(frozen=True)
class Scripts:
    """Everything executable on a page."""

    page: str
    engine: str
    """Read by the page to start workers."""
    plotly: str
    """Packed; unpacked and run by the page."""
    policy: str
    """Content security policy: these scripts and no others, and nothing from outside the page."""


@cache
def scripts() -> Scripts:
    """Put the page's programs together."""
    folder = resources.files("basinscope.report") / "js"
    files = {name: (folder / name).read_text(encoding="utf-8") for name in programs()}
    # One scope of their own: the files share their names, the page's global scope stays clean.
    page = '(() => {\n"use strict";\n' + "\n".join(files.values()) + "})();\n"
    library = (resources.files("plotly") / "package_data" / "plotly.min.js").read_text(encoding="utf-8")
    allowed = " ".join(f"'sha256-{_digest(text)}'" for text in (page, library))
    policy = (
        f"default-src 'none'; script-src {allowed}; worker-src blob:; style-src 'unsafe-inline'; "
        "img-src data: blob:; base-uri 'none'; form-action 'none'"
    )
    return Scripts(page, "\n".join(files[name] for name in ENGINE), deflate(library.encode()), policy)


@cache
def programs() -> tuple[str, ...]:
    """Name every program under `js/` in the order in which the page has them.

    What parts share comes first, then the parts, each a file or a folder of `js/parts/`, then what starts them.
    """
    shared = [name for folder in SHARED for name in _programs_in(folder)]
    return (*shared, "parts.js", *_programs_in("parts"), "main.js")


def _programs_in(place: str) -> list[str]:
    folder = resources.files("basinscope.report").joinpath("js", *place.split("/"))
    found = []
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        name = f"{place}/{entry.name}"
        if entry.is_dir():
            found += _programs_in(name)
        elif name.endswith(".js"):
            found.append(name)
    return found


def _digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")
