import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from basinscope.data import cifar10, download
from basinscope.errors import InputError

FILES = (*cifar10.TRAIN_FILES, cifar10.TEST_FILE)
RECORDS = 40


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Six tiny files; pixel bytes are noise, labels go round."""
    folder = tmp_path / "cifar-10-batches-bin"
    folder.mkdir()
    noise = np.random.default_rng(0)
    for name in FILES:
        records = noise.integers(256, size=(RECORDS, 3073)).astype(np.uint8)
        records[:, 0] = np.arange(RECORDS) % 10
        records.tofile(folder / name)
    return folder


def _rows(pixels: torch.Tensor) -> set[bytes]:
    return {bytes(row.flatten().tolist()) for row in pixels}


def test_every_byte_stands_where_the_format_says(place: Path) -> None:
    task = cifar10.load_cifar10(place.parent, num_train=None, num_unseen=0)
    assert task.train.pixels.shape == (5 * RECORDS, 3, 32, 32)
    for file, record, channel, y, x in [(0, 0, 0, 0, 0), (0, 3, 2, 31, 31), (4, 39, 1, 7, 20), (2, 11, 0, 20, 7)]:
        content = (place / FILES[file]).read_bytes()
        begin = record * 3073
        image = file * RECORDS + record
        assert int(task.train.labels[image]) == content[begin]
        assert int(task.train.pixels[image, channel, y, x]) == content[begin + 1 + 1024 * channel + 32 * y + x]
    test = (place / FILES[5]).read_bytes()
    assert bytes(task.test.pixels[-1].flatten().tolist()) == test[-3072:]
    assert (task.train.mean, task.train.std) == ((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616))


def test_training_and_unseen_images_share_none_and_both_are_of_the_training_set(place: Path) -> None:
    whole = cifar10.load_cifar10(place, num_train=None, num_unseen=0)
    task = cifar10.load_cifar10(place, num_train=100, num_unseen=80, num_test=30, data_seed=4)
    train, unseen, test = (_rows(part.pixels) for part in (task.train, task.unseen, task.test))
    assert (len(train), len(unseen), len(test)) == (100, 80, 30)
    assert not train & unseen
    assert train | unseen < _rows(whole.train.pixels)
    assert test < _rows(whole.test.pixels)
    assert cifar10.load_cifar10(place, num_train=100, num_unseen=80, num_test=30, data_seed=4).checksum == task.checksum
    assert cifar10.load_cifar10(place, num_train=100, num_unseen=80, num_test=30, data_seed=5).checksum != task.checksum


def _remove(path: Path) -> None:
    path.unlink()


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def _mislabel(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[3 * 3073] = 10
    path.write_bytes(content)


@pytest.mark.parametrize("name", ["data_batch_1.bin", "data_batch_3.bin", "test_batch.bin"])
@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (_remove, "not found"),
        (_empty, "0 bytes are not a whole number of records of 3,073 bytes"),
        (_cut, "122,919 bytes are not a whole number of records of 3,073 bytes"),
        (_mislabel, "record 3 has label 10, labels run from 0 to 9"),
    ],
)
def test_a_damaged_file_is_named_and_what_to_do(place: Path, name: str, damage, says: str) -> None:
    damage(place / name)
    with pytest.raises(InputError) as told:
        cifar10.load_cifar10(place.parent, num_train=None, num_unseen=0)
    message = str(told.value)
    assert message.startswith(f"{place / name}: {says}")
    assert "basinscope fetch cifar10" in message
    assert "--data-dir" in message
    assert "\n" not in message


@pytest.mark.parametrize("folder", ["nowhere", ""])
def test_a_folder_without_files_is_named(tmp_path: Path, folder: str) -> None:
    with pytest.raises(InputError, match=r"data_batch_1\.bin not found, nor in cifar-10-batches-bin/"):
        cifar10.load_cifar10(tmp_path / folder, num_train=None, num_unseen=0)


def test_a_part_without_a_class_is_refused(place: Path) -> None:
    with pytest.raises(InputError, match="CIFAR-10 unseen images: none of the 3 is of class"):
        cifar10.load_cifar10(place, num_train=None, num_unseen=3)
    with pytest.raises(InputError, match="CIFAR-10 training images: none of the 5 is of class"):
        cifar10.load_cifar10(place, num_train=5, num_unseen=0)
    with pytest.raises(InputError, match="41 CIFAR-10 test images requested, but there are 40"):
        cifar10.load_cifar10(place, num_train=None, num_unseen=0, num_test=41)


def _vouch(place: Path, published: str) -> None:
    notes = {
        name: {
            "sha256": hashlib.sha256((place / name).read_bytes()).hexdigest(),
            "bytes": (place / name).stat().st_size,
            "published_md5": published,
        }
        for name in FILES
    }
    (place / download.MANIFEST).write_text(json.dumps({"files": notes}))


def test_only_files_that_the_manifest_vouches_for_bear_the_name(place: Path) -> None:
    def name() -> str:
        return cifar10.load_cifar10(place, num_train=None, num_unseen=0).name

    unverified = "CIFAR-10 format, files not verified"
    assert name() == unverified
    _vouch(place, download.SOURCES["cifar10"].downloads[0].md5)
    assert name() == "CIFAR-10"
    content = bytearray((place / FILES[2]).read_bytes())
    content[100] ^= 1
    (place / FILES[2]).write_bytes(content)
    assert name() == unverified
    _vouch(place, "0" * 32)
    assert name() == unverified
    (place / download.MANIFEST).write_text("[1, 2")
    assert name() == unverified
