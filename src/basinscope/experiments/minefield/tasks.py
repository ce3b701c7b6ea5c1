"""Tasks of the minefield experiment: the good run, further good runs, searches for bad minima, the map."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from basinscope.data import spirals
from basinscope.data.samples import Samples
from basinscope.errors import TrainingDivergedError
from basinscope.experiments.minefield.config import Config
from basinscope.landscape.normalize import Normalization
from basinscope.landscape.stacked import CleanLoss
from basinscope.models.mlp import MLP
from basinscope.probes.accuracy import accuracy
from basinscope.probes.embedding import tsne_map
from basinscope.results.convert import dataset
from basinscope.runs.engine import Context, Task
from basinscope.runs.store import Artifact, RunFolder
from basinscope.seeds import child_seed, generator
from basinscope.training.ensemble import StackTrainer
from basinscope.training.members import Member, StackResult, StopRule
from basinscope.training.schedules import Schedule

NET = MLP((2, 25, 25, 25, 25, 1), glorot="normal")
NORMALIZATION = Normalization(NET.layout)

NUM_SHARES = 4
"""Number of tasks among which the searches for bad minima are divided."""

# Expected seconds on two cores; used only to estimate the remaining time.
_GOOD_STEP_COST, _BAD_STEP_COST, _STACK_STEP_COST = 1.5e-5, 9e-5, 4e-4


def tasks(config: Config) -> list[Task]:
    """Split the experiment into tasks; each names the ones whose results it reads."""
    steps, others = _steps_per_epoch(config) * config.epochs, config.other_starts + config.other_splits
    work = [Task("train-good", (_STACK_STEP_COST + _GOOD_STEP_COST) * steps, partial(_train_good, config=config))]
    if others:
        cost = (_STACK_STEP_COST + _GOOD_STEP_COST * others) * steps
        work.append(Task("train-others", cost, partial(_train_others, config=config), after=()))
    for share, epochs in enumerate(_shares(config)):
        cost = (_STACK_STEP_COST + _BAD_STEP_COST * len(epochs)) * config.bad_steps
        seek = partial(_seek_bad, config=config, share=share)
        work.append(Task(f"seek-bad{share}", cost, seek, after=("train-good",)))
    work.append(Task("map", 0.02 * (len(config.recorded_epochs) + config.bad_starts), partial(_map, config=config)))
    return work


def _shares(config: Config) -> list[list[int]]:
    """Start epochs of each task's searches; early and late starts are mixed, as their durations differ."""
    num = min(NUM_SHARES, config.bad_starts)
    return [config.start_epochs[share::num] for share in range(num)]


def bad_minima(folder: RunFolder, config: Config) -> xr.Dataset:
    """Read all searches for bad minima, sorted by start epoch."""
    parts = [folder.dataset(f"bad{share}") for share in range(len(_shares(config)))]
    return xr.concat(parts, "net", combine_attrs="override").sortby("start_epoch")


def _steps_per_epoch(config: Config) -> int:
    return math.ceil(spirals.NUM_TRAIN / config.batch_size)


def _good_member(config: Config, name: str, train: Samples) -> Member:
    """A run with the published schedule; its name determines initial weights and data order."""
    schedule = Schedule(
        steps=_steps_per_epoch(config) * config.epochs,
        learning_rate=config.learning_rate,
        decay="constant",
        settle_loss=math.inf,
        patience=0.0,
    )
    return Member(name=name, seed=child_seed(config.seed, "minefield", name), schedule=schedule, train=train)


def _good_trainer(context: Context, config: Config, members: list[Member], epochs: list[int]) -> StackTrainer:
    return StackTrainer(
        NET,
        members,
        optimizer="rmsprop",
        l2=config.l2,
        batch_size=config.batch_size,
        record_at=[epoch * _steps_per_epoch(config) for epoch in epochs],
        clip=math.inf,
        chunk_size=64,
        device=context.device,
    )


