"""CIFAR-10 in its official binary release.

Each of the six files is a sequence of records: one label byte, then 3,072 pixel bytes (red, green and blue planes of
32×32 pixels). Official files have 10,000 records each; any other number is accepted.

References:
    Krizhevsky 2009, "Learning multiple layers of features from tiny images".
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from basinscope.data import download
from basinscope.data.images import Images, ImageTask, divide, draw_subset
from basinscope.errors import InputError
from basinscope.seeds import generator

NUM_CLASSES = 10
SHAPE = (3, 32, 32)
RECORD_BYTES = 1 + 3 * 32 * 32
MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)
"""Channel means and standard deviations of the official training set."""
TRAIN_FILES = tuple(f"data_batch_{number}.bin" for number in range(1, 6))
TEST_FILE = "test_batch.bin"
_HELP = "get the files with basinscope fetch cifar10, or give their folder with --data-dir"


def _find(folder: Path) -> Path:
    """The folder of the files: the subfolder of `basinscope fetch`, or `folder` itself."""
    below = folder / download.SOURCES["cifar10"].folder
    folders = [path for path in (below, folder) if any((path / file).is_file() for file in (*TRAIN_FILES, TEST_FILE))]
    if not folders:
        raise InputError(f"{folder}: {TRAIN_FILES[0]} not found, nor in {below.name}/; {_HELP}")
    return folders[0]


def _read(path: Path) -> np.ndarray:
    """Records of one file: (records, 3073) bytes."""
    if not path.is_file():
        raise InputError(f"{path}: not found; {_HELP}")
    content = np.fromfile(path, dtype=np.uint8)
    if not len(content) or len(content) % RECORD_BYTES:
        raise InputError(
            f"{path}: {len(content):,} bytes are not a whole number of records of {RECORD_BYTES:,} bytes; {_HELP}"
        )
    records = content.reshape(-1, RECORD_BYTES)
    wrong = np.flatnonzero(records[:, 0] >= NUM_CLASSES)
    if len(wrong):
        label = records[wrong[0], 0]
        raise InputError(
            f"{path}: record {wrong[0]} has label {label}, labels run from 0 to {NUM_CLASSES - 1}; {_HELP}"
        )
    return records


def _images(records: np.ndarray) -> Images:
    pixels = torch.from_numpy(np.ascontiguousarray(records[:, 1:])).view(-1, *SHAPE)
    return Images(pixels, torch.from_numpy(records[:, 0].astype(np.int64)), MEAN, STD, NUM_CLASSES)


def load_cifar10(
    folder: Path, *, num_train: int | None, num_unseen: int, num_test: int | None = None, data_seed: int = 0
) -> ImageTask:
    """Read CIFAR-10.

    The unseen samples are a random part of the official training set, held out before training images are drawn from
    the rest; the choice depends on `data_seed` and `num_unseen` only.

    Args:
        folder: Folder of the six files, or the parent of `cifar-10-batches-bin`.
        num_train: Training images; `None` takes all that are not held out, in the order of the files.
        num_unseen: Images to poison with, 0 or more.
        num_test: Images of the official test set; `None` takes all, in order.
        data_seed: Seed of the choice of images.

    Returns:
        The three parts, named "CIFAR-10" if the manifest of `basinscope fetch` confirms every file.

    Raises:
        InputError: A file is missing or damaged, there are too few images, or a class is missing from a part.

    Example:
        `load_cifar10(Path("data"), num_train=45_000, num_unseen=5_000).train.pixels.shape` is (45000, 3, 32, 32).
    """
    root = _find(folder)
    official = _images(np.concatenate([_read(root / file) for file in TRAIN_FILES]))
    train, unseen = divide(official, num_unseen=num_unseen, num_train=num_train, data_seed=data_seed, name="CIFAR-10")
    test = draw_subset(
        _images(_read(root / TEST_FILE)),
        num_test,
        generator(data_seed, "CIFAR-10", "test"),
        "CIFAR-10 test images",
    )
    genuine = download.vouched(root, "cifar10", (*TRAIN_FILES, TEST_FILE))
    return ImageTask("CIFAR-10" if genuine else "CIFAR-10 format, files not verified", train, unseen, test)
