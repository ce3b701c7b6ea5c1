"""Shared by the experiments on images: data sources and stored networks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
import torch
import xarray as xr
from torch import nn

from basinscope.data import cifar10, digits, svhn
from basinscope.data.download import default_folder
from basinscope.data.images import ImageTask
from basinscope.errors import InputError
from basinscope.experiments.configuration import ExperimentConfig
from basinscope.models.catalog import build, num_parameters
from basinscope.models.polynomial import SHRUNK
from basinscope.results.convert import dataset
from basinscope.runs.engine import Context
from basinscope.runs.store import RunFolder
from basinscope.training.single import History, SingleResult

Source = Literal["scattered-digits", "files"]
_READERS: dict[str, Callable[..., ImageTask]] = {"cifar10": cifar10.load_cifar10, "svhn": svhn.load_svhn}


@dataclass(frozen=True, kw_only=True)
class ImageConfig(ExperimentConfig):
    """Image data settings of an experiment."""

    seed: int = 0
    """Seed of initial weights, batch order, unseen images and directions."""
    data_seed: int | None = None
    """Seed that selects images or scatters digits; none stands for 0."""
    source: Source = "scattered-digits"
    """`scattered-digits` needs no files; `files` reads --data-dir or what `basinscope fetch` downloaded."""
    data_name: str = ""
    """Name of the data in titles; empty takes their default name."""
    data_checksum: str = ""
    """SHA-256 of the images, recorded when a run begins; if given, it must match."""
    num_train: int | None = 1_000
    """Number of training images; none takes all."""
    num_unseen: int = 3_000
    """Pool size from which unseen samples are drawn."""
    num_test: int | None = 2_000
    """Number of test images; none takes all."""
    canvas: int = 16
    """Side of the scattered-digits images, in pixels."""

    @property
    def data(self) -> str:
        """Name of the images in claims and titles."""
        return self.data_name

    def nets(self) -> tuple[tuple[str, float], ...]:
        """Name and width of every network that a run builds."""
        raise AssertionError("subclasses name their networks")

    @property
    def edge_of_products(self) -> int:
        """Side of the downscaled image whose pixel products are inputs of a linear model."""
        return 16


Settings = TypeVar("Settings", bound=ImageConfig)


@lru_cache(maxsize=1)
def _read(
    kind: str, folder: Path, num_train: int | None, num_unseen: int, num_test: int | None, seed: int
) -> ImageTask:
    return _READERS[kind](folder, num_train=num_train, num_unseen=num_unseen, num_test=num_test, data_seed=seed)


def _load(kind: str, config: ImageConfig, data_dir: Path | None) -> ImageTask:
    seed = config.data_seed or 0
    if config.source == "files":
        folder = data_dir or default_folder()
        return _read(kind, folder, config.num_train, config.num_unseen, config.num_test, seed)
    for field in ("num_train", "num_test"):
        if getattr(config, field) is None:
            raise InputError(f"{config.NAME}.{field} = none: scattered digits are unlimited; give a number")
    return digits.scattered_digits(
        data_seed=seed,
        num_train=config.num_train or 0,
        num_unseen=config.num_unseen,
        num_test=config.num_test or 0,
        canvas=config.canvas,
    )


def prepare(kind: str, config: Settings, data_dir: Path | None) -> Settings:
    """Check the images before a run begins, and record their name and checksum in its configuration.

    Args:
        kind: Kind of files, `cifar10` or `svhn`.
        config: Requested configuration.
        data_dir: Folder of the files; if given, files are used whatever the preset's source.

    Raises:
        InputError: Files are missing or damaged, there are too few images, or a network cannot be built for them.
    """
    if data_dir is not None:
        config = replace(config, source="files")
    task = _load(kind, config, data_dir)
    if config.data_checksum and config.data_checksum != task.checksum:
        raise InputError(f"{config.NAME}.data_checksum = {config.data_checksum}: the images have {task.checksum}")
    for name, width in config.nets():
        try:
            build_net(name, width, task, shrunk=config.edge_of_products)
        except InputError as error:
            raise InputError(f"{config.NAME}, {name}: {error}") from error
    return replace(config, data_name=config.data_name or task.name, data_checksum=task.checksum)


def open_task(kind: str, config: ImageConfig, context: Context) -> ImageTask:
    """Load the images of a run onto its device.

    Raises:
        InputError: They are not the images with which the run began.
    """
    task = _load(kind, config, context.data_dir)
    if config.data_checksum and task.checksum != config.data_checksum:
        raise InputError(
            f"{config.NAME}: these are not the images with which the run began; give their folder with --data-dir"
        )
    return task.to(context.device)


def build_net(name: str, width: float, task: ImageTask, *, shrunk: int = SHRUNK) -> nn.Module:
    """Build a network for the images of a task."""
    _, channels, size, _ = task.train.pixels.shape
    return build(name, width=width, in_channels=channels, size=size, num_classes=task.train.num_classes, shrunk=shrunk)


def load_net(folder: RunFolder, name: str, model: nn.Module, device: torch.device) -> nn.Module:
    """Load the weights stored by a training task into a network, in eval mode."""
    model.load_state_dict(folder.weights(f"weights-{name}"))
    placed: Any = model.to(device, memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    return placed.eval()


def describe_net(name: str, model: nn.Module, result: SingleResult, *, poison: float = 0.0, run: int = 0) -> xr.Dataset:
    """Convert the results of one trained network to a dataset."""
    return dataset(
        "image_nets",
        {
            "net": [name],
            "poison": np.array([poison]),
            "run": np.array([run]),
            "steps": np.array([result.steps]),
            "num_parameters": np.array([num_parameters(model)]),
            "clean_loss": np.array([result.clean_loss]),
            "train_accuracy": np.array([result.train_accuracy]),
            "test_accuracy": np.array([result.test_accuracy]),
            "gap": np.array([result.train_accuracy - result.test_accuracy]),
        },
    )


def label_history(history: History) -> xr.Dataset:
    """Convert a training history to a dataset."""
    return dataset("history", {name: np.array(values) for name, values in vars(history).items()})
