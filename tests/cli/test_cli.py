import re
import sys
from pathlib import Path

import pytest
import torch

from basinscope.cli import main
from basinscope.cli.arguments import parse
from basinscope.cli.progress import TimeLeft, progress_bar, spoken
from basinscope.experiments.registry import NAMES, load_experiment, reading_files
from basinscope.experiments.swissroll.config import PRESETS
from basinscope.runs.engine import Task
from basinscope.workflows.run import jobs_and_threads
from tests.stored import assert_same_arrays, the_run


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["run", "swisroll"], "no experiment 'swisroll'; did you mean 'swissroll'?"),
        (["run", "swissroll", "--preset", "quik"], "no preset 'quik'; did you mean 'quick'?"),
        (["run", "swissroll", "--set", "swissroll.rnus=3"], "no swissroll field 'rnus'; did you mean 'runs'?"),
        (["run", "swissroll", "--set", "swisroll.runs=3"], "did you mean 'swissroll'?"),
        (["run", "swissroll", "--set", "runs=3"], "write NAME.FIELD=VALUE"),
        (["run", "swissroll", "--set", "swissroll.runs=0"], "swissroll.runs = 0: must be at least 1"),
        (["run", "swissroll", "--set", "swissroll.runs=ten"], "swissroll.runs = 'ten': give a whole number"),
        (["run", "swissroll", "--set", "swissroll.cutoff=-1"], "swissroll.cutoff = -1.0: must be above 0"),
        (["run", "swissroll", "--set", "swissroll.decay=slow"], "choose from cosine, tenfold"),
        (["run", "swissroll", "--set", "swissroll.poisons=0.1,0.2"], "must rise from 0"),
        (["run", "swissroll", "--seed", "-1"], "swissroll.seed = -1: must be at least 0"),
        (["run", "swissroll", "--seed", "x"], "--seed"),
        (["run", "swissroll", "--data-seed", "-5"], "swissroll.data_seed = -5"),
        (["run", "swissroll", "--device", "abacus"], "device 'abacus' is not available"),
        (["run", "swissroll", "--out", "/proc/nowhere"], "--out /proc/nowhere: cannot write there"),
        (["walk"], "walk"),
        (["run", "swissroll", "--jobs", "0"], "--jobs 0: must be at least 1"),
        (["run", "swissroll", "--jobs", "2", "--engine", "ray"], "--jobs is for --engine local"),
        (["run", "swissroll", "--set", "swissroll.learning_rate=inf"], "swissroll.learning_rate = inf: must be finite"),
        (["run", "swissroll", "--set", "swissroll.poisons=0,0.1,0.10000001"], "first six digits"),
        (["run", "swissroll", "--set", "swissroll.boundary_resolution=1000000"], "must be at most 5000"),
        (["run", "swissroll", "--device", "meta"], "device 'meta' is not available"),
        (["run", "swissroll", "--out", ""], "--out is empty"),
        (["status", "--out", __file__], "is a file; name a folder"),
        (["run", "minefield", "--data-dir", "."], "--data-dir is for architectures and image_minima"),
        (
            ["run", "image_minima", "--preset", "smoke", "--set", "image_minima.data_checksum=abc"],
            "image_minima.data_checksum = abc: the images",
        ),
        (["run", "minefield", "--set", "rings.steps=5"], "rings is not among the experiments (minefield)"),
        ([], "required: VERB"),
        (["plot", "swissroll", "--out", "empty"], "no finished run"),
        (["report", "--out", "empty"], "no figures in empty"),
        (["run", "swissroll", "--preset", "laptop"], "no preset 'laptop'; choose from: smoke, quick, paper"),
        (["run", "image_minima", "--preset", "labtop"], "no preset 'labtop'; did you mean 'laptop'?"),
        (["run", "all", "--preset", "laptop"], "no preset 'laptop'"),
        (
            ["run", "image_minima", "--set", "image_minima.source=scattered-digits", "--data-dir", "."],
            "--set image_minima.source=scattered-digits uses no files: omit it or --data-dir",
        ),
        (
            ["run", "image_minima", "--preset", "smoke", "--data-dir", "nowhere"],
            "nowhere: train_32x32.mat not found",
        ),
        (
            ["run", "architectures", "--preset", "smoke", "--data-dir", "nowhere"],
            "nowhere: data_batch_1.bin not found",
        ),
        (["run", "image_minima", "--engine", "cloud"], "--engine: invalid choice: 'cloud'"),
        (["run", "image_minima", "--address", "auto"], "--address is for --engine ray; add --engine ray"),
        (
            ["run", "architectures", "--set", "image_minima.runs=3"],
            "image_minima is not among the experiments (architectures)",
        ),
        (["run", "architectures", "--set", "architectures.num_trian=50"], "did you mean 'num_train'?"),
        (["fetch", "cifar100"], "no data set 'cifar100'; did you mean 'cifar10'?"),
        (["fetch"], "required: name"),
    ],
)
def test_a_mistake_gets_one_clear_line(words: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("basinscope: ")
    assert captured.err.count("\n") == 1
    assert says in captured.err


def test_debug_shows_the_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "swisroll", "--debug"]) == 2
    assert "Traceback" in capsys.readouterr().err


