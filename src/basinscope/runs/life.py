"""The life of a run: lock, sweep, create, note where it began, work, finish, publish; the same for every run."""

from __future__ import annotations

import contextlib
import datetime
import logging
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from basinscope.errors import InputError
from basinscope.progress import Watcher, watched
from basinscope.runs import atomic, records
from basinscope.runs.engine import Progress
from basinscope.runs.inspect import checksums
from basinscope.runs.lock import exclusive
from basinscope.runs.spelling import Spelling
from basinscope.runs.store import RunFolder

_log = logging.getLogger(__name__)
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Watch:
    """Who is told while runs are at work."""

    progress: Callable[[str, bool], AbstractContextManager[Progress]]
    """Name of a run, and whether its work is counted in seconds -> where its state is shown."""
    waiting: Callable[[str], object]
    """Told what another process holds."""
    done: Callable[[Any], object] = lambda _: None
    """Told of each run that is complete, with its result."""


class _Share:
    """Shows the state of a run as a finished share; see `runs.engine.Progress`."""

    def __init__(self, tell: Callable[[float], None]) -> None:
        self._tell = tell

    def update(self, task: str, done: float, total: float) -> None:
        """See `runs.engine.Progress`."""
        del task
        self._tell(done / total if total else 1.0)


def watching(progress: Watcher) -> Watch:
    """Watch runs from Python, as the verbs are watched.

    Args:
        progress: True or None shows a line with the time left, False none; a function gets the finished share of each
            run in turn.
    """

    @contextlib.contextmanager
    def shown(name: str, _: bool) -> Iterator[Progress]:
        with watched(name, progress) as tell:
            yield _Share(tell)

    return Watch(progress=shown, waiting=lambda what: _log.warning("another process works on %s; waiting for it", what))


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a run is."""

    name: str
    """First part of its folder's name."""
    config: Mapping[str, Any]
    """What was asked for; the hash of the run covers it."""
    source: str
    """Digest of the code that computes it; see `store.source_digest`."""
    title: str
    """Under which its progress is shown."""
    label: str
    """What is noted when it is finished: a preset, or the name of a network."""
    facts: Mapping[str, Any]
    """What its provenance says besides the circumstances."""
    environment: Mapping[str, Any]
    """Circumstances under which it is computed now."""
    in_seconds: bool = True
    """Whether the costs of its tasks are seconds."""


@dataclass(frozen=True)
class Work:
    """What was done of a run."""

    num_done: int
    """Tasks that were done now."""
    failures: Mapping[str, str]
    """What could not be measured, and why."""


@dataclass(frozen=True)
class Outcome(Generic[T]):
    """A complete run."""

    folder: RunFolder
    work: Work
    published: T
    seconds: float
    """That this call took."""


def live(
    out: Path,
    plan: Plan,
    *,
    work: Callable[[RunFolder, Progress], Work],
    publish: Callable[[RunFolder], T],
    watch: Watch,
) -> Outcome[T]:
    """Take a run up where it stands, or begin it, and bring it to its end.

    Args:
        out: Folder of all runs.
        plan: What the run is.
        work: Does the tasks that are not done yet.
        publish: Draws and writes what is made of a finished run; the run is locked meanwhile.
        watch: Told how far it is.

    Returns:
        The run, and what `publish` returned.
    """
    began = time.perf_counter()
    path = RunFolder.path_of(out, plan.name, plan.config, plan.source)
    with exclusive(path, lambda: watch.waiting(f"run {path.name}")):
        atomic.sweep(path)
        folder = RunFolder.create(out, plan.name, plan.config, plan.source)
        note_start(folder, plan.facts, plan.environment)
        with watch.progress(plan.title, plan.in_seconds) as progress:
            done = work(folder, progress)
        _finish(folder, plan.label, done)
        published = publish(folder)
    return Outcome(folder, done, published, time.perf_counter() - began)


def note_start(folder: RunFolder, facts: Mapping[str, Any], environment: Mapping[str, Any]) -> None:
    """Note under what circumstances a run began, and each change of circumstances when it is taken up again."""
    stored = folder.take_json("provenance.json") or {"environment": environment}
    record = {**stored, **facts, "resumed_in": stored.get("resumed_in", [])}
    if environment != (record["resumed_in"] or [record["environment"]])[-1]:
        record["resumed_in"] = [*record["resumed_in"], environment]
    folder.write_json("provenance.json", record)


def _finish(folder: RunFolder, label: str, done: Work) -> None:
    """Note times of all stages, and that the run is complete."""
    stages = {m["task"]: {"seconds": m["seconds"], "peak_memory_mib": m["peak_memory_mib"]} for m in folder.markers()}
    record = (folder.take_json("provenance.json") or {}) | {
        "stages": stages,
        "backend": folder.take_json("backend.json"),
    }
    folder.write_json("provenance.json", record)
    failures = {"failures": dict(done.failures)} if done.failures else {}
    stored = folder.take_json("finished.json")
    if done.num_done or stored is None or stored.get("failures", {}) != done.failures:
        moment = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        folder.write_json("finished.json", {"finished": moment, "preset": label, **failures})


def publish(
    place: Path,
    make: Callable[[], tuple[Sequence[Path], T]],
    facts: Mapping[str, Any],
    waiting: Callable[[str], object],
) -> T:
    """Put figures and tables into a folder of their own, and write the pointer to their run last.

    Args:
        place: The folder.
        make: Draws and writes; returns the files, and what the caller wants of them.
        facts: What the pointer says, such as the run.
        waiting: Told if another process holds the folder.
    """
    with exclusive(place, lambda: waiting(str(place))):
        atomic.sweep(place)
        files, made = make()
        # Last, so that the pointer never names files that are not there.
        records.write_record(place / "run.json", {**facts, "files": checksums(list(files), place)})
    return made


def writable(out: Path, spell: Spelling) -> Path:
    """Make the output folder.

    Raises:
        InputError: It cannot be made or written to.
    """
    if out == Path():
        raise InputError(f"{spell('out')} is empty; name a folder")
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out):
            return out
    except OSError as error:
        raise InputError(f"{spell('out', out)}: cannot write there ({error.strerror})") from error
