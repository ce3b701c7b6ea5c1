"""A survey: every probe that was asked for, around every network, each a run of its own."""

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
"""First part of the names of runs."""
SOURCE = ("basinscope.own.tasks", "basinscope.own.request", "basinscope.landscape.module.objective")
"""Modules that the hash of a run covers beside those of the probes, with all that they import."""
_ALONE = "takes other checkpoints: give two or more"


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What was measured around one network."""

    label: str
    folder: RunFolder
    results: Mapping[str, xr.Dataset]
    """By stem."""
    failures: Mapping[str, str]
    """Probes that could not be measured, and why."""
    published: Published | None
    """None if no probe could be measured."""
    num_done: int
    """Tasks that were done now."""
    num_tasks: int
    seconds: float


@dataclass(frozen=True, kw_only=True)
class _Share:
    """What is measured around one network of several."""

    probes: Mapping[str, Options]
    points: Mapping[str, Mapping[str, Any]]
    """By probe, the arguments that hold other checkpoints."""
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
    """Measure networks one after the other; what is finished already is not repeated.

    A probe that cannot be measured is noted; the others are measured and drawn.

    Args:
        networks: At least one.
        probes: Options by probe, as `request.asked` returns them.
        out: Where results are kept.
        watch: Told how far each run is, and of each that is complete.
        spell: How messages name a setting.
        device: Where the networks were put.

    Raises:
        InputError: A network's loss cannot be measured, or no probe can be.
    """
    _look_at_all(networks, probes, spell)
    shares = [_share(networks, probes, k) for k in range(len(networks))]
    nowhere = {name: _ALONE for name in probes if not any(name in share.probes for share in shares)}
    found: list[Measured] = []
    for network, share in zip(networks, shares, strict=True):
        # Where no network takes a probe, the last one says so.
        failures = dict(nowhere) if network is networks[-1] else {}
        if share.probes:
            found.append(_measure_one(network, share, failures, out=out, watch=watch, device=device))
            watch.done(found[-1])
    if not any(one.results for one in found):
        failed = {name: why for one in found for name, why in one.failures.items()} or nowhere
        raise InputError("; ".join(f"{name} {why}" if why == _ALONE else why for name, why in failed.items()))
    return found


def _look_at_all(networks: Sequence[Network], probes: Mapping[str, Options], spell: Spelling) -> None:
    """Make sure that every checkpoint can be measured before the first one is.

    Raises:
        InputError: Its loss is not finite, or lies above a level that an option names.
    """
    levels = [
        (option, float(options[option.name]))
        for name, options in probes.items()
        for option in PROBES[name].options
        if option.above_loss and options[option.name] is not None
    ]
    for network in networks:
        if not network.what or not (levels or len(networks) > 1):
            continue  # measuring it comes next, and says what is wrong
        try:
            loss = network.opened().center_loss
        except InputError as error:
            raise InputError(f"{network.what}: {error}") from error
        for option, level in levels:
            if loss >= level:
                bound = spell(option.name, f"{level:g}", flag=option.flag)
                raise InputError(
                    f"{network.what}: its loss is {loss:.4g}, not below {bound}; give a higher {option.name}, or "
                    f"{spell(option.instead)} for a height above each network's own loss"
                )


def _share(networks: Sequence[Network], probes: Mapping[str, Options], k: int) -> _Share:
    """Choose what is measured around one network, and the other checkpoints that this takes."""
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
            notes.append(f"{name} of {networks[k].label} takes {', '.join(one.label for one in others)}")
    return _Share(probes=chosen, points=points, digests=digests, notes=notes)


def _others(networks: Sequence[Network], k: int, wanted: Others) -> tuple[dict[str, Any], list[Network]]:
    """The arguments that hold a network's other checkpoints, and whose they are; nothing where it takes none."""
    last = k == len(networks) - 1
    if wanted == "next":
        return ({}, []) if last else ({"other": networks[k + 1].path[-1]}, [networks[k + 1]])
    if not last:
        return {}, []
    others = list(networks[:k])
    if wanted == "ends":
        named = {"points": [one.path[-1] for one in others], "names": [one.label for one in others]}
        return (named, others) if others else ({}, [])
    # The network's own path, too, if it is one: it ends where the network is.
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
        place = out / "measured" / network.label
        notes = [*share.notes, *words(failures)]
        return results, publish_survey(place, {network.label: results}, {"run": folder.name}, notes, watch.waiting)

    outcome = life.live(
        out, plan, work=lambda folder, bar: _do(work, folder, bar, opened, failures), publish=drawn, watch=watch
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


def _do(
    work: Sequence[Task], folder: RunFolder, progress: Progress, opened: Any, failures: dict[str, str]
) -> life.Work:
    # Before any work begins, so that a mistake in the file costs nothing.
    if not all(folder.is_done(task.name) for task in work):
        opened().check()
    num_done = run_tasks(work, folder, progress, device=torch.device("cpu"), refused=lambda *_: None)
    return life.Work(num_done, failures)


def words(failures: Mapping[str, str]) -> list[str]:
    """Say which probes could not be measured, and why."""
    return [f"{name} was not measured: {why}" for name, why in failures.items()]
