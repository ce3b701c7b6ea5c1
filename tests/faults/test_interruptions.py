"""Real processes, stopped at random moments, crowded, and short of room."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from basinscope.experiments.registry import NAMES
from tests.stored import assert_same_arrays, the_run

Outcome = Callable[[str, str, str], None]
SMOKE = [sys.executable, "-m", "basinscope", "run", "all", "--preset", "smoke", "--out"]
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": str(torch.get_num_threads())}


def start(out: Path, words: list[str] | None = None) -> "subprocess.Popen[str]":
    command = [*(words or SMOKE), str(out)]
    return subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def markers(out: Path) -> dict[Path, int]:
    """Every finished task and when its marker was written."""
    return {path: path.stat().st_mtime_ns for path in out.glob("runs/*/done/*.json")}


def stop_at_random(out: Path, number: int, draw: random.Random, *, longest: float) -> bool:
    """Start a run and send it a signal after a random time; tell whether it had finished before."""
    before = markers(out)
    process = start(out)
    try:
        process.wait(draw.uniform(0.5, longest))
        ended = True
    except subprocess.TimeoutExpired:
        process.send_signal(number)
        ended = False
    _, errors = process.communicate(timeout=60)
    assert before.items() <= markers(out).items(), "a finished task was repeated"
    if ended:
        assert process.returncode == 0, errors
    elif number != signal.SIGKILL and process.returncode != 0:
        assert process.returncode in (130, 143, -number), errors
        # Stopped before Python was up, it dies of the signal itself.
        assert process.returncode == -number or "run the same command to resume" in errors
    return ended


def test_killed_at_random_moments_and_run_again_gives_the_same_arrays(
    smoke: Path, tmp_path: Path, request: pytest.FixtureRequest, outcome: Outcome
) -> None:
    kills, wanted = 0, request.config.getoption("--kills")
    draw = random.Random(0)
    rounds = 0
    while kills < wanted:
        out = tmp_path / f"round {rounds}"
        rounds += 1
        # Long enough that work gets done between two kills, whatever the machine.
        longest = 6.0
        while kills < wanted and not stop_at_random(out, signal.SIGKILL, draw, longest=longest):
            kills += 1
            longest *= 1.15
    process = start(out)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    for name in NAMES:
        assert_same_arrays(smoke, out, name)
    assert not list(out.rglob(".partial-*")), "what was half-written is swept away"
    outcome("SIGKILL", f"random moments, {kills} times", "same arrays, no finished task repeated")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopped_politely_and_run_again(smoke: Path, tmp_path: Path, number: signal.Signals, outcome: Outcome) -> None:
    words = [*SMOKE[:4], "minefield", *SMOKE[5:]]
    process = start(tmp_path, words)
    deadline = time.monotonic() + 120
    while not markers(tmp_path):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    before = markers(tmp_path)
    if process.returncode:
        assert process.returncode == {signal.SIGINT: 130, signal.SIGTERM: 143}[number]
        assert errors.splitlines()[-1] == (
            "basinscope: stopped; finished work is saved, run the same command to resume"
        )
        assert "Traceback" not in errors
    subprocess.run([*words, str(tmp_path)], env=ENVIRONMENT, check=True, capture_output=True)
    assert before.items() <= markers(tmp_path).items()
    assert_same_arrays(smoke, tmp_path, "minefield")
    outcome(number.name, "in the middle of a run", "one line, exit 130 or 143; same arrays after running again")


def test_two_processes_on_one_folder_do_the_work_once(smoke: Path, tmp_path: Path, outcome: Outcome) -> None:
    words = [*SMOKE[:4], "minefield", *SMOKE[5:]]
    both = [start(tmp_path, words), start(tmp_path, words)]
    told = [process.communicate(timeout=300) for process in both]
    assert [process.returncode for process in both] == [0, 0], told
    done = sorted(text.split("minefield: ")[1].split(" tasks")[0] for text, _ in told)
    assert done == ["0 of 7", "7 of 7"]
    assert sum("another process is working on run minefield-" in errors for _, errors in told) == 1
    assert_same_arrays(smoke, tmp_path, "minefield")
    outcome("two processes", "one output folder", "one waits and reports it; the work is done once")


def test_no_lock_outlives_a_killed_process(smoke: Path, tmp_path: Path, outcome: Outcome) -> None:
    words = [*SMOKE[:4], "minefield", *SMOKE[5:]]
    process = start(tmp_path, words)
    while not list(tmp_path.glob("runs/*/.lock")):
        assert process.poll() is None
        time.sleep(0.01)
    process.kill()
    process.communicate()
    done = subprocess.run([*words, str(tmp_path)], env=ENVIRONMENT, check=True, capture_output=True, text=True)
    assert "another process" not in done.stderr
    outcome("SIGKILL", "while holding the lock", "the next process does not wait")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 3 MiB, where this process may mount one."""
    place = tmp_path / "small disk ü"
    place.mkdir()
    mount = shutil.which("mount")
    words = ["-t", "tmpfs", "-o", "size=3m", "tmpfs", str(place)]
    if not mount or subprocess.run([mount, *words], check=False, capture_output=True).returncode:
        pytest.skip("no right to mount a file system")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_full_disk_is_told_in_one_line_and_work_goes_on_after_room_is_made(
    smoke: Path, small_disk: Path, outcome: Outcome
) -> None:
    words = [*SMOKE[:4], "minefield", *SMOKE[5:]]
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"\0" * 2_950_000)
    process = start(small_disk, words)
    _, errors = process.communicate(timeout=120)
    assert process.returncode in (1, 2), errors
    assert "No space left on device" in errors.splitlines()[-1]
    assert "Traceback" not in errors
    before = markers(small_disk)
    for size in (2_700_000, 2_000_000, 0):
        ballast.write_bytes(b"\0" * size)
        process = start(small_disk, words)
        _, errors = process.communicate(timeout=120)
        assert before.items() <= markers(small_disk).items()
        before = markers(small_disk)
        if process.returncode:
            assert "No space left on device" in errors.splitlines()[-1], errors
            assert not list(small_disk.rglob(".partial-*")), "nothing half-written is left"
    assert process.returncode == 0, errors
    assert_same_arrays(smoke, small_disk, "minefield")
    outcome("full disk", "in the middle of a write", "one line, exit 1 or 2; resumes once space is freed, same arrays")


