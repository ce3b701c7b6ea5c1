"""Real handwritten digits scattered over a larger canvas, with scraps of other digits as clutter.

The 1,797 8×8 digits of scikit-learn are divided among the three parts first, so that no digit appears in two of them. A
small convolutional network learns the task; a linear model on pixels and their products fits the training images but
fails on others.
"""

from __future__ import annotations

import torch
from jaxtyping import Int, UInt8
from torch import Tensor

from basinscope.data.images import Images, ImageTask
from basinscope.errors import InputError
from basinscope.seeds import generator

NUM_CLASSES = 10
DIGIT, SCRAP = 8, 3
"""Edges of a digit and of a scrap, in pixels."""
NUM_SCRAPS = 4
MIN_CANVAS = DIGIT + 2 * SCRAP - 1
"""Smallest canvas with room for a scrap beside the digit at any position."""
MAX_CANVAS = 128
_BRIGHTEST = 16
"""Largest intensity of scikit-learn's digits, which run from 0 to 16."""


def _all_digits() -> tuple[UInt8[Tensor, "digits 8 8"], Int[Tensor, " digits"]]:
    from sklearn.datasets import load_digits

    # A pair has the same type in every version of scikit-learn.
    flat, labels = load_digits(return_X_y=True)
    bytes_ = (torch.from_numpy(flat) * (255 / _BRIGHTEST)).round().to(torch.uint8)
    return bytes_.view(-1, DIGIT, DIGIT), torch.from_numpy(labels).long()


def _divide(labels: Int[Tensor, " digits"], sizes: tuple[int, int, int], data_seed: int) -> list[Int[Tensor, " part"]]:
    """Divide the digits of each class among three parts in proportion to `sizes`, at least one to each."""
    stream = generator(data_seed, "digits", "division")
    parts: list[list[Tensor]] = [[], [], []]
    for label in range(NUM_CLASSES):
        own = (labels == label).nonzero().squeeze(1)
        own = own[torch.randperm(len(own), generator=stream)]
        first = min(max(round(len(own) * sizes[0] / sum(sizes)), 1), len(own) - 2)
        second = min(max(round(len(own) * (sizes[0] + sizes[1]) / sum(sizes)), first + 1), len(own) - 1)
        for part, chosen in zip(parts, own.tensor_split((first, second)), strict=True):
            part.append(chosen)
    return [torch.cat(part) for part in parts]


