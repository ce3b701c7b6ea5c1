"""Tasks of the swiss-roll experiment: training, measurements, slices, decision boundaries."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from basinscope.data import swissroll
from basinscope.data.samples import Samples
from basinscope.errors import TrainingDivergedError
from basinscope.experiments.minima import net_name
from basinscope.experiments.probing import Probing, open_landscape, probe
from basinscope.experiments.swissroll.config import Config
from basinscope.landscape.normalize import Normalization
from basinscope.landscape.stacked import CleanLoss
from basinscope.models.mlp import MLP
from basinscope.probes.accuracy import accuracy
from basinscope.probes.boundary import decision_boundary
from basinscope.probes.grid import symmetric_grid
from basinscope.probes.moving_boundary import moving_boundary
from basinscope.probes.sharpest_direction import sharpest_direction
from basinscope.probes.slices import slice1d, slice2d
from basinscope.results.convert import dataset, stack_nets
from basinscope.runs.engine import Context, Task
from basinscope.runs.parts import in_parts
from basinscope.runs.store import Artifact, RunFolder
from basinscope.seeds import child_seed, generator
from basinscope.training.ensemble import StackTrainer
from basinscope.training.members import Member, StackResult
from basinscope.training.schedules import Schedule

NET = MLP((2, 23, 16, 26, 32, 28, 31, 1))
NORMALIZATION = Normalization(NET.layout)
BOUNDARY_EXTENT = 18.0
PANEL_GAPS = (0.0, 0.15, 0.3, 0.45, 0.6, 0.75)
"""Nominal generalisation gaps of the panels of figure 6; each shows the network closest to it."""
FITTED = 0.995
"""Minimum training accuracy of networks in figure 6."""

# Expected seconds on two cores; used only to estimate the remaining time.
_STEP_COST, _UNPOISONED_COST, _RAY_COST = 1.8e-4, 0.9e-4, 1.9e-4


def tasks(config: Config) -> list[Task]:
    """Split the experiment into tasks; each may read the results of the tasks it comes after."""
    # The bad nets train longest, so they get their own stack.
    groups = {"natural": config.poisons[:1], "poisoned": config.poisons[1:-1], "worst": config.poisons[-1:]}
    work: list[Task] = []
    for group, poisons in groups.items():
        if poisons:
            each = _UNPOISONED_COST if group == "natural" else _STEP_COST
            cost = config.runs * each * sum(config.steps_of(p) for p in poisons)
            work.append(Task(f"train-{group}", cost, _bind(_train, config, group, poisons), after=()))
    trained = tuple(task.name for task in work)
    ray_cost = _RAY_COST * config.runs * config.num_directions
    for poison in config.poisons:
        for scaled in (False, True):
            name = measure_name(poison, scaled)
            work.append(Task(f"measure-{name}", ray_cost, _bind(_measure, config, poison, scaled), after=trained))
    work.append(Task("slices", 2e-5 * 4 * config.slice_resolution**2, _bind(_slices, config), after=trained))
    work.append(Task("boundaries", 1e-5 * config.boundary_resolution**2, _bind(_boundaries, config), after=trained))
    work.append(
        Task("frames", 4e-6 * config.num_frames * config.frame_resolution**2, _bind(_frames, config), after=trained)
    )
    walked = len(config.net_names()) * config.num_lines * config.line_points
    work.append(Task("lines", 3e-5 * walked, _bind(_lines, config), after=trained))
    work.append(Task("sharpest", 1.0, _bind(_sharpest, config), after=trained))
    return work


def _bind(
    work: Callable[..., Mapping[str, Artifact]], *arguments: object
) -> Callable[[Context], Mapping[str, Artifact]]:
    return lambda context: work(context, *arguments)


def measure_name(poison: float, scaled: bool) -> str:
    """Name of the measurements at one poison factor, as trained or with last layers scaled."""
    return f"beta{poison:g}{'-scaled' if scaled else ''}"


def train_groups(config: Config) -> list[str]:
    """Names of the trained stacks."""
    return [task.name.removeprefix("train-") for task in tasks(config) if task.name.startswith("train-")]


def _train(context: Context, config: Config, group: str, poisons: tuple[float, ...]) -> Mapping[str, Artifact]:
    train, test = swissroll.training_draw(config.data_seed)
    members = [
        Member(
            name=net_name(poison, run),
            seed=child_seed(config.seed, "swissroll", "net", net_name(poison, run)),
            schedule=schedule_of(config, poison),
            train=train,
        )
        for poison in poisons
        for run in range(config.runs)
    ]
    trainer = StackTrainer(
        NET,
        members,
        sampler=swissroll.sample_swissroll,
        num_unseen=config.unseen_per_step if group != "natural" else 0,
        clip=config.clip,
        device=context.device,
    )
    result = trainer.train(checkpoint=context.folder.checkpoint(context.task), progress=context.progress)
    names = [m.name for m in members]
    return {
        f"weights-{group}": dict(zip(names, result.points, strict=True)),
        f"nets-{group}": _describe(config, members, result, test),
    }


def schedule_of(config: Config, poison: float) -> Schedule:
    """Training schedule for one poison factor."""
    return Schedule(
        steps=config.steps_of(poison),
        learning_rate=config.learning_rate,
        poison=poison,
        decay=config.decay,
        warmup=config.warmup,
        settle_ratio=config.settle_ratio,
        settle_loss=config.settle_loss,
    )


def dense_test_set(data_seed: int | None, num: int) -> Samples:
    """Fresh points from the distribution of a draw, with an independent seed."""
    root = swissroll.PUBLISHED_SEED if data_seed is None else data_seed
    return swissroll.sample_swissroll(num, generator(root, "swissroll", "dense test set"))


def _describe(config: Config, members: list[Member], result: StackResult, test: Samples) -> xr.Dataset:
    """Score trained networks on the published test points and on the dense test set."""
    dense_accuracy = accuracy(NET, result.points, dense_test_set(config.data_seed, config.num_dense))
    return dataset(
        "nets",
        {
            "net": [m.name for m in members],
            "poison": np.array([m.schedule.poison for m in members]),
            "run": np.arange(len(members)) % config.runs,
            "steps": result.steps,
            "diverged_at": result.diverged_at,
            "clean_loss": result.clean_loss,
            "train_accuracy": result.train_accuracy,
            "test_accuracy": accuracy(NET, result.points, test),
            "dense_accuracy": dense_accuracy,
            "gap": result.train_accuracy - dense_accuracy,
        },
    )


def all_nets(folder: RunFolder, config: Config) -> xr.Dataset:
    """Read the results of training of every network, in the order of `Config.net_names`.

    Raises:
        TrainingDivergedError: Some networks diverged; the message names each one and its step.
    """
    nets = xr.concat(
        [folder.dataset(f"nets-{group}") for group in train_groups(config)], "net", combine_attrs="override"
    )
    lost = nets.where(nets["diverged_at"] >= 0, drop=True)
    if lost.sizes["net"]:
        steps = zip(lost["net"].values, lost["diverged_at"].values, strict=True)
        named = ", ".join(f"{net} at step {int(step)}" for net, step in steps)
        raise TrainingDivergedError(f"training diverged: {named}; lower swissroll.learning_rate and run again")
    return nets


def points_of(folder: RunFolder, config: Config, nets: list[str], device: torch.device | str) -> list[Tensor]:
    """Read the weights of some networks."""
    weights = {k: v for group in train_groups(config) for k, v in folder.weights(f"weights-{group}").items()}
    return [weights[net].to(device) for net in nets]


def _landscape(context: Context, config: Config, center: Tensor) -> CleanLoss:
    train = swissroll.training_draw(config.data_seed)[0].to(context.device, torch.float32)
    num_rays = 2 * len(config.net_names()) * config.num_directions
    return open_landscape(context, lambda backend: CleanLoss(NET, train, backend=backend), center, num_rays=num_rays)


def _measure(context: Context, config: Config, poison: float, scaled: bool) -> Mapping[str, Artifact]:
    """Measure radius, volume and mean curvature of all runs at one poison factor."""
    all_nets(context.folder, config)
    names = [net_name(poison, run) for run in range(config.runs)]
    points = points_of(context.folder, config, names, context.device)
    landscape = _landscape(context, config, points[0])
    settings = Probing(
        seed=child_seed(config.seed, "swissroll", "directions"),
        num_directions=config.num_directions,
        cutoff=config.cutoff,
        num_scanned=config.num_scanned,
        scaled_loss=config.scaled_loss if scaled else None,
    )
    minima = dict(zip(names, points, strict=True))
    parts = in_parts(context, names, lambda net: probe(landscape, minima[net], NORMALIZATION, settings))
    key = measure_name(poison, scaled)
    return {f"{part[0].attrs['kind']}-{key}": stack_nets(names, part) for part in zip(*parts, strict=True)}


def _slices(context: Context, config: Config) -> Mapping[str, Artifact]:
    """Compute 2-D slices around the good and the bad net, along the same two random directions."""
    nets = list(config.compared)
    points = points_of(context.folder, config, nets, context.device)
    landscape = _landscape(context, config, points[0])
    seed = child_seed(config.seed, "swissroll", "slice")
    slices = {}
    for key, extent in (("slice", config.slice_extent), ("inset", config.inset_extent)):
        distances = symmetric_grid(extent, config.slice_resolution)
        parts = [
            slice2d(landscape.around(point, NORMALIZATION), seed=seed, distances=distances, progress=False)
            for point in points
        ]
        slices[key] = stack_nets(nets, parts)
    return slices


def _frames(context: Context, config: Config) -> Mapping[str, Artifact]:
    """Move the weights of the good and the bad net along one direction; record boundary and loss."""
    nets = list(config.compared)
    points = points_of(context.folder, config, nets, context.device)
    landscape = _landscape(context, config, points[0])
    family = {"seed": child_seed(config.seed, "swissroll", "slice"), "indices": (0,)}
    # Slow at both ends, because the bad net breaks within the first frames.
    fraction = 0.5 * (1 - torch.cos(torch.linspace(0, math.pi, config.num_frames, dtype=torch.float64)))
    along = symmetric_grid(config.frame_extent, 401)
    parts, curves = [], []
    for point in points:
        around = landscape.around(point, NORMALIZATION)
        curves.append(slice1d(around, distances=along, progress=False, **family))
        parts.append(
            moving_boundary(
                around,
                distances=config.frame_extent * fraction,
                extent=BOUNDARY_EXTENT,
                resolution=config.frame_resolution,
                **family,
            )
        )
    return {"frames": stack_nets(nets, parts), "line": stack_nets(nets, curves)}


def _lines(context: Context, config: Config) -> Mapping[str, Artifact]:
    """Compute losses along random lines from every network, the first of the directions used for radii."""
    names = [str(net) for net in all_nets(context.folder, config)["net"].values]
    points = points_of(context.folder, config, names, context.device)
    landscape = _landscape(context, config, points[0])
    # Log-spaced, as basins differ in width by orders of magnitude.
    distances = torch.logspace(-4, 0, config.line_points, dtype=torch.float64) * config.line_extent
    family = {"seed": child_seed(config.seed, "swissroll", "directions"), "indices": range(config.num_lines)}
    parts = [
        slice1d(landscape.around(point, NORMALIZATION), distances=distances, progress=False, **family)
        for point in points
    ]
    return {"lines": stack_nets(names, parts)}


def _sharpest(context: Context, config: Config) -> Mapping[str, Artifact]:
    """Compute the direction of largest curvature around the good and the bad net."""
    nets = list(config.compared)
    points = points_of(context.folder, config, nets, context.device)
    landscape = _landscape(context, config, points[0])
    parts = [sharpest_direction(landscape.around(point, NORMALIZATION)) for point in points]
    return {"sharpest": stack_nets(nets, parts)}


def panel_nets(nets: xr.Dataset) -> list[str]:
    """Choose, for each gap of figure 6, the closest network that fits the training set; each at most once."""
    chosen: list[str] = []
    for gap in PANEL_GAPS:
        fitted = nets.where((nets["train_accuracy"] >= FITTED) & ~nets["net"].isin(chosen), drop=True)
        if fitted.sizes["net"]:
            chosen.append(str(abs(fitted["gap"] - gap).idxmin("net").item()))
    return chosen


def _boundaries(context: Context, config: Config) -> Mapping[str, Artifact]:
    """Compute decision boundaries of the good net, the bad net and the panels of figure 6."""

    def wanted() -> Iterator[str]:
        yield from config.compared
        yield from panel_nets(all_nets(context.folder, config))

    names = list(dict.fromkeys(wanted()))
    points = points_of(context.folder, config, names, context.device)
    parts = [decision_boundary(NET, p, extent=BOUNDARY_EXTENT, resolution=config.boundary_resolution) for p in points]
    train, _ = swissroll.training_draw(config.data_seed)
    samples = dataset("samples", {"inputs": train.inputs, "labels": train.labels})
    return {"boundary": stack_nets(names, parts), "train": samples}
