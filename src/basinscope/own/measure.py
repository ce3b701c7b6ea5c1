"""Runs a survey: the requested probes around every network, one run per network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
import xarray as xr

from basinscope.errors import InputError
from basinscope.own.fingerprint import of_text
from basinscope.own.networks import Network
from basinscope.own.publish import Published, publish_survey
from basinscope.own.request import SurveyRequest
from basinscope.own.tasks import tasks, whole
from basinscope.probes.table import PROBES, Options, Others, modules_of_probes
from basinscope.runs import life, provenance
from basinscope.runs.engine import Progress, Task, run_tasks
from basinscope.runs.source import source_digest
from basinscope.runs.spelling import Spelling
from basinscope.runs.store import RunFolder

KIND = "measure"
"""Prefix of the names of runs."""
SOURCE = ("basinscope.own.tasks", "basinscope.own.request", "basinscope.landscape.module.objective")
"""Modules covered by the hash of a run, with all that they import, in addition to those of the probes."""
_ALONE = "needs other checkpoints: give two or more"


@dataclass(frozen=True, kw_only=True)
class Measured:
    """Measurements around one network."""

    label: str
    folder: RunFolder
    results: Mapping[str, xr.Dataset]
    """By stem."""
    failures: Mapping[str, str]
    """Probes that could not be measured, and why."""
    published: Published | None
    """None if no probe could be measured."""
    num_done: int
    """Tasks run by this call."""
    num_tasks: int
    seconds: float


@dataclass(frozen=True, kw_only=True)
class _Share:
    """Part of a survey that concerns one network."""

    probes: Mapping[str, Options]
    points: Mapping[str, Mapping[str, Any]]
    """By probe, the arguments that contain other checkpoints."""
    digests: Mapping[str, str]
    notes: Sequence[str]


def measure(
    networks: Sequence[Network],
    probes: Mapping[str, Options],
    *,
    out: Path,
    watch: life.Watch,
    spell: Spelling,
    device: str = "as it is",
) -> list[Measured]:
    """Measure networks in sequence; finished work is not repeated.

    A probe that cannot be measured is reported; the others are measured and drawn.

    Args:
        networks: At least one.
        probes: Options by probe, as returned by `request.options_by_probe`.
        out: Folder of results.
        watch: Callbacks for progress and for each completed run.
        spell: How messages name a setting.
        device: Device of the networks.

    Raises:
        InputError: A network's loss cannot be measured, or no probe can be.
    """
    _check_all(networks, probes, spell)
    shares = [_share(networks, probes, k) for k in range(len(networks))]
    nowhere = {name: _ALONE for name in probes if not any(name in share.probes for share in shares)}
    measured: list[Measured] = []
    for network, share in zip(networks, shares, strict=True):
        # A probe that no network can take is reported with the last one.
        failures = dict(nowhere) if network is networks[-1] else {}
        if share.probes:
            measured.append(_measure_one(network, share, failures, out=out, watch=watch, device=device))
            watch.done(measured[-1])
    if not any(one.results for one in measured):
        failed = {name: why for one in measured for name, why in one.failures.items()} or nowhere
        raise InputError("; ".join(f"{name} {why}" if why == _ALONE else why for name, why in failed.items()))
    return measured


def _check_all(networks: Sequence[Network], probes: Mapping[str, Options], spell: Spelling) -> None:
    """Check that every checkpoint can be measured, before measuring the first one.

    Raises:
        InputError: A loss is not finite, or not below a level that an option sets.
    """
    levels = [
        (option, float(options[option.name]))
        for name, options in probes.items()
        for option in PROBES[name].options
        if option.above_loss and options[option.name] is not None
    ]
    for network in networks:
        if not network.what or not (levels or len(networks) > 1):
            continue  # it is measured next, which reports any error
        try:
            loss = network.opened().center_loss
        except InputError as error:
            raise InputError(f"{network.what}: {error}") from error
        for option, level in levels:
            if loss >= level:
                bound = spell(option.name, f"{level:g}", flag=option.flag)
                raise InputError(
                    f"{network.what}: its loss is {loss:.4g}, not below {bound}; give a higher {option.name}, or "
                    f"{spell(option.instead)} for a level relative to each network's own loss"
                )


def _share(networks: Sequence[Network], probes: Mapping[str, Options], k: int) -> _Share:
    """Select the probes of one network, and the other checkpoints that they need."""
    chosen: dict[str, Options] = {}
    points: dict[str, Mapping[str, Any]] = {}
    digests: dict[str, str] = {}
    notes: list[str] = []
    for name, options in probes.items():
        wanted = PROBES[name].others(options)
        if wanted == "none":
            chosen[name] = options
            continue
        arguments, others = _others(networks, k, wanted)
        if arguments:
            chosen[name], points[name] = options, arguments
            digests[name] = of_text("".join(f"{one.label} {one.weights}\n" for one in others))
            notes.append(f"{name} of {networks[k].label} uses {', '.join(one.label for one in others)}")
    return _Share(probes=chosen, points=points, digests=digests, notes=notes)


def _others(networks: Sequence[Network], k: int, wanted: Others) -> tuple[dict[str, Any], list[Network]]:
    """Arguments with the other checkpoints that a probe needs, and their networks; empty if there are none."""
    last = k == len(networks) - 1
    if wanted == "next":
        return ({}, []) if last else ({"other": networks[k + 1].path[-1]}, [networks[k + 1]])
    if not last:
        return {}, []
    others = list(networks[:k])
    if wanted == "ends":
        arguments = {"points": [one.path[-1] for one in others], "names": [one.label for one in others]}
        return (arguments, others) if others else ({}, [])
    # Include the network's own training path, if it has one: it ends at the measured checkpoint.
    own = [networks[k]] if len(networks[k].path) > 1 else []
    paths = {one.label: list(one.path) for one in [*others, *own]}
    return ({"points": paths}, [*others, *own]) if paths else ({}, [])


def _measure_one(
    network: Network, share: _Share, failures: dict[str, str], *, out: Path, watch: life.Watch, device: str
) -> Measured:
    opened = cache(network.opened)
    request = SurveyRequest(**network.identity, probes=share.probes, points=share.digests, device=device)
    work = tasks(request, opened, share.points, failures)
    parameters = opened().model.parameters()
    plan = life.Plan(
        name=KIND,
        title=network.label,
        label=network.label,
        config=asdict(request),
        source=source_digest(*SOURCE, *modules_of_probes()),
        facts={**network.facts, "label": network.label, "notes": list(share.notes)},
        environment=provenance.environment(next(iter(parameters), torch.empty(0)).device),
        in_seconds=False,
    )

    def drawn(folder: RunFolder) -> tuple[Mapping[str, xr.Dataset], Published | None]:
        results = whole(folder, request)
        if not results:
            return results, None
        target = out / "measured" / network.label
        notes = [*share.notes, *words(failures)]
        return results, publish_survey(target, {network.label: results}, {"run": folder.name}, notes, watch.waiting)

    # Before a run is created, so that a mistake in the file leaves nothing behind.
    started = RunFolder(RunFolder.path_of(out, KIND, plan.config, plan.source))
    if not all(started.is_done(task.name) for task in work):
        opened().check()
    outcome = life.live(
        out, plan, work=lambda folder, bar: _do(work, folder, bar, failures), publish=drawn, watch=watch
    )
    results, published = outcome.published
    return Measured(
        label=network.label,
        folder=outcome.folder,
        results=results,
        failures=dict(failures),
        published=published,
        num_done=outcome.work.num_done,
        num_tasks=len(work),
        seconds=outcome.seconds,
    )


def _do(work: Sequence[Task], folder: RunFolder, progress: Progress, failures: dict[str, str]) -> life.Work:
    num_done = run_tasks(work, folder, progress, device=torch.device("cpu"), refused=lambda *_: None)
    return life.Work(num_done, failures)


def words(failures: Mapping[str, str]) -> list[str]:
    """One line for each probe that could not be measured."""
    return [f"{name} was not measured: {why}" for name, why in failures.items()]
