"""A run's folder: configuration, weights, results, and a marker for each finished task.

    runs/NAME-HASH12/
        config.json       configuration
        provenance.json   versions, device, times
        weights/          safetensors
        results/          netCDF
        checkpoints/      unfinished work
        done/             one marker per task, written last, with the checksums of its files
        damaged/          files that did not match their checksums
        finished.json     written when every task is done

The hash covers the configuration, the seeds and the source of the code that computes (`runs.source`), so repeating a
request resumes the run in the same folder.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import logging
import os
import platform
import re
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import xarray as xr
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from basinscope.errors import DamagedResultError
from basinscope.results import convert
from basinscope.results.upgrade import RENAMED_FILES
from basinscope.runs import atomic, records

_log = logging.getLogger(__name__)

Artifact = xr.Dataset | Mapping[str, Tensor] | Mapping[str, Any]


def run_hash(config: Mapping[str, Any], source: str) -> str:
    """Identify a run by twelve hexadecimal digits."""
    text = json.dumps({"config": config, "source": source}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


@dataclass(frozen=True)
class TensorFile:
    """A safetensors file of unfinished work; satisfies `training.stack.Checkpoint`."""

    path: Path

    aside: Path
    """Folder for damaged files."""

    def load(self) -> tuple[dict[str, Tensor], str] | None:
        """Return tensors and note, if there are any; a damaged file is logged, set aside and treated as missing."""
        if not self.path.exists():
            return None
        try:
            return self.read()
        except DamagedResultError as error:
            set_aside(self.path, self.aside, str(error))
            return None

    def read(self) -> tuple[dict[str, Tensor], str]:
        """Return tensors and note.

        Raises:
            DamagedResultError: The file cannot be read or does not match its checksum.
        """
        try:
            with safe_open(self.path, "pt") as file:
                facts = file.metadata() or {}
            tensors = load_file(self.path)
            note, checksum = facts["note"], facts["checksum"]
        except (OSError, SafetensorError, KeyError) as error:
            raise DamagedResultError(f"{self.path}: cannot be read ({type(error).__name__})") from error
        if checksum != _tensors_checksum(tensors, note):
            raise DamagedResultError(f"{self.path}: does not match its checksum")
        return tensors, note

    def save(self, tensors: dict[str, Tensor], note: str) -> None:
        """Save tensors and note, replacing earlier ones."""
        whole = {name: tensor.cpu().contiguous() for name, tensor in tensors.items()}
        facts = {"note": note, "checksum": _tensors_checksum(whole, note)}
        atomic.write(self.path, lambda partial: save_file(whole, partial, facts))


def _tensors_checksum(tensors: Mapping[str, Tensor], note: str) -> str:
    digest = hashlib.sha256(note.encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"\0{name}\0{tensor.dtype}\0{tuple(tensor.shape)}\0".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes() if tensor.numel() else b"")
    return digest.hexdigest()


def set_aside(path: Path, aside: Path, why: str) -> None:
    """Move a damaged file or folder into `aside` and log a warning."""
    aside.mkdir(parents=True, exist_ok=True)
    target = next(p for k in itertools.count(1) if not (p := aside / f"{k}-{path.name}").exists())
    path.replace(target)
    _log.warning("%s; set aside as %s", why, target)


class RunFolder:
    """One run on disk."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def create(cls, out: Path, name: str, config: Mapping[str, Any], source: str) -> RunFolder:
        """Open the run folder of a configuration; create it if missing."""
        folder = cls(cls.path_of(out, name, config, source))
        if folder.take_json("config.json") is None:
            folder.write_json("config.json", {"experiment": name, "config": config, "source": source})
        return folder

    @staticmethod
    def path_of(out: Path, name: str, config: Mapping[str, Any], source: str) -> Path:
        """Path of the run folder of a configuration."""
        return out / "runs" / f"{name}-{run_hash(config, source)}"

    @property
    def name(self) -> str:
        """Name of the run: experiment and hash."""
        return self.path.name

    def read_json(self, name: str) -> dict[str, Any] | None:
        """Read a record of the run; None if there is none.

        Raises:
            DamagedResultError: It does not match its checksum.
        """
        return records.read(self.path / name)

    def take_json(self, name: str) -> dict[str, Any] | None:
        """Read a record of the run; a damaged one is logged, set aside and treated as missing."""
        try:
            return self.read_json(name)
        except DamagedResultError as error:
            set_aside(self.path / name, self.aside, str(error))
            return None

    def write_json(self, name: str, value: Mapping[str, Any]) -> None:
        """Write a record of the run."""
        records.write_record(self.path / name, value)

    def settle_json(self, name: str, value: Mapping[str, Any]) -> dict[str, Any]:
        """Write a record unless another process already did; return the stored one."""
        path = self.path / name
        own = path.with_name(f".{os.getpid()}-{platform.node()}-{path.name}")
        records.write_record(own, value)
        try:
            os.link(own, path)
        except FileExistsError:
            pass
        except OSError:  # a file system without links
            own.replace(path)
        finally:
            own.unlink(missing_ok=True)
        return self.take_json(name) or dict(value)

    @property
    def aside(self) -> Path:
        """Folder for damaged files."""
        return self.path / "damaged"

    def checkpoint(self, task: str) -> TensorFile:
        """Checkpoint file of an unfinished task."""
        return TensorFile(self.path / "checkpoints" / f"{_file_name(task)}.safetensors", self.aside)

    def parts(self, task: str) -> RunFolder:
        """Folder of an unfinished task's completed parts."""
        return RunFolder(self.path / "checkpoints" / f"{_file_name(task)}-parts")

    def is_done(self, task: str) -> bool:
        """Whether a task is finished and all its files are intact."""
        try:
            marker = self.marker(task)
        except DamagedResultError:
            return False
        return marker is not None and not self.damage(marker)

    def marker(self, task: str) -> dict[str, Any] | None:
        """Read the marker of a finished task; None if it is unfinished.

        Raises:
            DamagedResultError: The marker does not match its checksum.
        """
        return self.read_json(self._marker(task))

    def damage(self, marker: Mapping[str, Any]) -> dict[Path, str]:
        """Find the damaged files of a finished task; return a message for each."""
        messages: dict[Path, str] = {}
        for name, checksum in marker["files"].items():
            path = self.path / name
            try:
                if atomic.sha256(path) != checksum:
                    messages[path] = f"{path}: does not match its checksum"
            except FileNotFoundError:
                messages[path] = f"{path}: is missing"
            except OSError as error:
                messages[path] = f"{path}: cannot be read ({error.strerror})"
        return messages

    def refuse_damage(self) -> None:
        """Check that all results of finished tasks are intact; weights may be missing.

        Raises:
            DamagedResultError: One is damaged.
        """
        for marker in self.markers():
            results = {name: checksum for name, checksum in marker["files"].items() if name.startswith("results/")}
            for why in self.damage({"files": results}).values():
                raise DamagedResultError(why)

    def repair(self, task: str) -> bool:
        """Whether a task is finished and intact; damaged files are logged and set aside, so that it runs again."""
        marker = self.take_json(self._marker(task))
        if marker is None:
            return False
        damaged = self.damage(marker)
        for path, why in damaged.items():
            if path.exists():
                set_aside(path, self.aside, why)
            else:
                _log.warning("%s; recomputing", why)
        if damaged:
            (self.path / self._marker(task)).unlink(missing_ok=True)
        return not damaged

    def finish(self, task: str, artifacts: Mapping[str, Artifact], **facts: Any) -> None:
        """Write a task's results, then its marker; delete its checkpoints."""
        files = [self._write(name, artifact) for name, artifact in artifacts.items()]
        sums = {file.relative_to(self.path).as_posix(): atomic.sha256(file) for file in files}
        self.write_json(self._marker(task), {"task": task, "files": sums, **facts})
        self.checkpoint(task).path.unlink(missing_ok=True)
        shutil.rmtree(self.parts(task).path, ignore_errors=True)

    def _write(self, name: str, artifact: Artifact) -> Path:
        if isinstance(artifact, xr.Dataset):
            path = self.path / "results" / f"{name}.nc"
            atomic.write(path, lambda partial: convert.write_netcdf(artifact, partial))
            return path
        if all(isinstance(value, Tensor) for value in artifact.values()):
            path = self.path / "weights" / f"{name}.safetensors"
            whole = {key: value.cpu().contiguous() for key, value in artifact.items()}
            atomic.write(path, lambda partial: save_file(whole, partial))
            return path
        path = self.path / "results" / f"{name}.json"
        records.write_record(path, artifact)
        return path

    def dataset(self, name: str) -> xr.Dataset:
        """Read a result and check it against its schema.

        Raises:
            DamagedResultError: The file is missing, unreadable or of another schema.
        """
        path = self._result(name)
        try:
            with xr.open_dataset(path, engine="h5netcdf") as stored:
                return convert.check(stored.load())
        except (OSError, ValueError, KeyError) as error:
            raise DamagedResultError(f"{path}: cannot be read ({type(error).__name__}); run again") from error

    def _result(self, name: str) -> Path:
        """Path of a result, which an earlier release may have named differently."""
        path = self.path / "results" / f"{name}.nc"
        for begin, before in RENAMED_FILES.items():
            old = path.with_name(before + path.name.removeprefix(begin))
            if path.name.startswith(begin) and not path.exists() and old.exists():
                return old
        return path

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
        """Read the markers of all finished tasks, sorted by name.

        Raises:
            DamagedResultError: One does not match its checksum.
        """
        stored = (self.read_json(f"done/{p.name}") for p in sorted((self.path / "done").glob("*.json")))
        return [marker for marker in stored if marker]

    @staticmethod
    def _marker(task: str) -> str:
        return f"done/{_file_name(task)}.json"


def _file_name(task: str) -> str:
    return re.sub(r"[^A-Za-z0-9.=_-]", "-", task)


def find_runs(out: Path, names: Iterable[str]) -> list[RunFolder]:
    """All runs of the named experiments in an output folder."""
    wanted = set(names)
    folders = []
    for path in sorted((out / "runs").glob("*/config.json")):
        folder = RunFolder(path.parent)
        try:
            record = folder.read_json("config.json") or {}
        except DamagedResultError as error:
            _log.warning("%s; skipping this run, run it again", error)
            continue
        if record.get("experiment") in wanted:
            folders.append(folder)
    return folders
