import socket
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from basinscope.errors import InputError
from basinscope.runs import ray_engine
from basinscope.runs.engine import run_tasks
from basinscope.runs.ray_engine import run_tasks_on_ray
from tests.runs.driven import Seen, folder_in, request_for
from tests.runs.tasks_for_workers import tasks_of

ray = pytest.importorskip("ray")


def test_a_finished_run_needs_no_cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = folder_in(tmp_path)
    request = request_for(tmp_path)
    run_tasks(request.tasks(), folder, Seen(), device=torch.device("cpu"))
    monkeypatch.setitem(sys.modules, "ray", None)
    seen = Seen()
    assert run_tasks_on_ray(request, folder, seen) == 0
    assert seen.shares == [1.0]


def test_a_gpu_that_no_machine_has_is_told_of(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no machine of the cluster has a GPU"):
        ray_engine._resources([{"CPU": 4.0}], replace(request_for(tmp_path), device="cuda"))


def test_a_task_asks_for_what_a_machine_can_have(tmp_path: Path) -> None:
    task = tasks_of("diamond", {"scratch": str(tmp_path)})[0]
    request = request_for(tmp_path)
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
        run_tasks_on_ray(request_for(tmp_path), folder_in(tmp_path), Seen(), address=closed)
    monkeypatch.setenv("RAY_ADDRESS", closed)
    with pytest.raises(InputError, match=f"--address {closed}: no cluster there"):
        run_tasks_on_ray(request_for(tmp_path), folder_in(tmp_path), Seen(), address="auto")
    monkeypatch.delenv("RAY_ADDRESS")

    def none(address: str, **settings: object) -> None:
        raise ConnectionError("Could not find any\nrunning Ray instance")

    monkeypatch.setattr(ray, "init", none)
    with pytest.raises(InputError, match=r"--address auto: no cluster there \(Could not find any running"):
        run_tasks_on_ray(request_for(tmp_path), folder_in(tmp_path), Seen(), address="auto")


@pytest.mark.parametrize("address", ["ray://head:10001", "head", "head:port", ""])
def test_what_is_no_address_is_told_of(apart: None, tmp_path: Path, address: str) -> None:
    with pytest.raises(InputError, match="write auto, or HOST:PORT"):
        run_tasks_on_ray(request_for(tmp_path), folder_in(tmp_path), Seen(), address=address)


def test_ray_that_is_missing_is_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(InputError, match=r"pip install 'basinscope\[ray\]'"):
        run_tasks_on_ray(request_for(tmp_path), folder_in(tmp_path), Seen())