def _refuse_diverged(members: list[Member], result: StackResult) -> None:
    """Raise if a good run became NaN, as no search can start from it.

    Raises:
        TrainingDivergedError: A run diverged; the message names each one and its step.
    """
    steps = result.diverged_at.tolist()
    lost = [f"{m.name} at step {step}" for m, step in zip(members, steps, strict=True) if step >= 0]
    if lost:
        raise TrainingDivergedError(
            f"training diverged: good run, {', '.join(lost)}; lower minefield.learning_rate and run again"
        )


def _clean_loss(points: Tensor, samples: Samples) -> Tensor:
    return CleanLoss(NET, samples.to(points.device, points.dtype)).at(points)


def _end(points: Tensor, train: Samples) -> int:
    """Index of the first parameter vector that fits the training set, or else of the last."""
    fits = accuracy(NET, points, train) == 1
    return int(fits.int().argmax()) if fits.any() else len(points) - 1


def _dense(config: Config, use: str, num: int) -> Samples:
    """Draw fresh points, independently for each use."""
    return spirals.sample_spirals(num, generator(config.seed, "minefield", use))


def _train_good(context: Context, config: Config) -> Mapping[str, Artifact]:
    """Train the good run and evaluate its path."""
    split = spirals.split(config.data_seed)
    recorded, ending = list(config.recorded_epochs), list(config.ending_epochs)
    epochs = sorted({*recorded, *ending})
    members = [_good_member(config, "start 0", split.train)]
    trainer = _good_trainer(context, config, members, epochs)
    result = trainer.train(checkpoint=context.folder.checkpoint(context.task), progress=context.progress)
    _refuse_diverged(members, result)
    by_epoch = dict(zip(epochs, result.recorded[0], strict=True))
    final = ending[_end(torch.stack([by_epoch[epoch] for epoch in ending]), split.train)]
    shown = sorted({*(epoch for epoch in recorded if epoch <= final), final})
    points = torch.stack([by_epoch[epoch] for epoch in shown])
    weights = NORMALIZATION.moved(points)
    path = dataset(
        "path",
        {
            "epoch": np.array(shown),
            "clean_loss": _clean_loss(points, split.train),
            "train_accuracy": accuracy(NET, points, split.train),
            "test_accuracy": accuracy(NET, points, split.test),
            "dense_accuracy": accuracy(NET, points, _dense(config, "dense test set", config.num_dense)),
            "norm": weights.norm(dim=1),
            "travelled": (weights - weights[0]).norm(dim=1),
            "final_epoch": final,
        },
    )
    iterates = {_iterate(epoch): by_epoch[epoch] for epoch in sorted({*recorded, final})}
    return {"iterates": iterates, "path": path}


def _iterate(epoch: int) -> str:
    return f"epoch{epoch}"


def _train_others(context: Context, config: Config) -> Mapping[str, Artifact]:
    """Train further good runs from other starts and on other splits."""
    splits = {f"start {k}": (-1, spirals.split(config.data_seed)) for k in range(1, config.other_starts + 1)}
    for k in range(config.other_splits):
        # Independent of the good run's split.
        seed = child_seed(config.seed, "minefield", "split", k) % 2**32
        splits[f"split {k}"] = (seed, spirals.split(seed))
    members = [_good_member(config, name, split.train) for name, (_, split) in splits.items()]
    ending = list(config.ending_epochs)
    trainer = _good_trainer(context, config, members, ending)
    result = trainer.train(checkpoint=context.folder.checkpoint(context.task), progress=context.progress)
    _refuse_diverged(members, result)
    dense = _dense(config, "dense test set", config.num_dense)
    rows = []
    for records, (_, split) in zip(result.recorded, splits.values(), strict=True):
        index = _end(records, split.train)
        point = records[index : index + 1]
        rows.append(
            {
                "epoch": ending[index],
                "clean_loss": float(_clean_loss(point, split.train)),
                "train_accuracy": float(accuracy(NET, point, split.train)),
                "test_accuracy": float(accuracy(NET, point, split.test)),
                "dense_accuracy": float(accuracy(NET, point, dense)),
            }
        )
    values = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    named = {"net": list(splits), "split": np.array([seed for seed, _ in splits.values()])}
    return {"others": dataset("good_runs", named | values)}


