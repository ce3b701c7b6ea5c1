"""The paper's experiments as one call: run or resume, draw figures, evaluate claims, write the page."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, overload

import torch

from basinscope.errors import InputError
from basinscope.experiments import registry
from basinscope.experiments.claims import Claim
from basinscope.experiments.registry import Experiment
from basinscope.experiments.settings import change, nearest
from basinscope.progress import Watcher
from basinscope.runs import atomic, life, provenance
from basinscope.runs.engine import Progress, Task, run_tasks
from basinscope.runs.handing_out import Request
from basinscope.runs.process_engine import run_tasks_in_processes
from basinscope.runs.source import source_digest
from basinscope.runs.spelling import IN_PYTHON, Spelling
from basinscope.runs.store import RunFolder
from basinscope.workflows.order import Order, Run
from basinscope.workflows.page import need_page, update_page

WORTH_PROCESSES_SECONDS = 60.0
"""Cost of a run, which experiments give in seconds on two cores, from which its tasks go to several processes."""
MOST_JOBS = 8
"""Tasks at a time unless more are asked for: each takes its own memory."""
ALL = "all"
"""Stands for every experiment."""


@overload
def run(  # pyright: ignore[reportOverlappingOverload]
    names: str,
    *,
    preset: str = ...,
    settings: Mapping[str, Any] | None = ...,
    seed: int = ...,
    data_seed: int | None = ...,
    out: str | Path = ...,
    device: str = ...,
    engine: str = ...,
    jobs: int | None = ...,
    address: str | None = ...,
    data_dir: str | Path | None = ...,
    reproducible: bool = ...,
    progress: Watcher = ...,
) -> Run: ...


@overload
def run(
    names: Sequence[str],
    *,
    preset: str = ...,
    settings: Mapping[str, Any] | None = ...,
    seed: int = ...,
    data_seed: int | None = ...,
    out: str | Path = ...,
    device: str = ...,
    engine: str = ...,
    jobs: int | None = ...,
    address: str | None = ...,
    data_dir: str | Path | None = ...,
    reproducible: bool = ...,
    progress: Watcher = ...,
) -> tuple[Run, ...]: ...


def run(
    names: str | Sequence[str],
    *,
    preset: str = "quick",
    settings: Mapping[str, Any] | None = None,
    seed: int = 0,
    data_seed: int | None = None,
    out: str | Path = "out",
    device: str = "auto",
    engine: str = "local",
    jobs: int | None = None,
    address: str | None = None,
    data_dir: str | Path | None = None,
    reproducible: bool = False,
    progress: Watcher = None,
) -> Run | tuple[Run, ...]:
    """Run an experiment of the paper, or resume it, draw its figures, evaluate its claims, and write the page.

    Does what `basinscope run` does, and finds the same runs: what is finished is not repeated.

    Args:
        names: An experiment, which gives a `Run`; or several, which give a tuple. `["all"]` stands for every one.
        preset: Size of the experiment, such as `smoke`, `quick` or `paper`.
        settings: New values of fields of the configuration, such as `{"runs": 4}`; with several experiments
            `{"swissroll.runs": 4}`.
        seed: Moves starts, unseen samples and directions.
        data_seed: Draw of the data; None takes the published one.
        out: Where results are kept.
        device: `auto`, `cpu`, `cuda`, …
        engine: `local`, or `ray` for a cluster.
        jobs: Tasks at a time on this machine; None takes one a core, up to 8, where a run takes minutes on a CPU.
        address: Ray cluster, `auto` or `HOST:PORT`; None starts Ray on this machine.
        data_dir: Folder of image files; None takes what the preset says.
        reproducible: Never compile, so that the way of computing does not depend on timings.
        progress: True or None shows a line with the time left, False none; a function gets the finished share of each
            experiment in turn.

    Returns:
        Claims, figures, datasets, and where the run and the page lie.

    Raises:
        InputError: A name or setting is unknown or out of range, or data are missing.
        TrainingDivergedError: Networks diverged; the message names them.
        DamagedResultError: A stored result is not as it was written.

    Example:
        >>> found = run("rings", preset="smoke", out="out")
        >>> [claim.claim for claim in found.claims if claim.holds is False]
        >>> found.datasets["nets"].train_accuracy.mean()
    """
    several = not isinstance(names, str)
    if names == ALL:
        raise InputError("run: 'all' is several experiments: give ['all']")
    chosen = list(names) if several else [names]
    order = Order(
        names=chosen,
        preset=preset,
        seed=seed,
        data_seed=data_seed,
        settings=[_as_text(field, value, chosen) for field, value in (settings or {}).items()],
        out=Path(out),
        device=device,
        engine=engine,
        jobs=jobs,
        address=address,
        data_dir=None if data_dir is None else Path(data_dir),
        reproducible=reproducible,
    )
    found = conduct(order, life.watching(progress), IN_PYTHON)
    return found if several else found[0]


def _as_text(field: str, value: Any, names: Sequence[str]) -> str:
    """Write a setting as the command line does."""
    target, _, last = field.rpartition(".")
    if not target and (len(names) != 1 or names[0] == ALL):
        raise InputError(f"settings: {field!r}: with several experiments write 'NAME.{field}'")
    if isinstance(value, tuple | list):
        value = ",".join(map(str, value))
    text = str(value).lower() if value is None or isinstance(value, bool) else str(value)
    return f"{target or names[0]}.{last}={text}"


def conduct(order: Order, watch: life.Watch, spell: Spelling) -> tuple[Run, ...]:
    """Run the experiments of an order one after the other, then write the page.

    Args:
        order: What is asked.
        watch: Told how far each run is, and of each that is complete, whose `page` is where the page will be.
        spell: How messages name a setting.

    Raises:
        InputError: Something of the order cannot be met; nothing is run then.
    """
    need_page()
    prepared = _prepare(order, spell)
    device = provenance.pick_device(order.device)
    life.writable(order.out, spell)
    found = []
    for experiment, config, label in prepared:
        found.append(_run_one(experiment, config, label, device, order, watch))
        watch.done(found[-1])
    update_page(order.out, watch)
    return tuple(found)


def chosen(names: Sequence[str]) -> list[str]:
    """Resolve experiment names; `all` stands for every one.

    Raises:
        InputError: There is no such experiment.
    """
    names = [registry.resolve(name) for name in names]
    for name in names:
        if name != ALL and name not in registry.NAMES:
            raise InputError(nearest(name, (*registry.NAMES, ALL), "experiment"))
    return list(registry.NAMES) if ALL in names else list(dict.fromkeys(names))


def _prepare(order: Order, spell: Spelling) -> list[tuple[Experiment, Any, str]]:
    """Build the configuration of every experiment of an order, and what to call it."""
    names = chosen(order.names)
    for setting in order.settings:
        target = _split_setting(setting, spell)[0]
        if target not in names:
            raise InputError(f"{spell('set', setting)}: {target} is not among what is run ({', '.join(names)})")
    if order.engine not in ("local", "ray"):
        raise InputError(f"{spell('engine', order.engine)}: choose from local, ray")
    ray, local = spell("engine", "ray"), spell("engine", "local")
    if order.address is not None and order.engine != "ray":
        raise InputError(f"{spell('address')} is for {ray}; add {ray}")
    if order.jobs is not None and order.engine == "ray":
        raise InputError(f"{spell('jobs')} is for {local}; ray does as many tasks at a time as it has room for")
    if order.jobs is not None and order.jobs < 1:
        raise InputError(f"{spell('jobs', order.jobs)}: must be at least 1")
    if order.data_dir is not None and not set(names) & set(reading := registry.reading_files()):
        raise InputError(f"{spell('data_dir')} is for {' and '.join(reading)}; {', '.join(names)} makes its own data")
    return [_configure(name, order, spell) for name in names]


def _configure(name: str, order: Order, spell: Spelling) -> tuple[Experiment, Any, str]:
    """Build an experiment's configuration: preset, then seeds, then single fields."""
    experiment = registry.load_experiment(name)
    if order.preset not in experiment.presets:
        raise InputError(nearest(order.preset, experiment.presets, "preset"))
    config = experiment.presets[order.preset]
    config = dataclasses.replace(config, seed=order.seed, data_seed=order.data_seed)
    split = [_split_setting(setting, spell) for setting in order.settings]
    settings = {field: text for target, field, text in split if target == name}
    if order.data_dir is not None and settings.get("source", "files") != "files":
        given = spell("set", f"{name}.source={settings['source']}")
        raise InputError(f"{given} takes no files: leave it or {spell('data_dir')} out")
    config = experiment.prepare(change(config, name, settings), order.data_dir)
    changed = ", ".join(f"{field}={text}" for field, text in settings.items())
    label = f"{order.preset}, changed: {changed}" if changed else order.preset
    return experiment, config, label


