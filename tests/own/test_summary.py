import math

import numpy as np
import pytest

from basinscope.own.summary import rows, table
from basinscope.probes.curvature import curvature
from basinscope.probes.radius import basin_radius
from basinscope.probes.sharpness import sharpness
from basinscope.probes.volume import log_volume
from tests.problems import around, bowl, small_net


def _results(objective):
    radii = basin_radius(objective, num_directions=6, num_scanned=2)
    return {
        "radius": radii,
        "volume": log_volume(radii),
        "curvature": curvature(objective, top=2, trace_vectors=4),
        "sharpness": sharpness(objective, num_random=5, num_steps=3),
    }


def test_each_number_is_that_of_its_result_with_unit_and_n():
    results = _results(around(small_net()))
    found = {row.name: row for row in rows(results)}
    assert found["basin radius, median"].value == pytest.approx(float(np.median(results["radius"]["radius"])))
    assert found["basin radius, median"].unit == "filter norms"
    assert found["basin radius, median"].num == 6
    assert found["loss"].unit == "nat"
    assert found["eigenvalue 1 of the Hessian"].value == float(results["curvature"]["eigenvalue"][0])
    assert found["mean of n·log r"].value == float(results["volume"]["mean_n_log_r"])
    assert found["trace of the Hessian"].spread.startswith("± ")
    assert "lower bound" in found["log-volume"].spread
    assert any(name.startswith("sharpness, worst within 0.05 Euclidean length") for name in found)


def test_rays_without_a_radius_are_counted():
    radii = basin_radius(bowl([0.0, 0.0, 1e-9]), num_directions=4)
    found = {row.name: row for row in rows({"radius": radii})}
    assert found["rays that are unbounded"].value == 4


def test_a_table_has_a_column_a_network_and_a_dash_where_one_lacks_a_number():
    numbers = rows(_results(around(small_net())))
    lines = table({"a": numbers, "b": numbers[:2]}).splitlines()
    assert lines[0].split() == ["a", "b"]
    assert lines[1].startswith("loss [nat]")
    assert lines[-1].endswith("–")
    assert len(lines) == len(numbers) + 1


def test_numbers_that_are_not_finite_become_null():
    (row,) = [row for row in rows({"radius": basin_radius(bowl([1.0, 2.0]), num_directions=2)}) if row.name == "loss"]
    from dataclasses import replace

    assert replace(row, value=math.nan).to_json()["value"] is None
    assert row.to_json()["value"] == row.value
