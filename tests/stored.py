"""What a run left on disk, for comparing runs."""

from pathlib import Path

import torch
import xarray as xr

from basinscope.runs.store import RunFolder, find_runs


def the_run(out: Path, name: str = "swissroll") -> RunFolder:
    (run,) = find_runs(out, [name])
    return run


def arrays(out: Path, name: str) -> dict[str, xr.Dataset | dict[str, torch.Tensor]]:
    run = the_run(out, name)
    results = {p.stem: run.dataset(p.stem) for p in (run.path / "results").glob("*.nc")}
    return results | {p.stem: run.weights(p.stem) for p in (run.path / "weights").glob("*")}


def assert_same_arrays(first: Path, second: Path, name: str = "swissroll") -> None:
    one, two = arrays(first, name), arrays(second, name)
    assert set(one) == set(two)
    assert one
    for key, value in one.items():
        other = two[key]
        if isinstance(value, xr.Dataset):
            assert isinstance(other, xr.Dataset)
            xr.testing.assert_identical(value, other)
        else:
            assert all(torch.equal(value[net], other[net]) for net in value)
