"""What each verb of the command line does."""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import logging
import math
import re
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from inspect import getsource
from pathlib import Path
from typing import Any

import torch

from basinscope.cli.page import make_page
from basinscope.cli.progress import shown, spoken
from basinscope.errors import DamagedResultError, InputError
from basinscope.experiments import registry
from basinscope.experiments.claims import Claim
from basinscope.experiments.registry import Experiment
from basinscope.experiments.settings import change, nearest
from basinscope.runs import atomic, provenance, records
from basinscope.runs.engine import Progress, Task, run_tasks
from basinscope.runs.handing_out import Request
from basinscope.runs.inspect import checksums, inspect
from basinscope.runs.lock import exclusive
from basinscope.runs.process_engine import run_tasks_in_processes
from basinscope.runs.source import source_digest
from basinscope.runs.store import RunFolder, find_runs

_log = logging.getLogger(__name__)
EXIT_CLAIM = 3
EXIT_DAMAGED = 1

WORTH_PROCESSES_SECONDS = 60.0
"""Cost of a run, which experiments give in seconds on two cores, from which its tasks go to several processes."""
MOST_JOBS = 8
"""Tasks at a time unless more are asked for: each takes its own memory."""


def _chosen(names: Sequence[str]) -> list[str]:
    """Resolve experiment names; `all` stands for every one."""
    names = [registry.resolve(name) for name in names]
    for name in names:
        if name != "all" and name not in registry.NAMES:
            raise InputError(nearest(name, (*registry.NAMES, "all"), "experiment"))
    return list(registry.NAMES) if "all" in names else list(dict.fromkeys(names))


def list_(options: argparse.Namespace) -> int:
    """Name the experiments, or tell everything about some."""
    if not options.names:
        for name in registry.NAMES:
            experiment = registry.load(name)
            print(f"{name}: {experiment.summary}; presets {', '.join(experiment.presets)}")
        return 0
    for name in _chosen(options.names):
        experiment = registry.load(name)
        print(f"{name}: {experiment.summary}")
        _print_fields(experiment)
    return 0


def _print_fields(experiment: Experiment) -> None:
    presets = experiment.presets
    config_type = type(next(iter(presets.values())))
    # Field docstrings stand in the source, below each field.
    told: dict[str, str] = {}
    for kind in config_type.__mro__[-2::-1]:
        told |= re.findall(r'^    (\w+):[^\n]*\n    """(.*?)"""', getsource(kind), re.M | re.S)
    for field in dataclasses.fields(config_type):
        values = [f"{name} {getattr(config, field.name)}" for name, config in presets.items()]
        default = values[0].split(" ", 1)[1] if len({v.split(" ", 1)[1] for v in values}) == 1 else ", ".join(values)
        print(f"  {field.name}: {' '.join(told.get(field.name, '').split())} [{default}]")


def _configure(name: str, options: argparse.Namespace) -> tuple[Experiment, Any, str]:
    """Build an experiment's configuration: preset, then seeds, then single fields."""
    experiment = registry.load(name)
    if options.preset not in experiment.presets:
        raise InputError(nearest(options.preset, experiment.presets, "preset"))
    config = experiment.presets[options.preset]
    config = dataclasses.replace(config, seed=options.seed, data_seed=options.data_seed)
    split = [_split_setting(setting) for setting in options.set]
    settings = {field: text for target, field, text in split if target == name}
    if options.data_dir is not None and settings.get("source", "files") != "files":
        raise InputError(f"--set {name}.source={settings['source']} takes no files: leave it or --data-dir out")
    config = experiment.prepare(change(config, name, settings), options.data_dir)
    changed = ", ".join(f"{field}={text}" for field, text in settings.items())
    label = f"{options.preset}, changed: {changed}" if changed else options.preset
    return experiment, config, label


def _split_setting(setting: str) -> tuple[str, str, str]:
    found = re.fullmatch(r"([\w-]+)\.(\w+)=(.*)", setting)
    if not found:
        raise InputError(f"--set {setting!r}: write NAME.FIELD=VALUE, for example swissroll.runs=4")
    name = registry.resolve(found[1])
    if name not in registry.NAMES:
        raise InputError(nearest(name, registry.NAMES, "experiment"))
    return name, found[2], found[3]


