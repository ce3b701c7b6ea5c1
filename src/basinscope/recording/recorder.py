"""Records a network's training path in any training loop, with measurements at each copy."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import xarray as xr
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.optim import Optimizer

from basinscope.checkpoints.points import COPIES
from basinscope.errors import InputError, kind_of
from basinscope.recording.callbacks import lightning_callback, transformers_callback
from basinscope.recording.measurements import Measurements
from basinscope.recording.training_probes import Probes, training_probes
from basinscope.results.convert import write_netcdf
from basinscope.runs import atomic
from basinscope.settings import checks_settings

_log = logging.getLogger(__name__)
MEASURED = "training.nc"
"""Name of the file with the measurements, beside the copies."""


def _save(state: dict[str, Tensor], path: Path) -> None:
    try:
        save_file(state, path)
    except KeyError as error:  # of a table of types; which of the complex ones it has depends on the version
        name = next((name for name, tensor in state.items() if tensor.dtype == error.args[0]), next(iter(state)))
        raise InputError(
            f"Recorder: {name} is {error.args[0]}, which safetensors files cannot hold: leave out folder"
        ) from error


class Recorder(Sequence[Mapping[str, Tensor]]):
    """Records copies of a network's parameters and running statistics during training, and measures at each copy.

    Three lines in any loop: create it, call `step()` after each update, and pass it as `points`:

        recorder = Recorder(model, every=50)
        ...
        recorder.step()
        ...
        plane = slice2d(objective, directions="pca", points=recorder)

    With `probes=objective`, an `Objective` of the same model, the loss and the largest eigenvalue of the Hessian are
    measured at each copy, and `plot(recorder.measured())` draws them beside the limit 2/η of the learning rate η. The
    network is measured in eval mode and left as it was: weights are trained bit for bit as without probes. See
    `TrainingProbes` for costs and further measurements.

    A probe that fails during training does not end it: the error is logged once, and NaN recorded. The first
    measurement, at creation, raises errors.

    Args:
        model: The network; only read.
        every: Updates between two copies; the first copy is the state at creation.
        folder: Folder for the copies, as safetensors files, and for the measurements, as `training.nc`, which is
            rewritten at each copy; None stores them in CPU memory.
        probes: What is measured at each copy: an `Objective`, `TrainingProbes`, or functions of the network by name.
            None measures nothing.
        optimizer: The optimizer, whose learning rate and momentum give the stability limit. The callbacks of
            `for_lightning` and `for_transformers` find it themselves.

    Raises:
        InputError: `model` is no network, `every` is below 1, the folder already contains copies or cannot hold
            a tensor's type, the objective or the optimizer is of another network, or the first measurement fails.

    References:
        Cohen et al. 2021, arXiv 2103.00065 (edge of stability).
    """

    @checks_settings
    def __init__(
        self,
        model: nn.Module,
        *,
        every: int = 1,
        folder: str | Path | None = None,
        probes: Probes | None = None,
        optimizer: Optimizer | None = None,
    ) -> None:
        if not isinstance(model, nn.Module):
            raise InputError(f"Recorder: model is {kind_of(model)}: pass an nn.Module")
        if every < 1:
            raise InputError(f"Recorder: every = {every}: must be at least 1")
        if probes is None and optimizer is not None:
            raise InputError("Recorder: optimizer= without probes=, so nothing is measured: pass both or neither")
        self.model, self.every = model, every
        self.steps: list[int] = []
        """Updates made before each copy."""
        self._folder = None if folder is None else Path(folder)
        self._kept: list[dict[str, Tensor]] = []
        self._done = 0
        if self._folder is not None and any(self._folder.glob(COPIES)):
            raise InputError(f"Recorder: {self._folder} already contains copies: name another folder")
        self._measurements = None if probes is None else Measurements(model, training_probes(probes), optimizer)
        self._record()

    def step(self) -> None:
        """Count an update; copy and measure every `every` updates."""
        self._done += 1
        if self._done % self.every == 0:
            self._record()

    def measured(self) -> xr.Dataset:
        """The measurements so far.

        Returns:
            A `training` dataset: loss, top eigenvalue with its residual and status, learning rate and limit, and other
            numbers at each copy. NaN where a measurement failed.

        Raises:
            InputError: There are no probes.
        """
        if self._measurements is None:
            raise InputError("Recorder: nothing was measured: pass probes= when creating it")
        return self._measurements.result()

    def _record(self) -> None:
        if self._measurements is not None:
            self._measurements.measure(self._done)
            if self._folder is not None:
                result = self._measurements.result()
                atomic.write(self._folder / MEASURED, lambda partial: write_netcdf(result, partial))
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
        return lightning_callback(self.step, self._attach)

    def for_transformers(self) -> Any:
        """Create a callback for Hugging Face's `Trainer`; `transformers` must be installed.

        With probes, create the objective and the recorder after the trainer, which moves the network to its device, and
        pass the callback to `trainer.add_callback`.

        Raises:
            InputError: `transformers` is not installed.
        """
        return transformers_callback(self.step, self._attach)

    def _attach(self, optimizer: Any) -> None:
        """Take a trainer's optimizer, unless one was given."""
        if self._measurements is None or self._measurements.optimizer is not None:
            return
        try:
            self._measurements.attach(optimizer)
        except InputError as error:
            _log.warning("%s; the learning rate is not recorded", error)
