"""The torch optimizers of the comparison, with their published learning rates."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import nn
from torch.optim import LBFGS, SGD, Optimizer

from basinscope.training.proxprop import ProxProp


@dataclass(frozen=True)
class OptimizerRow:
    """One optimizer of the comparison.

    Example:
        >>> row = TORCH_OPTIMIZERS["adam"]
        >>> optimizer = row.make(network, row.learning_rate)
    """

    title: str
    """Title in figures."""
    make: Callable[[nn.Module, float], Optimizer]
    """Creates it for all parameters of a network, with a learning rate."""
    learning_rate: float
    """The published learning rate, if there is one."""
    short_rate: float
    """Our rate for runs of a few hundred updates, for which many of the published ones are too small."""
    full_batch: bool = False
    """Whether its step takes a closure, which computes loss and gradient over the whole training set at each call."""


def _lbfgs(net: nn.Module, lr: float) -> Optimizer:
    """Create L-BFGS; its ten pairs need 20 times the net's memory, torch's default of a hundred 200 times."""
    return LBFGS(net.parameters(), lr=lr, history_size=10, line_search_fn="strong_wolfe")


TORCH_OPTIMIZERS: Mapping[str, OptimizerRow] = {
    "sgd": OptimizerRow("SGD", lambda net, lr: SGD(net.parameters(), lr), 0.05, 0.5),
    "momentum": OptimizerRow("SGD, momentum", lambda net, lr: SGD(net.parameters(), lr, momentum=0.9), 0.01, 0.1),
    "nesterov": OptimizerRow(
        "SGD, Nesterov", lambda net, lr: SGD(net.parameters(), lr, momentum=0.9, nesterov=True), 0.01, 0.1
    ),
    "adam": OptimizerRow("Adam", lambda net, lr: torch.optim.Adam(net.parameters(), lr), 0.01, 0.01),
    "amsgrad": OptimizerRow(
        "AMSGrad", lambda net, lr: torch.optim.Adam(net.parameters(), lr, amsgrad=True), 0.0005, 0.01
    ),
    "adamax": OptimizerRow("Adamax", lambda net, lr: torch.optim.Adamax(net.parameters(), lr), 0.0005, 0.02),
    "adadelta": OptimizerRow("Adadelta", lambda net, lr: torch.optim.Adadelta(net.parameters(), lr, rho=0.5), 5.0, 2.0),
    "adagrad": OptimizerRow("Adagrad", lambda net, lr: torch.optim.Adagrad(net.parameters(), lr), 0.025, 0.05),
    "rmsprop": OptimizerRow("RMSprop", lambda net, lr: torch.optim.RMSprop(net.parameters(), lr), 0.0005, 0.003),
    "asgd": OptimizerRow("ASGD", lambda net, lr: torch.optim.ASGD(net.parameters(), lr), 0.1, 0.5),
    "lbfgs": OptimizerRow("L-BFGS", _lbfgs, 0.9, 0.9, full_batch=True),
    "proxprop": OptimizerRow("ProxProp", ProxProp, 0.001, 0.01),
    "gradient_descent": OptimizerRow(
        "Gradient descent", lambda net, lr: SGD(net.parameters(), lr), 0.5, 1.0, full_batch=True
    ),
}
"""Momentum is 0.9; all other settings are torch's defaults, including ASGD's decay of 1e-4.

Rates are those of Huang et al. 2019 (arXiv 1906.03291, figure 2). Adadelta's published pair of 5 and 0.5 is taken as
rate and decay ρ. ProxProp uses Adam as its base and the settings of Frerix et al. 2018 for convolutional nets (arXiv
1706.04638). The rate of gradient descent is ours: ten times that of SGD, because it takes one step per epoch and its
gradient has no noise. L-BFGS uses a line search with strong Wolfe conditions. For ASGD the last iterate is used; the
average stays in its state, as `ax`.
"""
