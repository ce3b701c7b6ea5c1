"""Options and results of a call that runs experiments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import xarray as xr

from basinscope.experiments.claims import Claim
from basinscope.runs.store import RunFolder


@dataclass(frozen=True, kw_only=True)
class Run:
    """A finished run of one experiment, with its figures and claims."""

    name: str
    """Name of the experiment."""
    preset: str
    """The preset, with any changed fields."""
    claims: tuple[Claim, ...]
    """Every claim with its measured value."""
    figures: tuple[Path, ...]
    """Files of figures and animations."""
    folder: Path
    """Folder of results, weights and provenance."""
    page: Path
    """The page that shows everything in the output folder."""
    num_tasks: int
    num_done: int
    """Tasks run by this call; 0 if all were done already."""
    seconds: float
    """Duration of this call."""

    @property
    def datasets(self) -> dict[str, xr.Dataset]:
        """Every labelled result of the run by name, read from its folder.

        Raises:
            DamagedResultError: A file cannot be read.
        """
        stored = RunFolder(self.folder)
        return {path.stem: stored.dataset(path.stem) for path in sorted((self.folder / "results").glob("*.nc"))}


@dataclass(frozen=True, kw_only=True)
class Order:
    """The experiments to run, and how to compute them."""

    names: Sequence[str]
    preset: str = "quick"
    seed: int = 0
    data_seed: int | None = None
    settings: Sequence[str] = ()
    """Each `NAME.FIELD=VALUE`."""
    out: Path = Path("out")
    device: str = "auto"
    engine: str = "local"
    jobs: int | None = None
    address: str | None = None
    data_dir: Path | None = None
    reproducible: bool = False
