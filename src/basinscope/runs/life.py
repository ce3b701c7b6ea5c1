"""Life cycle of every run: lock, sweep, create, record the environment, work, finish, publish."""

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
    """Callbacks that report on runs."""

    progress: Callable[[str, bool], AbstractContextManager[Progress]]
    """Opens a progress display, given a run's name and whether its costs are in seconds."""
    waiting: Callable[[str], object]
    """Called with the name of what another process has locked."""
    done: Callable[[Any], object] = lambda _: None
    """Called with the result of each completed run."""


class _Share:
    """Reports the progress of a run as a finished share; see `runs.engine.Progress`."""

    def __init__(self, report: Callable[[float], None]) -> None:
        self._tell = report

    def update(self, task: str, done: float, total: float) -> None:
        """See `runs.engine.Progress`."""
        del task
        self._tell(done / total if total else 1.0)


def watching(progress: Watcher) -> Watch:
    """Build the callbacks for runs started from Python.

    Args:
        progress: True or None shows a line with the time left, False nothing; a function is called with the finished
            share of each run in turn.
    """

    @contextlib.contextmanager
    def shown(name: str, _: bool) -> Iterator[Progress]:
        with watched(name, progress) as report:
            yield _Share(report)

    def waiting(what: str) -> None:
        _log.warning("another process is working on %s; waiting for it", what)

    return Watch(progress=shown, waiting=waiting)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Identity and metadata of a run."""

    name: str
    """Prefix of its folder's name."""
    config: Mapping[str, Any]
    """Its configuration, covered by its hash."""
    source: str
    """Digest of the code that computes it; see `source.source_digest`."""
    title: str
    """Title of its progress display."""
    label: str
    """Recorded when it finishes: a preset, or the name of a network."""
    facts: Mapping[str, Any]
    """Further entries of its provenance."""
    environment: Mapping[str, Any]
    """Environment in which it is computed now; see `provenance.environment`."""
    in_seconds: bool = True
    """Whether the costs of its tasks are in seconds."""


@dataclass(frozen=True)
class Work:
    """What one call did for a run."""

    num_done: int
    """Tasks run by this call."""
    failures: Mapping[str, str]
    """Probes that could not be measured, and why."""


@dataclass(frozen=True)
class Outcome(Generic[T]):
    """A complete run."""

    folder: RunFolder
    work: Work
    published: T
    seconds: float
    """Duration of this call."""


def live(
    out: Path,
    plan: Plan,
    *,
    work: Callable[[RunFolder, Progress], Work],
    publish: Callable[[RunFolder], T],
    watch: Watch,
) -> Outcome[T]:
    """Start or resume a run, complete it and publish its results.

    Args:
        out: Folder of all runs.
        plan: What the run is.
        work: Runs the unfinished tasks.
        publish: Draws and writes the outputs of the finished run, while the run is locked.
        watch: Callbacks for its progress.

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
    """Record the environment in which a run started, and each other environment in which it was resumed."""
    stored = folder.take_json("provenance.json") or {"environment": environment}
    record = {**stored, **facts, "resumed_in": stored.get("resumed_in", [])}
    if environment != (record["resumed_in"] or [record["environment"]])[-1]:
        record["resumed_in"] = [*record["resumed_in"], environment]
    folder.write_json("provenance.json", record)


def _finish(folder: RunFolder, label: str, done: Work) -> None:
    """Record the times of all stages, and that the run is complete."""
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
    """Write figures and tables into a folder, then the pointer to their run.

    Args:
        place: The folder.
        make: Draws and writes; returns the files, and the value to return.
        facts: Content of the pointer, such as the run.
        waiting: Called with the folder if another process has locked it.
    """
    with exclusive(place, lambda: waiting(str(place))):
        atomic.sweep(place)
        files, result = make()
        # Last, so that the pointer never names missing files.
        records.write_record(place / "run.json", {**facts, "files": checksums(list(files), place)})
    return result


@contextlib.contextmanager
def writing(out: Path, spell: Spelling) -> Iterator[Path]:
    """Create the output folder, and remove it again if a mistake is found before anything is written.

    Raises:
        InputError: It cannot be created or written to.
    """
    new = [folder for folder in (out, *out.parents) if not folder.exists()]
    try:
        yield writable(out, spell)
    except InputError:
        with contextlib.suppress(OSError):  # not empty
            for folder in new:
                folder.rmdir()
        raise


def writable(out: Path, spell: Spelling) -> Path:
    """Create the output folder.

    Raises:
        InputError: It cannot be created or written to.
    """
    if out == Path():
        raise InputError(f"{spell('out')} is empty; name a folder")
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out):
            return out
    except OSError as error:
        raise InputError(f"{spell('out', out)}: cannot write there ({error.strerror})") from error
