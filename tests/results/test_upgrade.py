"""Files that the first release wrote load under the names of this one."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
import xarray as xr

import basinscope as bs
from basinscope.errors import DamagedResultError

ATTRIBUTES = {"seed": "3", "scheme": "filter", "model": "MLP", "num_moved": 12, "loss_unit": "nat"} | {
    "one_dim": "fixed",
    "directions": "random",
}


def _plane():
    return {
        "first": ("first", np.linspace(-1, 1, 3)),
        "second": ("second", np.linspace(-1, 1, 4)),
        "loss": (("first", "second"), np.arange(12.0).reshape(3, 4)),
        "cosine": ((), 0.25),
    }


def _marked():
    return _plane() | {
        "marker": ("marker", ["model", "other"]),
        "marker_first": ("marker", np.array([0.0, 1.0])),
        "marker_second": ("marker", np.array([0.0, 0.5])),
        "marker_away": ("marker", np.array([0.0, 0.1])),
    }


def _ball():
    return {
        "restart": ("restart", np.arange(2)),
        "rise": ("restart", np.array([0.1, 0.3])),
    } | {
        name: ((), value)
        for name, value in {
            "worst": 0.3,
            "average": 0.05,
            "average_stderr": 0.01,
            "num_random": 20.0,
            "rho": 0.05,
            "center_loss": 0.5,
        }.items()
    }


def _mean():
    return {
        "ray": ("ray", np.arange(3)),
        "curvature": ("ray", np.array([1.0, 2.0, 3.0])),
    } | {
        name: ((), value)
        for name, value in {
            "sharpness": 2.0,
            "sharpness_stderr": 0.57,
            "trace_per_entry": 0.1,
            "trace_per_entry_stderr": 0.02,
            "top_eigenvalue": 7.0,
        }.items()
    }


RENAMED = {"sharpness": "mean_curvature", "sharpness_stderr": "mean_curvature_stderr"}
OLD = {
    "plane": ("plane", _marked, "slice2d", {}),
    "slice2d": ("slice2d", _plane, "slice2d", {}),
    "ball": ("ball", _ball, "sharpness", {}),
    "sharpness": ("sharpness", _mean, "mean_curvature", RENAMED),
}


def _written(path, kind, values, version=1, **attributes):
    found = xr.Dataset(values, attrs={"kind": kind, "schema_version": version, **ATTRIBUTES, **attributes})
    for name in found.variables:
        found[name].attrs = {"units": "nat", "long_name": f"old words for {name}"}
    found.to_netcdf(path, engine="h5netcdf")
    return found


@pytest.mark.parametrize("name", OLD)
def test_old_files_load_under_new_names(name, tmp_path):
    kind, make, new, renamed = OLD[name]
    old = _written(tmp_path / "old.nc", kind, make())
    found = bs.load(tmp_path / "old.nc")
    assert found.attrs == {**old.attrs, "kind": new, "schema_version": 2}
    assert set(found.variables) == {renamed.get(each, each) for each in old.variables}
    for each in old.variables:
        np.testing.assert_array_equal(found[renamed.get(each, each)], old[each])
    for each in old.data_vars:
        assert found[renamed.get(each, each)].attrs == old[each].attrs


@pytest.mark.parametrize("name", OLD)
def test_what_was_loaded_is_saved_in_this_release_s_form(name, tmp_path):
    kind, make, new, _ = OLD[name]
    _written(tmp_path / "old.nc", kind, make())
    found = bs.load(tmp_path / "old.nc")
    bs.save(found, tmp_path / "new.nc")
    with xr.open_dataset(tmp_path / "new.nc", engine="h5netcdf") as stored:
        assert (stored.attrs["kind"], stored.attrs["schema_version"]) == (new, 2)
    assert bs.load(tmp_path / "new.nc").identical(found)


@pytest.mark.parametrize("name", [name for name in OLD if name != "sharpness"])
def test_old_files_are_drawn(name, tmp_path):
    kind, make, _, _ = OLD[name]
    _written(tmp_path / "old.nc", kind, make())
    assert bs.plot(bs.load(tmp_path / "old.nc")).axes
    plt.close("all")


@pytest.mark.parametrize("name", OLD)
def test_old_files_of_several_networks_load_too(name, tmp_path):
    kind, make, new, _ = OLD[name]
    one = xr.Dataset(make(), attrs={"kind": kind, "schema_version": 1})
    joined = xr.concat([one, one], xr.IndexVariable("net", ["good", "bad"]), combine_attrs="override")
    joined = joined.transpose("net", ...)
    if kind == "plane":
        pytest.skip("planes through points were never joined")
    joined.to_netcdf(tmp_path / "old.nc", engine="h5netcdf")
    found = bs.load(tmp_path / "old.nc")
    assert found.attrs["kind"] == new
    assert found["net"].values.tolist() == ["good", "bad"]


@pytest.mark.parametrize("name", OLD)
def test_an_old_file_that_lacks_a_variable_is_refused(name, tmp_path):
    kind, make, new, _ = OLD[name]
    values = make()
    del values[{"slice2d": "loss", "sharpness": "worst", "mean_curvature": "sharpness"}[new]]
    _written(tmp_path / "old.nc", kind, values)
    with pytest.raises(DamagedResultError) as caught:
        bs.load(tmp_path / "old.nc")
    assert new in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("version", [0, 3, 99, "two"])
def test_other_versions_are_refused_and_not_taken_for_the_first(version, tmp_path):
    _written(tmp_path / "odd.nc", "sharpness", _mean(), version)
    with pytest.raises(DamagedResultError, match="version"):
        bs.load(tmp_path / "odd.nc")


def test_this_release_s_sharpness_is_not_taken_for_the_mean_curvature(tmp_path):
    _written(tmp_path / "new.nc", "sharpness", _ball(), 2)
    assert bs.load(tmp_path / "new.nc").attrs["kind"] == "sharpness"
