"""Street View House Numbers, the cropped digits.

Each of the files `train_32x32.mat`, `test_32x32.mat` and `extra_32x32.mat` holds X, bytes of shape (32, 32, 3, images),
and y, labels from 1 to 10 of shape (images, 1), where 10 stands for the digit 0.

References:
    Netzer et al. 2011, "Reading digits in natural images with unsupervised feature learning".
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from basinscope.data import download
from basinscope.data.images import Images, ImageTask, divide, draw_indices, require_every_class
from basinscope.errors import InputError
from basinscope.seeds import generator

NUM_CLASSES = 10
MEAN, STD = (0.4377, 0.4438, 0.4728), (0.1200, 0.1231, 0.1052)
"""Channel means and standard deviations of the official training set, as in the published scripts."""
TRAIN_FILE, TEST_FILE, EXTRA_FILE = "train_32x32.mat", "test_32x32.mat", "extra_32x32.mat"
_HELP = "get the files with basinscope fetch svhn, or give their folder with --data-dir"


@dataclass(frozen=True)
class _Stored:
    """Content of one file, in its own memory layout."""

    pixels: np.ndarray
    """(32, 32, 3, images), bytes."""
    labels: np.ndarray
    """(images,), from 0 to 9."""

    def images(self, where: Int[Tensor, " chosen"] | None = None) -> Images:
        """Transpose the chosen images, or all, to (images, 3, 32, 32); the full array is not copied."""
        # MATLAB stores arrays column by column: in the transpose, images come first in memory.
        chosen, labels = self.pixels.T, self.labels
        if where is not None:
            chosen, labels = chosen[where.numpy()], labels[where.numpy()]
        pixels = np.ascontiguousarray(chosen.transpose(0, 1, 3, 2))
        return Images(torch.from_numpy(pixels), torch.from_numpy(labels.astype(np.int64)), MEAN, STD, NUM_CLASSES)

    def draw(self, num: int | None, data_seed: int, what: str) -> Images:
        """Draw a random subset that contains every class; see `images.draw_subset`."""
        stream = generator(data_seed, "SVHN", what)
        where = None if num is None else draw_indices(len(self.labels), num, stream, f"SVHN {what} images")
        chosen = self.images(where)
        require_every_class(chosen, f"SVHN {what} images")
        return chosen


def _find(folder: Path) -> Path:
    """The folder of the files: the subfolder of `basinscope fetch`, `folder` itself, or another subfolder."""
    below = sorted(path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
    candidates = (folder / download.SOURCES["svhn"].folder, folder, *below)
    for candidate in candidates:
        if (candidate / TRAIN_FILE).is_file():
            return candidate
    raise InputError(f"{folder}: {TRAIN_FILE} not found, nor in a subfolder; {_HELP}")


def _read(path: Path) -> _Stored:
    if not path.is_file():
        raise InputError(f"{path}: not found; {_HELP}")
    try:
        return _load(path)
    except (InputError, MemoryError):
        raise
    except Exception as error:  # scipy raises many kinds of errors on damaged files
        raise InputError(f"{path}: cannot be read, {type(error).__name__}; {_HELP}") from error


def _load(path: Path) -> _Stored:
    from scipy.io import loadmat, whosmat

    # Check names, shapes and types before reading the content.
    variables = {name: (shape, kind) for name, shape, kind in whosmat(path, appendmat=False)}
    (*edges, num), kind = variables.get("X", ((0,), "nothing"))
    labels_shape, _ = variables.get("y", ((), "nothing"))
    if edges != [32, 32, 3] or kind != "uint8" or not num or tuple(labels_shape) != (num, 1):
        listed = " and ".join(f"{name} {shape} {kind}" for name, (shape, kind) in variables.items()) or "nothing"
        raise InputError(f"{path}: contains {listed}, not X (32, 32, 3, images) uint8 and y (images, 1); {_HELP}")
    content = loadmat(path, appendmat=False, variable_names=["X", "y"])
    labels = content["y"][:, 0]
    wrong = np.flatnonzero(~np.isin(labels, np.arange(1, NUM_CLASSES + 1)))
    if len(wrong):
        raise InputError(f"{path}: image {wrong[0]} has label {labels[wrong[0]]}, labels run from 1 to 10; {_HELP}")
    return _Stored(content["X"], labels.astype(np.int64) % NUM_CLASSES)


def load_svhn(
    folder: Path, *, num_train: int | None, num_unseen: int, num_test: int | None = None, data_seed: int = 0
) -> ImageTask:
    """Read SVHN.

    The unseen samples come from `extra_32x32.mat`. If that file is missing, they are a random part of the training set,
    held out before training images are drawn from the rest.

    Args:
        folder: Folder of the files, or its parent.
        num_train: Training images; `None` takes all that are not held out, in order.
        num_unseen: Images to poison with, 0 or more.
        num_test: Images of the official test set; `None` takes all, in order.
        data_seed: Seed of the choice of images.

    Returns:
        The three parts, named "SVHN" if every file read has its published checksum.

    Raises:
        InputError: A file is missing or damaged, there are too few images, or a class is missing from a part.

    Example:
        `load_svhn(Path("data"), num_train=None, num_unseen=39_040).train.pixels.shape` is (73257, 3, 32, 32) if all
        three files are there.
    """
    root = _find(folder)
    files = [TRAIN_FILE, TEST_FILE]
    if num_unseen and (root / EXTRA_FILE).is_file():
        files.append(EXTRA_FILE)
        unseen = _read(root / EXTRA_FILE).draw(num_unseen, data_seed, "unseen")
        train = _read(root / TRAIN_FILE).draw(num_train, data_seed, "training")
    else:
        whole = _read(root / TRAIN_FILE).images()
        train, unseen = divide(whole, num_unseen=num_unseen, num_train=num_train, data_seed=data_seed, name="SVHN")
    test = _read(root / TEST_FILE).draw(num_test, data_seed, "test")
    published = {one.file_name: one.md5 for one in download.SOURCES["svhn"].downloads}
    genuine = all(download.md5(root / file) == published[file] for file in files)
    return ImageTask("SVHN" if genuine else "SVHN format, files not the published ones", train, unseen, test)
