"""Stored surveys: find, compare, redraw and list them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from basinscope.errors import DamagedResultError, InputError
from basinscope.landscape.module.objective import Objective
from basinscope.own.measure import KIND, words
from basinscope.own.networks import plain
from basinscope.own.publish import Published, Surveys, publish_survey
from basinscope.own.request import SurveyRequest
from basinscope.own.tasks import tasks, whole
from basinscope.probes.table import PROBES
from basinscope.runs import records
from basinscope.runs.store import RunFolder, find_runs

CLOSE_CUTOFFS = 1.01
"""Largest ratio of cutoffs that count as equal."""


def request_of(folder: RunFolder) -> SurveyRequest:
    """Read the request of a run."""
    return SurveyRequest.restore((folder.read_json("config.json") or {}).get("config", {}))


def find_run(out: Path, name: str) -> tuple[str, RunFolder]:
    """Find a finished run by its label, by its folder's name or by its path, in this order.

    Raises:
        InputError: There is no such run, or it is not finished.
    """
    pointer = records.read(out / "measured" / name / "run.json") if name == Path(name).name else None
    runs = [RunFolder(out / "runs" / str(pointer["run"]))] if pointer else find_runs(out, [KIND])
    if Path(name).is_dir():
        runs.append(RunFolder(Path(name)))
    for folder in runs:
        if not (pointer or folder.name == name or folder.path == Path(name)):
            continue
        if folder.take_json("finished.json") is None:
            raise InputError(f"{name} is not finished; resume it with basinscope measure")
        return str((folder.take_json("provenance.json") or {}).get("label", folder.name)), folder
    known = sorted(p.parent.name for p in (out / "measured").glob("*/run.json"))
    raise InputError(
        f"no run {name!r} in {out}; there are {', '.join(known) or 'none'}; add it with basinscope measure"
    )


def compare_runs(out: Path, names: Sequence[str], waiting: Callable[[str], object]) -> Published:
    """Compare finished runs: one table, and figures with common scales.

    Args:
        out: Folder of results.
        names: Labels, names of run folders, or their paths; two or more.
        waiting: Called with what another process has locked.

    Raises:
        InputError: There are too few runs, or one does not exist.
    """
    if len(names) < 2:
        raise InputError("compare needs two runs or more; create them with basinscope measure")
    folders: dict[str, RunFolder] = {}
    for name in names:
        label, folder = find_run(out, name)
        if folder.name in (other.name for other in folders.values()):
            raise InputError(f"compare: {name} is given twice")
        # A network measured with two settings has one label and two runs.
        folders[f"{label} ({folder.name})" if label in folders else label] = folder
    return side_by_side(out / "compared" / plain("-".join(folders)), folders, waiting)


def side_by_side(place: Path, folders: Mapping[str, RunFolder], waiting: Callable[[str], object]) -> Published:
    """Draw finished runs side by side into a folder, with notes on what limits the comparison."""
    requests = {label: request_of(folder) for label, folder in folders.items()}
    surveys = {label: whole(folder, requests[label]) for label, folder in folders.items()}
    notes = warnings(surveys, list(requests.values())) if len(surveys) > 1 else []
    notes += [f"{label}: {note}" for label, folder in folders.items() for note in _notes(folder)]
    facts = {"runs": [folder.name for folder in folders.values()], "labels": list(folders)}
    return publish_survey(place, surveys, facts, notes, waiting)


def _notes(folder: RunFolder) -> list[str]:
    """Notes recorded when a run was measured."""
    stored = (folder.take_json("provenance.json") or {}).get("notes", [])
    return [*stored, *words((folder.take_json("finished.json") or {}).get("failures", {}))]


def warnings(surveys: Surveys, requests: Sequence[SurveyRequest]) -> list[str]:
    """Reasons why the numbers of several networks may not be comparable."""
    notes = []
    sizes = {int(next(iter(results.values())).attrs["num_moved"]) for results in surveys.values() if results}
    if len(sizes) > 1:
        notes.append("the networks differ in the number of moved entries: their volumes and n·log r are not comparable")
    if len({request.problem for request in requests}) > 1:
        notes.append("the runs come from different problem files: check that they use the same loss")
    notes += [
        f"the runs measured {name} with different values of {option.name}"
        for name, probe in PROBES.items()
        for option in probe.options
        if len({str(v) for r in requests if (v := r.probes.get(name, {}).get(option.name)) is not None}) > 1
    ]
    levels = [
        float(result["cutoff"]) for results in surveys.values() for result in results.values() if "cutoff" in result
    ]
    if levels and max(levels) > CLOSE_CUTOFFS * min(levels):
        notes.append(
            f"the cutoffs range from {min(levels):.4g} to {max(levels):.4g}, each relative to its network's loss: "
            f"to compare radii at one cutoff, measure again with --cutoff {max(levels):.2g}"
        )
    return notes


def published_surveys(out: Path) -> dict[str, Path]:
    """The folders of figures of measured and compared networks, by name."""
    folders = [p.parent for kind in ("measured", "compared") for p in sorted((out / kind).glob("*/run.json"))]
    return {folder.name: folder for folder in folders}


def redraw(out: Path, place: Path, waiting: Callable[[str], object]) -> None:
    """Redraw the figures and rewrite the table of measured or compared networks from stored results.

    Raises:
        DamagedResultError: A result is damaged.
    """
    pointer = RunFolder(place).take_json("run.json")
    if pointer is None:
        raise DamagedResultError(f"{place / 'run.json'}: is damaged; re-create it with basinscope measure or compare")
    runs = pointer.get("runs") or [str(pointer["run"])]
    for run in runs:
        if not (out / "runs" / run / "config.json").exists():
            raise DamagedResultError(f"{out / 'runs' / run}: is missing, so {place.name} cannot be redrawn")
    if "runs" in pointer:
        labels = pointer.get("labels") or runs
        side_by_side(place, dict(zip(labels, (RunFolder(out / "runs" / run) for run in runs), strict=True)), waiting)
        return
    folder = RunFolder(out / "runs" / runs[0])
    results = whole(folder, request_of(folder))
    publish_survey(place, {place.name: results}, {"run": folder.name}, _notes(folder), waiting)


def told(out: Path) -> list[str]:
    """Status lines of all survey runs in an output folder."""
    lines = []
    for folder in find_runs(out, [KIND]):
        work = tasks(request_of(folder), _never)
        done = sum(folder.is_done(task.name) for task in work)
        record = folder.take_json("finished.json")
        failed = (record or {}).get("failures", {})
        complete = done == len(work) or bool(failed)
        label = (folder.take_json("provenance.json") or {}).get("label", "?")
        state = f"finished {record['finished']}" if record and complete else "unfinished"
        lines.append(
            f"{folder.name} ({label}): {done} of {len(work)} tasks, {state}"
            + (f", not measured: {', '.join(failed)}" if failed else "")
        )
    return lines


def _never() -> Objective:
    raise AssertionError("only the list of tasks is wanted")
