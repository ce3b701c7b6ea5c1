"""Tasks on minima of image networks: training of good and bad nets, measurements, slices, lines."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import get_args

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from basinscope.errors import InputError
from basinscope.experiments.image_minima.config import Config
from basinscope.experiments.imaging import build_net, describe_net, label_history, load_net, open_task
from basinscope.experiments.minima import net_name
from basinscope.landscape.normalize import Normalization
from basinscope.landscape.precision import precision_for
from basinscope.landscape.rescale import scale_of_logits, with_last_layer_scaled
from basinscope.landscape.seeded_ray import Ray
from basinscope.landscape.streamed import Precision, StreamedLoss
from basinscope.memory import told_of_memory
from basinscope.probes.grid import symmetric_grid
from basinscope.probes.pushed_images import pushed_images
from basinscope.probes.radius import basin_radius
from basinscope.probes.rising_lines import rising_lines
from basinscope.probes.scaled_curvature import mean_curvatures
from basinscope.probes.slices import slice1d, slice2d
from basinscope.results.convert import unmeasured
from basinscope.runs.engine import Context, Task
from basinscope.runs.store import Artifact
from basinscope.seeds import child_seed
from basinscope.training.schedules import Schedule
from basinscope.training.single import Recipe, SingleTrainer

KIND = "svhn"
"""Kind of image files; also the prefix of its random streams, unchanged so that published numbers stay the same."""
NUM_SLICES = 3
"""1-D slices around each of the two compared nets."""
EVALUATIONS_PER_RAY = 3.0

# Expected seconds on two cores for an image through ResNet-8 on 16×16; used only to estimate the remaining time.
_FORWARD, _UPDATE = 1.4e-4, 6e-4
_CURVATURE = 13
"""Cost of a second derivative or Hessian product, in evaluations."""
_PRODUCTS = 16


def tasks(config: Config) -> list[Task]:
    """Split the experiment into tasks; each names the ones whose results it reads."""
    images = config.num_train or 73_257
    look = _FORWARD * images * _relative_cost(config)
    work: list[Task] = []
    for poison in config.poisons:
        epochs = config.poisoned_epochs if poison else config.epochs
        together = 1 + config.unseen_per_update / config.batch_size if poison else 1
        cost = _UPDATE / _FORWARD * look * epochs * together
        for run in range(config.runs):
            train = partial(_train, config=config, poison=poison, run=run)
            work.append(Task(f"train-{net_name(poison, run)}", cost, train, after=()))

    def measuring(work: Callable[..., Mapping[str, Artifact]], net: str, **which: object) -> partial:
        return partial(_within_memory, work=partial(work, config=config, net=net, **which), net=net)

    for net in config.net_names():
        trained = (f"train-{net}",)
        cost = _CURVATURE * look * (config.num_curvature + config.num_trace + _PRODUCTS)
        work.append(Task(f"curvature-{net}", cost, measuring(_curvature, net), after=trained))
        for scaled in (False, True):
            for share in range(len(config.shares())):
                measure = measuring(_measure, net, scaled=scaled, share=share)
                cost = EVALUATIONS_PER_RAY * look * len(config.shares()[share])
                work.append(Task(f"measure-{share_name(net, scaled, share)}", cost, measure, after=trained))
    for net in config.compared:
        trained = (f"train-{net}",)
        cost = look * (config.slice_resolution**2 + NUM_SLICES * config.line_resolution)
        work.append(Task(f"slices-{net}", cost, measuring(_slices, net), after=trained))
        cost = 0.6 * look * config.num_lines * config.line_points
        work.append(Task(f"lines-{net}", cost, measuring(_lines, net), after=trained))
        cost = 2 * _FORWARD * config.num_examples * _relative_cost(config) * NUM_SLICES * config.line_resolution
        work.append(Task(f"examples-{net}", cost, measuring(_examples, net), after=trained))
    return work


def _within_memory(
    context: Context, work: Callable[[Context], Mapping[str, Artifact]], net: str
) -> Mapping[str, Artifact]:
    """Run a measurement; if memory runs out, name the setting to lower."""
    with told_of_memory(f"measuring {net}", "image_minima.evaluated_together"):
        return work(context)


def _relative_cost(config: Config) -> float:
    """Approximate cost of an image relative to ResNet-8 on 16×16."""
    area = (32 if config.source == "files" else config.canvas) ** 2 / 16**2
    each = {"resnet8": 1.0, "resnet14": 1.8, "resnet20": 2.7, "resnet18": 20.0, "vgg13": 10.0}[config.net]
    return area * each * max(config.width**1.5, 0.05)


def share_name(net: str, scaled: bool, share: int) -> str:
    """Name of one net's radii along one share of the directions, as trained or with its last layer scaled."""
    return f"{net}{'-scaled' if scaled else ''}-{share}"


