"""Saves and loads results as netCDF files."""

from __future__ import annotations

from pathlib import Path

import xarray as xr

from basinscope.errors import DamagedResultError, InputError
from basinscope.results.convert import check, write_netcdf
from basinscope.runs import atomic


def save(result: xr.Dataset, path: str | Path) -> Path:
    """Write a result as netCDF, atomically.

    Args:
        result: Dataset returned by a probe.
        path: File to write; an existing one is replaced.

    Raises:
        InputError: It is not a dataset.
    """
    if not isinstance(result, xr.Dataset):
        raise InputError(f"save: a {type(result).__name__} is not a result; give a dataset that a probe returned")
    check(result)
    target = Path(path)
    atomic.write(target, lambda partial: write_netcdf(result, partial))
    return target


def load(path: str | Path) -> xr.Dataset:
    """Read a result and check it against its schema.

    Args:
        path: A file written by `save`.

    Raises:
        InputError: There is no such file.
        DamagedResultError: It cannot be read or does not match its schema. Unlike the results of a run, the file has no
            checksum of its numbers.
    """
    source = Path(path)
    if not source.is_file():
        raise InputError(f"{source}: not found")
    try:
        # Without decoding times: a loss in seconds is a plain number.
        with xr.open_dataset(source, engine="h5netcdf", decode_times=False) as stored:
            result = stored.load()
    except Exception as error:  # h5py raises many kinds of errors on damaged files
        raise DamagedResultError(f"{source}: cannot be read as a result") from error
    try:
        return check(result)
    except DamagedResultError as error:
        raise DamagedResultError(f"{source}: {error}") from error
