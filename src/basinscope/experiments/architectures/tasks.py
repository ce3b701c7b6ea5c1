"""Tasks of the comparison: a convolutional net against a linear model, and one net with many optimizers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial

import numpy as np

from basinscope.errors import TrainingDivergedError
from basinscope.experiments.architectures.config import Config
from basinscope.experiments.imaging import build_net, describe_net, label_history, open_task
from basinscope.results.convert import dataset
from basinscope.runs.engine import Context, Task
from basinscope.runs.store import Artifact
from basinscope.seeds import child_seed
from basinscope.training.schedules import Schedule
from basinscope.training.single import Recipe, SingleTrainer
from basinscope.training.torch_optimizers import TORCH_OPTIMIZERS

KIND = "cifar10"
"""Kind of image files; also the prefix of its random streams, unchanged so that published numbers stay the same."""
LOOKS = 20
"""Evaluations of training and test accuracy during training."""

# Expected seconds of an image in an update on two cores, on 16×16; used only to estimate the remaining time.
_NET_COST, _LINEAR_COST, _TABLE_COST = 2.5e-4, 2e-4, 2e-4
_LBFGS_PASSES, _PROXIMAL = 20, 2.7


def tasks(config: Config) -> list[Task]:
    """Split the experiment into independent tasks."""
    images = config.num_train or 50_000
    size = ((32 if config.source == "files" else config.canvas) / 16) ** 2
    scale = {"resnet8": 1, "resnet14": 2, "resnet20": 3, "resnet18": 20, "vgg13": 10}
    work: list[Task] = []
    for name, width in config.models().items():
        cost = _LINEAR_COST * images * config.linear_epochs * size
        if width is not None:
            cost = _NET_COST * images * config.epochs * size * scale[config.net] * width**1.5
        work.append(Task(f"train-{name}", cost, partial(_compare, config=config, name=name), after=()))
    each = _TABLE_COST * images * size * scale[config.table_net] * config.table_width**1.5
    for name in config.optimizers:
        passes = {"lbfgs": _LBFGS_PASSES * config.lbfgs_steps, "gradient_descent": config.descent_steps}
        cost = each * passes.get(name, config.table_epochs * (_PROXIMAL if name == "proxprop" else 1))
        work.append(Task(f"optimizer-{name}", cost, partial(_optimize, config=config, name=name), after=()))
    return work


def _compare(context: Context, config: Config, name: str) -> Mapping[str, Artifact]:
    """Train the network, the larger network, or the linear model."""
    task, width = open_task(KIND, config, context), config.models()[name]
    epochs, rate = (config.epochs, config.learning_rate) if width else (config.linear_epochs, config.linear_rate)
    kind = config.net if width else "polynomial"
    model = build_net(kind, width or 1.0, task, shrunk=config.shrunk)
    in_epoch = math.ceil(len(task.train) / config.batch_size)
    schedule = Schedule(steps=max(1, round(epochs * in_epoch)), learning_rate=rate, warmup=config.warmup)
    recipe = Recipe(schedule=schedule, batch_size=config.batch_size, record_every=max(1, round(epochs / LOOKS)))
    seed = child_seed(config.seed, KIND, "model", name)
    trainer = SingleTrainer(model, task, recipe, seed=seed, name=name, device=context.device)
    result = trainer.train(checkpoint=context.folder.checkpoint(context.task), progress=context.progress)
    return {
        f"weights-{name}": result.state,
        f"nets-{name}": describe_net(name, model, result),
        f"history-{name}": label_history(result.history),
    }


def _steps(config: Config, name: str, num_train: int) -> int:
    """Planned updates of one optimizer."""
    full_batch = {"lbfgs": config.lbfgs_steps, "gradient_descent": config.descent_steps}
    return full_batch.get(name) or max(1, round(config.table_epochs * math.ceil(num_train / config.table_batch_size)))


def _optimize(context: Context, config: Config, name: str) -> Mapping[str, Artifact]:
    """Train the network of the table with one optimizer; all start from the same weights."""
    task, row = open_task(KIND, config, context), TORCH_OPTIMIZERS[name]
    rate = row.learning_rate if config.table_rates == "published" else row.short_rate
    schedule = Schedule(
        steps=_steps(config, name, len(task.train)),
        learning_rate=rate,
        # The line search of L-BFGS sets its step lengths.
        decay="constant" if name == "lbfgs" else config.table_decay,
    )
    trainer = SingleTrainer(
        build_net(config.table_net, config.table_width, task),
        task,
        Recipe(schedule=schedule, optimizer=name, batch_size=config.table_batch_size),
        seed=child_seed(config.seed, KIND, "table"),
        name=row.title,
        device=context.device,
    )
    try:
        result = trainer.train(checkpoint=context.folder.checkpoint(context.task), progress=context.progress)
        diverged, scores = 0, (result.clean_loss, result.train_accuracy, result.test_accuracy)
    except TrainingDivergedError:
        diverged, scores = 1, (math.nan, math.nan, math.nan)
    loss, train_accuracy, test_accuracy = scores
    optimizer = dataset(
        "optimizers",
        {
            "net": [name],
            "title": [row.title],
            "learning_rate": np.array([rate]),
            "steps": np.array([trainer.step]),
            "diverged": np.array([diverged], dtype=np.int8),
            "clean_loss": np.array([loss]),
            "train_accuracy": np.array([train_accuracy]),
            "test_accuracy": np.array([test_accuracy]),
        },
    )
    return {f"optimizer-{name}": optimizer}
