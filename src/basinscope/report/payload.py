"""Packs labelled arrays as text inside a page; `js/data/payload.js` unpacks them.

The format is Base64 of raw deflate of: the length of the header (four bytes, little-endian), the header in JSON, zeros
up to the next multiple of eight, and the arrays, each at an offset from there that is a multiple of eight.
"""

from __future__ import annotations

import base64
import json
import struct
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from basinscope.experiments.exhibit import Exhibit

EXACT = 5_000
"""Largest array, in entries, stored in double precision; larger ones are only drawn, so single precision will do."""
_SUPPORTED = ("float64", "float32", "float16", "int32", "int8", "uint8")


def deflate(data: bytes) -> str:
    """Compress bytes and encode them as text that is safe in HTML."""
    compressor = zlib.compressobj(9, zlib.DEFLATED, -15)
    return base64.b64encode(compressor.compress(data) + compressor.flush()).decode("ascii")


def pack_exhibit(exhibit: Exhibit) -> str:
    """Pack an exhibit.

    Returns:
        Letters, digits, `+`, `/` and `=`.
    """
    arrays: list[bytes] = []
    size = 0

    def put(values: np.ndarray) -> int:
        nonlocal size
        data = values.tobytes()
        data += bytes(-len(data) % 8)
        arrays.append(data)
        size += len(data)
        return size - len(data)

    def describe(array: xr.DataArray) -> dict[str, Any]:
        values = np.asarray(array.values)
        header = {
            "dims": list(array.dims),
            "shape": list(values.shape),
            "units": str(array.attrs.get("units", "")),
            "meaning": str(array.attrs.get("long_name", "")),
        }
        if values.dtype.kind in "UOS":
            return header | {"values": [str(value) for value in values.ravel()]}
        exact = _exact(values)
        return header | {"dtype": exact.dtype.name, "offset": put(exact)}

    results = {
        name: {str(key): describe(result[key]) for key in (*result.coords, *result.data_vars)}
        for name, result in exhibit.results.items()
    }
    header = json.dumps({"facts": _plain(exhibit.facts), "results": results}, allow_nan=False).encode()
    begin = struct.pack("<I", len(header)) + header
    return deflate(begin + bytes(-len(begin) % 8) + b"".join(arrays))


def _exact(values: np.ndarray) -> np.ndarray:
    """Convert numbers to a little-endian type that browsers can read."""
    if values.dtype == bool:
        values = values.astype(np.uint8)
    elif values.dtype.kind in "iu" and values.dtype.name not in _SUPPORTED:
        bounds = np.iinfo(np.int32)
        small = values.size == 0 or (values.min() >= bounds.min and values.max() <= bounds.max)
        values = values.astype(np.int32 if small else np.float64)
    if values.dtype == np.float64 and values.size > EXACT:
        values = values.astype(np.float32)
    return np.ascontiguousarray(values).astype(values.dtype.newbyteorder("<"), copy=False)


def _plain(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Replace numbers that JSON lacks (NaN, infinities) by null."""
    return json.loads(json.dumps(dict(facts)), parse_constant=lambda _: None)
