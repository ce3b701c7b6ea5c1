"""Looks a whole output folder over: is every file as it was written?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from basinscope.errors import DamagedResultError
from basinscope.runs import atomic, records
from basinscope.runs.store import RunFolder, run_hash

_RECORDS = ("config.json", "provenance.json", "backend.json", "finished.json")


@dataclass
class Inspection:
    """What was looked at, and what was found."""

    num_files: int = 0
    damage: list[str] = field(default_factory=list)
    """One line for each damaged file."""

    def record(self, path: Path) -> dict | None:
        """Look at a JSON record and return it if it is whole."""
        try:
            found = records.read(path)
        except DamagedResultError as error:
            self.damage.append(str(error))
            return None
        self.num_files += found is not None
        return found

    def files(self, folder: Path, checksums: dict[str, str]) -> None:
        """Hold files to their checksums."""
        marker = {"files": checksums}
        found = RunFolder(folder).damage(marker)
        self.damage += found.values()
        self.num_files += len(checksums) - len(found)


def inspect_run(path: Path, found: Inspection) -> None:
    """Look over one run: records, markers, results, weights, checkpoints."""
    folder = RunFolder(path)
    for name in _RECORDS:
        record = found.record(path / name)
        if name == "config.json" and record is not None:
            expected = f"{record['experiment']}-{run_hash(record['config'], record['source'])}"
            if expected != path.name:
                found.damage.append(f"{path / name}: belongs to {expected}")
        if name == "config.json" and record is None and not (path / name).exists():
            found.damage.append(f"{path / name}: is missing")
    for marker_path in sorted((path / "done").glob("*.json")):
        marker = found.record(marker_path)
        if marker is not None:
            found.files(path, marker["files"])
    for checkpoint in sorted((path / "checkpoints").glob("*.safetensors")):
        try:
            folder.checkpoint(checkpoint.stem).read()
            found.num_files += 1
        except DamagedResultError as error:
            found.damage.append(str(error))


def _published(out: Path) -> Iterator[Path]:
    yield out
    for pattern in ("*/run.json", "measured/*/run.json", "compared/*/run.json"):
        yield from sorted(place.parent for place in out.glob(pattern))


def inspect(out: Path) -> Inspection:
    """Look over every run, figure and page below an output folder; nothing is changed.

    Args:
        out: The folder that `--out` names.

    Returns:
        How many files are as they were written, and a line for each that is not.
    """
    found = Inspection()
    for path in sorted(p for p in (out / "runs").glob("*") if p.is_dir()):
        inspect_run(path, found)
    for place in _published(out):
        for name in ("run.json", "page.json"):
            if (record := found.record(place / name)) is not None:
                found.files(place, record["files"])
                # Runs that are compared may lie elsewhere.
                finished = out / "runs" / record.get("run", "") / "finished.json"
                if "run" in record and not finished.exists():
                    found.damage.append(f"{finished}: is missing")
    return found


def checksums(files: list[Path], folder: Path) -> dict[str, str]:
    """Checksum of each file by its path inside a folder."""
    return {file.relative_to(folder).as_posix(): atomic.sha256(file) for file in files}
