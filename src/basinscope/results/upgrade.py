"""Converts results of earlier releases to the names of this one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import xarray as xr


@dataclass(frozen=True)
class Renaming:
    """New names and version of a kind of result."""

    kind: str
    version: int
    variables: Mapping[str, str] = field(default_factory=dict)
    """Old names of variables to new ones."""


RENAMED: Mapping[tuple[str, int], Renaming] = {
    ("plane", 1): Renaming("slice2d", 2),
    ("slice2d", 1): Renaming("slice2d", 2),
    ("ball", 1): Renaming("sharpness", 2),
    ("sharpness", 1): Renaming(
        "mean_curvature", 2, {"sharpness": "mean_curvature", "sharpness_stderr": "mean_curvature_stderr"}
    ),
}
"""By kind and schema version."""
RENAMED_FILES: Mapping[str, str] = {"mean_curvature": "sharpness"}
"""Prefixes of result files in this release, each with the earlier one."""


def upgraded(found: xr.Dataset) -> xr.Dataset:
    """Rename a result of an earlier release; a result of this release is returned unchanged."""
    written = (str(found.attrs.get("kind")), _version(found))
    if written not in RENAMED:
        return found
    new = RENAMED[written]
    renamed = found.rename({old: name for old, name in new.variables.items() if old in found.variables})
    renamed.attrs = {**found.attrs, "kind": new.kind, "schema_version": new.version}
    return renamed


def _version(found: xr.Dataset) -> int:
    try:
        return int(found.attrs.get("schema_version", 0))
    except (TypeError, ValueError):
        return 0
