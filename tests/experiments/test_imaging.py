"""What both experiments on images share: where the images come from, and runs on files."""

import json
import re
from dataclasses import asdict, replace
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from scipy.io import savemat

from basinscope.cli import main
from basinscope.data import cifar10, svhn
from basinscope.errors import InputError
from basinscope.experiments import imaging, registry
from basinscope.experiments.imaging import build_net, describe_net, load_net, open_task, prepare
from basinscope.models.catalog import initialize
from basinscope.plots import style
from basinscope.runs.engine import Context
from basinscope.runs.store import RunFolder
from basinscope.seeds import generator
from basinscope.training.single import History, SingleResult

NAMES = {"cifar10": "CIFAR-10 format, files not verified", "svhn": "SVHN format, files not the published ones"}
EXPERIMENTS = {"cifar10": "architectures", "svhn": "image_minima"}
"""Kind of files -> experiment that reads them."""
FIRST_FILES = {"cifar10": "data_batch_1.bin", "svhn": "train_32x32.mat"}
SHORT = {
    "cifar10": {
        "num_train": "none",
        "num_test": "none",
        "num_unseen": "0",
        "width": "0.25",
        "larger_width": "0.3",
        "shrunk": "4",
        "epochs": "2",
        "linear_epochs": "2",
        "table_epochs": "1",
        "optimizers": "adam,lbfgs",
    },
    "svhn": {
        "num_train": "none",
        "num_test": "none",
        "num_unseen": "30",
        "width": "0.25",
        "epochs": "12",
        "poisoned_epochs": "1",
        "settle_loss": "9",
        "num_directions": "2",
        "slice_resolution": "3",
        "line_resolution": "3",
        "num_lines": "1",
        "line_points": "2",
    },
}
"""A run on files that takes seconds."""


def _pixels(labels: np.ndarray, seed: int) -> np.ndarray:
    """(images, 3, 32, 32) bytes: a pattern for each class, so that it is soon learnt, and noise."""
    patterns = np.random.default_rng(99).integers(40, 216, size=(10, 3, 32, 32))
    noise = np.random.default_rng(seed).integers(-30, 31, size=(len(labels), 3, 32, 32))
    return (patterns[labels] + noise).astype(np.uint8)


def write_files(folder: Path, kind: str, seed: int = 0) -> Path:
    """Write small files in the published format: 40 training, 20 test and, of house numbers, 30 extra images."""
    folder.mkdir(parents=True, exist_ok=True)
    if kind == "cifar10":
        for place, name in enumerate((*cifar10.TRAIN_FILES, cifar10.TEST_FILE)):
            labels = (np.arange(20 if name == cifar10.TEST_FILE else 8) + 8 * place) % 10
            rows = _pixels(labels, 10 * seed + place).reshape(len(labels), -1)
            np.concatenate([labels[:, None].astype(np.uint8), rows], axis=1).tofile(folder / name)
    else:
        for place, (name, num) in enumerate(((svhn.TRAIN_FILE, 40), (svhn.TEST_FILE, 20), (svhn.EXTRA_FILE, 30))):
            labels = np.arange(num) % 10
            pixels = _pixels(labels, 10 * seed + place).transpose(2, 3, 1, 0)
            # In the files a 10 stands for the digit 0.
            savemat(folder / name, {"X": pixels, "y": np.where(labels, labels, 10).astype(np.uint8)[:, None]})
    return folder


def _settings(kind: str, **more: str) -> list[str]:
    return [
        word
        for field, text in (SHORT[kind] | more).items()
        for word in ("--set", f"{EXPERIMENTS[kind]}.{field}={text}")
    ]


def _few(kind: str):
    """Configuration that takes all images of small files."""
    num_unseen = 0 if kind == "cifar10" else 30
    smoke = registry.load_experiment(EXPERIMENTS[kind]).presets["smoke"]
    return replace(smoke, source="files", num_train=None, num_test=None, num_unseen=num_unseen)


def _context(path: Path, data_dir: Path | None = None) -> Context:
    return Context(RunFolder(path), "task", torch.device("cpu"), False, lambda _: None, data_dir)


def _one_line(capsys: pytest.CaptureFixture[str]) -> str:
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("basinscope: ")
    assert captured.err.count("\n") == 1
    return captured.err


both = pytest.mark.parametrize("kind", EXPERIMENTS)


@both
def test_preparing_notes_name_and_checksum(tmp_path: Path, kind: str) -> None:
    config = _few(kind)
    assert (config.data_name, config.data_checksum) == ("", "")
    found = prepare(kind, config, write_files(tmp_path, kind))
    assert found.data == NAMES[kind]
    assert re.fullmatch("[0-9a-f]{64}", found.data_checksum)
    assert replace(found, data_name="", data_checksum="") == config
    other = prepare(kind, config, write_files(tmp_path / "other", kind, seed=1))
    assert other.data_checksum != found.data_checksum
    assert RunFolder.path_of(tmp_path, kind, asdict(other), "s") != RunFolder.path_of(
        tmp_path, kind, asdict(found), "s"
    )


@both
def test_a_name_of_the_users_own_stays(tmp_path: Path, kind: str) -> None:
    found = prepare(kind, replace(_few(kind), data_name="mine"), write_files(tmp_path, kind))
    assert found.data == "mine"


@both
@pytest.mark.parametrize("preset", ["smoke", "quick"])
def test_naming_a_folder_turns_a_preset_of_digits_to_files(tmp_path: Path, kind: str, preset: str) -> None:
    config = registry.load_experiment(EXPERIMENTS[kind]).presets[preset]
    assert config.source == "scattered-digits"
    found = prepare(kind, replace(_few(kind), source="scattered-digits"), write_files(tmp_path, kind))
    assert (found.source, found.data) == ("files", NAMES[kind])
    digits = prepare(kind, config, None)
    assert digits.source == "scattered-digits"
    assert digits.data.startswith("scattered digits")


