"""What a survey of a network can be asked."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from basinscope.errors import InputError

PROBES = ("slice1d", "slice2d", "radius", "curvature", "sharpness")


@dataclass(frozen=True, kw_only=True)
class Request:
    """Settings of a survey."""

    problem: str
    """SHA-256 of the problem file."""
    name: str = ""
    """Which of the file's problems."""
    checkpoint: str
    """SHA-256 of the checkpoint; empty for the network as the file makes it."""
    probes: tuple[str, ...] = PROBES
    """What is measured."""
    seed: int = 0
    """Of directions and random vectors."""
    num_lines: int = 3
    """Lines of the 1-D slice."""
    extent: float = 1.0
    """How far slices go to either side, in filter norms."""
    line_resolution: int = 41
    """Points on each line."""
    resolution: int = 21
    """Grid lines of the 2-D slice."""
    num_directions: int = 100
    """Random directions for radii."""
    rise: float = 0.1
    """Rise of the loss that bounds the basin."""
    cutoff: float | None = None
    """Absolute loss that bounds it instead."""
    tolerance: float = 0.01
    """Relative width of the bracket around a radius."""
    num_scanned: int = 2
    """Rays that are scanned for an earlier crossing."""
    top: int = 5
    """Largest eigenvalues of the Hessian."""
    density: bool = False
    """Whether the density of all eigenvalues is estimated."""
    rho: float = 0.05
    """Radius of the ball for sharpness."""
    adaptive: bool = False
    """Whether the ball follows the weights' sizes."""
    device: str = "as it is"
    """Where the network is put; rounding differs between devices."""

    def __post_init__(self) -> None:
        unknown = [probe for probe in self.probes if probe not in PROBES]
        if unknown or not self.probes:
            raise InputError(f"--probe {', '.join(unknown) or '(none)'}: choose from {', '.join(PROBES)}")
        for name, least in (
            ("num_lines", 1),
            ("line_resolution", 2),
            ("resolution", 2),
            ("num_directions", 2),
            ("num_scanned", 0),
            ("top", 1),
        ):
            if getattr(self, name) < least:
                raise InputError(f"{_option(name)} {getattr(self, name)}: must be at least {least}")
        for name in ("extent", "rise", "rho", "tolerance"):
            if not (getattr(self, name) > 0 and math.isfinite(getattr(self, name))):
                raise InputError(f"{_option(name)} {getattr(self, name)}: must be above 0")

    @classmethod
    def restore(cls, stored: Mapping[str, Any]) -> Request:
        """Build a request from plain values, as JSON keeps them; what only another release knows is left out."""
        known = {field.name for field in fields(cls)}
        kept: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in stored.items() if k in known}
        return cls(**kept)

    def shares(self) -> list[range]:
        """The directions of each radius task: an interruption loses at most one."""
        size = 20
        return [range(k, min(k + size, self.num_directions)) for k in range(0, self.num_directions, size)]


def _option(name: str) -> str:
    known = {"num_directions": "directions", "num_lines": "lines"}
    return "--" + known.get(name, name).replace("_", "-")
