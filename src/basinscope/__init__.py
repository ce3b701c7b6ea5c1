"""See why neural networks generalise: loss landscapes, basin radii and volumes around good and bad minima.

The names below are the public API. They are imported on first use, so that importing the package is fast.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from basinscope._version import __version__

if TYPE_CHECKING:
    from basinscope.checkpoints.alignment import align
    from basinscope.data.digits import scattered_digits
    from basinscope.data.images import Images, ImageTask
    from basinscope.data.samples import Samples
    from basinscope.errors import InputError
    from basinscope.landscape.gaussian import gaussian
    from basinscope.landscape.module.objective import Objective
    from basinscope.landscape.normalize import Normalization
    from basinscope.landscape.rescale import scale_last_layer
    from basinscope.landscape.stacked import CleanLoss, PointObjective
    from basinscope.landscape.streamed import StreamedLoss
    from basinscope.models.mlp import MLP
    from basinscope.parameters import ParameterLayout, flatten, unflatten
    from basinscope.plots.measured import plot
    from basinscope.probes.boundary import decision_boundary
    from basinscope.probes.connect import connect
    from basinscope.probes.curvature import curvature
    from basinscope.probes.embedding import tsne_map
    from basinscope.probes.linear_path import linear_path
    from basinscope.probes.margin import input_margin
    from basinscope.probes.mean_curvature import mean_curvature
    from basinscope.probes.moving_boundary import moving_boundary
    from basinscope.probes.radius import basin_radius
    from basinscope.probes.rising_lines import rising_lines
    from basinscope.probes.sharpness import sharpness
    from basinscope.probes.slices import slice1d, slice2d
    from basinscope.probes.top_eigenvalue import top_eigenvalue
    from basinscope.probes.tsne import tsne
    from basinscope.probes.volume import log_volume
    from basinscope.recording.recorder import Recorder
    from basinscope.recording.training_probes import TrainingProbes
    from basinscope.runs.result_files import load, save
    from basinscope.training.ensemble import StackTrainer
    from basinscope.training.members import Member, StopRule
    from basinscope.training.schedules import Schedule
    from basinscope.training.single import Recipe, SingleTrainer
    from basinscope.workflows.run import Run, run
    from basinscope.workflows.survey import Survey, survey

_HOMES = {
    "CleanLoss": "landscape.stacked",
    "ImageTask": "data.images",
    "InputError": "errors",
    "Images": "data.images",
    "MLP": "models.mlp",
    "Member": "training.members",
    "Normalization": "landscape.normalize",
    "Objective": "landscape.module.objective",
    "ParameterLayout": "parameters",
    "PointObjective": "landscape.stacked",
    "Recipe": "training.single",
    "Recorder": "recording.recorder",
    "Run": "workflows.run",
    "Samples": "data.samples",
    "Schedule": "training.schedules",
    "SingleTrainer": "training.single",
    "StackTrainer": "training.ensemble",
    "StopRule": "training.members",
    "StreamedLoss": "landscape.streamed",
    "TrainingProbes": "recording.training_probes",
    "align": "checkpoints.alignment",
    "basin_radius": "probes.radius",
    "connect": "probes.connect",
    "curvature": "probes.curvature",
    "Survey": "workflows.survey",
    "decision_boundary": "probes.boundary",
    "flatten": "parameters",
    "gaussian": "landscape.gaussian",
    "input_margin": "probes.margin",
    "linear_path": "probes.linear_path",
    "load": "runs.result_files",
    "log_volume": "probes.volume",
    "mean_curvature": "probes.mean_curvature",
    "moving_boundary": "probes.moving_boundary",
    "plot": "plots.measured",
    "rising_lines": "probes.rising_lines",
    "save": "runs.result_files",
    "scale_last_layer": "landscape.rescale",
    "scattered_digits": "data.digits",
    "sharpness": "probes.sharpness",
    "slice1d": "probes.slices",
    "slice2d": "probes.slices",
    "top_eigenvalue": "probes.top_eigenvalue",
    "tsne": "probes.tsne",
    "run": "workflows.run",
    "survey": "workflows.survey",
    "tsne_map": "probes.embedding",
    "unflatten": "parameters",
}

__all__ = [
    "MLP",
    "CleanLoss",
    "ImageTask",
    "Images",
    "InputError",
    "Member",
    "Normalization",
    "Objective",
    "ParameterLayout",
    "PointObjective",
    "Recipe",
    "Recorder",
    "Run",
    "Samples",
    "Schedule",
    "SingleTrainer",
    "StackTrainer",
    "StopRule",
    "StreamedLoss",
    "Survey",
    "TrainingProbes",
    "__version__",
    "align",
    "basin_radius",
    "connect",
    "curvature",
    "decision_boundary",
    "flatten",
    "gaussian",
    "input_margin",
    "linear_path",
    "load",
    "log_volume",
    "mean_curvature",
    "moving_boundary",
    "plot",
    "rising_lines",
    "run",
    "save",
    "scale_last_layer",
    "scattered_digits",
    "sharpness",
    "slice1d",
    "slice2d",
    "survey",
    "top_eigenvalue",
    "tsne",
    "tsne_map",
    "unflatten",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'basinscope' has no attribute {name!r}")
    return getattr(import_module(f"basinscope.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
