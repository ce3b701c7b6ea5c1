"""CIFAR-10 in its official binary and python releases.

Each of the six binary files is a sequence of records: one label byte, then 3,072 pixel bytes (red, green and blue
planes of 32×32 pixels). Each of the six python files, which torchvision uses too, is a pickled dictionary of "data",
bytes of shape (images, 3072) in the same order, and "labels"; nothing is unpickled. Official files have 10,000 images
each; any other number is accepted.

References:
    Krizhevsky 2009, "Learning multiple layers of features from tiny images".
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from basinscope.data import download
from basinscope.data.images import Images, ImageTask, divide, draw_subset
from basinscope.data.plain_pickle import ByteArray, read_plain
from basinscope.errors import InputError, kind_of
from basinscope.seeds import generator

NUM_CLASSES = 10
SHAPE = (3, 32, 32)
PIXEL_BYTES = 3 * 32 * 32
RECORD_BYTES = 1 + PIXEL_BYTES
MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)
"""Channel means and standard deviations of the official training set."""
TRAIN_FILES = tuple(f"data_batch_{number}.bin" for number in range(1, 6))
TEST_FILE = "test_batch.bin"
PYTHON_FOLDER = "cifar-10-batches-py"
PYTHON_MD5 = {
    "data_batch_1": "c99cafc152244af753f735de768cd75f",
    "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
    "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
    "data_batch_4": "634d18415352ddfa80567beed471001a",
    "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
    "test_batch": "40351d587109b95175f43aff81a1287e",
}
"""Files of the python version, the test file last; MD5s are those that torchvision's CIFAR10 class checks."""
_HELP = "get the files with basinscope fetch cifar10, or give their folder with --data-dir"


@dataclass(frozen=True)
class _Version:
    """One of the two official releases."""

    folder: str
    """Name of its folder."""
    files: tuple[str, ...]
    """Five training files, then the test file."""
    read: Callable[[Path], np.ndarray]
    """Reads a file as records (images, 3073): the label, then the pixels."""
    genuine: Callable[[Path], bool]
    """Whether a folder's files are the published ones."""


def _find(folder: Path) -> tuple[Path, _Version]:
    """The folder of the files and their version: the usual subfolder, or `folder` itself; the binary version first."""
    for version in (_BINARY, _PYTHON):
        for place in (folder / version.folder, folder):
            if any((place / file).is_file() for file in version.files):
                return place, version
    if _is_cifar100(folder):
        raise InputError(f"{folder}: holds CIFAR-100, which is not supported, not CIFAR-10; {_HELP}")
    raise InputError(
        f"{folder}: {_BINARY.files[0]} not found, nor in {_BINARY.folder}/, nor the python version's "
        f"{_PYTHON.files[0]}, nor in {_PYTHON.folder}/; {_HELP}"
    )


def _is_cifar100(folder: Path) -> bool:
    versions = {"cifar-100-binary": ("train.bin", "test.bin"), "cifar-100-python": ("train", "test", "meta")}
    return any(
        all((place / file).is_file() for file in files)
        for name, files in versions.items()
        for place in (folder / name, folder)
    )


def _require_labels(labels: np.ndarray, path: Path, what: str) -> None:
    wrong = np.flatnonzero((labels < 0) | (labels >= NUM_CLASSES))
    if len(wrong):
        raise InputError(
            f"{path}: {what} {wrong[0]} has label {labels[wrong[0]]}, labels run from 0 to {NUM_CLASSES - 1}; {_HELP}"
        )


def _read_binary(path: Path) -> np.ndarray:
    """Records of one binary file: (records, 3073) bytes."""
    content = np.fromfile(path, dtype=np.uint8)
    if not len(content) or len(content) % RECORD_BYTES:
        raise InputError(
            f"{path}: {len(content):,} bytes are not a whole number of records of {RECORD_BYTES:,} bytes; {_HELP}"
        )
    records = content.reshape(-1, RECORD_BYTES)
    _require_labels(records[:, 0], path, "record")
    return records


def _read_python(path: Path) -> np.ndarray:
    """Records of one file of the python version: (records, 3073) bytes, as in the binary version."""
    try:
        batch = read_plain(path.read_bytes())
        pixels, labels = _pixels_and_labels(batch)
    except InputError as error:
        raise InputError(f"{path}: {error}; {_HELP}") from error
    _require_labels(labels, path, "image")
    return np.concatenate([labels[:, None].astype(np.uint8), pixels], axis=1)