def test_a_folder_that_cannot_be_written_is_told_in_one_line(outcome: Outcome) -> None:
    process = start(Path("/proc/nowhere"))
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 2
    assert errors == "basinscope: --out /proc/nowhere: cannot write there (No such file or directory)\n"
    outcome("read-only folder", "output folder", "one line, exit 2")


def test_spaces_and_other_letters_in_a_path(smoke: Path, outcome: Outcome) -> None:
    assert " " in smoke.name
    assert not smoke.name.isascii()
    assert all(the_run(smoke, name).read_json("finished.json") for name in NAMES)
    outcome("spaces and non-ASCII letters", "path of the output folder", "works like any other path")


def test_a_clock_that_jumps_back_changes_nothing(smoke: Path, tmp_path: Path, outcome: Outcome) -> None:
    code = (
        "import sys, time, datetime; real = time.time; time.time = lambda: real() - 1e8 * (real() % 2 > 1)\n"
        "from basinscope.cli import main; sys.exit(main(sys.argv[1:]))"
    )
    words = ["run", "minefield", "--preset", "smoke", "--out", str(tmp_path)]
    for _ in range(2):
        subprocess.run([sys.executable, "-c", code, *words], env=ENVIRONMENT, check=True, capture_output=True)
    assert_same_arrays(smoke, tmp_path, "minefield")
    outcome("clock that jumps back", "during a run", "same arrays; a finished run stays finished")


def test_a_long_task_that_is_killed_loses_at_most_30_seconds(
    tmp_path: Path, request: pytest.FixtureRequest, outcome: Outcome
) -> None:
    """Takes a minute, so it belongs to the recorded run only."""
    if request.config.getoption("--kills") < 20:
        pytest.skip("only in a recorded run: give --kills 20")
    changes = ["bad_starts=6", "bad_steps=1000000", "stop_accuracy=0", "other_starts=0", "other_splits=0"]
    settings = [word for change in changes for word in ("--set", f"minefield.{change}")]
    process = start(tmp_path, [*SMOKE[:4], "minefield", *SMOKE[5:-1], *settings, "--jobs", "1", "--out"])
    while not (begun := list(tmp_path.glob("runs/*/done/train-good.json"))):
        assert process.poll() is None
        time.sleep(0.05)
    time.sleep(random.Random(1).uniform(45, 60))
    process.kill()
    killed = time.time()
    process.communicate()
    (checkpoint,) = tmp_path.glob("runs/*/checkpoints/seek-bad0.safetensors")
    lost = killed - checkpoint.stat().st_mtime
    worked = killed - begun[0].stat().st_mtime
    assert worked > 40
    assert 0 <= lost <= 30
    outcome("SIGKILL", "in a long task", f"{lost:.0f} s of {worked:.0f} s of work were lost; 30 are allowed")
