"""The verbs for one's own network: measure it, and compare several."""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import re
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import torch

from basinscope.checkpoints.files import fill, read_state
from basinscope.cli.page import make_page
from basinscope.cli.progress import shown, spoken
from basinscope.errors import DamagedResultError, InputError
from basinscope.landscape.module.objective import Objective
from basinscope.runs import atomic, provenance, records
from basinscope.runs.engine import run_tasks
from basinscope.runs.lock import exclusive
from basinscope.runs.source import source_digest
from basinscope.runs.store import RunFolder, find_runs
from basinscope.survey.problem import OPTIONS, Problem, load_problem
from basinscope.survey.publish import publish
from basinscope.survey.request import PROBES, Request
from basinscope.survey.summary import table
from basinscope.survey.tasks import collect, tasks

KIND = "measure"
CLOSE_CUTOFFS = 1.01
"""Ratio up to which cutoffs count as one."""
SOURCE = ("basinscope.survey.tasks", "basinscope.survey.request")


def measure(options: argparse.Namespace, say_waiting: Callable[[str], None]) -> int:
    """Measure a network of the user's, at each checkpoint; draw, and sum up.

    Args:
        options: See `cli.arguments`.
        say_waiting: Told what another process holds.

    Raises:
        InputError: The problem file, a checkpoint or a setting cannot be used.
    """
    problem = load_problem(options.problem)
    labels = _labels(options.checkpoint, options.name)
    probes = tuple(dict.fromkeys(options.probe)) or PROBES
    fields = dataclasses.fields(Request)
    settings = {field.name: getattr(options, field.name) for field in fields if hasattr(options, field.name)}
    # All files are looked at before the first is measured.
    states = [read_state(path) for path in options.checkpoint]
    model = problem.parts["model"]
    if not isinstance(model, torch.nn.Module):
        raise InputError(f"{problem.path}: model is a {type(model).__name__}: give an nn.Module")
    device = None if options.device == "auto" else provenance.pick_device(options.device)
    if device is not None:
        model.to(device)
    _look_at_all(problem, options, states)
    numbers = {}
    for k, label in enumerate(labels):
        path = options.checkpoint[k] if options.checkpoint else None
        request = Request.restore(
            settings
            | {
                "problem": problem.checksum,
                "name": problem.name,
                "checkpoint": atomic.sha256(path) if path else "",
                "probes": probes,
                "device": str(device) if device else "as it is",
            }
        )
        if path:
            fill(model, states[k], str(path))
        numbers |= _measure_one(problem, request, label, options.out, say_waiting, str(path or ""))
    print(table(numbers))
    make_page(options.out)
    return 0


def _opened(problem: Problem) -> Objective:
    parts = problem.parts
    extra = {key: parts[key] for key in OPTIONS if key in parts}
    return Objective(parts["model"], parts["loss_fn"], parts["batches"], **extra)


def _look_at_all(problem: Problem, options: argparse.Namespace, states: Sequence[Any]) -> None:
    """Make sure that every checkpoint can be measured before the first one is.

    Raises:
        InputError: One does not fit the network, or its loss is not finite or lies above the cutoff.
    """
    for path, state in zip(options.checkpoint, states, strict=True):
        fill(problem.parts["model"], state, str(path))
        if options.cutoff is None and len(states) == 1:
            continue  # measuring it comes next, and says what is wrong
        try:
            loss = _opened(problem).center_loss
        except InputError as error:
            raise InputError(f"{path}: {error}") from error
        if options.cutoff is not None and loss >= options.cutoff:
            raise InputError(
                f"{path}: its loss is {loss:.4g}, not below --cutoff {options.cutoff:g}; give a higher cutoff, or "
                "--rise for a height above each network's own loss"
            )


def _labels(checkpoints: Sequence[Path], name: str | None) -> list[str]:
    """Name each network: after its checkpoint, with folders as far as names would be the same."""
    if not checkpoints:
        return [_plain(name or "model")]
    for depth in range(1, 1 + max(len(path.absolute().parts) for path in checkpoints)):
        labels = [_plain("-".join(path.absolute().with_suffix("").parts[-depth:])) for path in checkpoints]
        if len(set(labels)) == len(labels):
            return [_plain(f"{name}-{label}") if name else label for label in labels]
    raise InputError("--checkpoint: the same file is named twice")


