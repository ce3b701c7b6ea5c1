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
from basinscope.settings import checks_settings
from basinscope.workflows.order import Order, Run
from basinscope.workflows.page import need_page, update_page

WORTH_PROCESSES_SECONDS = 60.0
"""Cost of a run, in estimated seconds on two cores, above which its tasks use several processes."""
MOST_JOBS = 8
"""Default limit of parallel tasks: each needs memory of its own."""
ALL = "all"
"""Name that means every experiment."""


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


@checks_settings
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

    Like `basinscope run`, with which it shares runs: finished work is not repeated.

    Args:
        names: One experiment, to get a `Run`; or several, to get a tuple. `["all"]` means every experiment.
        preset: Size of the experiment, such as `smoke`, `quick` or `paper`.
        settings: New values of fields of the configuration, such as `{"runs": 4}`; with several experiments
            `{"swissroll.runs": 4}`.
        seed: Seed of initial weights, unseen samples and directions.
        data_seed: Seed of the data; None uses the published draw.
        out: Folder of results.
        device: `auto`, `cpu`, `cuda`, …
        engine: `local`, or `ray` for a cluster.
        jobs: Parallel tasks on this machine; None runs one per core, up to 8, if a run takes minutes on a CPU.
        address: Ray cluster, `auto` or `HOST:PORT`; None starts Ray on this machine.
        data_dir: Folder of image files; None uses the preset's data.
        reproducible: Never compile, so that the choice of backend does not depend on timings.
        progress: True or None shows a line with the time left, False nothing; a function is called with the finished
            share of each experiment in turn.

    Returns:
        Claims, figures, datasets, and the paths of the run and the page.

    Raises:
        InputError: A name or setting is unknown or out of range, or data are missing.
        TrainingDivergedError: Networks diverged; the message names them.
        DamagedResultError: A stored result is damaged.

    Example:
        >>> result = run("rings", preset="smoke", out="out")
        >>> [claim.claim for claim in result.claims if claim.holds is False]
        >>> result.datasets["nets"].train_accuracy.mean()
    """
    several = not isinstance(names, str)
    if names == ALL:
        raise InputError("run: 'all' means several experiments: give ['all']")
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
    runs = conduct(order, life.watching(progress), IN_PYTHON)
    return runs if several else runs[0]


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
    """Run the experiments of an order in sequence, then write the page.

    Args:
        order: The experiments and options.
        watch: Callbacks for progress and for each completed run, whose `page` is the page's future path.
        spell: How messages name a setting.

    Raises:
        InputError: The order is invalid; nothing is run.
    """
    need_page()
    prepared = _prepare(order, spell)
    device = provenance.pick_device(order.device)
    life.writable(order.out, spell)
    runs = []
    for experiment, config, label in prepared:
        runs.append(_run_one(experiment, config, label, device, order, watch))
        watch.done(runs[-1])
    update_page(order.out, watch)
    return tuple(runs)


def chosen(names: Sequence[str]) -> list[str]:
    """Resolve experiment names; `all` means every experiment.

    Raises:
        InputError: There is no such experiment.
    """
    names = [registry.resolve(name) for name in names]
    for name in names:
        if name != ALL and name not in registry.NAMES:
            raise InputError(nearest(name, (*registry.NAMES, ALL), "experiment"))
    return list(registry.NAMES) if ALL in names else list(dict.fromkeys(names))


def _prepare(order: Order, spell: Spelling) -> list[tuple[Experiment, Any, str]]:
    """Build the configuration and label of every experiment of an order."""
    names = chosen(order.names)
    for setting in order.settings:
        target = _split_setting(setting, spell)[0]
        if target not in names:
            raise InputError(f"{spell('set', setting)}: {target} is not among the experiments ({', '.join(names)})")
    if order.engine not in ("local", "ray"):
        raise InputError(f"{spell('engine', order.engine)}: choose from local, ray")
    ray, local = spell("engine", "ray"), spell("engine", "local")
    if order.address is not None and order.engine != "ray":
        raise InputError(f"{spell('address')} is for {ray}; add {ray}")
    if order.jobs is not None and order.engine == "ray":
        raise InputError(f"{spell('jobs')} is for {local}; ray chooses the number of parallel tasks itself")
    if order.jobs is not None and order.jobs < 1:
        raise InputError(f"{spell('jobs', order.jobs)}: must be at least 1")
    if order.data_dir is not None and not set(names) & set(reading := registry.reading_files()):
        raise InputError(f"{spell('data_dir')} is for {' and '.join(reading)}; {', '.join(names)} needs no files")
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
        raise InputError(f"{given} uses no files: omit it or {spell('data_dir')}")
    config = experiment.prepare(change(config, name, settings), order.data_dir)
    changed = ", ".join(f"{field}={text}" for field, text in settings.items())
    label = f"{order.preset}, changed: {changed}" if changed else order.preset
    return experiment, config, label


def _split_setting(setting: str, spell: Spelling) -> tuple[str, str, str]:
    match = re.fullmatch(r"([\w-]+)\.(\w+)=(.*)", setting)
    if not match:
        raise InputError(f"{spell('set', repr(setting))}: write NAME.FIELD=VALUE, for example swissroll.runs=4")
    name = registry.resolve(match[1])
    if name not in registry.NAMES:
        raise InputError(nearest(name, registry.NAMES, "experiment"))
    return name, match[2], match[3]


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
        # `reproducible` may change the results, so it is a separate run.
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
    """Number of parallel tasks, None if Ray decides, and of threads per task.

    Both depend on the whole run, not on its unfinished part: a resumed run computes as it started.
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
    """Run the unfinished tasks, here or on a cluster; return their number."""
    if jobs is None:
        from basinscope.runs.ray_engine import run_tasks_on_ray

        return run_tasks_on_ray(request, folder, progress, address=address)
    if jobs > 1:
        return run_tasks_in_processes(request, folder, progress, jobs=jobs)
    reproducible, data_dir = request.reproducible, request.data_dir
    return run_tasks(tasks, folder, progress, device=device, reproducible=reproducible, data_dir=data_dir)


def publish_run(
    experiment: Experiment, folder: RunFolder, config: Any, label: str, out: Path, watch: life.Watch
) -> tuple[list[Path], list[Claim]]:
    """Draw the figures and write the claims of a finished run into OUT/NAME; return both."""
    target = out / experiment.name

    def write() -> tuple[Sequence[Path], tuple[list[Path], list[Claim]]]:
        measurements = experiment.collect(folder, config)
        figures = list(experiment.draw(measurements, target))
        claims = list(experiment.claims(measurements, label))
        atomic.write_json(target / "claims.json", [claim.to_json() for claim in claims])
        return [*figures, target / "claims.json"], (figures, claims)

    return life.publish(target, write, {"run": folder.name}, watch.waiting)