def _pixels_and_labels(batch: object) -> tuple[np.ndarray, np.ndarray]:
    """Pixels (images, 3072) and labels (images,) of a file of the python version.

    Raises:
        InputError: One is missing, or of another shape or type.
    """
    if not isinstance(batch, dict):
        raise InputError(f"holds {kind_of(batch)}, not the dictionary of the python version of CIFAR-10")
    # Keys are bytes or text, depending on which Python wrote the file.
    data, labels = (batch.get(key, batch.get(key.encode())) for key in ("data", "labels"))
    if not isinstance(data, ByteArray) or len(data.shape) != 2 or data.shape[1] != PIXEL_BYTES:
        found = f"has shape {data.shape}" if isinstance(data, ByteArray) else f"is {kind_of(data)}"
        found = "is missing" if data is None else found
        raise InputError(f"'data' {found}, not an array of bytes of shape (images, {PIXEL_BYTES})")
    if labels is None:
        raise InputError("'labels' is missing from the dictionary")
    if not isinstance(labels, list) or any(type(label) is not int for label in labels):
        raise InputError("'labels' is not a list of integers")
    if len(labels) != data.shape[0]:
        raise InputError(f"{data.shape[0]} images and {len(labels)} labels")
    return data.values(), np.array(labels, dtype=np.int64)


def _vouched_binary(place: Path) -> bool:
    return download.vouched(place, "cifar10", _BINARY.files)


def _published_python(place: Path) -> bool:
    return all(download.md5(place / file) == md5 for file, md5 in PYTHON_MD5.items())


_BINARY = _Version(
    download.SOURCES["cifar10"].folder, (*TRAIN_FILES, TEST_FILE), read=_read_binary, genuine=_vouched_binary
)
_PYTHON = _Version(PYTHON_FOLDER, tuple(PYTHON_MD5), read=_read_python, genuine=_published_python)


def _images(records: np.ndarray) -> Images:
    pixels = torch.from_numpy(np.ascontiguousarray(records[:, 1:])).view(-1, *SHAPE)
    return Images(pixels, torch.from_numpy(records[:, 0].astype(np.int64)), MEAN, STD, NUM_CLASSES)


def load_cifar10(
    folder: Path, *, num_train: int | None, num_unseen: int, num_test: int | None = None, data_seed: int = 0
) -> ImageTask:
    """Read CIFAR-10, the binary version or else the python version.

    The unseen samples are a random part of the official training set, held out before training images are drawn from
    the rest; the choice depends on `data_seed` and `num_unseen` only.

    Args:
        folder: Folder of the six files, or the parent of `cifar-10-batches-bin` or `cifar-10-batches-py`.
        num_train: Training images; `None` takes all that are not held out, in the order of the files.
        num_unseen: Images to poison with, 0 or more.
        num_test: Images of the official test set; `None` takes all, in order.
        data_seed: Seed of the choice of images.

    Returns:
        The three parts, named "CIFAR-10" if the manifest of `basinscope fetch` confirms every binary file, or every
        python file has its published checksum.

    Raises:
        InputError: A file is missing or damaged, there are too few images, or a class is missing from a part.

    Example:
        `load_cifar10(Path("data"), num_train=45_000, num_unseen=5_000).train.pixels.shape` is (45000, 3, 32, 32).
    """
    root, version = _find(folder)
    *train_files, test_file = version.files
    missing = [file for file in version.files if not (root / file).is_file()]
    if missing:
        raise InputError(f"{root / ', '.join(missing)}: not found; {_HELP}")
    official = _images(np.concatenate([version.read(root / file) for file in train_files]))
    train, unseen = divide(official, num_unseen=num_unseen, num_train=num_train, data_seed=data_seed, name="CIFAR-10")
    test = draw_subset(
        _images(version.read(root / test_file)),
        num_test,
        generator(data_seed, "CIFAR-10", "test"),
        "CIFAR-10 test images",
    )
    return ImageTask(
        "CIFAR-10" if version.genuine(root) else "CIFAR-10 format, files not verified", train, unseen, test
    )
