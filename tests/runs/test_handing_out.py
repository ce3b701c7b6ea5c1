"""The engines that hand tasks out, on this machine's processes and on ray: one behaviour."""

import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from basinscope.runs import handing_out
from basinscope.runs.engine import Progress, needs, run_tasks
from basinscope.runs.handing_out import Request, work
from basinscope.runs.process_engine import run_tasks_in_processes
from basinscope.runs.store import RunFolder
from tests.runs.driven import ROOT, Seen, folder_in, notes_in, request_for
from tests.runs.tasks_for_workers import ERRORS, tasks_of

Run = Callable[[Request, RunFolder, Progress], int]
ENGINES = ("processes", "ray")


@pytest.fixture(scope="module", params=ENGINES)
def run(request: pytest.FixtureRequest) -> Iterator[Run]:
    """An engine with two places for tasks that take one thread."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT))  # workers import this package
        if request.param == "processes":
            yield lambda order, folder, progress: run_tasks_in_processes(order, folder, progress, jobs=2)
            return
        ray = pytest.importorskip("ray")
        from basinscope.runs.ray_engine import run_tasks_on_ray

        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        before = signal.getsignal(signal.SIGTERM)
        ray.init("local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
        yield run_tasks_on_ray
        ray.shutdown()
        signal.signal(signal.SIGTERM, before)


def test_workers_make_the_arrays_that_one_process_makes(run: Run, tmp_path: Path) -> None:
    here, there = folder_in(tmp_path, "here"), folder_in(tmp_path, "there")
    config = {"scratch": str(tmp_path)}
    cpu = torch.device("cpu")
    run_tasks(tasks_of("diamond", config), here, Seen(), device=cpu, reproducible=True, data_dir=tmp_path)
    (tmp_path / "notes").unlink()
    request = replace(request_for(tmp_path, meet=True), reproducible=True, data_dir=tmp_path)
    seen = Seen()
    assert run(request, there, seen) == 5
    for name in ("seed", "left", "right", "join"):
        assert torch.equal(here.weights(name)["value"], there.weights(name)["value"])
    assert here.dataset("sums").identical(there.dataset("sums"))
    assert there.read_json("results/facts.json") == here.read_json("results/facts.json")
    assert there.read_json("results/facts.json") == {"threads": 1, "data": str(tmp_path), "safe": True}
    assert seen.shares == sorted(seen.shares)
    assert seen.tasks[-1] == "done"
    assert seen.shares[-1] == 1.0

    notes = notes_in(tmp_path)
    for name, wanted in needs(tasks_of("diamond", config)).items():
        for earlier in wanted:
            assert notes.index(f"end {earlier}") < notes.index(f"begin {name}")
    markers = there.markers()
    assert {m["environment"]["threads"] for m in markers} == {1}
    assert all(m["seconds"] >= 0 and m["peak_memory_mib"] > 10 for m in markers)
    assert not (there.path / "at-work").exists()

    # Only what is missing is done again, and it comes out the same.
    (there.path / "weights" / "left.safetensors").write_bytes(b"")
    (tmp_path / "notes").unlink()
    again = request_for(tmp_path)
    assert run(again, there, Seen()) == 1
    assert notes_in(tmp_path) == ["begin left", "end left"]
    assert torch.equal(here.weights("left")["value"], there.weights("left")["value"])


def test_a_worker_that_dies_is_replaced(run: Run, tmp_path: Path) -> None:
    folder = folder_in(tmp_path)
    assert run(request_for(tmp_path, "dies-once"), folder, Seen()) == 2
    assert notes_in(tmp_path).count("begin bad") == 2
    assert folder.is_done("bad")


def test_a_worker_that_dies_again_and_again_is_told_of(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handing_out, "MAX_RETRIES", 1)
    folder = folder_in(tmp_path)
    with pytest.raises(ChildProcessError, match=r"task bad: .* died 2 times"):
        run(request_for(tmp_path, "dies"), folder, Seen())
    assert folder.is_done("good")
    assert notes_in(tmp_path).count("begin bad") == 2


@pytest.mark.parametrize("name", ERRORS)
def test_our_errors_come_back_as_themselves(run: Run, tmp_path: Path, name: str) -> None:
    with pytest.raises(ERRORS[name], match=f"^it is {name}$") as caught:
        run(request_for(tmp_path, name), folder_in(tmp_path), Seen())
    assert type(caught.value) is ERRORS[name]
    assert folder_in(tmp_path).is_done("good")


def test_a_full_disk_and_a_fault_come_back_plainly(run: Run, tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No space left") as full:
        run(request_for(tmp_path, "disk"), folder_in(tmp_path), Seen())
    assert (full.value.errno, full.value.filename) == (28, "/full/file")
    with pytest.raises(RuntimeError, match="task bad: KeyError: 'shape'") as fault:
        run(request_for(tmp_path, "fault"), folder_in(tmp_path), Seen())
    assert "tasks_for_workers.py" in "".join(fault.value.__notes__)
    assert type(fault.value) is RuntimeError


def test_what_a_worker_warns_of_is_said_here(run: Run, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        run(request_for(tmp_path, "sets-aside"), folder_in(tmp_path), Seen())
    assert [r.message for r in caplog.records] == [f"torn: is cut short; set aside as {tmp_path}/damaged/1-torn"]


def _answer_to(tmp_path: Path, **changed: str) -> str:
    order = {"folder": str(tmp_path), "token": "none", "source": handing_out.package_digest(), "task": "good"}
    return work(json.dumps({"request": request_for(tmp_path, "input").to_json(), **order, **changed}))


def test_a_worker_refuses_a_folder_or_a_source_that_is_not_the_drivers(tmp_path: Path) -> None:
    assert "does not see this folder; --out must be on storage" in _answer_to(tmp_path)
    place = tmp_path / "at-work"
    place.mkdir()
    (place / "token").touch()
    assert "has a different basinscope" in _answer_to(tmp_path, token="token")
    assert not RunFolder(tmp_path).is_done("good")


_DRIVER = """
import signal, sys
from pathlib import Path
from basinscope.runs.{module} import {function}
from basinscope.runs.store import RunFolder
from tests.runs.driven import Seen, request_for