def _plain(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._=-]+", "-", name).strip(".-") or "model"


def _measure_one(
    problem: Problem, request: Request, label: str, out: Path, say_waiting: Callable[[str], None], checkpoint: str
) -> dict[str, Any]:
    began = time.perf_counter()
    plain = dataclasses.asdict(request)
    source = source_digest(*SOURCE)
    path = RunFolder.path_of(out, KIND, plain, source)
    parts = problem.parts

    @cache
    def opened() -> Objective:
        return _opened(problem)

    with exclusive(path, lambda: say_waiting(f"run {path.name}")):
        atomic.sweep(path)
        folder = RunFolder.create(out, KIND, plain, source)
        where = {"problem": str(problem.path), "checkpoint": checkpoint, "label": label}
        environment = provenance.environment(next(iter(parts["model"].parameters()), torch.empty(0)).device)
        folder.write_json("provenance.json", {**where, "environment": environment})
        # Before any work begins, so that a mistake in the file costs nothing.
        work = tasks(request, opened)
        if not all(folder.is_done(task.name) for task in work):
            opened().check()
        with shown(label, in_seconds=False) as progress:
            num_done = run_tasks(work, folder, progress, device=torch.device("cpu"))
        if num_done or folder.take_json("finished.json") is None:
            moment = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
            folder.write_json("finished.json", {"finished": moment, "preset": label})
        results = _whole(folder, request)
    place = out / "measured" / label
    with exclusive(place, lambda: say_waiting(str(place))):
        atomic.sweep(place)
        earlier = (records.read(place / "run.json") or {}).get("run")
        numbers = publish(place, {label: results}, {"run": folder.name})
    seconds = spoken(time.perf_counter() - began)
    print(f"{label}: {num_done} of {len(work)} tasks done now, in {seconds}; figures in {place}, run {folder.name}")
    if earlier and earlier != folder.name:
        print(f"  note: these took the place of the figures of run {earlier}; give --name to keep both")
    return numbers


def compare(options: argparse.Namespace, say_waiting: Callable[[str], None]) -> int:
    """Put runs of `measure` side by side: one table, and figures with common scales.

    Raises:
        InputError: There are too few runs, or one is not there.
    """
    if len(options.runs) < 2:
        raise InputError("compare needs two runs or more; basinscope measure makes them")
    folders: dict[str, RunFolder] = {}
    for name in options.runs:
        label, folder = _find(options.out, name)
        if folder.name in (other.name for other in folders.values()):
            raise InputError(f"compare: {name} is named twice")
        # One network under two settings has one label and two runs.
        folders[f"{label} ({folder.name})" if label in folders else label] = folder
    place = options.out / "compared" / _plain("-".join(folders))
    numbers, notes = _put_side_by_side(place, folders, say_waiting)
    for line in notes:
        print(f"  note: {line}")
    print(table(numbers))
    print(f"figures: {place}")
    make_page(options.out)
    return 0


def _whole(folder: RunFolder, request: Request) -> dict[str, Any]:
    """Read the results of a run after holding them to their checksums.

    Raises:
        DamagedResultError: A file is not as it was written.
    """
    try:
        folder.refuse_damage()
        return collect(folder, request)
    except DamagedResultError as error:
        raise DamagedResultError(f"{error}; basinscope measure makes it anew") from error


def _put_side_by_side(
    place: Path, folders: Mapping[str, RunFolder], say_waiting: Callable[[str], None]
) -> tuple[dict[str, Any], list[str]]:
    """Draw finished runs side by side; return their numbers, and what keeps these from being compared."""
    requests = [Request.restore((f.read_json("config.json") or {}).get("config", {})) for f in folders.values()]
    surveys = {
        label: _whole(folder, request) for (label, folder), request in zip(folders.items(), requests, strict=True)
    }
    notes = _warnings(surveys, requests) if len(surveys) > 1 else []
    with exclusive(place, lambda: say_waiting(str(place))):
        atomic.sweep(place)
        facts = {"runs": [folder.name for folder in folders.values()], "labels": list(folders)}
        return publish(place, surveys, facts, notes), notes


