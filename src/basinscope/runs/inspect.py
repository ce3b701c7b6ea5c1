"""Checks every file in an output folder against its recorded checksum."""

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
    """Count of intact files, and the damaged ones."""

    num_files: int = 0
    damage: list[str] = field(default_factory=list)
    """One line for each damaged file."""

    def record(self, path: Path) -> dict | None:
        """Check a JSON record; return it if it is intact."""
        try:
            record = records.read(path)
        except DamagedResultError as error:
            self.damage.append(str(error))
            return None
        self.num_files += record is not None
        return record

    def files(self, folder: Path, checksums: dict[str, str]) -> None:
        """Check files against their checksums."""
        marker = {"files": checksums}
        damaged = RunFolder(folder).damage(marker)
        self.damage += damaged.values()
        self.num_files += len(checksums) - len(damaged)


def inspect_run(path: Path, found: Inspection) -> None:
    """Check one run: records, markers, results, weights, checkpoints."""
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
        yield from sorted(pointer.parent for pointer in out.glob(pattern))


def inspect(out: Path) -> Inspection:
    """Check every run, figure and page in an output folder; nothing is changed.

    Args:
        out: The folder that `--out` names.

    Returns:
        The number of intact files, and one line for each damaged file.
    """
    inspection = Inspection()
    for path in sorted(p for p in (out / "runs").glob("*") if p.is_dir()):
        inspect_run(path, inspection)
    for folder in _published(out):
        for name in ("run.json", "page.json"):
            if (record := inspection.record(folder / name)) is not None:
                inspection.files(folder, record["files"])
                # Compared runs may be in another output folder.
                finished = out / "runs" / record.get("run", "") / "finished.json"
                if "run" in record and not finished.exists():
                    inspection.damage.append(f"{finished}: is missing")
    return inspection


def checksums(files: list[Path], folder: Path) -> dict[str, str]:
    """Checksum of each file by its path inside a folder."""
    return {file.relative_to(folder).as_posix(): atomic.sha256(file) for file in files}