def _split_setting(setting: str, spell: Spelling) -> tuple[str, str, str]:
    found = re.fullmatch(r"([\w-]+)\.(\w+)=(.*)", setting)
    if not found:
        raise InputError(f"{spell('set', repr(setting))}: write NAME.FIELD=VALUE, for example swissroll.runs=4")
    name = registry.resolve(found[1])
    if name not in registry.NAMES:
        raise InputError(nearest(name, registry.NAMES, "experiment"))
    return name, found[2], found[3]


def _run_one(
    experiment: Experiment, config: Any, label: str, device: torch.device, order: Order, watch: life.Watch
) -> Run:
    tasks = experiment.tasks(config)
    jobs, threads = jobs_and_threads(tasks, device, engine=order.engine, jobs=order.jobs)
    plain = dataclasses.asdict(config)
    seeds = {"seed": order.seed, "data_seed": order.data_seed}
    plan = life.Plan(
        name=experiment.name,
        title=experiment.name,
        label=label,
        # Computed in another way, it is another run.
        config=plain | ({"reproducible": True} if order.reproducible else {}),
        source=source_digest(*experiment.source),
        facts={"seeds": seeds, "reproducible": order.reproducible},
        environment=provenance.environment(device) | {"jobs": jobs, "threads": threads},
    )
    request = Request(
        experiment=experiment.name,
        config=plain,
        rebuild="basinscope.experiments.registry:tasks_of",
        device=str(device),
        threads=threads,
        reproducible=order.reproducible,
        data_dir=order.data_dir,
    )

    def work(folder: RunFolder, progress: Progress) -> life.Work:
        return life.Work(_work(request, tasks, folder, progress, device, jobs, order.address), {})

    def publish(folder: RunFolder) -> tuple[list[Path], list[Claim]]:
        return publish_run(experiment, folder, config, label, order.out, watch)

    outcome = life.live(order.out, plan, work=work, publish=publish, watch=watch)
    figures, claims = outcome.published
    return Run(
        name=experiment.name,
        preset=label,
        claims=tuple(claims),
        figures=tuple(figures),
        folder=outcome.folder.path,
        page=order.out / "index.html",
        num_tasks=len(tasks),
        num_done=outcome.work.num_done,
        seconds=outcome.seconds,
    )