def _seek_bad(context: Context, config: Config, share: int) -> Mapping[str, Artifact]:
    """Search for a bad minimum from each of some iterates of the good run."""
    split, epochs = spirals.split(config.data_seed), _shares(config)[share]
    iterates = context.folder.weights("iterates")
    starts = torch.stack([iterates[_iterate(epoch)] for epoch in epochs])
    held_out = _dense(config, "held out", config.num_held_out)
    rule = StopRule(held_out=held_out, held_out_accuracy=config.stop_accuracy) if config.stop_accuracy else None
    schedule = Schedule(
        steps=config.bad_steps,
        learning_rate=config.bad_learning_rate,
        poison=config.poison,
        decay="cosine" if config.bad_optimizer == "adam" else "constant",
        settle_ratio=1.0,
        settle_loss=math.inf,
        patience=0.0,
    )
    fixed = config.unseen == "published"
    members = [
        Member(
            name=_bad_name(epoch),
            seed=child_seed(config.seed, "minefield", "bad", epoch),
            schedule=schedule,
            train=split.train,
            unseen=split.unseen if fixed else None,
            start=start,
            stop=rule,
        )
        for epoch, start in zip(epochs, starts, strict=True)
    ]
    trainer = StackTrainer(
        NET,
        members,
        sampler=spirals.sample_spirals,
        num_unseen=len(split.unseen),
        optimizer=config.bad_optimizer,
        clip=config.clip,
        chunk_size=15,
        device=context.device,
    )
    result = trainer.train(checkpoint=context.folder.checkpoint(context.task), progress=context.progress)
    first, last = NORMALIZATION.moved(starts), NORMALIZATION.moved(result.points)
    bad = dataset(
        "bad_minima",
        {
            "net": [m.name for m in members],
            "start_epoch": np.array(epochs),
            "steps": result.steps,
            "diverged_at": result.diverged_at,
            "clean_loss": result.clean_loss,
            "train_accuracy": result.train_accuracy,
            "held_out_accuracy": accuracy(NET, result.points, held_out),
            "test_accuracy": accuracy(NET, result.points, split.test),
            "dense_accuracy": accuracy(NET, result.points, _dense(config, "dense test set", config.num_dense)),
            "distance": (last - first).norm(dim=1) / first.norm(dim=1),
        },
    )
    weights = {m.name: p for m, p in zip(members, result.points, strict=True)}
    return {f"bad-weights{share}": weights, f"bad{share}": bad}


def _bad_name(epoch: int) -> str:
    return f"bad-from-epoch{epoch}"


def bad_weights(folder: RunFolder, config: Config) -> dict[str, Tensor]:
    """Weights at the end of every search, by name."""
    shares = [folder.weights(f"bad-weights{share}") for share in range(len(_shares(config)))]
    return {name: point for share in shares for name, point in share.items()}


def map_order(folder: RunFolder, config: Config) -> tuple[list[int], list[str]]:
    """Networks on the map, in order: epochs of the path, then ends of searches with finite weights."""
    bad = bad_minima(folder, config)
    finite = bad["net"].values[bad["diverged_at"].values < 0]
    return folder.dataset("path")["epoch"].values.tolist(), [str(name) for name in finite]


def mapped_weights(folder: RunFolder, config: Config) -> dict[str, Tensor]:
    """Weights of the networks on the map, by name, in its order."""
    epochs, bad = map_order(folder, config)
    iterates, minima = folder.weights("iterates"), bad_weights(folder, config)
    return {_iterate(epoch): iterates[_iterate(epoch)] for epoch in epochs} | {name: minima[name] for name in bad}


def _map(context: Context, config: Config) -> Mapping[str, Artifact]:
    """Embed the path and the bad minima in the plane."""
    points = torch.stack(list(mapped_weights(context.folder, config).values()))
    seed = child_seed(config.seed, "minefield", "map")
    return {"map": tsne_map(points, NORMALIZATION, seed=seed, perplexity=config.perplexity)}