def _train(context: Context, config: Config, poison: float, run: int) -> Mapping[str, Artifact]:
    """Train one network."""
    task, name = open_task(KIND, config, context), net_name(poison, run)
    num_train = len(task.train)
    recipe_of = partial(Recipe, batch_size=config.batch_size, num_unseen=config.unseen_per_update if poison else 0)
    epochs = config.poisoned_epochs if poison else config.epochs
    in_epoch = -(-num_train // config.batch_size)
    schedule = Schedule(
        steps=max(1, round(epochs * in_epoch)),
        learning_rate=config.learning_rate,
        poison=poison,
        decay=config.decay,
        warmup=config.warmup,
        settle_ratio=config.settle_ratio,
        settle_loss=config.settle_loss,
        patience=config.patience,
    )
    model = build_net(config.net, config.width, task)
    trainer = SingleTrainer(
        model,
        task,
        recipe_of(schedule=schedule, record_every=max(1, round(epochs / 20))),
        seed=child_seed(config.seed, KIND, "net", name),
        name=name,
        device=context.device,
    )
    result = trainer.train(checkpoint=context.folder.checkpoint(context.task), progress=context.progress)
    return {
        f"weights-{name}": result.state,
        f"nets-{name}": describe_net(name, model, result, poison=poison, run=run),
        f"history-{name}": label_history(result.history),
    }


def _open(context: Context, config: Config, net: str) -> StreamedLoss:
    """Open the clean loss around one trained network."""
    task = open_task(KIND, config, context)
    model = load_net(context.folder, net, build_net(config.net, config.width, task), context.device)

    def make(precision: Precision, compiled: bool) -> StreamedLoss:
        together = config.evaluated_together
        return StreamedLoss(model, task.train, batch_size=together, precision=precision, compiled=compiled)

    plain = make("float32", False)
    stored = context.folder.take_json("backend.json")
    if stored is None or stored.get("precision") not in get_args(Precision):
        ray = Ray(Normalization(plain.layout), _directions(config), 0)
        chosen = precision_for(context.device, make, ray, reproducible=context.reproducible)
        stored = context.folder.settle_json("backend.json", chosen.to_json())
    as_chosen = (stored["precision"], stored["compiled"])
    return plain if as_chosen == ("float32", False) else make(*as_chosen)


def _scale(landscape: StreamedLoss, config: Config) -> float:
    """Factor of the last layer at which the clean loss has the common value.

    Raises:
        InputError: There is none, as the network misclassifies a training image.
    """
    logits = landscape.logits(landscape.minimum)
    return scale_of_logits(logits, landscape.train.labels.cpu(), config.scaled_loss)


def _directions(config: Config) -> int:
    return child_seed(config.seed, KIND, "directions")


def _measure(context: Context, config: Config, net: str, scaled: bool, share: int) -> Mapping[str, Artifact]:
    """Measure radii of one network along a share of the directions."""
    landscape, indices = _open(context, config, net), config.shares()[share]
    name = f"radius-{share_name(net, scaled, share)}"
    try:
        center = landscape.minimum
        if scaled:
            center = with_last_layer_scaled(center, landscape.layout, _scale(landscape, config))
        radius = basin_radius(
            landscape.around(center),
            seed=_directions(config),
            indices=indices,
            cutoff=config.cutoff,
            tolerance=config.tolerance,
            # Scan once per network, in the first share as trained: scans do not depend on the scale.
            num_scanned=0 if scaled or share else config.num_scanned,
            progress=context.progress,
        )
    except InputError:
        return {name: unmeasured("radius", ray=np.asarray(indices))}
    return {name: radius}


def _curvature(context: Context, config: Config, net: str) -> Mapping[str, Artifact]:
    """Measure the mean curvature of one network, as trained and with its last layer scaled."""
    landscape = _open(context, config, net)
    indices = range(config.num_curvature)
    names = [f"mean_curvature-{net}", f"mean_curvature-{net}-scaled"]
    try:
        scales = (1.0, _scale(landscape, config))
    except InputError:
        return {name: unmeasured("mean_curvature", ray=np.asarray(indices)) for name in names}
    curvatures = mean_curvatures(
        landscape.around(),
        scales=scales,
        seed=_directions(config),
        indices=indices,
        num_trace=config.num_trace,
        progress=context.progress,
    )
    return dict(zip(names, curvatures, strict=True))


def _examples(context: Context, config: Config, net: str) -> Mapping[str, Artifact]:
    """Record predictions of one network for some images along the lines of the 1-D slices."""
    task, landscape = open_task(KIND, config, context), _open(context, config, net)
    indices = torch.arange(config.num_examples)
    parts = [images.subset(indices[: len(images)]) for images in (task.train, task.test)]
    pushed = pushed_images(
        landscape.around(),
        parts[0],
        parts[1],
        seed=child_seed(config.seed, KIND, "slice"),
        indices=range(NUM_SLICES),
        distances=symmetric_grid(config.slice_extent, config.line_resolution),
    )
    return {f"examples-{net}": pushed}


def _slices(context: Context, config: Config, net: str) -> Mapping[str, Artifact]:
    """Compute 1-D and 2-D slices around one network, along the same directions."""
    landscape = _open(context, config, net).around()
    seed = child_seed(config.seed, KIND, "slice")

    def grid(num: int) -> Tensor:
        return symmetric_grid(config.slice_extent, num)

    lines = slice1d(
        landscape,
        seed=seed,
        indices=range(NUM_SLICES),
        distances=grid(config.line_resolution),
        progress=False,
    )
    surface = slice2d(
        landscape,
        seed=seed,
        distances=grid(config.slice_resolution),
        progress=context.progress,
    )
    return {f"slice1d-{net}": lines, f"slice2d-{net}": surface}


def _lines(context: Context, config: Config, net: str) -> Mapping[str, Artifact]:
    """Compute losses along random lines from one network."""
    landscape = _open(context, config, net)
    lines: xr.Dataset = rising_lines(
        landscape.around(),
        seed=_directions(config),
        indices=range(config.num_lines),
        distances=torch.linspace(0, config.line_extent, config.line_points, dtype=torch.float64),
        ceiling=config.line_ceiling,
        progress=context.progress,
    )
    return {f"lines-{net}": lines}
