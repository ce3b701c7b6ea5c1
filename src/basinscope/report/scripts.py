"""JavaScript of the page: the files, their order, and a security policy that lets nothing else run."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from functools import cache
from importlib import resources

from basinscope.report.payload import deflate

ENGINE = ("engine/network.js", "engine/directions.js", "engine/score.js", "engine/worker.js")
"""Files that run in workers; the page includes them, too."""
SHARED = ("engine", "data", "page")
"""Folders of code shared by several parts."""


@dataclass(frozen=True)
class Scripts:
    """All executable code of a page."""

    page: str
    engine: str
    """Source text from which the page starts workers."""
    plotly: str
    """Compressed; the page unpacks and runs it."""
    policy: str
    """Content security policy: these scripts only, and nothing from outside the page."""


@cache
def scripts() -> Scripts:
    """Assemble the page's scripts."""
    folder = resources.files("basinscope.report") / "js"
    files = {name: (folder / name).read_text(encoding="utf-8") for name in programs()}
    # One function scope for all files keeps their names out of the page's global scope.
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
    """List every file under `js/` in the order of the page.

    Shared code comes first, then the parts (each a file or folder of `js/parts/`), then `main.js`, which starts them.
    """
    shared = [name for folder in SHARED for name in _programs_in(folder)]
    return (*shared, "parts.js", *_programs_in("parts"), "main.js")


def _programs_in(subfolder: str) -> list[str]:
    folder = resources.files("basinscope.report").joinpath("js", *subfolder.split("/"))
    names = []
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        name = f"{subfolder}/{entry.name}"
        if entry.is_dir():
            names += _programs_in(name)
        elif name.endswith(".js"):
            names.append(name)
    return names


def _digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")