def published(out: Path) -> dict[str, Path]:
    """The folders of figures of measured and compared networks, by name."""
    found = [p.parent for room in ("measured", "compared") for p in sorted((out / room).glob("*/run.json"))]
    return {place.name: place for place in found}


def redraw(out: Path, place: Path, say_waiting: Callable[[str], None]) -> None:
    """Draw the figures and write the table of measured or compared networks again, from stored results alone.

    Raises:
        DamagedResultError: A result is not as it was written.
    """
    pointer = RunFolder(place).take_json("run.json")
    if pointer is None:
        raise DamagedResultError(f"{place / 'run.json'}: is damaged; basinscope measure or compare makes it anew")
    runs = pointer.get("runs") or [str(pointer["run"])]
    for run in runs:
        if not (out / "runs" / run / "config.json").exists():
            raise DamagedResultError(f"{out / 'runs' / run}: is missing, so {place.name} cannot be drawn again")
    if "runs" in pointer:
        labels = pointer.get("labels") or runs
        folders = dict(zip(labels, (RunFolder(out / "runs" / run) for run in runs), strict=True))
        _put_side_by_side(place, folders, say_waiting)
        return
    folder = RunFolder(out / "runs" / runs[0])
    request = Request.restore((folder.read_json("config.json") or {}).get("config", {}))
    with exclusive(place, lambda: say_waiting(str(place))):
        atomic.sweep(place)
        publish(place, {place.name: _whole(folder, request)}, {"run": folder.name})


def _find(out: Path, name: str) -> tuple[str, RunFolder]:
    """A finished run by its label, by the name of its folder, or by its path."""
    pointer = records.read(out / "measured" / name / "run.json") if name == Path(name).name else None
    runs = [RunFolder(out / "runs" / str(pointer["run"]))] if pointer else find_runs(out, [KIND])
    if Path(name).is_dir():
        runs.append(RunFolder(Path(name)))
    for folder in runs:
        if not (pointer or folder.name == name or folder.path == Path(name)):
            continue
        if folder.take_json("finished.json") is None:
            raise InputError(f"{name} is not finished; basinscope measure goes on with it")
        return str((folder.take_json("provenance.json") or {}).get("label", folder.name)), folder
    known = sorted(p.parent.name for p in (out / "measured").glob("*/run.json"))
    raise InputError(f"no run {name!r} in {out}; there are {', '.join(known) or 'none'}; basinscope measure makes one")


def _warnings(surveys: dict[str, Any], requests: Sequence[Request]) -> list[str]:
    """What keeps numbers from being compared."""
    found = []
    sizes = {int(next(iter(results.values())).attrs["num_moved"]) for results in surveys.values()}
    if len(sizes) > 1:
        found.append("the networks have different numbers of moved entries: their volumes and n·log r do not compare")
    if len({request.problem for request in requests}) > 1:
        found.append("the runs come from different problem files: is the loss the same?")
    if len({(r.seed, r.num_directions) for r in requests}) > 1:
        found.append("the runs have different directions")
    levels = [float(results["radius"]["cutoff"]) for results in surveys.values() if "radius" in results]
    if levels and max(levels) > CLOSE_CUTOFFS * min(levels):
        found.append(
            f"the basins end at losses of {min(levels):.4g} to {max(levels):.4g}, each so far above its network's own: "
            f"to compare radii at one level, measure again with --cutoff {max(levels):.2g}"
        )
    return found


def told(out: Path) -> list[str]:
    """A line for each run of `measure` below an output folder."""
    lines = []
    for folder in find_runs(out, [KIND]):
        request = Request.restore((folder.read_json("config.json") or {}).get("config", {}))
        work = tasks(request, _never)
        done = sum(folder.is_done(task.name) for task in work)
        record = folder.take_json("finished.json")
        label = (folder.take_json("provenance.json") or {}).get("label", "?")
        state = f"finished {record['finished']}" if record and done == len(work) else "unfinished"
        lines.append(f"{folder.name} ({label}): {done} of {len(work)} tasks, {state}")
    return lines


def _never() -> Objective:
    raise AssertionError("only the list of tasks is wanted")
