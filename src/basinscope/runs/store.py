"""A run's folder: configuration, weights, results, and a marker for each finished task.

    runs/NAME-HASH12/
        config.json       what was asked for
        provenance.json   versions, device, times
        weights/          safetensors
        results/          netCDF
        checkpoints/      unfinished work
        done/             one marker a task, written last, with the checksums of its files
        finished.json     written when every task is done

The hash covers the configuration, the seeds and the source of the code that computes, so the same request finds
the same folder, and running again resumes.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import xarray as xr
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from basinscope.errors import DamagedResultError
from basinscope.results import convert
from basinscope.runs import atomic

Artifact = xr.Dataset | Mapping[str, Tensor] | Mapping[str, Any]

COMPUTING = (
    "parameters.py",
    "losses.py",
    "seeds.py",
    "data",
    "models",
    "landscape",
    "training",
    "probes",
)
"""The rooms whose source a run's hash covers."""


def source_digest(*more: str) -> str:
    """Digest the source of the rooms that compute, and of `more` files, as paths inside the package."""
    digest = hashlib.sha256()
    root = Path(str(resources.files("basinscope")))
    for place in (*COMPUTING, *more):
        path = root / place
        for file in sorted([*path.rglob("*.py"), *path.rglob("*.c")]) if path.is_dir() else [path]:
            digest.update(file.relative_to(root).as_posix().encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()


def run_hash(config: Mapping[str, Any], source: str) -> str:
    """Twelve hexadecimal digits that name a run."""
    text = json.dumps({"config": config, "source": source}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


@dataclass(frozen=True)
class TensorFile:
    """A safetensors file that holds unfinished work; satisfies `training.stack.Checkpoint`."""

    path: Path

    def load(self) -> tuple[dict[str, Tensor], str] | None:
        """Return tensors and note; a file that cannot be read counts as absent."""
        try:
            with safe_open(self.path, "pt") as file:
                note = (file.metadata() or {})["note"]
            return load_file(self.path), note
        except (FileNotFoundError, SafetensorError, KeyError):
            return None

    def save(self, tensors: dict[str, Tensor], note: str) -> None:
        """Replace what was saved before."""
        whole = {name: tensor.cpu().contiguous() for name, tensor in tensors.items()}
        atomic.write(self.path, lambda partial: save_file(whole, partial, {"note": note}))


class RunFolder:
    """One run on disk."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def create(cls, out: Path, name: str, config: Mapping[str, Any], source: str) -> RunFolder:
        """Open the folder that belongs to a configuration, making it if it is new."""
        folder = cls(out / "runs" / f"{name}-{run_hash(config, source)}")
        if not (folder.path / "config.json").exists():
            record = {"experiment": name, "config": config, "source": source}
            atomic.write_json(folder.path / "config.json", record)
        return folder

    @property
    def name(self) -> str:
        """Name of the run: experiment and hash."""
        return self.path.name

    def read_json(self, name: str) -> dict[str, Any] | None:
        """Read a JSON file of the run; one that is absent or cut short gives nothing."""
        try:
            return json.loads((self.path / name).read_text(encoding="utf-8"))
        except (FileNotFoundError, json.JSONDecodeError):
            return None

    def write_json(self, name: str, value: Mapping[str, Any]) -> None:
        """Write a JSON file of the run."""
        atomic.write_json(self.path / name, value)

    def checkpoint(self, task: str) -> TensorFile:
        """The place where a task keeps unfinished work."""
        return TensorFile(self.path / "checkpoints" / f"{_file_name(task)}.safetensors")

    def parts(self, task: str) -> RunFolder:
        """The place where a task keeps those of its results that are complete."""
        return RunFolder(self.path / "checkpoints" / f"{_file_name(task)}-parts")

    def is_done(self, task: str) -> bool:
        """Tell whether a task is finished and all its files are as they were written."""
        marker = self.marker(task)
        if marker is None:
            return False
        files: dict[str, str] = marker["files"]
        return all((self.path / f).is_file() and atomic.sha256(self.path / f) == s for f, s in files.items())

    def marker(self, task: str) -> dict[str, Any] | None:
        """What was noted when a task was finished."""
        return self.read_json(self._marker(task))

    def finish(self, task: str, artifacts: Mapping[str, Artifact], **facts: Any) -> None:
        """Write what a task made, then its marker; drop what it kept while unfinished."""
        files = [self._write(name, artifact) for name, artifact in artifacts.items()]
        sums = {file.relative_to(self.path).as_posix(): atomic.sha256(file) for file in files}
        self.write_json(self._marker(task), {"task": task, "files": sums, **facts})
        self.checkpoint(task).path.unlink(missing_ok=True)
        shutil.rmtree(self.parts(task).path, ignore_errors=True)

    def _write(self, name: str, artifact: Artifact) -> Path:
        if isinstance(artifact, xr.Dataset):
            path = self.path / "results" / f"{name}.nc"
            atomic.write(path, lambda partial: artifact.to_netcdf(partial, engine="h5netcdf"))
            return path
        if all(isinstance(value, Tensor) for value in artifact.values()):
            path = self.path / "weights" / f"{name}.safetensors"
            whole = {key: value.cpu().contiguous() for key, value in artifact.items()}
            atomic.write(path, lambda partial: save_file(whole, partial))
            return path
        path = self.path / "results" / f"{name}.json"
        atomic.write_json(path, artifact)
        return path

    def dataset(self, name: str) -> xr.Dataset:
        """Read a result and hold it to its schema.

        Raises:
            DamagedResultError: The file is missing, unreadable or of another schema.
        """
        path = self.path / "results" / f"{name}.nc"
        try:
            with xr.open_dataset(path, engine="h5netcdf") as found:
                return convert.check(found.load())
        except (OSError, ValueError, KeyError) as error:
            raise DamagedResultError(f"{path}: cannot be read ({type(error).__name__}); run again") from error

    def weights(self, name: str) -> dict[str, Tensor]:
        """Read weights.

        Raises:
            DamagedResultError: The file is missing or unreadable.
        """
        path = self.path / "weights" / f"{name}.safetensors"
        try:
            return load_file(path)
        except (OSError, SafetensorError) as error:
            raise DamagedResultError(f"{path}: cannot be read ({type(error).__name__}); run again") from error

    def markers(self) -> list[dict[str, Any]]:
        """The markers of all finished tasks, in the order of their names."""
        found = (self.read_json(f"done/{p.name}") for p in sorted((self.path / "done").glob("*.json")))
        return [marker for marker in found if marker]

    @staticmethod
    def _marker(task: str) -> str:
        return f"done/{_file_name(task)}.json"


def _file_name(task: str) -> str:
    return re.sub(r"[^A-Za-z0-9.=_-]", "-", task)


def find_runs(out: Path, names: Iterable[str]) -> list[RunFolder]:
    """All runs below `out` of the named experiments."""
    wanted = set(names)
    folders = (RunFolder(p.parent) for p in sorted((out / "runs").glob("*/config.json")))
    return [f for f in folders if (f.read_json("config.json") or {}).get("experiment") in wanted]
