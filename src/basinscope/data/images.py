"""Labelled images, stored as bytes and normalised on access."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

from basinscope.errors import InputError
from basinscope.seeds import generator


@dataclass(frozen=True)
class Images:
    """A set of images in one tensor of bytes; subsets of it are chosen by masks or indices.

    Example:
        >>> images = Images(torch.zeros(4, 3, 8, 8, dtype=torch.uint8), torch.arange(4), (0.5,) * 3, (0.25,) * 3)
        >>> images.inputs(slice(0, 2)).shape
        torch.Size([2, 3, 8, 8])
        >>> float(images.inputs()[0, 0, 0, 0])
        -2.0
    """

    pixels: UInt8[Tensor, "images channels height width"]
    """Intensities from 0 to 255."""
    labels: Int[Tensor, " images"]
    """Class indices from 0, int64."""
    mean: tuple[float, ...]
    """Of each channel, in units of 255."""
    std: tuple[float, ...]
    """Standard deviation of each channel, in units of 255."""
    num_classes: int = 10
    """Number of classes, whether or not each occurs in this set."""

    def __post_init__(self) -> None:
        if self.pixels.dtype != torch.uint8 or self.pixels.ndim != 4:
            raise InputError(
                f"pixels {tuple(self.pixels.shape)} of type {self.pixels.dtype}: give bytes (torch.uint8) of shape "
                "(images, channels, height, width)"
            )
        if self.labels.dtype != torch.int64:
            raise InputError(f"labels of type {self.labels.dtype}: give class indices, for example labels.long()")
        if self.labels.shape != self.pixels.shape[:1]:
            raise InputError(f"{len(self.pixels)} images and {len(self.labels)} labels: give one label for each image")
        if not len(self.mean) == len(self.std) == self.pixels.shape[1]:
            raise InputError(
                f"{self.pixels.shape[1]} channels, {len(self.mean)} means and {len(self.std)} standard deviations: "
                "give one of each for every channel"
            )
        if not all(deviation > 0 for deviation in self.std):
            raise InputError(f"std = {self.std}: must be above 0 in every channel")
        if len(self.labels):
            low, high = (int(bound) for bound in self.labels.aminmax())
            if low < 0 or high >= self.num_classes:
                raise InputError(f"labels from {low} to {high}: must lie between 0 and {self.num_classes - 1}")

    def __len__(self) -> int:
        return len(self.labels)

    def to(self, device: torch.device | str) -> Images:
        """Copy to a device."""
        return Images(self.pixels.to(device), self.labels.to(device), self.mean, self.std, self.num_classes)

    def subset(self, where: Int[Tensor, " chosen"] | Bool[Tensor, " images"]) -> Images:
        """Choose images by index, in the order of the indices, or by a mask.

        Raises:
            InputError: The mask does not have one entry for each image, or an index is out of range.
        """
        if where.dtype == torch.bool and len(where) != len(self):
            raise InputError(f"a mask of {len(where)} entries for {len(self)} images: give one entry for each image")
        if where.dtype != torch.bool and len(where):
            low, high = (int(bound) for bound in where.aminmax())
            if low < -len(self) or high >= len(self):
                raise InputError(f"indices from {low} to {high}: there are {len(self)} images")
        return Images(self.pixels[where], self.labels[where], self.mean, self.std, self.num_classes)

    def inputs(
        self, where: slice | Int[Tensor, " chosen"] = slice(None), *, dtype: torch.dtype = torch.float32
    ) -> Float[Tensor, "batch channels height width"]:
        """Normalise some images: (pixel / 255 − mean) / std, channel by channel.

        Args:
            where: Which images, all of them by default.
            dtype: Of the result. float64 is computed in float64, everything else in float32.

        Returns:
            A new tensor on the pixels' device, in channels-last memory format.
        """
        exact = torch.float64 if dtype == torch.float64 else torch.float32
        inputs = self.pixels[where].to(exact, memory_format=torch.channels_last)
        shift, scale = self._bytes_to_units
        return inputs.sub_(shift.to(exact)).div_(scale.to(exact)).to(dtype)

    @cached_property
    def _bytes_to_units(self) -> tuple[Tensor, Tensor]:
        """Shift and scale of bytes; cached, because creating them synchronises with the device."""

        def column(values: tuple[float, ...]) -> Tensor:
            return torch.tensor([255 * v for v in values], dtype=torch.float64).view(-1, 1, 1).to(self.pixels.device)

        return column(self.mean), column(self.std)


@dataclass(frozen=True)
class ImageTask:
    """Images to train on, unseen ones to poison with, and others to test on."""

    name: str
    """Name of the data in titles."""
    train: Images
    unseen: Images
    """From the same distribution, disjoint from the other parts."""
    test: Images

    def __post_init__(self) -> None:
        for what, part in (("unseen", self.unseen), ("test", self.test)):
            if part.pixels.shape[1:] != self.train.pixels.shape[1:] or part.num_classes != self.train.num_classes:
                raise InputError(
                    f"{self.name}: training images are {tuple(self.train.pixels.shape[1:])} in "
                    f"{self.train.num_classes} classes, {what} images {tuple(part.pixels.shape[1:])} in "
                    f"{part.num_classes}; give three parts of one kind"
                )
            if (part.mean, part.std) != (self.train.mean, self.train.std):
                raise InputError(f"{self.name}: {what} images are normalised otherwise; take the training images' mean")

    def to(self, device: torch.device | str) -> ImageTask:
        """Copy to a device."""
        return ImageTask(self.name, self.train.to(device), self.unseen.to(device), self.test.to(device))

    @property
    def checksum(self) -> str:
        """SHA-256 over shapes, pixels and labels of the three parts, in hexadecimal; the same on every device."""
        digest = hashlib.sha256()
        for part in (self.train, self.unseen, self.test):
            digest.update(repr(tuple(part.pixels.shape)).encode())
            digest.update(part.pixels.contiguous().cpu().numpy().data)
            digest.update(part.labels.cpu().numpy().astype("<i8").data)
        return digest.hexdigest()


def require_every_class(images: Images, what: str) -> None:
    """Check that a set contains every class.

    Args:
        images: The set.
        what: Its name in the message, for example "CIFAR-10 training images".

    Raises:
        InputError: A class is missing; the message names the first.
    """
    counts = torch.bincount(images.labels, minlength=images.num_classes).tolist()
    if 0 in counts:
        raise InputError(f"{what}: none of the {len(images)} is of class {counts.index(0)}; take more of them")


def draw_indices(total: int, num: int | None, stream: torch.Generator, what: str) -> Int[Tensor, " chosen"]:
    """Draw `num` of the numbers from 0 to `total` − 1 without replacement, in random order.

    A smaller draw is a prefix of a larger one.

    Args:
        total: Size of the range.
        num: Number to draw; `None` takes all of them, in order.
        stream: A CPU random stream.
        what: Their name in the message.

    Raises:
        InputError: `num` is negative or exceeds `total`.
    """
    if num is None:
        return torch.arange(total)
    if not 0 <= num <= total:
        raise InputError(f"{num} {what} requested, but there are {total}; choose between 0 and {total}")
    return torch.randperm(total, generator=stream)[:num]


def draw_subset(images: Images, num: int | None, stream: torch.Generator, what: str) -> Images:
    """Draw a random subset that contains every class.

    Args:
        images: Images to draw from.
        num: Number to draw; `None` takes all of them, in order.
        stream: A CPU random stream; the same state gives the same subset.
        what: Name of the images in messages, for example "SVHN test images".

    Raises:
        InputError: There are too few images, or a class is missing from the draw.

    Example:
        >>> from basinscope.seeds import generator
        >>> whole = Images(torch.zeros(90, 1, 8, 8).byte(), torch.arange(90) % 3, (0.5,), (0.25,), num_classes=3)
        >>> len(draw_subset(whole, 50, generator(0, "example"), "example images"))
        50
    """
    chosen = images if num is None else images.subset(draw_indices(len(images), num, stream, what))
    require_every_class(chosen, what)
    return chosen


def divide(
    images: Images, *, num_unseen: int, num_train: int | None, data_seed: int, name: str
) -> tuple[Images, Images]:
    """Hold unseen samples out of a training set, then draw training images from the rest.

    Which images are held out depends on `data_seed` and `num_unseen` alone.

    Args:
        images: The whole training set.
        num_unseen: Number of images to hold out, 0 or more, fewer than all.
        num_train: Number of images to draw from the rest; `None` takes all of it, in order.
        data_seed: Seed of the division.
        name: Name of the data in streams and messages.

    Returns:
        Training images and unseen images, disjoint.

    Raises:
        InputError: There are too few images, or a class is missing from a part that is not empty.
    """
    what = f"{name} images to hold out as unseen"
    if num_unseen >= len(images):
        raise InputError(f"{num_unseen} {what} would leave none of {len(images)} to train on; ask for fewer")
    held_out = draw_indices(len(images), num_unseen, generator(data_seed, name, "unseen"), what)
    rest = torch.ones(len(images), dtype=torch.bool)
    rest[held_out] = False
    unseen = images.subset(held_out)
    if num_unseen:
        require_every_class(unseen, f"{name} unseen images")
    train = draw_subset(
        images.subset(rest), num_train, generator(data_seed, name, "training"), f"{name} training images"
    )
    return train, unseen
