"""Tasks of the rings experiment: nets from random starts, circles led through closing gaps, comparison of both."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from basinscope.data import rings
from basinscope.data.samples import Samples
from basinscope.experiments.probing import Probing, open_landscape, probe
from basinscope.experiments.rings.config import Config
from basinscope.landscape.normalize import Normalization
from basinscope.landscape.stacked import CleanLoss
from basinscope.models.mlp import MLP
from basinscope.probes.accuracy import accuracy
from basinscope.probes.boundary import decision_boundary, unrolled_boundary
from basinscope.probes.margin import input_margin
from basinscope.results.convert import dataset, stack_nets
from basinscope.runs.engine import Context, Task
from basinscope.runs.parts import in_parts
from basinscope.runs.store import Artifact, RunFolder
from basinscope.seeds import child_seed
from basinscope.training.ensemble import StackTrainer
from basinscope.training.members import Member, StopRule
from basinscope.training.schedules import Schedule

NET = MLP((2, *[100] * 9, 2))
NORMALIZATION = Normalization(NET.layout)
EXTENT = 1.15
ANGLES = (-9.0, 63.0)
"""Angular range of the unrolled view in degrees; it contains two points of the middle ring."""
REACH = 0.5
"""Largest distance at which margins are searched."""

# Expected seconds on two cores; used only to estimate the remaining time.
_STEP_COST, _EXPECTED_STEPS, _STAGE_STEP_COST, _RAY_COST = 1e-3, 300, 2.2e-3, 2.5e-3


def tasks(config: Config) -> list[Task]:
    """Split the experiment into tasks; each names the ones whose results it reads."""
    expected = config.steps if config.stop_loss == 0 else min(config.steps, _EXPECTED_STEPS)
    cost = _STEP_COST * config.starts * expected
    work = [Task(f"find-gap{gap:g}", cost, partial(_find, config=config, gap=gap), after=()) for gap in config.gaps]
    stage_cost = _STAGE_STEP_COST * config.circle_starts * min(config.circle_steps, _EXPECTED_STEPS)
    for stage, gap in enumerate(config.stages):
        before = (stage_name(stage - 1),) if stage else ()
        close = partial(_close, config=config, stage=stage, gap=gap)
        work.append(Task(stage_name(stage), stage_cost, close, after=before))
    work.append(Task("find-beside-circle", cost, partial(_find_beside, config=config)))
    trained = tuple(task.name for task in work)
    compared = config.starts + config.circle_starts
    for scaled in (False, True):
        ray_cost = _RAY_COST * compared * config.num_directions
        measure = partial(_measure, config=config, scaled=scaled)
        work.append(Task(f"measure{'-scaled' * scaled}", ray_cost, measure, after=trained))
    work.append(Task("margins", 0.7 * compared, partial(_margins, config=config), after=trained))
    draw = partial(_boundaries, config=config)
    work.append(Task("boundaries", 1e-4 * config.boundary_resolution**2, draw, after=trained))
    num_nets = len(config.gaps) * config.starts + len(config.stages) * config.circle_starts
    cost = 4e-6 * num_nets * config.picture_resolution**2
    work.append(Task("pictures", cost, partial(_pictures, config=config), after=trained))
    return work


def stage_name(stage: int) -> str:
    """Name of one stage of the circles."""
    return f"circle-stage{stage:02d}"


def _find(context: Context, config: Config, gap: float) -> Mapping[str, Artifact]:
    """Train nets from random starts on the 130 points of one gap."""
    schedule = Schedule(
        steps=config.steps,
        learning_rate=config.learning_rate,
        decay="constant",
        settle_loss=math.inf,
        patience=0.0,
    )
    train = rings.training_points(gap)
    members = [
        Member(
            name=f"gap{gap:g}-start{k}",
            # The same initial weights for all gaps, so that only the gap differs.
            seed=child_seed(config.seed, "rings", "start", k),
            schedule=schedule,
            train=train,
            stop=StopRule(clean_loss=config.stop_loss),
        )
        for k in range(config.starts)
    ]
    trainer = StackTrainer(NET, members, clip=math.inf, chunk_size=5, device=context.device)
    result = trainer.train(checkpoint=context.folder.checkpoint(context.task), progress=context.progress)
    names = [m.name for m in members]
    found = _describe(config, names, gap, result.points, result.steps, result.diverged_at)
    return {f"found-weights-gap{gap:g}": dict(zip(names, result.points, strict=True)), f"found-gap{gap:g}": found}


def _describe(config: Config, names: list[str], gap: float, points: Tensor, steps: Tensor, lost: Tensor) -> xr.Dataset:
    """Evaluate nets: share of each inner ring classified correctly, fit of the 130 points."""
    dense, train = rings.dense_rings(gap, config.num_dense), rings.training_points(gap)
    blue, red = (
        Samples(dense.inputs[dense.labels == label], dense.labels[dense.labels == label])
        for label in (rings.BLUE, rings.RED)
    )
    return dataset(
        "ring_nets",
        {
            "net": names,
            "gap": np.full(len(names), gap),
            "steps": steps,
            "diverged_at": lost,
            "clean_loss": CleanLoss(NET, train.to(points.device, points.dtype)).at(points),
            "train_accuracy": accuracy(NET, points, train),
            "blue_share": accuracy(NET, points, blue),
            "red_share": accuracy(NET, points, red),
        },
    )


def _close(context: Context, config: Config, stage: int, gap: float) -> Mapping[str, Artifact]:
    """Train the circles of the previous stage at a narrower gap, with dense rings as training points."""
    names = [f"circle{k}" for k in range(config.circle_starts)]
    starts: list[Tensor | None] = [None] * len(names)
    if stage:
        before = context.folder.weights(f"{stage_name(stage - 1)}-weights")
        starts = [before[name] for name in names]
    base, dense = rings.training_points(gap), rings.dense_rings(gap, config.circle_dense)
    train = Samples(torch.cat([base.inputs, dense.inputs]), torch.cat([base.labels, dense.labels]))
    schedule = Schedule(
        steps=config.circle_steps,
        learning_rate=config.learning_rate * math.sqrt(gap / config.stages[0]),
        decay="cosine",
        settle_loss=math.inf,
        patience=0.0,
    )
    members = [
        Member(
            name=name,
            seed=child_seed(config.seed, "rings", name, stage),
            schedule=schedule,
            train=train,
            start=start,
            stop=StopRule(clean_loss=config.circle_loss),
        )
        for name, start in zip(names, starts, strict=True)
    ]
    trainer = StackTrainer(NET, members, clip=1.0, batch_size=config.circle_batch, chunk_size=2, device=context.device)
    result = trainer.train(checkpoint=context.folder.checkpoint(context.task), progress=context.progress)
    found = _describe(config, names, gap, result.points, result.steps, result.diverged_at)
    return {
        f"{stage_name(stage)}-weights": dict(zip(names, result.points, strict=True)),
        stage_name(stage): found,
    }


def holds(nets: xr.Dataset, config: Config) -> np.ndarray:
    """Which nets separate both inner rings."""
    both = np.minimum(nets["blue_share"].values, nets["red_share"].values)
    return both >= config.held_share


def comparable(nets: xr.Dataset, config: Config) -> np.ndarray:
    """Which nets fit the 130 points well enough for the comparison."""
    return nets["clean_loss"].values <= config.compared_loss


def comparable_circles(nets: xr.Dataset, config: Config) -> np.ndarray:
    """Which nets separate both inner rings and fit the 130 points."""
    return holds(nets, config) & comparable(nets, config)


def tightest_stage(folder: RunFolder, config: Config) -> int:
    """The last stage with a comparable circle, or stage 0 if there is none."""
    stages = range(len(config.stages))
    successful = [k for k in stages if comparable_circles(folder.dataset(stage_name(k)), config).any()]
    return max(successful, default=0)


def _find_beside(context: Context, config: Config) -> Mapping[str, Artifact]:
    """Train nets from random starts at the gap of the comparison with circles."""
    gap = config.stages[tightest_stage(context.folder, config)]
    if gap in config.gaps:
        folder = context.folder
        return {
            "beside-weights": folder.weights(f"found-weights-gap{gap:g}"),
            "beside": folder.dataset(f"found-gap{gap:g}"),
        }
    weights, found = _find(context, config, gap).values()
    return {"beside-weights": weights, "beside": found}


def _compared(context: Context, config: Config) -> dict[str, Tensor]:
    """Compared nets by name, circles first."""
    folder = context.folder
    stage = stage_name(tightest_stage(folder, config))
    circles, found = folder.dataset(stage), folder.dataset("beside")
    chosen: dict[str, Tensor] = {}
    for nets, weights, fit in (
        (circles, folder.weights(f"{stage}-weights"), comparable_circles(circles, config)),
        (found, folder.weights("beside-weights"), comparable(found, config)),
    ):
        names = [str(name) for name in nets["net"].values[fit]]
        chosen |= {name: weights[name].to(context.device) for name in names}
    return chosen


def _tightest_points(context: Context, config: Config) -> Samples:
    return rings.training_points(config.stages[tightest_stage(context.folder, config)])


def _measure(context: Context, config: Config, scaled: bool) -> Mapping[str, Artifact]:
    """Measure radius, volume and mean curvature of the compared nets on the 130 points."""
    nets = _compared(context, config)
    if not nets:
        return {}
    train = _tightest_points(context, config).to(context.device, torch.float32)
    rays = 2 * len(nets) * config.num_directions
    first = next(iter(nets.values()))
    landscape = open_landscape(context, lambda backend: CleanLoss(NET, train, backend=backend), first, num_rays=rays)
    settings = Probing(
        seed=child_seed(config.seed, "rings", "directions"),
        num_directions=config.num_directions,
        cutoff=config.cutoff,
        num_scanned=config.num_scanned,
        scaled_loss=config.scaled_loss if scaled else None,
    )
    parts = in_parts(context, list(nets), lambda net: probe(landscape, nets[net], NORMALIZATION, settings))
    return _joined(list(nets), parts, "-scaled" if scaled else "")


def _joined(names: list[str], parts: list[list[xr.Dataset]], suffix: str) -> Mapping[str, Artifact]:
    return {f"{part[0].attrs['kind']}{suffix}": stack_nets(names, part) for part in zip(*parts, strict=True)}


def _margins(context: Context, config: Config) -> Mapping[str, Artifact]:
    """Measure margins of the compared nets around the points of the two inner rings."""
    nets, points = _compared(context, config), _tightest_points(context, config)
    if not nets:
        return {}
    inner = slice(0, rings.NUM_INNER + rings.NUM_MIDDLE)
    samples = Samples(points.inputs[inner], points.labels[inner])

    def measure(net: str) -> list[xr.Dataset]:
        return [input_margin(NET, nets[net], samples, reach=REACH)]

    return _joined(list(nets), in_parts(context, list(nets), measure), "")


def _boundaries(context: Context, config: Config) -> Mapping[str, Artifact]:
    """Compute boundaries, whole and unrolled: first start at the widest and narrowest gap, and the tightest circle."""
    folder = context.folder
    wide, tight = config.gaps[0], config.gaps[-1]
    stage = tightest_stage(folder, config)
    circle = next(iter(_compared(context, config)), "circle0")
    circles = folder.weights(f"{stage_name(stage)}-weights")
    shown = {
        "wide": (wide, folder.weights(f"found-weights-gap{wide:g}")[f"gap{wide:g}-start0"]),
        "pinched": (tight, folder.weights(f"found-weights-gap{tight:g}")[f"gap{tight:g}-start0"]),
        "circle": (config.stages[stage], circles.get(circle, circles["circle0"])),
    }
    artifacts: dict[str, Artifact] = {}
    resolution = config.boundary_resolution
    for key, (gap, weights) in shown.items():
        point = weights.to(context.device)
        artifacts[f"boundary-{key}"] = decision_boundary(NET, point, extent=EXTENT, resolution=resolution)
        artifacts[f"unrolled-{key}"] = unrolled_boundary(
            NET, point, angles=ANGLES, radii=shown_radii(gap, tight=key == "circle"), resolution=resolution
        )
    for key, (gap, _) in shown.items():
        points = rings.training_points(gap)
        artifacts[f"train-{key}"] = dataset("samples", {"inputs": points.inputs, "labels": points.labels})
    return artifacts


def shown_radii(gap: float, *, tight: bool) -> tuple[float, float]:
    """Radii of the unrolled view: a few gaps around the inner rings, or wider for boundaries off the circle."""
    if tight:
        return rings.INNER - 2 * gap, rings.INNER + 3 * gap
    return rings.INNER - max(0.05, gap), rings.INNER + max(0.05, 1.6 * gap)


def found_weights(folder: RunFolder, config: Config) -> dict[str, Tensor]:
    """Weights of all nets from random starts, by name, in the order of the gaps."""
    return {name: w for gap in config.gaps for name, w in folder.weights(f"found-weights-gap{gap:g}").items()}


def circle_weights(folder: RunFolder, config: Config) -> dict[str, Tensor]:
    """Weights of all circles, `circle0-stage00` and so on, in the order of the stages."""
    circles = {}
    for stage in range(len(config.stages)):
        weights = folder.weights(f"{stage_name(stage)}-weights")
        circles |= {circle_name(name, stage): weights[name] for name in sorted(weights)}
    return circles


def circle_name(net: str, stage: int) -> str:
    """Name of a circle at one of its stages."""
    return f"{net}-stage{stage:02d}"


def _pictures(context: Context, config: Config) -> Mapping[str, Artifact]:
    """Compute thumbnails of the decision boundaries of all nets: random starts, then circles."""
    nets = found_weights(context.folder, config) | circle_weights(context.folder, config)
    parts = [
        decision_boundary(NET, point.to(context.device), extent=EXTENT, resolution=config.picture_resolution)
        for point in nets.values()
    ]
    return {"pictures": stack_nets(list(nets), parts)}
