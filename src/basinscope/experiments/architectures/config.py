"""Configuration and presets of the experiment `architectures`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Literal

from basinscope.errors import InputError, check_choice
from basinscope.experiments.imaging import ImageConfig
from basinscope.experiments.ranges import check_data_seed, check_ranges, check_warmup
from basinscope.models.catalog import NETS
from basinscope.training.torch_optimizers import TORCH_OPTIMIZERS

ALL_OPTIMIZERS = tuple(TORCH_OPTIMIZERS)


@dataclass(frozen=True, kw_only=True)
class Config(ImageConfig):
    """Settings of the comparison of models and optimizers; the defaults are the preset `quick`."""

    NAME: ClassVar[str] = "architectures"

    num_unseen: int = 100
    """Held-out images; unused, as this experiment does not poison."""
    net: str = "resnet8"
    """Convolutional network: resnet8, resnet14, resnet20 (pre-activation), resnet18 or vgg13."""
    width: float = 1.0
    """Factor on its channel counts."""
    larger_width: float | None = None
    """Width of a second, larger network of the same kind; none for no second one."""
    shrunk: int = 12
    """Side of the downscaled image whose pixel products the linear model takes in addition to all pixels."""
    epochs: float = 40.0
    """Epochs for networks."""
    linear_epochs: float = 100.0
    """Epochs for the linear model."""
    batch_size: int = 125
    """Training images per update."""
    learning_rate: float = 0.1
    """Peak learning rate of SGD with momentum 0.9, for networks."""
    linear_rate: float = 10.0
    """The same for the linear model."""
    warmup: float = 0.04
    """Fraction of the steps over which the learning rate rises, in the comparison with the linear model."""
    optimizers: tuple[str, ...] = ALL_OPTIMIZERS
    """Optimizers in the table."""
    table_net: str = "resnet8"
    """Network of the table."""
    table_width: float = 0.5
    """Factor on its channel counts."""
    table_epochs: float = 40.0
    """Epochs of each optimizer that uses batches."""
    table_batch_size: int = 125
    """Batch size of these optimizers."""
    table_rates: Literal["published", "short"] = "short"
    """Learning rates of the table: the published ones, or higher ones for short training."""
    table_decay: Literal["cosine", "tenfold", "constant"] = "cosine"
    """Learning-rate schedule of the table."""
    descent_steps: int = 120
    """Full-batch updates of gradient descent."""
    lbfgs_steps: int = 10
    """Updates of L-BFGS; the line search of each takes up to 25 passes over all training images."""
    fit_target: float = 0.99
    """Training accuracy at which the training images count as fitted."""
    lead_target: float = 0.25
    """Target for the lead of the network's test accuracy over the linear model's."""
    within_target: float = 0.15
    """Target for the span of test accuracies of all optimizers that fit."""

    def __post_init__(self) -> None:
        for field in ("net", "table_net"):
            check_choice(f"{self.NAME}.{field}", getattr(self, field), tuple(NETS))
        for name in self.optimizers:
            check_choice(f"{self.NAME}.optimizers", name, ALL_OPTIMIZERS)
        if len(set(self.optimizers)) < len(self.optimizers) or not self.optimizers:
            raise InputError(f"{self.NAME}.optimizers = {self.optimizers}: name at least one, each once")
        if self.larger_width is not None and self.larger_width <= self.width:
            raise InputError(
                f"{self.NAME}.larger_width = {self.larger_width}: must be above width = {self.width}, or none"
            )
        check_ranges(
            self.NAME,
            self,
            at_least={
                "seed": 0,
                "batch_size": 2,
                "table_batch_size": 2,
                "shrunk": 1,
                "descent_steps": 1,
                "lbfgs_steps": 1,
                "num_unseen": 0,
            },
            at_most={"width": 16, "table_width": 16, "shrunk": 64, "fit_target": 1, "lead_target": 1},
            positive=(
                "width",
                "table_width",
                "epochs",
                "linear_epochs",
                "table_epochs",
                "learning_rate",
                "linear_rate",
                "within_target",
            ),
        )
        check_data_seed(self.NAME, self.data_seed)
        check_warmup(self.NAME, self.warmup)

    def nets(self) -> tuple[tuple[str, float], ...]:
        """See `ImageConfig.nets`."""
        networks = [(self.net, width) for width in self.models().values() if width is not None]
        return (*networks, ("polynomial", 1.0), (self.table_net, self.table_width))

    @property
    def edge_of_products(self) -> int:
        """See `ImageConfig.edge_of_products`."""
        return self.shrunk

    def models(self) -> dict[str, float | None]:
        """Name and width of each compared model; the linear model has no width."""
        larger = {"larger": self.larger_width} if self.larger_width is not None else {}
        return {"net": self.width, **larger, "linear": None}


_QUICK = Config()
PRESETS = {
    "smoke": replace(
        _QUICK,
        num_train=60,
        num_test=100,
        width=0.5,
        shrunk=8,
        epochs=6.0,
        linear_epochs=6.0,
        batch_size=20,
        table_batch_size=20,
        table_width=0.25,
        table_epochs=2.0,
        descent_steps=3,
        lbfgs_steps=1,
    ),
    "quick": _QUICK,
    "laptop": replace(
        _QUICK,
        source="files",
        num_train=2_000,
        num_test=5_000,
        net="resnet18",
        shrunk=16,
        width=0.5,
        epochs=30.0,
        linear_epochs=60.0,
        table_net="vgg13",
        table_width=0.25,
        table_epochs=40.0,
        table_batch_size=32,
        table_rates="published",
        descent_steps=100,
        lbfgs_steps=6,
    ),
    "paper": replace(
        _QUICK,
        source="files",
        num_train=None,
        num_unseen=0,
        num_test=None,
        net="resnet18",
        width=0.5,
        larger_width=1.0,
        shrunk=16,
        epochs=150.0,
        linear_epochs=150.0,
        batch_size=128,
        table_batch_size=128,
        table_net="vgg13",
        table_width=1.0,
        table_epochs=150.0,
        table_rates="published",
        table_decay="tenfold",
        descent_steps=3_000,
        lbfgs_steps=100,
    ),
}
