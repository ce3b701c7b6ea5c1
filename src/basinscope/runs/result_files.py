"""Results as files that any reader of netCDF opens."""

from __future__ import annotations

from pathlib import Path

import xarray as xr

from basinscope.errors import DamagedResultError, InputError
from basinscope.results.convert import check, write_netcdf
from basinscope.runs import atomic


def save(result: xr.Dataset, path: str | Path) -> Path:
    """Write a result as netCDF, whole or not at all.

    Args:
        result: What a verb returned.
        path: Where to; replaced if it is there.

    Raises:
        InputError: It is no result.
    """
    if not isinstance(result, xr.Dataset):
        raise InputError(f"save: a {type(result).__name__} is no result; give what a verb returned")
    check(result)
    place = Path(path)
    atomic.write(place, lambda partial: write_netcdf(result, partial))
    return place


def load(path: str | Path) -> xr.Dataset:
    """Read a result, and hold it to what its kind should have.

    Args:
        path: What `save` wrote.

    Raises:
        InputError: There is no such file.
        DamagedResultError: It cannot be read, or lacks what a result of its kind has. The file holds no checksum of its
            numbers; runs of the command line do.
    """
    place = Path(path)
    if not place.is_file():
        raise InputError(f"{place}: is not there")
    try:
        # A loss in seconds is a number like any other, not a span of time.
        with xr.open_dataset(place, engine="h5netcdf", decode_times=False) as stored:
            found = stored.load()
    except Exception as error:  # h5py tells of damage in many ways
        raise DamagedResultError(f"{place}: cannot be read as a result") from error
    try:
        return check(found)
    except DamagedResultError as error:
        raise DamagedResultError(f"{place}: {error}") from error