def _writable(out: Path) -> Path:
    """Make the output folder, or say why it cannot be."""
    if out == Path():
        raise InputError("--out is empty; name a folder")
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out):
            return out
    except OSError as error:
        raise InputError(f"--out {out}: cannot write there ({error.strerror})") from error


def _existing(out: Path) -> None:
    """Refuse an output folder that is a file; one that is not there yet is told of where it matters."""
    if out.exists() and not out.is_dir():
        raise InputError(f"--out {out}: is a file; name a folder")


def run(options: argparse.Namespace) -> int:
    """Run experiments, draw their figures, hold their claims, write the page."""
    chosen = _chosen(options.names)
    for setting in options.set:
        target = _split_setting(setting)[0]
        if target not in chosen:
            raise InputError(f"--set {setting}: {target} is not among what is run ({', '.join(chosen)})")
    if options.address is not None and options.engine != "ray":
        raise InputError("--address is for --engine ray; add --engine ray")
    if options.jobs is not None and options.engine == "ray":
        raise InputError("--jobs is for --engine local; ray does as many tasks at a time as it has room for")
    if options.jobs is not None and options.jobs < 1:
        raise InputError(f"--jobs {options.jobs}: must be at least 1")
    if options.data_dir is not None and not set(chosen) & set(reading := registry.reading_files()):
        raise InputError(f"--data-dir is for {' and '.join(reading)}; {', '.join(chosen)} makes its own data")
    requests = [_configure(name, options) for name in chosen]
    device = provenance.pick_device(options.device)
    out = _writable(options.out)
    claims: list[Claim] = []
    for experiment, config, label in requests:
        claims += _run_one(experiment, config, label, device, options)
    make_page(out)
    return EXIT_CLAIM if options.strict and any(claim.holds is False for claim in claims) else 0


def _run_one(
    experiment: Experiment, config: Any, label: str, device: torch.device, options: argparse.Namespace
) -> list[Claim]:
    began = time.perf_counter()
    source = source_digest(*experiment.source)
    # Computed in another way, it is another run.
    request = dataclasses.asdict(config) | ({"reproducible": True} if options.reproducible else {})
    path = RunFolder.path_of(options.out, experiment.name, request, source)
    with exclusive(path, lambda: _say_waiting(f"run {path.name}")):
        atomic.sweep(path)
        folder = RunFolder.create(options.out, experiment.name, request, source)
        seeds = {"seed": options.seed, "data_seed": options.data_seed}
        tasks = experiment.tasks(config)
        jobs, threads = _jobs_and_threads(tasks, device, options)
        circumstances = provenance.environment(device) | {"jobs": jobs, "threads": threads}
        _note_start(folder, {"seeds": seeds, "reproducible": options.reproducible}, circumstances)
        request = Request(
            experiment=experiment.name,
            config=dataclasses.asdict(config),
            rebuild="basinscope.experiments.registry:tasks_of",
            device=str(device),
            threads=threads,
            reproducible=options.reproducible,
            data_dir=options.data_dir,
        )
        with shown(experiment.name) as progress:
            num_done = _work(request, tasks, folder, progress, device, jobs, options)
        _finish(folder, label, num_done)
        claims = _publish(experiment, folder, config, label, options.out)
    seconds = time.perf_counter() - began
    print(f"{experiment.name}: {num_done} of {len(tasks)} tasks done now, in {spoken(seconds)}; run {folder.name}")
    if options.preset == "smoke":
        print("  smoke shows that everything works; it is too small for the claims, which need not hold")
    _print_claims(claims)
    return claims