@both
def test_images_other_than_those_of_the_beginning_are_refused(tmp_path: Path, kind: str) -> None:
    begun, other = (write_files(tmp_path / str(seed), kind, seed=seed) for seed in (0, 1))
    config = prepare(kind, _few(kind), begun)
    assert open_task(kind, config, _context(tmp_path, begun)).checksum == config.data_checksum
    with pytest.raises(
        InputError, match=f"^{EXPERIMENTS[kind]}: these are not the images with which the run began.*--data-dir$"
    ):
        open_task(kind, config, _context(tmp_path, other))


@both
@pytest.mark.parametrize("preset", ["laptop", "paper"])
def test_missing_files_are_told_in_one_line_before_anything_is_written(
    tmp_path: Path, kind: str, preset: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("BASINSCOPE_DATA", str(tmp_path / "nothing"))
    out = tmp_path / "out"
    assert main(["run", EXPERIMENTS[kind], "--preset", preset, "--out", str(out)]) == 2
    told = _one_line(capsys)
    assert f"{tmp_path / 'nothing'}: {FIRST_FILES[kind]} not found" in told
    assert f"get the files with basinscope fetch {kind}" in told
    assert "--data-dir" in told
    assert not out.exists()


@both
@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"num_train": "41"}, "images requested"),
        ({"num_test": "21"}, "21 .* test images requested, but there are 20"),
        ({"num_unseen": "5000"}, r"5000 .*images"),
    ],
)
def test_more_images_than_the_files_hold_are_refused(
    tmp_path: Path, kind: str, settings: dict[str, str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_files(tmp_path / "data", kind)
    words = ["run", EXPERIMENTS[kind], "--preset", "smoke", "--data-dir", str(folder), "--out", str(tmp_path / "out")]
    assert main([*words, *_settings(kind, **settings)]) == 2
    assert re.search(says, _one_line(capsys))


@both
@pytest.mark.parametrize("field", ["num_train", "num_test"])
def test_scattered_digits_have_no_end(kind: str, field: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", EXPERIMENTS[kind], "--preset", "smoke", "--set", f"{EXPERIMENTS[kind]}.{field}=none"]) == 2
    assert f"{EXPERIMENTS[kind]}.{field} = none: scattered digits are unlimited; give a number" in _one_line(capsys)


@pytest.fixture
def titles(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What stands above each figure that is drawn; figures are saved coarsely, which is quicker."""
    found: list[str] = []

    def look(figure: Figure, stem: Path, write: style.Write) -> list[Path]:
        found.append(figure.get_suptitle())
        with plt.rc_context({"savefig.dpi": 30}):
            return style.save_figure(figure, stem, write)

    for name in registry.reading_files():
        monkeypatch.setattr(f"basinscope.experiments.{name}.figures.save_figure", look)
    return found


@both
def test_a_run_on_files_bears_their_name_and_can_be_drawn_without_them(
    tmp_path: Path, kind: str, titles: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    folder, out, name = write_files(tmp_path / "data", kind), tmp_path / "out", EXPERIMENTS[kind]
    words = [
        "run",
        EXPERIMENTS[kind],
        "--preset",
        "smoke",
        "--data-dir",
        str(folder),
        "--out",
        str(out),
        *_settings(kind),
    ]
    assert main(words) == 0
    for file in folder.iterdir():
        file.unlink()
    claims = json.loads((out / name / "claims.json").read_text(encoding="utf-8"))
    assert {claim["data"] for claim in claims} == {NAMES[kind]}
    assert all(claim["preset"].startswith("smoke, changed: num_train=none") for claim in claims)
    assert len(titles) == len(registry.load_experiment(EXPERIMENTS[kind]).figures)
    assert all(NAMES[kind] in title for title in titles)
    before = {file: file.read_bytes() for file in (out / name).iterdir()}
    assert main(["plot", name, "--out", str(out)]) == 0
    assert before == {file: file.read_bytes() for file in (out / name).iterdir()}
    capsys.readouterr()
    assert main(["status", "--out", str(out)]) == 0
    assert "tasks, finished" in capsys.readouterr().out
    imaging._read.cache_clear()
    assert main(words) == 2
    assert f"basinscope fetch {kind}" in capsys.readouterr().err


def test_a_stored_network_comes_back_as_it_was_and_ready_to_measure(tmp_path: Path) -> None:
    config = prepare("svhn", _few("svhn"), write_files(tmp_path, "svhn"))
    context = _context(tmp_path / "run", tmp_path)
    task = open_task("svhn", config, context)
    net = build_net("resnet8", 0.25, task)
    initialize(net, generator(3, "start"))
    with torch.no_grad():
        net(task.train.inputs())
    context.folder.finish("task", {"weights-a": net.state_dict()})
    fresh = load_net(context.folder, "a", build_net("resnet8", 0.25, task), torch.device("cpu"))
    assert not fresh.training
    assert torch.equal(fresh(task.test.inputs()), net.eval()(task.test.inputs()))


def test_a_network_is_described_by_what_training_gave() -> None:
    result = SingleResult(
        state={}, steps=7, clean_loss=0.5, train_accuracy=0.75, test_accuracy=0.5, history=History(epoch=[0.0])
    )
    found = describe_net("a", torch.nn.Linear(3, 2), result, poison=0.5, run=4).sel(net="a")
    numbers = {name: float(found[name]) for name in ("poison", "run", "steps", "num_parameters", "clean_loss", "gap")}
    assert numbers == {"poison": 0.5, "run": 4, "steps": 7, "num_parameters": 8, "clean_loss": 0.5, "gap": 0.25}
