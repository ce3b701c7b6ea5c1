"""Saves and loads results as netCDF files."""

from __future__ import annotations

from pathlib import Path

import xarray as xr

from basinscope.errors import DamagedResultError, InputError, kind_of
from basinscope.results.convert import as_netcdf, check, refuse_suffix
from basinscope.runs import atomic
from basinscope.settings import checks_settings


@checks_settings
def save(result: xr.Dataset, path: str | Path) -> Path:
    """Write a result as netCDF, atomically.

    Attributes that netCDF has no type for, such as None, booleans, lists and dictionaries, are stored as JSON text,
    from which `load` restores them; paths and dates become text.

    Args:
        result: Dataset returned by a probe; you may add attributes and variables.
        path: File to write, with the suffix `.nc`, `.nc4`, `.netcdf`, `.h5` or `.hdf5`, or without one. An existing
            file is replaced, missing folders are created.

    Returns:
        The path.

    Raises:
        InputError: It is not a dataset, the path is a folder or has the suffix of another format, or netCDF cannot
            store an attribute or a variable. Nothing is written then.
    """
    if not isinstance(result, xr.Dataset):
        raise InputError(f"save: {kind_of(result)} is not a result; give a dataset that a probe returned")
    check(result)
    target = Path(path)
    if target.is_dir():
        raise InputError(f"save: {target} is a folder: name a file in it, such as {target / 'result.nc'}")
    refuse_suffix(target)
    content = as_netcdf(result)
    atomic.write(target, lambda partial: partial.write_bytes(content))
    return target


@checks_settings
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