def stop(number, frame):
    raise KeyboardInterrupt

signal.signal(signal.SIGTERM, stop)
place = Path(sys.argv[1])
try:
    {function}(request_for(place, "waits"), RunFolder(place), Seen(){more})
except KeyboardInterrupt:
    sys.exit(130)
"""
_DRIVERS = {
    "processes": _DRIVER.format(module="process_engine", function="run_tasks_in_processes", more=", jobs=2"),
    "ray": _DRIVER.format(module="ray_engine", function="run_tasks_on_ray", more=""),
}


def _wait_for(condition: object, seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def _gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    # A process that has ended stays in the table until its parent asks.
    return ") Z " in Path(f"/proc/{pid}/stat").read_text()


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at processes as Linux shows them")
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("engine", ENGINES)
def test_a_driver_that_is_stopped_or_killed_leaves_no_worker_and_keeps_what_is_done(
    tmp_path: Path, engine: str, how: signal.Signals
) -> None:
    if engine == "ray":
        pytest.importorskip("ray")
        if how == signal.SIGKILL:
            pytest.skip("ray's own affair, and slow")
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    words = [sys.executable, "-c", _DRIVERS[engine], str(tmp_path)]
    driver = subprocess.Popen(words, env=environment, stderr=subprocess.PIPE, text=True)
    notes = tmp_path / "notes"
    _wait_for(lambda: notes.exists() and "pid " in notes.read_text())
    worker = int(notes_in(tmp_path)[-1].removeprefix("pid "))
    driver.send_signal(how)
    if how == signal.SIGTERM:
        _, said = driver.communicate(timeout=30)
        assert (driver.returncode, said) == (130, "")
    driver.wait()
    assert driver.stderr is not None
    driver.stderr.close()
    _wait_for(lambda: _gone(worker), 30)
    assert RunFolder(tmp_path).is_done("good")
    assert not RunFolder(tmp_path).is_done("bad")