def jobs_and_threads(
    tasks: Sequence[Task], device: torch.device, *, engine: str, jobs: int | None
) -> tuple[int | None, int]:
    """How many tasks at a time, which ray decides itself, and with how many threads each.

    Both depend on the whole run, not on what is left of it: one that is taken up again goes on as it began.
    """
    threads = torch.get_num_threads()
    if engine == "ray":
        return None, threads
    if jobs is None:
        quick = device.type != "cpu" or sum(task.cost for task in tasks) < WORTH_PROCESSES_SECONDS
        jobs = 1 if quick else min(threads, MOST_JOBS)
    return jobs, max(1, threads // jobs)


def _work(
    request: Request,
    tasks: Sequence[Task],
    folder: RunFolder,
    progress: Progress,
    device: torch.device,
    jobs: int | None,
    address: str | None,
) -> int:
    """Do the tasks that are not done yet, here or on a cluster; return how many those were."""
    if jobs is None:
        from basinscope.runs.ray_engine import run_tasks_on_ray

        return run_tasks_on_ray(request, folder, progress, address=address)
    if jobs > 1:
        return run_tasks_in_processes(request, folder, progress, jobs=jobs)
    how, place = request.reproducible, request.data_dir
    return run_tasks(tasks, folder, progress, device=device, reproducible=how, data_dir=place)


def publish_run(
    experiment: Experiment, folder: RunFolder, config: Any, label: str, out: Path, watch: life.Watch
) -> tuple[list[Path], list[Claim]]:
    """Draw the figures and write the claims of a finished run into OUT/NAME; return both."""
    place = out / experiment.name

    def make() -> tuple[Sequence[Path], tuple[list[Path], list[Claim]]]:
        found = experiment.collect(folder, config)
        figures = list(experiment.draw(found, place))
        claims = list(experiment.claims(found, label))
        atomic.write_json(place / "claims.json", [claim.to_json() for claim in claims])
        return [*figures, place / "claims.json"], (figures, claims)

    return life.publish(place, make, {"run": folder.name}, watch.waiting)
