"""Callbacks that let the trainers of other libraries call a recorder."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from basinscope.errors import InputError

Attach = Callable[[Any], None]
"""Takes the trainer's optimizer."""


def lightning_callback(step: Callable[[], None], attach: Attach) -> Any:
    """Create a callback for Lightning's `Trainer`.

    Args:
        step: Called after each update.
        attach: Called before training with the optimizer, if there is one only.

    Raises:
        InputError: Neither `lightning` nor `pytorch_lightning` is installed.
    """
    try:
        from lightning.pytorch import Callback  # pyright: ignore[reportMissingImports]
    except ModuleNotFoundError:
        try:
            from pytorch_lightning import Callback  # pyright: ignore[reportMissingImports]
        except ModuleNotFoundError as error:
            raise InputError("lightning is not installed: pip install lightning") from error

    class Recording(Callback):
        """Counts the updates of a training run."""

        _seen = 0

        def on_train_start(self, trainer: Any, *_: Any, **__: Any) -> None:
            """Take the optimizer."""
            if len(trainer.optimizers) == 1:
                attach(trainer.optimizers[0])

        def on_train_batch_end(self, trainer: Any, *_: Any, **__: Any) -> None:
            """Count the updates since the last batch; with gradient accumulation there may be none."""
            for _step in range(trainer.global_step - self._seen):
                step()
            self._seen = trainer.global_step

    return Recording()


def transformers_callback(step: Callable[[], None], attach: Attach) -> Any:
    """Create a callback for Hugging Face's `Trainer`.

    Args:
        step: Called after each update.
        attach: Called before training with the optimizer.

    Raises:
        InputError: `transformers` is not installed.
    """
    try:
        from transformers import TrainerCallback
    except ModuleNotFoundError as error:
        raise InputError("transformers is not installed: pip install transformers") from error

    class Recording(TrainerCallback):
        """Counts the updates of a training run."""

        def on_train_begin(self, *_: Any, optimizer: Any = None, **__: Any) -> None:
            """Take the optimizer."""
            if optimizer is not None:
                attach(optimizer)

        def on_step_end(self, *_: Any, **__: Any) -> None:
            """Count an update."""
            step()

    return Recording()
