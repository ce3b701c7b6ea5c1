"""Tasks of a survey, built from the table of probes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import xarray as xr

from basinscope.errors import DamagedResultError, InputError
from basinscope.landscape.module.objective import Objective
from basinscope.own.request import SurveyRequest
from basinscope.probes.table import PROBES, Options, Probe
from basinscope.runs.engine import Context, Task
from basinscope.runs.store import Artifact, RunFolder

_NOTHING: Mapping[str, Any] = {}


def tasks(
    request: SurveyRequest,
    opened: Callable[[], Objective],
    points: Mapping[str, Mapping[str, Any]] = _NOTHING,
    failures: dict[str, str] | None = None,
) -> Sequence[Task]:
    """List the tasks of a survey of one network.

    Args:
        request: The request of the survey.
        opened: Returns the objective; called only if there is work to do.
        points: By probe, the arguments that contain other checkpoints.
        failures: Filled with the probes that could not be measured, and why.
    """
    failed = {} if failures is None else failures
    return [
        Task(
            name, probe.cost(options), _bind(probe, name, {**options, **points.get(probe.name, {})}, opened, failed), ()
        )
        for probe in map(PROBES.__getitem__, request.probes)
        for name, options in probe.tasks(dict(request.probes[probe.name])).items()
    ]


def _bind(
    probe: Probe, name: str, options: Options, opened: Callable[[], Objective], failed: dict[str, str]
) -> Callable[[Context], Mapping[str, Artifact]]:
    def work(context: Context) -> Mapping[str, Artifact]:
        # If one task of a probe fails, skip its others.
        if probe.name in failed:
            raise InputError(failed[probe.name])
        try:
            return {name: probe.verb(opened(), **options, progress=context.progress)}
        except InputError as error:
            failed[probe.name] = str(error)
            raise

    return work


def collect(folder: RunFolder, request: SurveyRequest) -> dict[str, xr.Dataset]:
    """Read all results of a finished run and compute derived ones; failed probes are left out.

    Returns:
        Results by stem, in the order of the request.

    Raises:
        DamagedResultError: A file is missing or damaged.
    """
    failed = (folder.read_json("finished.json") or {}).get("failures", {})
    results: dict[str, xr.Dataset] = {}
    for name, options in request.probes.items():
        probe = PROBES[name]
        if name in failed:
            continue
        joined = probe.join([folder.dataset(task) for task in probe.tasks(dict(options))])
        results[probe.stem] = joined
        results |= {one.stem: result for one in probe.derived if (result := one.run(joined)) is not None}
    return results


def whole(folder: RunFolder, request: SurveyRequest) -> dict[str, xr.Dataset]:
    """Read the results of a run after checking their checksums; see `collect`.

    Raises:
        DamagedResultError: A file is damaged.
    """
    try:
        folder.refuse_damage()
        return collect(folder, request)
    except DamagedResultError as error:
        raise DamagedResultError(f"{error}; recompute it with basinscope measure") from error