def test_list_tells_presets_and_every_field(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list"]) == 0
    assert "swissroll" in capsys.readouterr().out
    assert main(["list", "swissroll"]) == 0
    told = capsys.readouterr().out
    for field in vars(PRESETS["quick"]):
        assert f"  {field}: " in told
    assert "Networks per poison factor. [smoke 2, quick 10, paper 10]" in told


@pytest.mark.parametrize("name", reading_files())
def test_list_tells_what_each_field_of_the_images_means(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", name]) == 0
    told = capsys.readouterr().out
    for field in vars(load_experiment(name).presets["quick"]):
        (line,) = re.findall(rf"^  {field}: (.*)$", told, re.MULTILINE)
        assert re.match(r"[\w`]", line), "words, then the values in brackets"
    # A field that both share, with the values of each preset.
    assert "Number of training images; none takes all. [smoke 60, quick 1000, laptop 2000, paper None]" in told


def test_status_of_nothing_says_how_to_start(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", "--out", str(tmp_path)]) == 0
    assert "basinscope run" in capsys.readouterr().out


def test_status_of_a_finished_run(smoke: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", "--out", str(smoke)]) == 0
    told = capsys.readouterr().out
    for name, num_tasks in {"swissroll": 14, "architectures": 15, "image_minima": 18}.items():
        assert re.search(
            rf"^{name}-\w+: {num_tasks} of {num_tasks} tasks, finished [^,]+, preset smoke$", told, re.MULTILINE
        )
    assert len(told.splitlines()) == len(NAMES)


def test_strict_exits_with_3_when_a_claim_does_not_hold(smoke: Path) -> None:
    assert main(["run", "swissroll", "--preset", "smoke", "--out", str(smoke), "--strict"]) == 3


def test_importing_the_package_loads_nothing_heavy() -> None:
    import subprocess

    code = "import basinscope, sys; print(sorted({'torch', 'matplotlib', 'xarray', 'numpy'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_everything_behind_the_public_door_is_there() -> None:
    import basinscope

    assert all(getattr(basinscope, name) is not None for name in basinscope.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = basinscope.nonsense


@pytest.mark.parametrize(
    ("seconds", "words"), [(0, "0 s"), (59.6, "1 min 00 s"), (125, "2 min 05 s"), (7260, "2 h 01 min")]
)
def test_durations_are_spoken(seconds: float, words: str) -> None:
    assert spoken(seconds) == words


def test_time_left_follows_the_pace(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("basinscope.progress.time.monotonic", lambda: now[0])
    left = TimeLeft()
    assert left(50, 100) == 50
    now[0] = 20.0
    assert left(60, 100) == pytest.approx(80)


def test_without_a_terminal_a_line_comes_every_ten_seconds(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = [0.0]
    monkeypatch.setattr("basinscope.progress.time.monotonic", lambda: now[0])
    with progress_bar("swissroll") as progress:
        for second in range(25):
            now[0] = float(second)
            progress.update("train", second, 100)
    assert capsys.readouterr().err.splitlines() == [
        "swissroll: train, 0 % done, about 1 min 40 s left",
        "swissroll: train, 10 % done, about 1 min 30 s left",
        "swissroll: train, 20 % done, about 1 min 20 s left",
    ]


def test_a_run_taken_up_elsewhere_notes_where(tmp_path: Path) -> None:
    from basinscope.runs.life import note_start
    from basinscope.runs.store import RunFolder

    folder = RunFolder(tmp_path)
    for device in ("cpu", "cpu", "H200", "cpu"):
        note_start(folder, {"seeds": {"seed": 0}}, {"device": device})
    record = folder.read_json("provenance.json")
    assert record is not None
    assert record["environment"] == {"device": "cpu"}
    assert [e["device"] for e in record["resumed_in"]] == ["H200", "cpu"]


def test_the_command_line_leaves_signals_as_found(tmp_path: Path) -> None:
    import signal

    before = signal.getsignal(signal.SIGTERM)
    assert main(["status", "--out", str(tmp_path)]) == 0
    assert signal.getsignal(signal.SIGTERM) is before


def test_two_tasks_at_a_time_make_the_arrays_of_one(smoke: Path, tmp_path: Path) -> None:
    words = ["run", "minefield", "--preset", "smoke", "--out", str(tmp_path)]
    assert main([*words, "--jobs", "2"]) == 0
    assert_same_arrays(smoke, tmp_path, "minefield")
    circumstances = the_run(tmp_path, "minefield").read_json("provenance.json")["environment"]
    assert (circumstances["jobs"], circumstances["threads"]) == (2, 1)
    assert not (the_run(tmp_path, "minefield").path / "at-work").exists()


@pytest.mark.parametrize(
    ("words", "cost", "device", "cores", "found"),
    [
        ([], 1_000.0, "cpu", 4, (4, 1)),
        ([], 1_000.0, "cpu", 32, (8, 4)),
        ([], 1_000.0, "cpu", 1, (1, 1)),
        ([], 1.0, "cpu", 4, (1, 4)),
        ([], 1_000.0, "cuda", 4, (1, 4)),
        (["--jobs", "3"], 1.0, "cpu", 8, (3, 2)),
        (["--jobs", "3"], 1.0, "cpu", 2, (3, 1)),
        (["--engine", "ray"], 1_000.0, "cpu", 4, (None, 4)),
    ],
)
def test_cores_are_divided_among_tasks(
    words: list[str],
    cost: float,
    device: str,
    cores: int,
    found: tuple[int | None, int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: cores)
    tasks = [Task(name, cost / 2, lambda context: {}) for name in "ab"]
    options = parse(["run", "swissroll", *words])
    given = {"engine": options.engine, "jobs": options.jobs}
    assert jobs_and_threads(tasks, torch.device(device), **given) == found
