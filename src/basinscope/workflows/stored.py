"""Stored runs of experiments: find, redraw and describe them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from basinscope.errors import DamagedResultError, InputError
from basinscope.experiments import registry
from basinscope.experiments.registry import Experiment
from basinscope.runs.life import Watch
from basinscope.runs.store import RunFolder, find_runs
from basinscope.workflows.run import publish_run


def stored(folder: RunFolder) -> tuple[Experiment, Any]:
    """Experiment and configuration of a stored run.

    Raises:
        InputError: Its record is damaged.
    """
    record = folder.read_json("config.json")
    name = registry.resolve(str((record or {}).get("experiment")))
    if not record or name not in registry.NAMES or not isinstance(record.get("config"), dict):
        raise InputError(f"{folder.path / 'config.json'}: is damaged; run the experiment again")
    experiment = registry.load_experiment(name)
    return experiment, registry.restore(experiment, record["config"])


def last_finished(out: Path, name: str) -> RunFolder | None:
    """The run whose figures are in OUT/NAME, or else the one that finished last."""
    pointer = RunFolder(registry.published_folder(out, name)).take_json("run.json")
    if pointer:
        folder = RunFolder(out / "runs" / str(pointer["run"]))
        if folder.take_json("finished.json"):
            return folder
    finished = [(f.take_json("finished.json"), f) for f in find_runs(out, registry.spellings([name]))]
    complete = [(record["finished"], folder.name, folder) for record, folder in finished if record]
    return max(complete)[2] if complete else None


def redraw_run(folder: RunFolder, out: Path, watch: Watch) -> None:
    """Redraw the figures and re-evaluate the claims of a run from its stored results.

    Raises:
        DamagedResultError: A result is damaged.
    """
    experiment, config = stored(folder)
    folder.refuse_damage()
    publish_run(experiment, folder, config, (folder.read_json("finished.json") or {})["preset"], out, watch)


def progress_of(folder: RunFolder) -> str:
    """Describe the progress of a run in words."""
    experiment, config = stored(folder)
    tasks = experiment.tasks(config)
    done = sum(folder.is_done(task.name) for task in tasks)
    return f"{done} of {len(tasks)} tasks, {_state(folder, complete=done == len(tasks))}"


def _state(folder: RunFolder, *, complete: bool) -> str:
    try:
        finished = folder.read_json("finished.json")
    except DamagedResultError:
        finished = None
    if finished and not complete:
        return f"finished {finished['finished']}, but some files are damaged; run again (basinscope verify lists them)"
    return f"finished {finished['finished']}, preset {finished['preset']}" if finished else "unfinished"
