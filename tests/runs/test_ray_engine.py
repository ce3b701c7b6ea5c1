import json
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from basinscope.errors import InputError
from basinscope.runs import ray_engine
from basinscope.runs.engine import needs, run_tasks
from basinscope.runs.ray_engine import Request, run_tasks_on_ray
from basinscope.runs.store import RunFolder
from tests.runs.ray_workers import ERRORS, tasks_of

ray = pytest.importorskip("ray")

ROOT = Path(__file__).parents[2]


class Seen:
    def __init__(self) -> None:
        self.shares: list[float] = []
        self.tasks: list[str] = []

    def update(self, task: str, done: float, total: float) -> None:
        self.tasks.append(task)
        self.shares.append(done / total)


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    """Two places for tasks that take one thread."""
    path = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = str(ROOT)  # workers import this package
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    before = signal.getsignal(signal.SIGTERM)
    ray.init("local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    yield
    ray.shutdown()
    signal.signal(signal.SIGTERM, before)
    if path is None:
        del os.environ["PYTHONPATH"]
    else:
        os.environ["PYTHONPATH"] = path


def _request(tmp_path: Path, name: str = "diamond", **config: object) -> Request:
    return Request(
        experiment=name,
        config={"scratch": str(tmp_path), **config},
        rebuild="tests.runs.ray_workers:tasks_of",
        device="cpu",
        threads=1,
    )


def _folder(tmp_path: Path, name: str = "ray") -> RunFolder:
    return RunFolder.create(tmp_path, name, {}, "s")


def _notes(tmp_path: Path) -> list[str]:
    return (tmp_path / "notes").read_text().splitlines()


def test_a_cluster_makes_the_arrays_of_the_local_engine(cluster: None, tmp_path: Path) -> None:
    here, there = _folder(tmp_path, "here"), _folder(tmp_path, "there")
    config = {"scratch": str(tmp_path)}
    cpu = torch.device("cpu")
    run_tasks(tasks_of("diamond", config), here, Seen(), device=cpu, reproducible=True, data_dir=tmp_path)
    (tmp_path / "notes").unlink()
    request = replace(_request(tmp_path, meet=True), reproducible=True, data_dir=tmp_path)
    seen = Seen()
    assert run_tasks_on_ray(request, there, seen) == 5
    for name in ("seed", "left", "right", "join"):
        assert torch.equal(here.weights(name)["value"], there.weights(name)["value"])
    assert here.dataset("sums").identical(there.dataset("sums"))
    assert there.read_json("results/facts.json") == here.read_json("results/facts.json")
    assert there.read_json("results/facts.json") == {"threads": 1, "data": str(tmp_path), "safe": True}
    assert seen.shares == sorted(seen.shares)
    assert seen.tasks[-1] == "done"
    assert seen.shares[-1] == 1.0

    notes = _notes(tmp_path)
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
    again = _request(tmp_path)
    assert run_tasks_on_ray(again, there, Seen()) == 1
    assert _notes(tmp_path) == ["begin left", "end left"]
    assert torch.equal(here.weights("left")["value"], there.weights("left")["value"])


def test_a_finished_run_needs_no_cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = _folder(tmp_path)
    request = _request(tmp_path)
    run_tasks(request.tasks(), folder, Seen(), device=torch.device("cpu"))
    monkeypatch.setitem(sys.modules, "ray", None)
    seen = Seen()
    assert run_tasks_on_ray(request, folder, seen) == 0
    assert seen.shares == [1.0]


def test_a_worker_that_dies_is_replaced(cluster: None, tmp_path: Path) -> None:
    folder = _folder(tmp_path)
    assert run_tasks_on_ray(_request(tmp_path, "dies-once"), folder, Seen()) == 2
    assert _notes(tmp_path).count("begin bad") == 2
    assert folder.is_done("bad")


def test_a_worker_that_dies_again_and_again_is_told_of(
    cluster: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray_engine, "MAX_RETRIES", 1)
    folder = _folder(tmp_path)
    with pytest.raises(ChildProcessError, match=r"task bad: .* was lost 2 times"):
        run_tasks_on_ray(_request(tmp_path, "dies"), folder, Seen())
    assert folder.is_done("good")
    assert _notes(tmp_path).count("begin bad") == 2


@pytest.mark.parametrize("name", ERRORS)
def test_our_errors_come_back_as_themselves(cluster: None, tmp_path: Path, name: str) -> None:
    with pytest.raises(ERRORS[name], match=f"^it is {name}$") as caught:
        run_tasks_on_ray(_request(tmp_path, name), _folder(tmp_path), Seen())
    assert type(caught.value) is ERRORS[name]
    assert _folder(tmp_path).is_done("good")


def test_a_full_disk_and_a_fault_come_back_plainly(cluster: None, tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No space left") as full:
        run_tasks_on_ray(_request(tmp_path, "disk"), _folder(tmp_path), Seen())
    assert (full.value.errno, full.value.filename) == (28, "/full/file")
    with pytest.raises(RuntimeError, match="task bad: KeyError: 'shape'") as fault:
        run_tasks_on_ray(_request(tmp_path, "fault"), _folder(tmp_path), Seen())
    assert "ray_workers.py" in "".join(fault.value.__notes__)
    assert not isinstance(fault.value, pytest.importorskip("ray.exceptions").RayError)


def test_what_a_worker_warns_of_is_said_here(cluster: None, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        run_tasks_on_ray(_request(tmp_path, "sets-aside"), _folder(tmp_path), Seen())
    assert [r.message for r in caplog.records] == [f"torn: is cut short; set aside as {tmp_path}/damaged/1-torn"]


def _answer_to(tmp_path: Path, **changed: str) -> str:
    order = {"folder": str(tmp_path), "token": "none", "source": ray_engine.source_digest("runs"), "task": "good"}
    return ray_engine._work(json.dumps({"request": _request(tmp_path, "input").to_json(), **order, **changed}))


def test_a_worker_refuses_a_folder_or_a_source_that_is_not_the_drivers(tmp_path: Path) -> None:
    assert "does not see this folder; --out must be on storage" in _answer_to(tmp_path)
    place = tmp_path / "at-work"
    place.mkdir()
    (place / "token").touch()
    assert "has another basinscope" in _answer_to(tmp_path, token="token")
    assert not RunFolder(tmp_path).is_done("good")


def test_a_gpu_that_no_machine_has_is_told_of(cluster: None, tmp_path: Path) -> None:
    request = replace(_request(tmp_path), device="cuda")
    with pytest.raises(InputError, match="no machine of the cluster has a GPU"):
        run_tasks_on_ray(request, _folder(tmp_path), Seen())


def test_a_task_asks_for_what_a_machine_can_have(tmp_path: Path) -> None:
    task = tasks_of("diamond", {"scratch": str(tmp_path)})[0]
    request = _request(tmp_path)
    machines = [{"CPU": 4.0, "memory": 1e9}, {"CPU": 2.0, "GPU": 1.0}]

    def asked(**changed: object) -> tuple[float, float]:
        found = ray_engine._resources(machines, replace(request, **changed))(replace(task, gpus=0.5))
        return found["num_cpus"], found["num_gpus"]

    assert asked(threads=3) == (3, 0)
    assert asked(threads=16) == (4, 0)
    assert asked(device="cuda:1") == (1, 0.5)


@pytest.fixture
def apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that has joined no cluster."""
    monkeypatch.setattr(ray, "is_initialized", lambda: False)


def test_a_cluster_that_is_not_there_is_told_of(apart: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        closed = f"127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(InputError, match=f"--address {closed}: no cluster there .*ray start"):
        run_tasks_on_ray(_request(tmp_path), _folder(tmp_path), Seen(), address=closed)
    monkeypatch.setenv("RAY_ADDRESS", closed)
    with pytest.raises(InputError, match=f"--address {closed}: no cluster there"):
        run_tasks_on_ray(_request(tmp_path), _folder(tmp_path), Seen(), address="auto")
    monkeypatch.delenv("RAY_ADDRESS")

    def none(address: str, **settings: object) -> None:
        raise ConnectionError("Could not find any\nrunning Ray instance")

    monkeypatch.setattr(ray, "init", none)
    with pytest.raises(InputError, match=r"--address auto: no cluster there \(Could not find any running"):
        run_tasks_on_ray(_request(tmp_path), _folder(tmp_path), Seen(), address="auto")


@pytest.mark.parametrize("address", ["ray://head:10001", "head", "head:port", ""])
def test_what_is_no_address_is_told_of(apart: None, tmp_path: Path, address: str) -> None:
    with pytest.raises(InputError, match="write auto, or HOST:PORT"):
        run_tasks_on_ray(_request(tmp_path), _folder(tmp_path), Seen(), address=address)


def test_ray_that_is_missing_is_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(InputError, match=r"pip install 'basinscope\[ray\]'"):
        run_tasks_on_ray(_request(tmp_path), _folder(tmp_path), Seen())


_DRIVER = """
import signal, sys
from pathlib import Path
from basinscope.runs.ray_engine import Request, run_tasks_on_ray
from basinscope.runs.store import RunFolder

class Silent:
    def update(self, task, done, total): pass

def stop(number, frame):
    raise KeyboardInterrupt

signal.signal(signal.SIGTERM, stop)
scratch = sys.argv[1]
request = Request(
    experiment="waits", config={"scratch": scratch}, rebuild="tests.runs.ray_workers:tasks_of", device="cpu", threads=1
)
try:
    run_tasks_on_ray(request, RunFolder(Path(scratch)), Silent())
except KeyboardInterrupt:
    sys.exit(130)
"""


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
def test_an_interrupted_driver_ends_what_it_started_and_keeps_what_is_done(tmp_path: Path) -> None:
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    driver = subprocess.Popen(
        [sys.executable, "-c", _DRIVER, str(tmp_path)], env=environment, stderr=subprocess.PIPE, text=True
    )
    notes = tmp_path / "notes"
    _wait_for(lambda: notes.exists() and "pid " in notes.read_text())
    worker = int(_notes(tmp_path)[-1].removeprefix("pid "))
    driver.send_signal(signal.SIGTERM)
    _, said = driver.communicate(timeout=30)
    assert (driver.returncode, said) == (130, "")
    _wait_for(lambda: _gone(worker), 10)
    assert RunFolder(tmp_path).is_done("good")
    assert not RunFolder(tmp_path).is_done("bad")
