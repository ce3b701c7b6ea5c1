"""Animates decision boundary and loss while weights move along a direction and back."""

from __future__ import annotations

import logging
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from basinscope.plots.boundary import plot_boundary
from basinscope.plots.style import FAINT, INK, TWO_COLUMNS, Write

DPI = 102
MILLISECONDS = 90
"""Duration of a frame."""
FLOOR = 1e-5
"""Lower losses, in nats, are drawn at this value."""


class EncodingError(RuntimeError):
    """The installed encoder failed."""


@dataclass(frozen=True)
class Column:
    """One network of the animation."""

    title: str
    colour: str
    frames: xr.Dataset
    """A `frames` dataset of the network."""
    line: xr.Dataset
    """A `slice1d` dataset of the network along the same direction, one ray."""


def draw_frames(columns: Sequence[Column], samples: xr.Dataset, *, heading: str, cutoff: float) -> list[np.ndarray]:
    """Draw one picture per distance: boundaries above, losses with a moving point below, on one scale.

    Args:
        columns: The networks, all at the same distances.
        samples: The training samples; misclassified ones are crossed.
        heading: First line of the title; the distance follows.
        cutoff: Loss in nats that bounds a basin, drawn as a dashed line.

    Returns:
        Pictures as arrays of bytes, (height, width, 3).
    """
    distances = columns[0].frames["distance"].values
    top = max(float(np.nanmax(c.line["loss"].values)) for c in columns)
    pictures = []
    for k, distance in enumerate(distances):
        figure, grid = plt.subplots(
            2, len(columns), figsize=(TWO_COLUMNS, 5.33), height_ratios=(2.4, 1), layout="constrained", squeeze=False
        )
        figure.suptitle(f"{heading}\ndistance {distance:.4f} filter norms")
        for (above, below), column in zip(grid.T, columns, strict=True):
            frame = column.frames.isel(distance=k)
            _boundary(above, frame, samples, column)
            _loss(below, frame, column, cutoff=cutoff, top=top)
        grid[0, 0].set_xlabel("× misclassified training point", fontsize=6)
        grid[1, 0].set_ylabel(f"clean loss [nat]\nfloor {FLOOR:g}")
        pictures.append(_pixels(figure))
        plt.close(figure)
    return pictures


def _boundary(axes: Axes, frame: xr.Dataset, samples: xr.Dataset, column: Column) -> None:
    plot_boundary(axes, frame, samples)
    wrong = frame["right"].values == 0
    axes.scatter(*samples["inputs"].values[wrong].T, s=16, c=INK, marker="x", linewidths=0.9, zorder=4)
    share = f"{100 * (1 - wrong.mean()):.1f} %"
    axes.set_title(f"{column.title}: {share} of the training points right", color=column.colour)


def _loss(axes: Axes, frame: xr.Dataset, column: Column, *, cutoff: float, top: float) -> None:
    axes.set_yscale("log")
    losses = np.maximum(column.line["loss"].values, FLOOR)
    axes.plot(column.line["distance"].values, losses, color=column.colour, linewidth=1.3)
    axes.axhline(cutoff, color=FAINT, linestyle="--", linewidth=0.8)
    left = float(column.line["distance"][0])
    words: Any = {"xytext": (0, 3), "textcoords": "offset points", "fontsize": 5.5}
    axes.annotate(f"cutoff {cutoff:g}", (left, cutoff), color=FAINT, **words)
    here = max(float(frame["loss"]), FLOOR)
    axes.plot([float(frame["distance"])], [here], "o", color=INK, markersize=5, zorder=4)
    axes.set(ylim=(0.7 * FLOOR, 2 * max(top, cutoff)), xlabel="distance [filter norms]")


def _pixels(figure: Figure) -> np.ndarray:
    figure.set_dpi(DPI)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def out_and_back(pictures: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Order the pictures in a closed loop: outwards, then back through the same ones."""
    return [*pictures, *reversed(pictures[1:-1])]


def save_animation(pictures: Sequence[np.ndarray], stem: Path, write: Write) -> list[Path]:
    """Save pictures as a looping GIF and, if ffmpeg is installed, as an MP4.

    Args:
        pictures: The pictures outwards; the loop returns through them.
        stem: Destination without a suffix.
        write: Writes a file atomically.

    Returns:
        The files.
    """
    loop = out_and_back(pictures)
    images = [Image.fromarray(picture) for picture in loop]
    # A common palette keeps flat colours from flickering.
    palette = Image.fromarray(np.concatenate([pictures[0], pictures[len(pictures) // 2], pictures[-1]])).quantize(128)
    _whiten(palette)
    flat = [image.quantize(palette=palette, dither=Image.Dither.NONE) for image in images]
    gif = stem.with_name(stem.name + ".gif")
    write(
        gif,
        lambda partial: flat[0].save(
            partial, save_all=True, append_images=flat[1:], duration=MILLISECONDS, loop=0, optimize=False
        ),
    )
    files = [gif]
    ffmpeg = shutil.which("ffmpeg")
    if ffmpeg:
        mp4 = stem.with_name(stem.name + ".mp4")
        try:
            write(mp4, lambda partial: _encode(ffmpeg, loop, partial))
            files.append(mp4)
        except EncodingError as error:
            logging.getLogger(__name__).warning("no MP4: %s", error)
    return files


def _whiten(image: Image.Image) -> None:
    """Turn nearly white colours white, as averaged palettes tint the background."""
    colours = np.array(image.getpalette()).reshape(-1, 3)
    colours[colours.min(1) >= 248] = 255
    image.putpalette(colours.ravel().tolist())


def _encode(ffmpeg: str, loop: Sequence[np.ndarray], path: Path) -> None:
    # The codec needs even sides.
    height, width = (side // 2 * 2 for side in loop[0].shape[:2])
    raw = b"".join(np.ascontiguousarray(picture[:height, :width]).tobytes() for picture in loop)
    rate = f"{1000 / MILLISECONDS:.3f}"
    source = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", rate, "-i", "-"]
    target = ["-an", "-c:v", "libx264", "-pix_fmt", "yuv420p", "-movflags", "+faststart", "-fflags", "+bitexact"]
    command = [ffmpeg, "-loglevel", "error", "-y", *source, *target, str(path)]
    done = subprocess.run(command, input=raw, capture_output=True, check=False)
    if done.returncode:
        raise EncodingError(f"ffmpeg failed: {done.stderr.decode(errors='replace').strip()[:200]}")
