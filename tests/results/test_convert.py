import numpy as np
import pytest
import torch
import xarray as xr

from basinscope.errors import DamagedResultError
from basinscope.results.convert import check, dataset, stack_nets
from basinscope.results.schema import KINDS, RAY_STATUS


def _slice(offset=0.0):
    loss = offset + torch.arange(6.0, dtype=torch.float64).view(2, 3)
    return dataset("slice1d", {"ray": torch.arange(2), "distance": torch.arange(3.0), "loss": loss}, seed="7")


def _filled(kind):
    sizes = {dim: 2 + k for k, dim in enumerate(dict.fromkeys(d for v in kind.variables.values() for d in v.dims))}
    return {name: np.zeros([sizes[dim] for dim in v.dims]) for name, v in kind.variables.items()}


def test_arrays_get_their_axes_units_and_meanings():
    found = _slice()
    assert found["loss"].dims == ("ray", "distance")
    assert found["loss"].attrs == {"units": "nat", "long_name": "mean loss"}
    assert found["distance"].attrs["units"] == "filter norms"
    assert set(found.coords) == {"ray", "distance"}
    assert found.attrs == {"kind": "slice1d", "schema_version": 1, "seed": "7"}


def test_values_come_through_unchanged():
    loss = torch.tensor([[1e-300, torch.nan, torch.inf]], dtype=torch.float64)
    found = dataset("slice1d", {"ray": torch.tensor([4]), "distance": torch.arange(3.0), "loss": loss})
    np.testing.assert_array_equal(found["loss"].values, loss.numpy())
    assert found["loss"].dtype == np.float64


def test_tensors_may_need_gradients():
    loss = torch.zeros(1, 2, requires_grad=True)
    found = dataset("slice1d", {"ray": torch.tensor([0]), "distance": torch.arange(2.0), "loss": loss})
    assert found["loss"].shape == (1, 2)


def test_coded_variables_carry_their_codes():
    attributes = dataset("radius", _filled(KINDS["radius"]))["status"].attrs
    assert attributes["flag_values"].tolist() == list(RAY_STATUS)
    assert attributes["flag_meanings"] == "ok unbounded nonfinite max_evals below unresolved"


@pytest.mark.parametrize("values", [{"ray": 0}, {"ray": [0], "distance": [0], "loss": [[0]], "mood": 1}])
def test_a_result_has_exactly_the_variables_of_its_kind(values):
    with pytest.raises(AssertionError):
        dataset("slice1d", {name: np.asarray(value) for name, value in values.items()})


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_passes_its_own_check(kind):
    found = dataset(kind, _filled(KINDS[kind]))
    assert check(found) is found


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_written_and_read_back(kind, tmp_path):
    written = dataset(kind, _filled(KINDS[kind]), seed="1")
    written.to_netcdf(tmp_path / "result.nc", engine="h5netcdf")
    with xr.open_dataset(tmp_path / "result.nc", engine="h5netcdf") as found:
        xr.testing.assert_equal(check(found.load()), written)
        assert found.attrs["kind"] == kind


def test_results_of_nets_are_joined_along_a_named_leading_axis():
    joined = stack_nets(["good", "bad"], [_slice(), _slice(10.0)])
    assert joined["loss"].dims == ("net", "ray", "distance")
    assert joined["net"].values.tolist() == ["good", "bad"]
    np.testing.assert_array_equal(joined["loss"].sel(net="bad"), _slice(10.0)["loss"])
    assert joined["loss"].attrs["units"] == "nat"
    assert joined.attrs["kind"] == "slice1d"
    assert check(joined) is joined


def test_joined_numbers_get_the_net_axis_too():
    parts = [dataset("volume", {name: float(k) for name in KINDS["volume"].variables}) for k in range(3)]
    joined = stack_nets(["a", "b", "c"], parts)
    assert joined["log_volume"].dims == ("net",)
    assert joined["log_volume"].values.tolist() == [0, 1, 2]
    assert check(joined) is joined


def _without(name):
    return lambda found: found.drop_vars(name)


def _with_attribute(**attributes):
    return lambda found: found.assign_attrs(attributes)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_with_attribute(kind="tea leaves"), "tea leaves"),
        (_with_attribute(schema_version=99), "schema version 99"),
        (_without("loss"), "'loss'"),
        (_without("distance"), "'distance'"),
        (lambda found: found.assign(loss=found["loss"].T), "'loss'"),
        (lambda found: found.assign(loss=found["loss"].isel(ray=0)), "'loss'"),
        (lambda found: found.drop_attrs(), "None"),
    ],
)
def test_a_damaged_result_is_refused_with_what_is_wrong(damage, message):
    with pytest.raises(DamagedResultError, match=message):
        check(damage(_slice()))


def test_a_result_without_a_version_is_refused():
    found = _slice()
    del found.attrs["schema_version"]
    with pytest.raises(DamagedResultError):
        check(found)
