"""The packages that a user would reach for, beside this one: time, memory, and whether values agree.

    make rivals
    python benchmarks/rivals.py [--repeats 3] [--threads 2] [--limit 900] [--net "swiss-roll net"]

Needs an environment with all of them (`benchmarks/rivals.txt`). Each measurement runs in a process of its own, ways
in turn; seconds are also divided by a bare pass over the same batch in the same process. Memory is what the measurement
added to the largest resident size. Every package gets one batch that holds all samples, its own defaults, and a
tolerance of 1e-3 for eigenvalues.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn.functional import cross_entropy

import basinscope as bs
from basinscope.data import swissroll
from basinscope.models.catalog import build
from basinscope.runs.provenance import forget_peak_memory, peak_memory_mib

RESOLUTION, TOP, RADII, LINE = 21, 5, 100, 21
NETS = ("swiss-roll net", "ResNet-20, 512 images")


def network(name: str) -> nn.Module:
    """An untrained network."""
    if name != NETS[0]:
        return build("resnet20")
    widths = (2, 23, 16, 26, 32, 28, 31, 2)
    layers: list[nn.Module] = []
    for k, (before, after) in enumerate(itertools.pairwise(widths)):
        layers += [nn.Linear(before, after)] + [nn.ReLU()] * (k < len(widths) - 2)
    return nn.Sequential(*layers)


def prepare(name: str, place: Path) -> None:
    """Train two networks on a batch, and keep batch and weights."""
    if name == NETS[0]:
        train, _ = swissroll.training_draw(None)
        inputs, labels, steps = train.inputs.float(), train.labels.long(), 1_500
    else:
        task = bs.scattered_digits(num_train=512, num_unseen=10, num_test=10, canvas=16)
        pixels = task.train.pixels.float() / 255
        inputs, labels, steps = pixels.expand(-1, 3, -1, -1).contiguous(), task.train.labels.long(), 60
    for seed in range(2):
        torch.manual_seed(seed)
        model = network(name)
        updates = torch.optim.Adam(model.parameters(), lr=3e-3)
        for _ in range(steps):
            updates.zero_grad()
            cross_entropy(model(inputs), labels).backward()
            updates.step()
        save_file(model.state_dict(), place / f"net{seed}.safetensors")
    save_file({"inputs": inputs, "labels": labels}, place / "batch.safetensors")


def opened(name: str, place: Path, seed: int = 0) -> nn.Module:
    """A trained network, in eval mode."""
    model = network(name)
    model.load_state_dict(load_file(place / f"net{seed}.safetensors"))
    return model.eval()


Work = Callable[[nn.Module, nn.Module, tuple[torch.Tensor, torch.Tensor]], Any]


def _objective(model: nn.Module, batch: Any, **options: Any) -> bs.Objective:
    def loss(model: nn.Module, batch: Any) -> torch.Tensor:
        return cross_entropy(model(batch[0]), batch[1], reduction="none")

    return bs.Objective(model, loss, [batch], **options)


def _our_plane(model: nn.Module, _: nn.Module, batch: Any) -> Any:
    return bs.slice2d(_objective(model, batch), resolution=RESOLUTION, progress=False)["loss"].values[10, 10]


def _our_path(model: nn.Module, other: nn.Module, batch: Any) -> Any:
    found = bs.linear_path(_objective(model, batch, one_dim="moved"), other, resolution=LINE, beyond=0, progress=False)
    return found["loss"].values[0].tolist()


def _our_eigenvalues(model: nn.Module, _: nn.Module, batch: Any) -> Any:
    objective = _objective(model, batch, one_dim="moved")
    found = bs.curvature(objective, top=TOP, trace_vectors=0, tolerance=1e-3, progress=False)
    return found["eigenvalue"].values.tolist()


def _our_radii(model: nn.Module, _: nn.Module, batch: Any) -> Any:
    found = bs.basin_radius(_objective(model, batch), rise=0.1, num_directions=RADII, progress=False)
    return [float(found["num_evaluations"].mean()), float(found["radius"].median())]


def _ll_metric(batch: Any) -> Any:
    from loss_landscapes.metrics import Loss

    return Loss(nn.CrossEntropyLoss(), *batch)


def _ll_plane(model: nn.Module, _: nn.Module, batch: Any) -> Any:
    import loss_landscapes

    with torch.no_grad():
        found = loss_landscapes.random_plane(
            model, _ll_metric(batch), steps=RESOLUTION, normalization="filter", deepcopy_model=True
        )
    return float(found[10, 10])


def _ll_path(model: nn.Module, other: nn.Module, batch: Any) -> Any:
    import loss_landscapes

    # Its first point lies a step past the start.
    with torch.no_grad():
        found = loss_landscapes.linear_interpolation(
            model, other, _ll_metric(batch), steps=LINE - 1, deepcopy_model=True
        )
    return found.tolist()


def _landscaper_plane(model: nn.Module, _: nn.Module, batch: Any) -> Any:
    from landscaper.compute import compute_loss_landscape

    def loss(model: nn.Module, batch: Any) -> float:
        return cross_entropy(model(batch[0]), batch[1]).item()

    directions = [[torch.randn_like(p) for p in model.parameters()] for _ in range(2)]
    found, _grid = compute_loss_landscape(model, batch, directions, loss, steps=RESOLUTION, dim=2, device="cpu")
    return float(found[10, 10])


def _landscaper_eigenvalues(model: nn.Module, _: nn.Module, batch: Any) -> Any:
    from landscaper.hessian import PyHessian

    return PyHessian(model, nn.CrossEntropyLoss(), [batch], "cpu").eigenvalues(top_n=TOP)[0]


def _pyhessian_eigenvalues(model: nn.Module, _: nn.Module, batch: Any) -> Any:
    from pyhessian import hessian

    return hessian(model, nn.CrossEntropyLoss(), data=batch, cuda=False).eigenvalues(top_n=TOP)[0]


WAYS: dict[str, dict[str, Work]] = {
    f"plane, {RESOLUTION} × {RESOLUTION}": {
        "basinscope": _our_plane,
        "loss-landscapes": _ll_plane,
        "landscaper": _landscaper_plane,
    },
    f"top {TOP} eigenvalues": {
        "basinscope": _our_eigenvalues,
        "landscaper": _landscaper_eigenvalues,
        "pyhessian": _pyhessian_eigenvalues,
    },
    f"line of {LINE} points": {"basinscope": _our_path, "loss-landscapes": _ll_path},
    f"{RADII} radii to 1 %": {"basinscope": _our_radii},
}


IMPORTED = {
    "basinscope": ("basinscope.probes.slices", "basinscope.probes.curvature", "basinscope.probes.radius"),
    "loss-landscapes": ("loss_landscapes", "loss_landscapes.metrics"),
    "landscaper": ("landscaper.compute", "landscaper.hessian"),
    "pyhessian": ("pyhessian",),
}
"""What is imported before the clock runs."""


def measure(name: str, what: str, package: str, place: Path) -> dict[str, Any]:
    """Do one measurement in this process."""
    model, other = opened(name, place), opened(name, place, 1)
    stored = load_file(place / "batch.safetensors")
    batch = stored["inputs"], stored["labels"]

    def bare() -> float:
        with torch.no_grad():
            began = time.perf_counter()
            cross_entropy(model(batch[0]), batch[1])
            return time.perf_counter() - began

    for module in IMPORTED[package]:
        importlib.import_module(module)
    bare()
    once = [bare() for _ in range(5)]
    forget_peak_memory()
    before, began = peak_memory_mib(), time.perf_counter()
    with (
        Path(os.devnull).open("w") as nowhere,
        contextlib.redirect_stdout(nowhere),
        contextlib.redirect_stderr(nowhere),
    ):
        values = WAYS[what][package](model, other, batch)
    took, peak = time.perf_counter() - began, peak_memory_mib()
    once += [bare() for _ in range(5)]
    return {"seconds": took, "bare": statistics.median(once), "memory": peak - before, "values": values}


def _in_process(name: str, what: str, package: str, place: Path, threads: int, limit: float) -> dict[str, Any]:
    words = [
        sys.executable,
        __file__,
        "--threads",
        str(threads),
        "--one",
        json.dumps([name, what, package, str(place)]),
    ]
    try:
        done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=limit)
    except subprocess.TimeoutExpired:
        return {"failed": f"not done after {limit:g} s"}
    if done.returncode:
        return {"failed": done.stderr.strip().splitlines()[-1]}
    return json.loads(done.stdout.splitlines()[-1])


def _words(turns: list[dict[str, Any]]) -> str:
    failed = [turn["failed"] for turn in turns if "failed" in turn]
    if failed:
        return f"{failed[0]} | – | –"
    seconds = [turn["seconds"] for turn in turns]
    passes = [turn["seconds"] / turn["bare"] for turn in turns]
    spread = f"{statistics.median(seconds):.3g} ({min(seconds):.3g} – {max(seconds):.3g})"
    return f"{spread} | {statistics.median(passes):.0f} | {statistics.median(t['memory'] for t in turns):.0f}"


def _agreement(what: str, package: str, own: Any, theirs: Any) -> str:
    """How far their values lie from ours, where they are the same quantity."""
    if package == "basinscope":
        return f"{theirs[0]:.2f} passes each" if "radii" in what else ""
    ours, other = np.atleast_1d(own), np.atleast_1d(theirs)
    if "line" in what:
        ours = ours[1:]  # they leave the start out
    far = np.abs(other - ours) / np.abs(ours).max()
    return f"{far.max():.1e}"


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--limit", type=float, default=900, help="seconds after which one measurement is given up")
    parser.add_argument("--net", action="append", choices=NETS)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.one:
        name, what, package, place = json.loads(options.one)
        print(json.dumps(measure(name, what, package, Path(place))))
        return
    print(f"torch {torch.__version__}, {options.threads} threads, {torch.backends.cpu.get_cpu_capability()}")
    for name in options.net or NETS:
        columns = ("what", "package", "seconds (range)", "÷ bare pass", "memory added, MiB", "off ours by, of largest")
        print(f"\n{name}\n\n| {' | '.join(columns)} |")
        print("|---|---|---|---|---|---|", flush=True)
        with tempfile.TemporaryDirectory() as folder:
            place = Path(folder)
            prepare(name, place)
            for what, ways in WAYS.items():
                turns: dict[str, list[dict[str, Any]]] = {package: [] for package in ways}
                for _ in range(options.repeats):
                    for package in ways:
                        turns[package].append(_in_process(name, what, package, place, options.threads, options.limit))
                own = turns["basinscope"][0]["values"]
                for package, found in turns.items():
                    agreed = "" if "failed" in found[0] else _agreement(what, package, own, found[0]["values"])
                    print(f"| {what} | {package} | {_words(found)} | {agreed} |", flush=True)


if __name__ == "__main__":
    main()
