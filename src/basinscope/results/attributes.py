"""Stores attributes of Python types in netCDF, as JSON text where it has no type of its own."""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable, Hashable, Mapping
from pathlib import PurePath
from typing import Any

import numpy as np
import xarray as xr
from torch import Tensor

from basinscope.errors import DamagedResultError, InputError, kind_of

MARK = "json_attributes"
"""Attribute that lists, as JSON, which attributes beside it are JSON text."""
_TUPLE, _SET, _DICT = "__tuple__", "__set__", "__dict__"
"""Keys of JSON objects that stand for tuples, sets, and dicts whose keys are not all text."""
_NUMBERS = "iufc"
"""Kinds of numpy types that netCDF attributes hold."""
_READ_AS_CODE = frozenset(
    {"coordinates", "dtype", "grid_mapping", "_FillValue", "missing_value", "scale_factor", "add_offset", "_Unsigned"}
)
"""Attributes of a variable that tell netCDF readers how to decode it."""
_GLOBAL_CODE = frozenset({"coordinates"})
_SMALL = 2**63
Attributes = dict[Hashable, Any]


def encode_attributes(result: xr.Dataset) -> xr.Dataset:
    """Convert the attributes of a dataset and its variables to types that netCDF can store.

    - Text, numbers and arrays of numbers are unchanged; netCDF reads an array of one number as that number.
    - None, booleans, lists, tuples, sets and dicts become JSON text, which `decode_attributes` converts back to equal
      values (sets to frozensets).
    - Paths, dates, times and durations become text; tensors and other arrays become lists.

    Returns:
        The dataset itself if it needs no change, else a copy that shares its arrays.

    Raises:
        InputError: An attribute cannot be stored; the message names it.
    """
    return _converted(decode_attributes(result), _encoded)


def decode_attributes(found: xr.Dataset) -> xr.Dataset:
    """Reverse `encode_attributes`: read attributes from their JSON text.

    Returns:
        The dataset itself if it has no JSON attributes, else a copy that shares its arrays.

    Raises:
        DamagedResultError: An attribute is not the JSON text that it should be.
    """
    return _converted(found, _decoded)


def _converted(result: xr.Dataset, convert: Callable[[Attributes, Hashable], Attributes]) -> xr.Dataset:
    """Convert the attributes of a dataset and of each of its variables, without changing the given one."""
    whole = convert(result.attrs, None)
    parts = {name: convert(array.attrs, name) for name, array in result.variables.items()}
    if whole is result.attrs and all(parts[name] is array.attrs for name, array in result.variables.items()):
        return result
    copy = result.copy()
    copy.attrs = whole
    for name, attributes in parts.items():
        copy.variables[name].attrs = attributes
    return copy


def _encoded(attributes: Attributes, variable: Hashable) -> Attributes:
    """Convert one set of attributes; returns the same object if nothing changes."""
    found: Attributes = {}
    encoded: list[str] = []
    for name, value in attributes.items():
        what = _named(name, variable)
        if not isinstance(name, str) or not name or "\0" in name:
            raise InputError(f"save: {what}: its name is not text that netCDF can store; rename it")
        if name in (_GLOBAL_CODE if variable is None else _READ_AS_CODE):
            raise InputError(f"save: {what}: the name is reserved in netCDF files; rename it")
        if isinstance(value, np.ndarray | np.generic | complex) and np.asarray(value).dtype.kind in _NUMBERS:
            found[name] = value
            continue
        try:
            simple = _simplified(value, what)
        except RecursionError as error:
            raise InputError(f"save: {what} contains itself or is nested too deeply; shorten or remove it") from error
        found[name] = simple if _fits(simple) else _json(simple)
        if not _fits(simple):
            encoded.append(name)
    if not encoded and all(found[name] is value for name, value in attributes.items()):
        return attributes
    return {**found, MARK: _json(encoded)} if encoded else found


def _decoded(attributes: Attributes, variable: Hashable) -> Attributes:
    """Reverse `_encoded`; returns the same object if nothing changes."""
    if MARK not in attributes:
        return attributes
    found = {name: value for name, value in attributes.items() if name != MARK}
    name = MARK
    try:
        for name in json.loads(attributes[MARK]):
            if name in found:
                found[name] = json.loads(found[name], object_hook=_object)
    except (TypeError, ValueError) as error:
        raise DamagedResultError(f"{_named(name, variable)}: not the JSON text that save writes") from error
    return found


def _named(name: Any, variable: Hashable) -> str:
    """An attribute's name in messages."""
    return f"attribute {name!r}" if variable is None else f"attribute {name!r} of variable {variable!r}"


def _fits(simple: Any) -> bool:
    """Whether netCDF can store a text or number."""
    if type(simple) is str:
        return "\0" not in simple and _is_unicode(simple)
    return type(simple) is float or (type(simple) is int and -_SMALL <= simple < _SMALL)


def _json(simple: Any) -> str:
    text = json.dumps(simple, ensure_ascii=False)
    return text if _is_unicode(text) else json.dumps(simple)


def _is_unicode(text: str) -> bool:
    """Whether UTF-8 can encode a text; names of files may contain bytes that it cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _simplified(value: Any, what: str) -> Any:
    """Convert a value to text, numbers, None, lists and objects, as JSON knows them.

    Raises:
        InputError: It is or contains something else.
    """
    if isinstance(value, xr.DataArray):
        value = value.values
    if isinstance(value, np.ndarray) and value.dtype.kind in "mM":
        value = value.astype(str)  # `tolist` would convert times to integers
    if isinstance(value, Tensor | np.ndarray):
        value = value.tolist()
    if isinstance(value, Mapping | list | tuple | range | set | frozenset):
        return _container(value, what)
    for kind, convert in _SCALARS.items():
        if isinstance(value, kind):
            return convert(value)
    if isinstance(value, bytes) and _fits(value.decode(errors="surrogateescape")):
        return value.decode()
    if value is None:
        return None
    raise InputError(
        f"save: {what} is or contains {kind_of(value)}, which cannot be stored: use text, numbers, or lists "
        "or dicts of these"
    )


_SCALARS: Mapping[type | tuple[type, ...], Callable[[Any], Any]] = {
    (bool, np.bool_): bool,
    (PurePath, datetime.timedelta, np.datetime64, np.timedelta64): str,
    (datetime.date, datetime.time): lambda moment: moment.isoformat(),
    str: str.__str__,  # text of enumerations is their value, not their name
    (int, np.integer): int,
    (float, np.floating): float,
}


def _container(value: Any, what: str) -> Any:
    """Convert the elements of a container; what JSON lacks becomes an object with one reserved key."""
    if isinstance(value, Mapping):
        items = [(_simplified(key, what), _simplified(entry, what)) for key, entry in value.items()]
        keys = [key for key, _ in items]
        if all(isinstance(key, str) for key in keys) and not {_TUPLE, _SET, _DICT} & set(keys):
            return dict(items)
        return {_DICT: [list(item) for item in items]}
    elements = [_simplified(element, what) for element in value]
    if isinstance(value, tuple):
        return {_TUPLE: elements}
    if isinstance(value, set | frozenset):
        return {_SET: sorted(elements, key=json.dumps)}  # sorted, so that files of equal results are equal
    return elements


def _object(found: dict[str, Any]) -> Any:
    """Restore what `_container` wrote."""
    if len(found) != 1:
        return found
    ((key, value),) = found.items()
    if key == _DICT:
        return {name: entry for name, entry in value}  # noqa: C416
    return tuple(value) if key == _TUPLE else frozenset(value) if key == _SET else found
