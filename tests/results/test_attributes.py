import datetime
import enum
import json
from collections import OrderedDict
from pathlib import Path, PurePosixPath

import numpy as np
import pytest
import torch
import xarray as xr

import basinscope as bs
from basinscope.errors import DamagedResultError, InputError
from basinscope.results.attributes import MARK, decode_attributes, encode_attributes
from basinscope.results.convert import dataset


def _slice() -> xr.Dataset:
    loss = torch.arange(6.0, dtype=torch.float64).view(2, 3)
    return dataset("slice1d", {"ray": torch.arange(2), "distance": torch.arange(3.0), "loss": loss}, seed="7")


class Colour(str, enum.Enum):  # noqa: UP042
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 3


EQUAL = {
    "true": True,
    "false": False,
    "none": None,
    "dict": {"lr": 0.1, "steps": 3, "nested": {"names": ["a", None], "on": False}},
    "dict with other keys": {0: "cat", 1: "dog", None: 2.5, (1, 2): "pair", "text": 1},
    "dict with a reserved key": {"__tuple__": [1], "__dict__": {"__set__": 3}},
    "ordered": OrderedDict(b=1, a=2),
    "list": ["a", "b"],
    "list of one": ["a"],
    "empty list": [],
    "empty dict": {},
    "numbers": [1, 2.5, -3],
    "mixed": [1, "a", None, True],
    "tuple": (1, "a", (2,)),
    "empty tuple": (),
    "set": {"b", "a"},
    "set of several types": {1, "a", (2, 3), frozenset({4})},
    "large": 2**70,
    "infinite": {"best": float("inf")},
    "text": "é 雪",
    "empty": "",
    "text with a null": "a\0b",
    "not unicode": "a\udc80",
    "json": '{"a": 1}',
    "int": 3,
    "float": 0.1,
    "complex": 1 + 2j,
    "numpy": np.float32(1.5),
    "numpy bool": np.bool_(True),
    "numpy text": np.str_("x"),
    "numpy in a list": [np.float64(0.1), np.int64(2)],
    "enum": Colour.RED,
    "int enum": Level.HIGH,
}
CONVERTED = {
    "path": (PurePosixPath("a") / "b", "a/b"),
    "date": (datetime.date(2026, 1, 2), "2026-01-02"),
    "datetime": (datetime.datetime(2026, 1, 2, 3, 4, tzinfo=datetime.UTC), "2026-01-02T03:04:00+00:00"),
    "duration": (datetime.timedelta(hours=1), "1:00:00"),
    "numpy date": (np.datetime64("2026-01-02"), "2026-01-02"),
    "numpy dates": (np.array(["2026-01-02"], dtype="datetime64[D]"), ["2026-01-02"]),
    "path in a dict": ({"data": Path("a"), Path("b"): 1}, {"data": "a", "b": 1}),
    "bytes": (b"abc", "abc"),
    "tensor": (torch.tensor([1.0, 2.0]), [1.0, 2.0]),
    "number of a tensor": (torch.tensor(0.5, dtype=torch.bfloat16), 0.5),
    "number of a dataset": (xr.DataArray(0.5), 0.5),
    "array of booleans": (np.array([True, False]), [True, False]),
    "array of text": (np.array(["a", "b"]), ["a", "b"]),
    "range": (range(3), [0, 1, 2]),
}


@pytest.mark.parametrize("name", EQUAL)
def test_attributes_come_back_equal(name, tmp_path):
    value, file = EQUAL[name], tmp_path / "r.nc"
    found = _slice().assign_attrs(note=value)
    found["loss"].attrs["note"] = value
    found["ray"].attrs["note"] = value
    back = bs.load(bs.save(found, file))
    for attributes in (back.attrs, back["loss"].attrs, back["ray"].attrs):
        assert attributes["note"] == value
        assert MARK not in attributes
    assert type(back.attrs["note"]) is type(back["loss"].attrs["note"])
    xr.testing.assert_identical(bs.load(bs.save(back, file)), back)


@pytest.mark.parametrize("name", EQUAL)
def test_containers_keep_their_types(name, tmp_path):
    value = EQUAL[name]
    back = bs.load(bs.save(_slice().assign_attrs(note=value), tmp_path / "r.nc")).attrs["note"]
    if isinstance(value, bool | dict | list | tuple | None):
        assert isinstance(back, dict if isinstance(value, dict) else type(value))


@pytest.mark.parametrize("name", CONVERTED)
def test_other_values_become_text_or_lists(name, tmp_path):
    value, wanted = CONVERTED[name]
    back = bs.load(bs.save(_slice().assign_attrs(note=value), tmp_path / "r.nc")).attrs["note"]
    assert back == wanted
    assert isinstance(back, type(wanted))


