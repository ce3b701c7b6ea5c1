"""Compare the stored arrays of two output folders bit for bit.

    python benchmarks/same_arrays.py BEFORE AFTER [--only NAME …]

Both are folders that `--out` named. Runs are paired by experiment, an old name of an experiment counting as its new
one, and runs on one's own networks by their name and the label in their provenance. Every variable of every netCDF
file and every tensor of every safetensors file must have the same type, shape and bits; one NaN equals another. The
command prints what differs, is missing or is new, and exits with 1 if anything does.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
import xarray as xr
from safetensors.torch import load_file

from basinscope.experiments import registry
from basinscope.results.upgrade import upgraded


@dataclass
class Comparison:
    """What was compared, and a line for each difference."""

    num_arrays: int = 0
    differences: list[str] = field(default_factory=list)

    def keys(self, where: str, before: Mapping[str, object], after: Mapping[str, object]) -> Iterator[str]:
        """Report what only one side has, and yield what both have."""
        self.differences += [f"{where}{key}: missing" for key in before if key not in after]
        self.differences += [f"{where}{key}: new" for key in after if key not in before]
        yield from (key for key in before if key in after)

    def array(self, where: str, before: np.ndarray, after: np.ndarray) -> None:
        """Compare one array."""
        self.num_arrays += 1
        if (before.dtype, before.shape) != (after.dtype, after.shape):
            self.differences.append(f"{where}: {_form(before)} before, {_form(after)} after")
        elif num := _num_different(before, after):
            self.differences.append(f"{where}: {num} of {before.size} values differ{_farthest(before, after)}")


def _form(values: np.ndarray) -> str:
    return f"{values.dtype} {values.shape}"


def _num_different(before: np.ndarray, after: np.ndarray) -> int:
    """Count values whose bits differ; NaN equals NaN."""
    if before.dtype.kind not in "fiub":
        return int((before != after).sum())
    size = before.dtype.itemsize
    bits = [np.ascontiguousarray(values).view(np.uint8).reshape(-1, size) for values in (before, after)]
    unequal = (bits[0] != bits[1]).any(1)
    if before.dtype.kind == "f":
        unequal &= ~(np.isnan(before) & np.isnan(after)).reshape(-1)
    return int(unequal.sum())


def _farthest(before: np.ndarray, after: np.ndarray) -> str:
    """Largest relative difference, for numbers."""
    if before.dtype.kind != "f":
        return ""
    with np.errstate(all="ignore"):
        off = np.abs(before - after) / np.abs(before)
    known = off[np.isfinite(off)]
    return f", by up to {known.max():.1e}" if len(known) else ""


def runs(out: Path) -> dict[str, Path]:
    """Find every run below an output folder, by experiment, or by label and name of one's own network."""
    found: dict[str, Path] = {}
    for record in sorted((out / "runs").glob("*/config.json")):
        stored = json.loads(record.read_text(encoding="utf-8"))
        label = json.loads((record.parent / "provenance.json").read_text(encoding="utf-8")).get("label")
        experiment, name = str(stored["experiment"]), stored["config"].get("name", "")
        key = f"own {label} {name}".strip() if label else registry.OLD_NAMES.get(experiment, experiment)
        if key in found:
            sys.exit(f"{out}: has two runs called {key}, {found[key].name} and {record.parent.name}; keep one of them")
        found[key] = record.parent
    return found


def _files(run: Path) -> dict[str, Path]:
    """Stored arrays of a run, by kind and stem."""
    results = {f"results/{_stem(p)}": p for p in sorted((run / "results").glob("*.nc"))}
    return results | {f"weights/{p.stem}": p for p in sorted((run / "weights").glob("*.safetensors"))}


def _stem(path: Path) -> str:
    """Name of a result's file as this release writes it: files begin with their kind where it was renamed."""
    with xr.open_dataset(path, engine="h5netcdf", decode_times=False) as stored:
        before, now = str(stored.attrs.get("kind")), str(upgraded(stored).attrs.get("kind"))
    return now + path.stem.removeprefix(before) if path.stem.startswith(before) else path.stem


def _variables(path: Path) -> dict[str, np.ndarray]:
    """Read one file: its variables and coordinates, or its tensors, under their newest names."""
    if path.suffix == ".safetensors":
        return {name: _plain(tensor) for name, tensor in load_file(path).items()}
    with xr.open_dataset(path, engine="h5netcdf", decode_times=False) as stored:
        found = upgraded(stored)
        return {str(name): found[name].values for name in found.variables}


def _plain(tensor: torch.Tensor) -> np.ndarray:
    """Turn a tensor into an array of the same bits; numpy has no bfloat16."""
    return tensor.view(torch.int16).numpy() if tensor.dtype == torch.bfloat16 else tensor.numpy()


def compare(before: Mapping[str, Path], after: Mapping[str, Path]) -> Comparison:
    """Compare the runs of two output folders, as `runs` returns them."""
    found = Comparison()
    for name in found.keys("run ", before, after):
        old, new = _files(before[name]), _files(after[name])
        for stem in found.keys(f"{name}: ", old, new):
            one, other = _variables(old[stem]), _variables(new[stem])
            for variable in found.keys(f"{name}: {stem}: ", one, other):
                found.array(f"{name}: {stem}: {variable}", one[variable], other[variable])
    return found


def _chosen(found: Mapping[str, Path], only: Sequence[str]) -> dict[str, Path]:
    wanted = {registry.OLD_NAMES.get(name, name) for name in only}
    return {name: run for name, run in found.items() if not wanted or name in wanted}


def main() -> int:
    """Compare, print, and return 1 if anything differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    parser.add_argument(
        "--only", nargs="+", default=[], metavar="NAME", help="experiments, or 'own LABEL NAME' (default: all)"
    )
    options = parser.parse_args()
    before, after = (_chosen(runs(out), options.only) for out in (options.before, options.after))
    found = compare(before, after)
    for line in found.differences:
        print(line)
    num_runs = len(set(before) & set(after))
    print(f"{found.num_arrays} arrays of {num_runs} runs compared, differences: {len(found.differences)}")
    return 1 if found.differences or not found.num_arrays else 0


if __name__ == "__main__":
    sys.exit(main())
