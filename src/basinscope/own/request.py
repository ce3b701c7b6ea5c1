"""Request of a survey: identity of the network and options of every probe."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from basinscope.errors import InputError, kind_of
from basinscope.probes.options import Option, parameters
from basinscope.probes.table import PROBES, Options, Probe, probe_named
from basinscope.runs.spelling import Spelling
from basinscope.settings import check_setting

# Names of each probe's options in the flat requests of releases before 0.5.
_FLAT = {
    "slice1d": {"num_lines": "num_directions", "line_resolution": "resolution", "extent": "extent", "seed": "seed"},
    "slice2d": {"resolution": "resolution", "extent": "extent", "seed": "seed"},
    "basin_radius": {name: name for name in ("rise", "cutoff", "num_directions", "tolerance", "num_scanned", "seed")},
    "curvature": {"top": "top", "density": "density", "seed": "seed"},
    "sharpness": {"rho": "rho", "adaptive": "adaptive", "seed": "seed"},
}


@dataclass(frozen=True, kw_only=True)
class SurveyRequest:
    """Settings of a survey of one network, as plain values; the hash of its run covers them."""

    problem: str = ""
    """SHA-256 of the problem file; empty for a network given from Python."""
    name: str = ""
    """Which of the file's problems."""
    checkpoint: str = ""
    """SHA-256 of the checkpoint; empty for the network as the file defines it."""
    network: str = ""
    """Fingerprint of a network given from Python, with its batches and its loss."""
    probes: Mapping[str, Options] = field(default_factory=dict)
    """Options by probe."""
    points: Mapping[str, str] = field(default_factory=dict)
    """By probe, digest of the other checkpoints that it uses."""
    device: str = "as it is"
    """Device of the network; rounding differs between devices."""

    @classmethod
    def restore(cls, stored: Mapping[str, Any]) -> SurveyRequest:
        """Build a request from JSON values; entries that this release does not know are dropped."""
        known = {one.name: stored[one.name] for one in fields(cls) if one.name in stored}
        if not isinstance(known.get("probes", {}), Mapping):
            known["probes"] = _from_flat(stored)
        return cls(**{**known, "probes": {n: o for n, o in known.get("probes", {}).items() if n in PROBES}})


def _from_flat(stored: Mapping[str, Any]) -> dict[str, Options]:
    """Options by probe from a flat request."""
    chosen = [probe.name for name in stored["probes"] if (probe := probe_named(name)) is not None]
    return {name: {new: stored[old] for old, new in _FLAT.get(name, {}).items() if old in stored} for name in chosen}


def standard() -> list[str]:
    """The probes measured by default."""
    return [probe.name for probe in PROBES.values() if probe.standard]


def options_by_probe(probes: Sequence[str] | Mapping[str, Options], spell: Spelling) -> dict[str, Options]:
    """Complete a request: every probe under its own name, with all default options of the table.

    Args:
        probes: Names or aliases, or options by name.
        spell: How messages name a setting.

    Raises:
        InputError: A probe or an option is unknown, or a value is out of range or cannot be stored.
    """
    given = probes if isinstance(probes, Mapping) else {name: {} for name in probes}
    unknown = [name for name in given if probe_named(name) is None]
    if unknown or not given:
        raise InputError(f"{spell('probe', ', '.join(unknown) or '(none)')}: choose from {', '.join(PROBES)}")
    complete: dict[str, Options] = {}
    for name, options in given.items():
        probe = probe_named(name)
        assert probe is not None
        if not isinstance(options, Mapping):
            raise InputError(f"{spell('probe', name)}: its options are {kind_of(options)}: give a dictionary")
        complete[probe.name] = _complete(probe, options, spell)
    return complete


def _complete(probe: Probe, given: Options, spell: Spelling) -> Options:
    known = parameters(probe.verb)
    unknown = [name for name in given if name not in known or name in ("other", "points", "names")]
    if unknown:
        raise InputError(f"{probe.name} has no option {unknown[0]!r}; choose from {', '.join(known)}")
    options = probe.defaults() | {name: check_setting(probe.verb, name, value) for name, value in given.items()}
    for option in probe.options:
        value = options[option.name]
        _refuse(option, value, spell(option.name, value, flag=option.flag))
        if option.instead and None not in (options[option.name], options[option.instead]):
            raise InputError(f"{probe.name}: give {option.name} or {option.instead}, not both")
    try:
        # As stored in JSON: tuples become lists.
        return json.loads(json.dumps(options, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise InputError(f"{probe.name}: options must be numbers, strings or lists of them ({error})") from error


def _refuse(option: Option, value: Any, spelled: str) -> None:
    if value is None or (option.least is None and option.above is None):
        return
    if not isinstance(value, int | float):
        raise InputError(f"{spelled}: must be a number")
    if option.least is not None and value < option.least:
        raise InputError(f"{spelled}: must be at least {option.least}")
    if option.above is not None and not (value > option.above and math.isfinite(value)):
        raise InputError(f"{spelled}: must be above {option.above}")
