"""Builds labelled datasets from arrays, and checks and writes them."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from torch import Tensor

from basinscope.errors import DamagedResultError, InputError
from basinscope.results.attributes import decode_attributes, encode_attributes
from basinscope.results.schema import KINDS, Variable
from basinscope.results.upgrade import upgraded

Values = Tensor | np.ndarray | float | int | list[str]
SUFFIXES = (".nc", ".nc4", ".netcdf", ".h5", ".hdf5")
"""Suffixes of the names of netCDF files; a file may have none."""


def dataset(kind: str, values: Mapping[str, Values], **attributes: str | float | int) -> xr.Dataset:
    """Label arrays as a result of one kind.

    Args:
        kind: A name in `KINDS`.
        values: Every variable of that kind, as tensors, arrays or numbers; optional ones may be left out.
        attributes: Further attributes, such as the seed.

    Returns:
        A dataset whose variables carry units and meanings; a variable named like its dimension is a coordinate.
    """
    schema = KINDS[kind]
    needed = {name for name, variable in schema.variables.items() if not variable.optional}
    assert needed <= set(values) <= set(schema.variables), set(values) ^ set(schema.variables)
    arrays = {name: _array(schema.variables[name], value) for name, value in values.items()}
    coordinates = {name: array for name, array in arrays.items() if array.dims == (name,)}
    data = {name: array for name, array in arrays.items() if name not in coordinates}
    return xr.Dataset(data, coordinates, {"kind": kind, "schema_version": schema.version, **attributes})


def _array(variable: Variable, value: Values) -> xr.Variable:
    raw: Any = value.detach().cpu().numpy() if isinstance(value, Tensor) else np.asarray(value)
    attributes: dict[str, Any] = {"units": variable.units, "long_name": variable.meaning}
    if variable.flags:
        attributes["flag_values"] = np.array(list(variable.flags), dtype=np.int8)
        attributes["flag_meanings"] = " ".join(variable.flags.values())
    return xr.Variable(variable.dims, raw, attributes)


def unmeasured(kind: str, **coordinates: np.ndarray) -> xr.Dataset:
    """Create a result of one kind for a network that could not be measured: numbers are NaN, codes −1."""
    variables = KINDS[kind].variables

    def blank(variable: Variable) -> np.ndarray:
        shape = [len(coordinates[dim]) for dim in variable.dims]
        return np.full(shape, -1, dtype=np.int8) if variable.flags else np.full(shape, np.nan)

    return dataset(
        kind,
        {
            name: coordinates[name] if name in coordinates else blank(variable)
            for name, variable in variables.items()
            if not variable.optional
        },
    )


def stack_nets(names: Sequence[str], parts: Sequence[xr.Dataset]) -> xr.Dataset:
    """Join results of one kind along a new leading axis `net`."""
    joined = xr.concat(list(parts), xr.IndexVariable("net", list(names)), combine_attrs="override")
    return joined.transpose("net", ...)


def check(found: xr.Dataset) -> xr.Dataset:
    """Check a dataset against its schema; return it under this release's names, with attributes as they were saved.

    A result may be one network's, or many joined along a leading axis `net`.

    Raises:
        DamagedResultError: The kind or version is unknown, or a variable is missing or has other dimensions.
    """
    found = upgraded(decode_attributes(found))
    schema = KINDS.get(str(found.attrs.get("kind")))
    if schema is None:
        raise DamagedResultError(f"unknown kind of result {found.attrs.get('kind')!r}")
    version = found.attrs.get("schema_version")
    if version != schema.version:
        raise DamagedResultError(f"{schema.name}: schema version {version}, this release reads {schema.version}")
    for name, variable in schema.variables.items():
        shapes = (variable.dims, ("net", *variable.dims))
        if name not in found.variables and variable.optional:
            continue
        if name not in found.variables or found[name].dims not in shapes:
            raise DamagedResultError(f"{schema.name}: variable {name!r} is missing or has other dimensions")
    return found


def write_netcdf(result: xr.Dataset, path: Path) -> None:
    """Write a dataset as netCDF; see `as_netcdf`.

    Raises:
        InputError: The file is named like one of another format, or netCDF cannot store an attribute or a variable.
    """
    refuse_suffix(path)
    path.write_bytes(as_netcdf(result))


def refuse_suffix(path: Path) -> None:
    """Refuse the name of a file of another format than netCDF.

    Raises:
        InputError: It has such a suffix.
    """
    # A suffix begins with a letter: the end of `radius-0.3` is a number.
    if path.suffix[1:2].isalpha() and path.suffix.lower() not in SUFFIXES:
        raise InputError(
            f"save: results are netCDF files, not {path.suffix}: use the suffix .nc, or write a table with "
            "result.to_dataframe().to_csv(file)"
        )


def as_netcdf(result: xr.Dataset) -> bytes:
    """Content of a netCDF file; see `attributes.encode_attributes` for attributes that netCDF has no type for.

    Serialised in memory: HDF5 crashes at exit if it could not finish writing a file, as on a full disk.

    Raises:
        InputError: NetCDF cannot store an attribute or a variable.
    """
    plain = encode_attributes(result)
    try:
        try:
            return bytes(plain.to_netcdf(engine="h5netcdf"))
        except ValueError:  # this xarray serialises in memory only to netCDF 3
            with tempfile.TemporaryDirectory() as folder:
                plain.to_netcdf(Path(folder) / "result.nc", engine="h5netcdf")
                return (Path(folder) / "result.nc").read_bytes()
    except (OSError, MemoryError):
        raise
    except Exception as error:  # xarray, h5netcdf and h5py raise many kinds
        why = " ".join(str(error).split())
        raise InputError(f"save: netCDF cannot store this result ({why}); convert or remove that part") from error
