"""The `fetch` command: downloads published image datasets."""

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
"""Download speed assumed by the first estimate of the time left."""


def fetch_command(options: argparse.Namespace) -> int:
    """Download a dataset into the data folder and print its path.

    Args:
        options: `name`, a key of `download.SOURCES`, and `data_dir`, a folder or `None` for the default one.

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
    target = folder / source.folder
    for one in source.downloads:
        print(f"{one.file_name}: {one.num_bytes:,} bytes from {one.url}")
    print(f"{source.num_bytes:,} bytes in total, into {target}; complete files are not downloaded again", flush=True)
    download.require_writable(target)
    with exclusive(
        target, lambda: print(f"basinscope: another process is downloading into {target}; waiting", file=sys.stderr)
    ):
        atomic.sweep(target)
        with progress_bar(options.name) as bar:

            def show(file: str, received: float, total: float) -> None:
                bar.update(file, received / _EXPECTED_BYTES_A_SECOND, total / _EXPECTED_BYTES_A_SECOND)

            target = download.fetch(options.name, folder, progress=show)
    print(f"{options.name}: {target}")
    return 0
