import base64
import json
import struct
import zlib

import numpy as np
import pytest
import xarray as xr

from basinscope.experiments.exhibit import Exhibit
from basinscope.report.payload import EXACT, pack_exhibit


def _unpack(text: str) -> tuple[dict, bytes]:
    """Undo `pack` by its description alone."""
    raw = zlib.decompress(base64.b64decode(text), -15)
    (length,) = struct.unpack("<I", raw[:4])
    return json.loads(raw[4 : 4 + length]), raw[-(-(4 + length) // 8) * 8 :]


def _values(text: str, name: str) -> np.ndarray:
    header, data = _unpack(text)
    told = header["results"]["r"][name]
    return np.frombuffer(data, told["dtype"], int(np.prod(told["shape"])), told["offset"]).reshape(told["shape"])


def _packed(**variables: tuple) -> str:
    return pack_exhibit(Exhibit(facts={}, results={"r": xr.Dataset(variables)}))


@pytest.mark.parametrize(
    "values",
    [
        np.linspace(-1, 1, 7),
        np.float32([[1.5, np.nan], [np.inf, -2]]),
        np.float16([0.1, 65504, -1e-7]),
        np.int8([-3, 3, 0]),
        np.uint8([0, 255]),
        np.arange(5),
        np.array([True, False]),
        np.array([2**40, 1]),
    ],
)
def test_numbers_come_back_as_they_were(values: np.ndarray) -> None:
    text = _packed(other=("o", np.float32([1, 2, 3])), a=(tuple("xy"[: values.ndim]), values))
    back = _values(text, "a")
    np.testing.assert_array_equal(back.astype(np.float64), values.astype(np.float64))
    header, _ = _unpack(text)
    assert all(told["offset"] % 8 == 0 for told in header["results"]["r"].values())


def test_large_arrays_are_kept_in_single_precision() -> None:
    values = np.random.default_rng(0).standard_normal(EXACT + 1)
    back = _values(_packed(a=("x", values)), "a")
    assert back.dtype == np.float32
    np.testing.assert_array_equal(back, values.astype(np.float32))


def test_words_units_and_facts_are_told() -> None:
    names = ["</script><b>", "é"]
    result = xr.Dataset({"a": ("net", [1.0, 2.0], {"units": "nat", "long_name": "what it is"})}, {"net": names})
    text = pack_exhibit(Exhibit(facts={"cutoff": 0.1, "lost": float("nan"), "more": (1, 2)}, results={"r": result}))
    header, _ = _unpack(text)
    assert header["facts"] == {"cutoff": 0.1, "lost": None, "more": [1, 2]}
    told = header["results"]["r"]
    assert told["net"]["values"] == names
    assert (told["a"]["units"], told["a"]["meaning"], told["a"]["dims"]) == ("nat", "what it is", ["net"])
    assert not set(text) - set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=")
