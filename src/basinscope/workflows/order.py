"""What a run of experiments is asked, and what it gives."""

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
    """Of the experiment."""
    preset: str
    """The preset, and what was changed of it."""
    claims: tuple[Claim, ...]
    """Every claim beside the measured number."""
    figures: tuple[Path, ...]
    """Files of figures and animations."""
    folder: Path
    """Where results, weights and provenance lie."""
    page: Path
    """The page that shows everything in the output folder."""
    num_tasks: int
    num_done: int
    """Tasks that this call did; 0 if everything was there already."""
    seconds: float
    """That this call took."""

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
    """What is asked of a call: the experiments, and how to compute them."""

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
