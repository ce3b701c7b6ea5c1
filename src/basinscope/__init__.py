"""See why neural networks generalise: loss landscapes, basin radii and volumes around good and bad minima.

The names below are the public door. They load when first used, so that importing the package costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from basinscope._version import __version__

if TYPE_CHECKING:
    from basinscope.data.digits import scattered_digits
    from basinscope.data.images import Images, ImageTask
    from basinscope.data.samples import Samples
    from basinscope.landscape.directions import gaussian
    from basinscope.landscape.module_objective import Objective
    from basinscope.landscape.normalize import Normalization
    from basinscope.landscape.objective import CleanLoss, PointObjective
    from basinscope.landscape.rescale import scale_last_layer
    from basinscope.landscape.streamed import StreamedLoss
    from basinscope.measure.connect import connect
    from basinscope.measure.curvature import curvature
    from basinscope.measure.files import load, save
    from basinscope.measure.maps import tsne
    from basinscope.measure.radius import basin_radius
    from basinscope.measure.sharpness import sharpness
    from basinscope.measure.slices import linear_path, slice1d, slice2d
    from basinscope.measure.trajectory import Recorder
    from basinscope.models.mlp import MLP
    from basinscope.parameters import ParameterLayout, flatten, unflatten
    from basinscope.plots.measured import plot
    from basinscope.probes.boundary import decision_boundary
    from basinscope.probes.curvature import top_eigenvalue
    from basinscope.probes.embedding import tsne_map
    from basinscope.probes.lines import rising_lines
    from basinscope.probes.margin import input_margin
    from basinscope.probes.moving import moving_boundary
    from basinscope.probes.volume import log_volume
    from basinscope.training.ensemble import StackTrainer
    from basinscope.training.members import Member, StopRule
    from basinscope.training.schedules import Schedule
    from basinscope.training.single import Recipe, SingleTrainer
    from basinscope.workflows.run import Run, run
    from basinscope.workflows.survey import Survey, survey

_HOMES = {
    "CleanLoss": "landscape.objective",
    "ImageTask": "data.images",
    "Images": "data.images",
    "MLP": "models.mlp",
    "Member": "training.members",
    "Normalization": "landscape.normalize",
    "Objective": "landscape.module_objective",
    "ParameterLayout": "parameters",
    "PointObjective": "landscape.objective",
    "Recipe": "training.single",
    "Recorder": "measure.trajectory",
    "Run": "workflows.run",
    "Samples": "data.samples",
    "Schedule": "training.schedules",
    "SingleTrainer": "training.single",
    "StackTrainer": "training.ensemble",
    "StopRule": "training.members",
    "StreamedLoss": "landscape.streamed",
    "Survey": "workflows.survey",
    "basin_radius": "measure.radius",
    "connect": "measure.connect",
    "curvature": "measure.curvature",
    "decision_boundary": "probes.boundary",
    "flatten": "parameters",
    "gaussian": "landscape.directions",
    "input_margin": "probes.margin",
    "linear_path": "measure.slices",
    "load": "measure.files",
    "log_volume": "probes.volume",
    "moving_boundary": "probes.moving",
    "plot": "plots.measured",
    "rising_lines": "probes.lines",
    "run": "workflows.run",
    "save": "measure.files",
    "scale_last_layer": "landscape.rescale",
    "scattered_digits": "data.digits",
    "sharpness": "measure.sharpness",
    "slice1d": "measure.slices",
    "slice2d": "measure.slices",
    "survey": "workflows.survey",
    "top_eigenvalue": "probes.curvature",
    "tsne": "measure.maps",
    "tsne_map": "probes.embedding",
    "unflatten": "parameters",
}

__all__ = [
    "MLP",
    "CleanLoss",
    "ImageTask",
    "Images",
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
    "__version__",
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