def test_a_dataset_is_not_changed_by_saving_it(tmp_path):
    found = _slice().assign_attrs(note={"lr": 0.1}, other=True)
    found["ray"].attrs["on"] = None
    before = found.copy(deep=True)
    bs.save(found, tmp_path / "r.nc")
    xr.testing.assert_identical(found, before)
    assert found["ray"].attrs["on"] is None
    assert encode_attributes(_slice()).attrs == _slice().attrs
    plain = _slice()
    assert encode_attributes(plain) is plain
    assert decode_attributes(plain) is plain


def test_other_readers_see_json_and_which_attributes_are(tmp_path):
    file = bs.save(_slice().assign_attrs(note={"lr": 0.1}, names=["é"]), tmp_path / "r.nc")
    with xr.open_dataset(file, engine="h5netcdf") as seen:
        assert json.loads(seen.attrs[MARK]) == ["note", "names"]
        assert json.loads(seen.attrs["note"]) == {"lr": 0.1}
        assert seen.attrs["names"] == '["é"]'
        # Saved again by someone who read it so, nothing is converted twice.
        again = bs.load(bs.save(seen.load().assign_attrs(more=(1,)), tmp_path / "again.nc"))
    assert (again.attrs["note"], again.attrs["names"], again.attrs["more"]) == ({"lr": 0.1}, ["é"], (1,))


def test_the_same_set_is_written_the_same_way():
    one, other = (
        encode_attributes(_slice().assign_attrs(note=set(names))).attrs["note"] for names in ("abcde", "edcba")
    )
    assert one == other


CYCLE: list = []
CYCLE.append(CYCLE)


@pytest.mark.parametrize(
    ("attributes", "told"),
    [
        (
            {"note": torch.nn.Linear(1, 1)},
            "save: attribute 'note' is or contains a Linear, which cannot be stored: use",
        ),
        ({"note": {"f": [len]}}, "attribute 'note' is or contains a builtin_function"),
        ({"note": b"\xff"}, "attribute 'note' is or contains a bytes"),
        ({"note": [1j]}, "attribute 'note' is or contains a complex"),
        ({"note": CYCLE}, "attribute 'note' contains itself"),
        ({3: "text"}, "attribute 3: its name is not text"),
        ({"": "text"}, "attribute '': its name is not text"),
        ({"coordinates": "text"}, "attribute 'coordinates': the name is reserved"),
        ({"CLASS": "text"}, r"netCDF cannot store this result \(.*'CLASS'.*\)"),
    ],
)
def test_what_cannot_be_stored_is_refused_by_name_and_the_old_file_stays(attributes, told, tmp_path):
    file = bs.save(_slice(), tmp_path / "r.nc")
    before = file.read_bytes()
    with pytest.raises(InputError, match=told) as caught:
        bs.save(_slice().assign_attrs(attributes), file)
    assert "\n" not in str(caught.value)
    assert file.read_bytes() == before
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("note", len, "attribute 'note' of variable 'ray' is or contains"),
        ("scale_factor", 2.0, "attribute 'scale_factor' of variable 'ray': the name is reserved"),
    ],
)
def test_an_attribute_of_a_variable_is_named_with_it(name, value, told, tmp_path):
    found = _slice()
    found["ray"].attrs[name] = value
    with pytest.raises(InputError, match=told):
        bs.save(found, tmp_path / "r.nc")


def test_a_variable_that_netcdf_cannot_store_is_refused_in_one_line(tmp_path):
    found = _slice().assign(own=("ray", np.array([{}, len], dtype=object)))
    with pytest.raises(InputError, match="netCDF cannot store this result") as caught:
        bs.save(found, tmp_path / "r.nc")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("mark", "note"), [("[", "1"), ('["note"]', "{"), ('["note"]', 3), ("3", "1")])
def test_damaged_json_is_named(mark, note, tmp_path):
    file = tmp_path / "r.nc"
    _slice().assign_attrs({MARK: mark, "note": note}).to_netcdf(file, engine="h5netcdf")
    with pytest.raises(DamagedResultError, match=r"r\.nc: attribute '(note|json_attributes)': not the JSON text"):
        bs.load(file)


@pytest.mark.parametrize(
    "name", ["r.nc", "r.NC", "r.nc4", "r.netcdf", "r.h5", "r.hdf5", "result", "radius-0.3", ".hidden"]
)
def test_a_file_may_be_called_netcdf_or_nothing(name, tmp_path):
    xr.testing.assert_identical(bs.load(bs.save(_slice(), tmp_path / name)), _slice())


@pytest.mark.parametrize("suffix", [".csv", ".CSV", ".json", ".npz", ".pt", ".zarr", ".png"])
def test_a_file_of_another_format_is_not_written(suffix, tmp_path):
    file = tmp_path / f"r{suffix}"
    file.write_text("old")
    with pytest.raises(InputError, match=rf"not \{suffix}: use the suffix \.nc, or .*\.to_dataframe\(\)\.to_csv\("):
        bs.save(_slice(), file)
    assert file.read_text() == "old"
    assert list(tmp_path.iterdir()) == [file]