def _jobs_and_threads(
    tasks: Sequence[Task], device: torch.device, options: argparse.Namespace
) -> tuple[int | None, int]:
    """How many tasks at a time, which ray decides itself, and with how many threads each.

    Both depend on the whole run, not on what is left of it: one that is taken up again goes on as it began.
    """
    threads = torch.get_num_threads()
    if options.engine == "ray":
        return None, threads
    if options.jobs is not None:
        jobs = options.jobs
    elif device.type != "cpu" or sum(task.cost for task in tasks) < WORTH_PROCESSES_SECONDS:
        jobs = 1
    else:
        jobs = min(threads, MOST_JOBS)
    return jobs, max(1, threads // jobs)


def _work(
    request: Request,
    tasks: Sequence[Task],
    folder: RunFolder,
    progress: Progress,
    device: torch.device,
    jobs: int | None,
    options: argparse.Namespace,
) -> int:
    """Do the tasks that are not done yet, here or on a cluster; return how many those were."""
    if jobs is None:
        from basinscope.runs.ray_engine import run_tasks_on_ray

        return run_tasks_on_ray(request, folder, progress, address=options.address)
    if jobs > 1:
        return run_tasks_in_processes(request, folder, progress, jobs=jobs)
    how, place = request.reproducible, request.data_dir
    return run_tasks(tasks, folder, progress, device=device, reproducible=how, data_dir=place)


def _say_waiting(what: str) -> None:
    print(f"basinscope: another process works on {what}; waiting for it", file=sys.stderr, flush=True)


def _note_start(folder: RunFolder, facts: Mapping[str, Any], environment: Mapping[str, Any]) -> None:
    """Note under what circumstances a run began, and each change of circumstances when it is taken up again."""
    record = folder.take_json("provenance.json") or {**facts, "environment": environment, "resumed_in": []}
    if environment != (record["resumed_in"] or [record["environment"]])[-1]:
        record["resumed_in"] = [*record["resumed_in"], environment]
    folder.write_json("provenance.json", record)


def _finish(folder: RunFolder, label: str, num_done: int) -> None:
    """Note times of all stages, and that the run is complete."""
    stages = {m["task"]: {"seconds": m["seconds"], "peak_memory_mib": m["peak_memory_mib"]} for m in folder.markers()}
    record = (folder.take_json("provenance.json") or {}) | {
        "stages": stages,
        "backend": folder.take_json("backend.json"),
    }
    folder.write_json("provenance.json", record)
    if num_done or folder.take_json("finished.json") is None:
        moment = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        folder.write_json("finished.json", {"finished": moment, "preset": label})


def _publish(experiment: Experiment, folder: RunFolder, config: Any, label: str, out: Path) -> list[Claim]:
    """Draw figures and write claims of a finished run into OUT/NAME."""
    place = out / experiment.name
    with exclusive(place, lambda: _say_waiting(str(place))):
        atomic.sweep(place)
        found = experiment.collect(folder, config)
        files = list(experiment.draw(found, place))
        claims = list(experiment.claims(found, label))
        atomic.write_json(place / "claims.json", [claim.to_json() for claim in claims])
        # Last, so that the pointer never names a run whose figures are not there.
        sums = checksums([*files, place / "claims.json"], place)
        records.write(place / "run.json", {"run": folder.name, "files": sums})
    return claims


def _print_claims(claims: Sequence[Claim]) -> None:
    words = {True: "holds", False: "DOES NOT HOLD"}
    for claim in claims:
        if claim.holds is not None:
            number = f"{claim.measured:.4g}" if math.isfinite(claim.measured) else "could not be measured"
            print(f"  {words[claim.holds]}: {claim.claim}: {number} ({claim.target})")


def status(options: argparse.Namespace) -> int:
    """Show each run below the output folder."""
    _existing(options.out)
    from basinscope.cli.survey import told

    runs, own = find_runs(options.out, registry.spellings(registry.NAMES)), told(options.out)
    if not runs and not own:
        print(f"no runs in {options.out}; basinscope run all starts them")
    for line in own:
        print(line)
    for folder in runs:
        experiment, config = _stored(folder)
        tasks = experiment.tasks(config)
        done = sum(folder.is_done(task.name) for task in tasks)
        print(f"{folder.name}: {done} of {len(tasks)} tasks, {_state(folder, complete=done == len(tasks))}")
    return 0


def _state(folder: RunFolder, *, complete: bool) -> str:
    try:
        finished = folder.read_json("finished.json")
    except DamagedResultError:
        finished = None
    if finished and not complete:
        return f"finished {finished['finished']}, but files are damaged since; run again, basinscope verify names them"
    return f"finished {finished['finished']}, preset {finished['preset']}" if finished else "unfinished"


def verify(options: argparse.Namespace) -> int:
    """Hold every file below the output folder to its checksum."""
    _existing(options.out)
    found = inspect(options.out)
    for line in found.damage:
        print(line)
    if not found.num_files and not found.damage:
        raise InputError(f"no runs in {options.out}; basinscope run all starts them")
    whole = f"{found.num_files} files are as they were written"
    if not found.damage:
        print(whole)
        return 0
    print(
        f"{whole}, not so: {len(found.damage)}. What is damaged is set aside and made anew: results by running again, "
        "figures, tables and claims by basinscope plot, the page by basinscope report"
    )
    return EXIT_DAMAGED


def _stored(folder: RunFolder) -> tuple[Experiment, Any]:
    """Experiment and configuration of a run on disk."""
    record = folder.read_json("config.json")
    name = registry.resolve(str((record or {}).get("experiment")))
    if not record or name not in registry.NAMES or not isinstance(record.get("config"), dict):
        raise InputError(f"{folder.path / 'config.json'}: is damaged; run the experiment again")
    experiment = registry.load(name)
    return experiment, registry.restore(experiment, record["config"])


def _last_finished(out: Path, name: str) -> RunFolder | None:
    """The run whose figures stand in OUT/NAME, or else the one that finished last."""
    pointer = RunFolder(registry.published(out, name)).take_json("run.json")
    if pointer:
        folder = RunFolder(out / "runs" / str(pointer["run"]))
        if folder.take_json("finished.json"):
            return folder
    finished = [(f.take_json("finished.json"), f) for f in find_runs(out, registry.spellings([name]))]
    complete = [(record["finished"], folder.name, folder) for record, folder in finished if record]
    return max(complete)[2] if complete else None


def plot(options: argparse.Namespace) -> int:
    """Draw figures and claims again from what is stored."""
    from basinscope.cli.survey import published, redraw

    _existing(options.out)
    drawn = 0
    own = published(options.out)
    wanted = [name for name in options.names if name not in own or name in registry.NAMES]
    for name in _chosen(wanted or ([] if options.names else ["all"])):
        folder = _last_finished(options.out, name)
        if folder is None:
            if options.names:
                raise InputError(f"{name} has no finished run in {options.out}; basinscope run {name} makes one")
            continue
        what = f"figures and claims of {folder.name} in {options.out / name}"
        drawn += _draw_again(name, partial(_republish, folder, options.out), what, asked_for=bool(options.names))
    for name in options.names or own:
        if name in own and name not in wanted:
            draw = partial(redraw, options.out, own[name], _say_waiting)
            drawn += _draw_again(name, draw, f"figures in {own[name]}", asked_for=bool(options.names))
    if not drawn:
        raise InputError(f"no finished run in {options.out}; basinscope run all makes one")
    return 0


def _republish(folder: RunFolder, out: Path) -> None:
    """Draw the figures and write the claims of an experiment's run again."""
    experiment, config = _stored(folder)
    folder.refuse_damage()
    _publish(experiment, folder, config, (folder.read_json("finished.json") or {})["preset"], out)


def _draw_again(name: str, draw: Callable[[], object], what: str, *, asked_for: bool) -> bool:
    """Draw one set of figures; damage stops the verb where the set was asked for by name, else it is passed over."""
    try:
        draw()
    except DamagedResultError as error:
        if asked_for:
            raise
        _log.warning("%s; %s is passed over, make it again", error, name)
        return False
    print(f"{name}: {what}")
    return True


def report(options: argparse.Namespace) -> int:
    """Write the page."""
    _existing(options.out)
    make_page(options.out)
    return 0


def fetch_(options: argparse.Namespace) -> int:
    """Download a set of images."""
    from basinscope.cli.fetch import fetch

    return fetch(options)


def measure_(options: argparse.Namespace) -> int:
    """Measure a network of the user's."""
    from basinscope.cli.survey import measure

    _writable(options.out)
    return measure(options, _say_waiting)


def compare_(options: argparse.Namespace) -> int:
    """Put measured networks side by side."""
    from basinscope.cli.survey import compare

    _existing(options.out)
    return compare(options, _say_waiting)


VERBS: Mapping[str, Callable[[argparse.Namespace], int]] = {
    "measure": measure_,
    "compare": compare_,
    "fetch": fetch_,
    "list": list_,
    "run": run,
    "status": status,
    "verify": verify,
    "plot": plot,
    "report": report,
}
