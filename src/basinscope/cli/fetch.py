"""The verb that fetches published image sets."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from basinscope.cli.progress import progress_bar
from basinscope.data import download
from basinscope.errors import InputError
from basinscope.experiments.settings import nearest
from basinscope.runs import atomic
from basinscope.runs.lock import exclusive

_EXPECTED_BYTES_A_SECOND = 10e6
"""The estimate of the time left begins with it, until some of the data has come."""


def fetch_command(options: argparse.Namespace) -> int:
    """Fetch a set into the data folder and say where it lies.

    Args:
        options: `name`, a key of `download.SOURCES`, and `data_dir`, a folder or `None` for the usual one.

    Returns:
        The exit code, 0.

    Raises:
        InputError: See `download.fetch`.
    """
    if options.name not in download.SOURCES:
        raise InputError(nearest(options.name, download.SOURCES, "data set"))
    folder = download.default_folder() if options.data_dir is None else options.data_dir
    if folder == Path() and options.data_dir is not None:
        raise InputError("--data-dir is empty; name a folder")
    source = download.SOURCES[options.name]
    place = folder / source.folder
    for one in source.downloads:
        print(f"{one.file_name}: {one.num_bytes:,} bytes from {one.url}")
    print(f"{source.num_bytes:,} bytes in all, into {place}; what is there already and whole is left alone", flush=True)
    download.require_writable(place)
    with exclusive(place, lambda: print(f"basinscope: another process fetches into {place}; waiting", file=sys.stderr)):
        atomic.sweep(place)
        with progress_bar(options.name) as bar:

            def show(file: str, come: float, total: float) -> None:
                bar.update(file, come / _EXPECTED_BYTES_A_SECOND, total / _EXPECTED_BYTES_A_SECOND)

            place = download.fetch(options.name, folder, progress=show)
    print(f"{options.name}: {place}")
    return 0
