"""Writes the page, and shows how far that is."""

from __future__ import annotations

from pathlib import Path

from basinscope.cli.progress import shown


def make_page(out: Path) -> None:
    """Write the page of an output folder and say where it lies.

    Raises:
        InputError: There is nothing to show yet.
    """
    from basinscope.report.page import write_page

    with shown("page", in_seconds=False) as progress:
        page = write_page(out, progress)
    print(f"page: {page}")
