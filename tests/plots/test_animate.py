import logging
import shutil
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.axes import Axes
from PIL import Image

from basinscope.plots import animate
from basinscope.plots.animate import Column, draw_frames, out_and_back, save_animation
from basinscope.plots.style import styled
from basinscope.results.convert import dataset
from basinscope.runs import atomic

DISTANCES = np.array([0.0, 0.01, 0.3])
LOSSES = {"good": np.array([1e-7, 1e-4, 0.5]), "bad": np.array([1e-3, 2.0, 8.0])}


def _columns() -> list[Column]:
    x = np.linspace(-1, 1, 12)
    columns = []
    for name, loss in LOSSES.items():
        values = {
            "distance": DISTANCES,
            "x": x,
            "y": x,
            "logit": np.stack([np.add.outer(x, x) + d for d in DISTANCES]),
            "loss": loss,
            "right": np.array([[1, 1], [1, 0], [0, 0]], dtype=np.int8),
        }
        along = np.linspace(-0.3, 0.3, 7)
        line = dataset("slice1d", {"ray": np.array([0]), "distance": along, "loss": np.abs(along)[None] * 10})
        columns.append(Column(name, "#123456", dataset("frames", values), line.isel(ray=0)))
    return columns


def _samples():
    return dataset("samples", {"inputs": np.array([[0.5, 0.5], [-0.5, 0.1]]), "labels": np.array([1, 0])})


@pytest.fixture
def pictures() -> list[np.ndarray]:
    with styled():
        return draw_frames(_columns(), _samples(), heading="Figure", cutoff=0.1)


def test_every_frame_has_its_distance_its_point_and_its_wrong_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[dict] = []

    def look(figure: plt.Figure) -> np.ndarray:
        above, below = figure.axes[:2], figure.axes[2:]

        def point(axes: Axes) -> list[float]:
            (line,) = [line for line in axes.lines if line.get_marker() == "o"]
            return [float(line.get_xdata()[0]), float(line.get_ydata()[0])]

        seen.append(
            {
                "title": figure.get_suptitle(),
                "points": [point(axes) for axes in below],
                "limits": {axes.get_ylim() for axes in below},
                "crosses": [len(axes.collections[-1].get_offsets()) for axes in above],
            }
        )
        return np.zeros((2, 2, 3), dtype=np.uint8)

    monkeypatch.setattr(animate, "_pixels", look)
    with styled():
        draw_frames(_columns(), _samples(), heading="Figure", cutoff=0.1)
    assert [frame["title"] for frame in seen] == [f"Figure\ndistance {d:.4f} filter norms" for d in DISTANCES]
    assert [frame["crosses"] for frame in seen] == [[0, 0], [1, 1], [2, 2]]
    assert len(set().union(*(frame["limits"] for frame in seen))) == 1, "one scale for both and for all frames"
    for k, frame in enumerate(seen):
        for (distance, height), loss in zip(frame["points"], LOSSES.values(), strict=True):
            assert distance == DISTANCES[k]
            assert height == max(loss[k], animate.FLOOR)


def test_the_loop_goes_out_and_back(pictures: list[np.ndarray], tmp_path: Path) -> None:
    order = out_and_back([np.array(k) for k in range(4)])
    assert [int(k) for k in order] == [0, 1, 2, 3, 2, 1]
    gif = save_animation(pictures, tmp_path / "moving", atomic.write)[0]
    with Image.open(gif) as image:
        assert image.n_frames == 4
        assert image.size == pictures[0].shape[1::-1]
        assert image.info["loop"] == 0
        image.seek(2)
        shown = np.asarray(image.convert("RGB")).astype(int)
    assert np.abs(shown - pictures[2]).mean() < 6, "the palette holds the colours"
    assert (shown[0, 0] == 255).all(), "the background stays white"


def test_without_ffmpeg_there_is_a_gif_alone(
    pictures: list[np.ndarray], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    assert [f.suffix for f in save_animation(pictures, tmp_path / "moving", atomic.write)] == [".gif"]


def test_an_encoder_that_fails_costs_the_mp4_only(
    pictures: list[np.ndarray], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: "false")
    with caplog.at_level(logging.WARNING):
        files = save_animation(pictures, tmp_path / "moving", atomic.write)
    assert [file.name for file in files] == ["moving.gif"]
    assert "no MP4" in caplog.text
    assert [p.name for p in tmp_path.iterdir()] == ["moving.gif"]


@pytest.mark.skipif(not shutil.which("ffmpeg"), reason="ffmpeg is not here")
def test_with_ffmpeg_there_is_an_mp4_too(pictures: list[np.ndarray], tmp_path: Path) -> None:
    mp4 = save_animation(pictures, tmp_path / "moving", atomic.write)[1]
    assert mp4.suffix == ".mp4"
    assert mp4.read_bytes()[4:8] == b"ftyp"
