"""Records a network's training path in any training loop, for planes and maps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from basinscope.checkpoints.points import COPIES
from basinscope.errors import InputError
from basinscope.runs import atomic


def _save(state: dict[str, Tensor], path: Path) -> None:
    try:
        save_file(state, path)
    except KeyError as error:  # of a table of types; which of the complex ones it has depends on the version
        name = next((name for name, tensor in state.items() if tensor.dtype == error.args[0]), next(iter(state)))
        raise InputError(
            f"Recorder: {name} is {error.args[0]}, which safetensors files cannot hold: leave out folder"
        ) from error


class Recorder(Sequence[Mapping[str, Tensor]]):
    """Records copies of a network's parameters and running statistics during training.

    Three lines in any loop: create it, call `step()` after each update, and pass it as `points`:

        recorder = Recorder(model, every=50)
        ...
        recorder.step()
        ...
        plane = slice2d(objective, directions="pca", points=recorder)

    Args:
        model: The network; only read.
        every: Updates between two copies; the first copy is the state at creation.
        folder: Folder for the copies, as safetensors files; None stores them in CPU memory.

    Raises:
        InputError: `every` is below 1, the folder already contains copies, or a tensor's type cannot be stored there.
    """

    def __init__(self, model: nn.Module, *, every: int = 1, folder: str | Path | None = None) -> None:
        if every < 1:
            raise InputError(f"Recorder: every = {every}: must be at least 1")
        self.model, self.every = model, every
        self.steps: list[int] = []
        """Updates made before each copy."""
        self._folder = None if folder is None else Path(folder)
        self._kept: list[dict[str, Tensor]] = []
        self._done = 0
        if self._folder is not None and any(self._folder.glob(COPIES)):
            raise InputError(f"Recorder: {self._folder} already contains copies: name another folder")
        self._copy()

    def step(self) -> None:
        """Count an update; save a copy every `every` updates."""
        self._done += 1
        if self._done % self.every == 0:
            self._copy()

    def _copy(self) -> None:
        # Tied tensors are saved under their first name, the only one that `points` needs.
        statistics = ((name, buffer) for name, buffer in self.model.named_buffers() if buffer.is_floating_point())
        tensors = (*self.model.named_parameters(), *statistics)
        state = {name: tensor.detach().cpu().clone().contiguous() for name, tensor in tensors}
        if self._folder is None:
            self._kept.append(state)
        else:
            atomic.write(self._path(self._done), lambda partial: _save(state, partial))
        self.steps.append(self._done)

    def _path(self, step: int) -> Path:
        assert self._folder is not None
        return self._folder / COPIES.replace("*", f"{step:09d}")

    def __repr__(self) -> str:
        copies = f"{len(self)} {'copy' if len(self) == 1 else 'copies'}"
        place = "memory" if self._folder is None else repr(str(self._folder))
        return (
            f"<Recorder of {type(self.model).__name__}: {copies} in {place}, every={self.every}, {self._done} updates>"
        )

    def __len__(self) -> int:
        return len(self.steps)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[k] for k in range(*index.indices(len(self)))]
        return self._kept[index] if self._folder is None else load_file(self._path(self.steps[index]))

    def __iter__(self) -> Iterator[Mapping[str, Tensor]]:
        return (self[index] for index in range(len(self)))

    def for_lightning(self) -> Any:
        """Create a callback for Lightning's `Trainer`; Lightning must be installed.

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
        recorder = self

        class Recording(Callback):
            """Counts the updates of a training run."""

            _seen = 0

            def on_train_batch_end(self, trainer: Any, *_: Any, **__: Any) -> None:
                """Count the updates since the last batch; with gradient accumulation there may be none."""
                for _step in range(trainer.global_step - self._seen):
                    recorder.step()
                self._seen = trainer.global_step

        return Recording()

    def for_transformers(self) -> Any:
        """Create a callback for Hugging Face's `Trainer`; `transformers` must be installed.

        Raises:
            InputError: `transformers` is not installed.
        """
        try:
            from transformers import TrainerCallback
        except ModuleNotFoundError as error:
            raise InputError("transformers is not installed: pip install transformers") from error
        recorder = self

        class Recording(TrainerCallback):
            """Counts the updates of a training run."""

            def on_step_end(self, *_: Any, **__: Any) -> None:
                """Count an update."""
                recorder.step()

        return Recording()
