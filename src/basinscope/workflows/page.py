"""Writes the page of an output folder, with progress."""

from __future__ import annotations

from pathlib import Path

from basinscope.errors import InputError
from basinscope.runs.life import Watch


def need_page() -> None:
    """Check that the page can be written, before hours of computation.

    Raises:
        InputError: A package is missing.
    """
    try:
        import basinscope.report.page  # noqa: F401
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("basinscope"):
            raise
        raise InputError(f"{error.name} is missing; pip install 'basinscope[paper]'") from error


def update_page(out: Path, watch: Watch) -> Path:
    """Write the page of an output folder.

    Raises:
        InputError: There is nothing to show yet.
    """
    from basinscope.report import page

    with watch.progress("page", False) as progress:
        return page.write_page(out, progress)