def _pick(labels: Int[Tensor, " digits"], num: int, stream: torch.Generator) -> Int[Tensor, " images"]:
    """Choose a digit for each image, in random order; classes, and digits of a class, are as balanced as possible."""
    classes = torch.arange(num)[torch.randperm(num, generator=stream)] % NUM_CLASSES
    picked = torch.empty(num, dtype=torch.int64)
    for label in range(NUM_CLASSES):
        own, images = (labels == label).nonzero().squeeze(1), (classes == label).nonzero().squeeze(1)
        rounds = -(-len(images) // len(own))
        order = [own[torch.randperm(len(own), generator=stream)] for _ in range(rounds)]
        if order:
            picked[images] = torch.cat(order)[: len(images)]
    return picked


def _window(top: Int[Tensor, " images"], left: Int[Tensor, " images"], edge: int) -> tuple[Tensor, Tensor, Tensor]:
    """Indices of a square in each image: shapes (images, 1, 1), (images, edge, 1) and (images, 1, edge)."""
    along = torch.arange(edge)
    image = torch.arange(len(top)).view(-1, 1, 1)
    return image, top.view(-1, 1, 1) + along.view(1, -1, 1), left.view(-1, 1, 1) + along.view(1, 1, -1)


def _free_corners(
    top: Int[Tensor, " images"], left: Int[Tensor, " images"], canvas: int, stream: torch.Generator
) -> Int[Tensor, "images scraps 2"]:
    """Draw a top left corner for each scrap, uniformly among the positions entirely outside the digit's square."""
    corners = torch.arange(canvas - SCRAP + 1)

    def apart(digit: Tensor) -> Tensor:
        return (corners + SCRAP <= digit[:, None]) | (corners >= digit[:, None] + DIGIT)

    free = apart(top)[:, :, None] | apart(left)[:, None, :]
    order = torch.rand(free.shape, generator=stream).masked_fill_(~free, 2.0).flatten(1)
    chosen = order.argsort(dim=1, stable=True)[:, :NUM_SCRAPS]
    return torch.stack([chosen // len(corners), chosen % len(corners)], dim=-1)


def _scatter(
    digits: UInt8[Tensor, "digits 8 8"], picked: Int[Tensor, " images"], canvas: int, stream: torch.Generator
) -> UInt8[Tensor, "images 1 canvas canvas"]:
    """Draw each picked digit and its clutter; if scraps overlap, the brighter pixel wins."""
    num = len(picked)

    def anywhere(room: int) -> tuple[Tensor, Tensor]:
        top, left = torch.randint(room + 1, (2, num), generator=stream)
        return top, left

    pixels = torch.zeros(num, canvas, canvas, dtype=torch.uint8)
    top, left = anywhere(canvas - DIGIT)
    pixels[_window(top, left, DIGIT)] = digits[picked]
    corners = _free_corners(top, left, canvas, stream)
    for corner in corners.unbind(1):
        other = (picked + torch.randint(1, len(digits), (num,), generator=stream)) % len(digits)
        _, rows, columns = _window(*anywhere(DIGIT - SCRAP), SCRAP)
        scraps = digits[other.view(-1, 1, 1), rows, columns]
        window = _window(corner[:, 0], corner[:, 1], SCRAP)
        pixels[window] = torch.maximum(pixels[window], scraps)
    return pixels.unsqueeze(1)


def scattered_digits(
    *, data_seed: int = 0, num_train: int = 1000, num_unseen: int = 3000, num_test: int = 2000, canvas: int = 16
) -> ImageTask:
    """Scatter digits over canvases, each with four 3×3 scraps cut from other digits.

    The position of the digit is uniform over the canvas. Each scrap is cut at a random position from another digit of
    the same part and placed entirely outside the digit's 8×8 square, so that clutter never covers the digit. Digits are
    divided among the parts class by class, in proportion to the parts' sizes; a part uses each of its digits equally
    often, and its classes are as balanced as possible.

    Args:
        data_seed: Seed of the division and of all positions.
        num_train: Training images.
        num_unseen: Images to poison with.
        num_test: Test images.
        canvas: Edge of the images in pixels, 13 or more.

    Returns:
        Three parts with one channel, each with every class; mean and standard deviation are the training part's.

    Raises:
        InputError: A part is smaller than the number of classes, or the canvas has no room for a scrap.
        ModuleNotFoundError: scikit-learn, the source of the digits, is not installed.

    Example:
        >>> task = scattered_digits(num_train=100, num_unseen=100, num_test=100)
        >>> task.train.pixels.shape
        torch.Size([100, 1, 16, 16])
    """
    sizes = {"training": num_train, "unseen": num_unseen, "test": num_test}
    for what, num in sizes.items():
        if num < NUM_CLASSES:
            raise InputError(f"{num} {what} images of scattered digits: ask for at least {NUM_CLASSES}, one a class")
    if not MIN_CANVAS <= canvas <= MAX_CANVAS:
        raise InputError(f"canvas = {canvas}: must be between {MIN_CANVAS} and {MAX_CANVAS} pixels")
    digits, labels = _all_digits()
    drawn = []
    for (what, num), own in zip(
        sizes.items(), _divide(labels, (num_train, num_unseen, num_test), data_seed), strict=True
    ):
        stream = generator(data_seed, "digits", what)
        picked = _pick(labels[own], num, stream)
        drawn.append((_scatter(digits[own], picked, canvas, stream), labels[own][picked]))
    units = drawn[0][0].double() / 255
    mean, std = (float(units.mean()),), (float(units.std(correction=0)),)
    parts = [Images(pixels, classes, mean, std, NUM_CLASSES) for pixels, classes in drawn]
    return ImageTask(f"scattered digits (scikit-learn's 8×8 digits on a {canvas}×{canvas} canvas)", *parts)
