import mmap
from pathlib import Path

import pytest
import torch

from basinscope.errors import InputError
from basinscope.runs import provenance
from basinscope.runs.engine import Context, Task, needs, run_tasks
from basinscope.runs.store import RunFolder


class Seen:
    def __init__(self) -> None:
        self.shares: list[float] = []

    def update(self, task: str, done: float, total: float) -> None:
        self.shares.append(done / total)


def test_running_again_does_only_what_is_left(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path, "n", {}, "s")
    calls: list[str] = []

    def task(name: str, fails: bool = False) -> Task:
        def work(context: Context) -> dict[str, dict[str, int]]:
            calls.append(name)
            if fails:
                raise KeyboardInterrupt
            context.progress(0.5)
            return {name: {"value": 1}}

        return Task(name, 1.0, work)

    cpu = torch.device("cpu")
    with pytest.raises(KeyboardInterrupt):
        run_tasks([task("a"), task("b", fails=True), task("c")], folder, Seen(), device=cpu)
    seen = Seen()
    assert run_tasks([task("a"), task("b"), task("c")], folder, seen, device=cpu) == 2
    assert calls == ["a", "b", "b", "c"]
    assert seen.shares == sorted(seen.shares)
    assert seen.shares[0] == pytest.approx(1 / 3)
    assert seen.shares[-1] == 1.0


@pytest.mark.parametrize("name", ["cuda:99", "abacus"])
def test_a_device_that_is_not_there_is_an_input_error(name: str) -> None:
    with pytest.raises(InputError, match=name):
        provenance.pick_device(name)


def test_environment_is_plain_and_complete() -> None:
    record = provenance.environment(torch.device("cpu"))
    assert record["packages"]["torch"].split("+")[0] == torch.__version__.split("+")[0]
    assert record["threads"] >= 1
    assert provenance.peak_memory_mib() > 10


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="only Linux can forget")
def test_a_stage_tells_its_own_peak_of_memory() -> None:
    def fill(num_mib: int) -> None:
        """Take memory straight from the system and give it back: allocators may keep what was freed."""
        with mmap.mmap(-1, num_mib * 2**20) as taken:
            for page in range(0, len(taken), mmap.PAGESIZE):
                taken[page] = 1

    fill(256)
    provenance.forget_peak_memory()
    before = provenance.peak_memory_mib()
    fill(96)
    assert 60 < provenance.peak_memory_mib() - before < 140


def _nothing(context: Context) -> dict[str, dict[str, int]]:
    return {}


def test_a_task_comes_after_what_it_names_or_after_all_earlier_ones() -> None:
    tasks = [
        Task("a", 1, _nothing),
        Task("b", 1, _nothing, after=()),
        Task("c", 1, _nothing),
        Task("d", 1, _nothing, after=("b",)),
    ]
    assert needs(tasks) == {"a": set(), "b": set(), "c": {"a", "b"}, "d": {"b"}}


def test_a_task_cannot_come_after_a_later_one_or_itself(tmp_path: Path) -> None:
    folder, cpu = RunFolder.create(tmp_path, "n", {}, "s"), torch.device("cpu")
    for wanted in ("b", "a"):
        tasks = [Task("a", 1, _nothing, after=(wanted,)), Task("b", 1, _nothing)]
        with pytest.raises(ValueError, match=f"task a depends on {wanted}"):
            run_tasks(tasks, folder, Seen(), device=cpu)
    with pytest.raises(ValueError, match="two tasks are named a"):
        needs([Task("a", 1, _nothing), Task("a", 1, _nothing)])
    assert folder.markers() == []


def test_a_task_is_told_where_data_lie(tmp_path: Path) -> None:
    folder, told = RunFolder.create(tmp_path, "n", {}, "s"), []

    def work(context: Context) -> dict[str, dict[str, int]]:
        told.append(context.data_dir)
        return {}

    run_tasks([Task("a", 1, work)], folder, Seen(), device=torch.device("cpu"), data_dir=tmp_path / "data")
    assert told == [tmp_path / "data"]
