import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr

from basinscope.errors import DamagedResultError, InputError
from basinscope.probes.curvature import curvature
from basinscope.probes.linear_path import linear_path
from basinscope.probes.radius import basin_radius
from basinscope.probes.sharpness import sharpness
from basinscope.probes.slices import slice1d, slice2d
from basinscope.probes.volume import log_volume
from basinscope.runs.result_files import load, save
from tests.problems import Point, bowl, radial

CURVATURES = [3.0, 2.0, 1.0]
VERBS: dict[str, Callable[[], xr.Dataset]] = {
    "slice1d": lambda: slice1d(bowl(CURVATURES), resolution=3, progress=False),
    "slice2d": lambda: slice2d(bowl(CURVATURES), resolution=3, progress=False),
    "linear_path": lambda: linear_path(bowl(CURVATURES), Point(torch.ones(3)), resolution=3, progress=False),
    "radius": lambda: basin_radius(bowl(CURVATURES), num_directions=3, progress=False),
    "curvature": lambda: curvature(bowl(CURVATURES), density=True, density_starts=2, progress=False),
    "eigenvalues alone": lambda: curvature(bowl(CURVATURES), trace_vectors=0, progress=False),
    "sharpness": lambda: sharpness(bowl(CURVATURES), num_restarts=1, num_random=1, progress=False),
}


@pytest.mark.parametrize("name", VERBS)
def test_what_is_loaded_is_what_was_saved(name, tmp_path):
    found = VERBS[name]()
    path = save(found, tmp_path / "new folder é" / "result.nc")
    xr.testing.assert_identical(load(path), found)
    assert load(str(path)).attrs == found.attrs


def test_nan_and_infinity_and_units_come_back(tmp_path):
    def loss(r):
        return torch.where(r > 0.8, math.nan, torch.where(r > 0.4, math.inf, r))

    found = slice1d(radial(loss, unit="nat"), extent=1, resolution=9, num_directions=1, progress=False)
    back = load(save(found, tmp_path / "line.nc"))
    np.testing.assert_array_equal(back["loss"], found["loss"])
    assert np.isnan(back["loss"]).sum() == 2
    assert np.isinf(back["loss"]).sum() == 4
    assert back["loss"].attrs["units"] == "nat"


@pytest.mark.parametrize("unit", ["seconds", "days", "ms", "days since 1970-01-01"])
def test_a_loss_in_units_of_time_stays_a_number(unit, tmp_path):
    found = slice1d(bowl(CURVATURES, unit=unit), resolution=3, progress=False)
    back = load(save(found, tmp_path / "line.nc"))
    xr.testing.assert_identical(back, found)
    assert back["loss"].dtype == np.float64


def test_a_file_that_is_there_is_replaced(tmp_path):
    path = tmp_path / "result.nc"
    save(VERBS["slice1d"](), path)
    save(VERBS["sharpness"](), path)
    assert load(path).attrs["kind"] == "sharpness"
    assert list(tmp_path.iterdir()) == [path]


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = save(VERBS["slice1d"](), tmp_path / "result.nc")
    before = path.read_bytes()

    def half(partial: Path, content: bytes) -> None:
        with partial.open("wb") as file:
            file.write(content[: len(content) // 2])
        raise OSError("no more")

    monkeypatch.setattr(Path, "write_bytes", half)
    with pytest.raises(OSError, match="no more"):
        save(VERBS["sharpness"](), path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_what_is_no_result_is_not_written(tmp_path):
    with pytest.raises(DamagedResultError, match="unknown kind of result None"):
        save(xr.Dataset({"x": 1}), tmp_path / "x.nc")
    with pytest.raises(DamagedResultError, match="'loss' is missing"):
        save(VERBS["slice1d"]().drop_vars("loss"), tmp_path / "x.nc")
    assert not list(tmp_path.iterdir())


def test_a_file_that_is_not_there_is_told_of(tmp_path):
    with pytest.raises(InputError, match=r"none\.nc: not found"):
        load(tmp_path / "none.nc")
    with pytest.raises(InputError, match="not found"):
        load(tmp_path)


@pytest.mark.parametrize("keep", [0, 0.3, 0.9])
def test_a_truncated_file_is_told_of_in_one_line(keep, tmp_path):
    path = save(VERBS["radius"](), tmp_path / "cut.nc")
    whole = path.read_bytes()
    path.write_bytes(whole[: int(keep * len(whole))])
    with pytest.raises(DamagedResultError, match=r"cut\.nc: cannot be read as a result") as caught:
        load(path)
    assert "\n" not in str(caught.value)


def test_other_netcdf_is_told_of_with_its_name(tmp_path):
    path = tmp_path / "other.nc"
    xr.Dataset({"temperature": ("x", [1.0, 2.0])}).to_netcdf(path, engine="h5netcdf")
    with pytest.raises(DamagedResultError, match=r"other\.nc: unknown kind of result None"):
        load(path)
    newer = VERBS["slice1d"]()
    newer.attrs["schema_version"] = 99
    newer.to_netcdf(path, engine="h5netcdf")
    with pytest.raises(DamagedResultError, match=r"other\.nc: slice1d: schema version 99, this release reads 1"):
        load(path)


def test_only_radii_make_a_volume() -> None:
    line = slice1d(bowl(CURVATURES), num_directions=1, resolution=3, progress=False)
    with pytest.raises(InputError, match="pass a radius dataset, as basin_radius returns it, not a slice1d"):
        log_volume(line)
