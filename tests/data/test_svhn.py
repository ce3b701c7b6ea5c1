from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.io import loadmat, savemat

from basinscope.data import download, svhn
from basinscope.errors import InputError

SIZES = {"train": 120, "test": 50, "extra": 90}


def _write(path: Path, num: int, seed: int, **changed: np.ndarray) -> None:
    pixels = np.random.default_rng(seed).integers(256, size=(32, 32, 3, num)).astype(np.uint8)
    labels = (np.arange(num, dtype=np.uint8) % 10 + 1)[:, None]
    savemat(path, {"X": pixels, "y": labels} | changed, do_compression=True)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    folder = tmp_path / "numbers"
    folder.mkdir()
    for seed, (name, num) in enumerate(SIZES.items()):
        _write(folder / f"{name}_32x32.mat", num, seed)
    return folder


def _rows(pixels: torch.Tensor) -> set[bytes]:
    return {bytes(row.flatten().tolist()) for row in pixels}


def test_every_pixel_and_label_stands_where_the_file_has_it(place: Path) -> None:
    task = svhn.load_svhn(place.parent, num_train=None, num_unseen=90)
    stored = loadmat(place / "train_32x32.mat")
    assert torch.equal(task.train.pixels, torch.from_numpy(stored["X"]).permute(3, 2, 0, 1))
    assert task.train.pixels.is_contiguous()
    assert task.train.labels.tolist() == [label % 10 for label in stored["y"][:, 0].tolist()]
    assert (task.train.mean, task.train.std) == ((0.4377, 0.4438, 0.4728), (0.1200, 0.1231, 0.1052))
    drawn = svhn.load_svhn(place, num_train=70, num_unseen=90)
    labels = {bytes(p.flatten().tolist()): int(y) for p, y in zip(task.train.pixels, task.train.labels, strict=True)}
    assert [labels[bytes(row.flatten().tolist())] for row in drawn.train.pixels] == drawn.train.labels.tolist()


def test_unseen_images_come_from_extra(place: Path) -> None:
    task = svhn.load_svhn(place, num_train=None, num_unseen=60, num_test=40)
    extra = torch.from_numpy(loadmat(place / "extra_32x32.mat")["X"]).permute(3, 2, 0, 1)
    assert len(task.train) == 120
    assert len(_rows(task.unseen.pixels)) == 60
    assert _rows(task.unseen.pixels) < _rows(extra)
    assert len(task.test) == 40
    assert svhn.load_svhn(place, num_train=None, num_unseen=60, num_test=40).checksum == task.checksum
    assert svhn.load_svhn(place, num_train=None, num_unseen=60, num_test=40, data_seed=1).checksum != task.checksum


def test_without_extra_they_are_held_out_of_the_training_set(place: Path) -> None:
    whole = svhn.load_svhn(place, num_train=None, num_unseen=0)
    (place / "extra_32x32.mat").unlink()
    task = svhn.load_svhn(place, num_train=None, num_unseen=50)
    train, unseen = _rows(task.train.pixels), _rows(task.unseen.pixels)
    assert (len(train), len(unseen)) == (70, 50)
    assert train | unseen == _rows(whole.train.pixels)
    assert len(svhn.load_svhn(place, num_train=60, num_unseen=50).train) == 60


def _damaged(path: Path, kind: str) -> None:
    content = path.read_bytes()
    if kind == "empty":
        path.write_bytes(b"")
    elif kind == "cut":  # the labels stand last
        path.write_bytes(content[: len(content) // 2])
    elif kind == "flipped":
        middle = len(content) // 2
        path.write_bytes(content[:middle] + bytes(64) + content[middle + 64 :])
    elif kind == "text":
        path.write_text("<html>not found</html>" * 100)
    elif kind == "shape":
        _write(path, 50, 0, X=np.zeros((28, 28, 3, 50), np.uint8))
    elif kind == "type":
        _write(path, 50, 0, X=np.zeros((32, 32, 3, 50)))
    elif kind == "short labels":
        _write(path, 50, 0, y=np.ones((49, 1), np.uint8))
    elif kind == "label":
        _write(path, 50, 0, y=np.array([[1]] * 7 + [[11]] * 43, np.uint8))


@pytest.mark.parametrize("name", ["train_32x32.mat", "test_32x32.mat", "extra_32x32.mat"])
@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("empty", "cannot be read"),
        ("cut", "contains X (32, 32, 3, "),
        ("flipped", "cannot be read"),
        ("text", "cannot be read"),
        ("shape", "contains X (28, 28, 3, 50) uint8 and y (50, 1) uint8, not X"),
        ("type", "contains X (32, 32, 3, 50) double and y"),
        ("short labels", "contains X (32, 32, 3, 50) uint8 and y (49, 1) uint8, not X"),
        ("label", "image 7 has label 11, labels run from 1 to 10"),
    ],
)
def test_a_damaged_file_is_named_and_what_to_do(place: Path, name: str, kind: str, says: str) -> None:
    _damaged(place / name, kind)
    with pytest.raises(InputError) as told:
        svhn.load_svhn(place, num_train=None, num_unseen=90)
    message = str(told.value)
    assert message.startswith(f"{place / name}: {says}")
    assert "basinscope fetch svhn" in message
    assert "--data-dir" in message
    assert "\n" not in message


@pytest.mark.parametrize("folder", ["nowhere", ""])
def test_a_folder_without_files_is_named(tmp_path: Path, folder: str) -> None:
    with pytest.raises(InputError, match=r"train_32x32\.mat not found, nor in a subfolder"):
        svhn.load_svhn(tmp_path / folder, num_train=None, num_unseen=0)


def test_a_missing_test_file_is_named(place: Path) -> None:
    (place / "test_32x32.mat").unlink()
    with pytest.raises(InputError, match=r"test_32x32\.mat: not found; get the files with basinscope fetch svhn"):
        svhn.load_svhn(place, num_train=None, num_unseen=0)


def test_a_part_without_a_class_is_refused(place: Path) -> None:
    with pytest.raises(InputError, match="SVHN unseen images: none of the 3 is of class"):
        svhn.load_svhn(place, num_train=None, num_unseen=3)
    with pytest.raises(InputError, match="91 SVHN unseen images requested, but there are 90"):
        svhn.load_svhn(place, num_train=None, num_unseen=91)


def test_only_published_files_bear_the_name(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def name(num_unseen: int) -> str:
        return svhn.load_svhn(place, num_train=None, num_unseen=num_unseen).name

    other = "SVHN format, files not the published ones"
    assert name(90) == other
    published = [
        download.Download(f"http://example.invalid/{path.name}", download.md5(path), path.stat().st_size)
        for path in place.iterdir()
    ]
    monkeypatch.setitem(download.SOURCES, "svhn", download.Source("svhn", tuple(published)))
    assert name(90) == "SVHN"
    _write(place / "extra_32x32.mat", 90, 7)
    assert name(90) == other
    # It is not read when nothing is to be poisoned with.
    assert name(0) == "SVHN"


def test_what_was_fetched_goes_before_what_lies_loose(place: Path) -> None:
    fetched = place / "svhn"
    fetched.mkdir()
    for name, num in (("train", 20), ("test", 10)):
        _write(fetched / f"{name}_32x32.mat", num, 9)
    assert len(svhn.load_svhn(place, num_train=None, num_unseen=0).train) == 20
