import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from basinscope.models.catalog import initialize
from basinscope.seeds import generator
from basinscope.training.torch_optimizers import TORCH_OPTIMIZERS

FULL_BATCH = [name for name, row in TORCH_OPTIMIZERS.items() if row.full_batch]


class Counted:
    """A small net on blobs, with a closure that counts its passes and keeps their losses and points."""

    def __init__(self, name):
        self.net = nn.Sequential(nn.Linear(6, 12), nn.ReLU(), nn.Linear(12, 3))
        initialize(self.net, generator(0, "start"))
        self.labels = torch.arange(60) % 3
        centres = 2 * torch.randn(3, 6, generator=generator(0, "centres"))
        self.inputs = centres[self.labels] + torch.randn(60, 6, generator=generator(0, "noise"))
        row = TORCH_OPTIMIZERS[name]
        self.optimizer = row.make(self.net, row.learning_rate)
        self.losses, self.points = [], []

    def closure(self):
        self.optimizer.zero_grad()
        loss = cross_entropy(self.net(self.inputs), self.labels)
        loss.backward()
        self.losses.append(loss.item())
        self.points.append(nn.utils.parameters_to_vector(self.net.parameters()).detach().clone())
        return loss


def test_the_rates_are_the_published_ones():
    published = {
        "sgd": 0.05, "momentum": 0.01, "nesterov": 0.01, "adam": 0.01, "amsgrad": 0.0005, "adamax": 0.0005,
        "adadelta": 5, "adagrad": 0.025, "rmsprop": 0.0005, "asgd": 0.1, "lbfgs": 0.9,
    }  # fmt: skip
    assert {name: TORCH_OPTIMIZERS[name].learning_rate for name in published} == published
    assert TORCH_OPTIMIZERS.keys() - published == {"proxprop", "gradient_descent"}
    assert FULL_BATCH == ["lbfgs", "gradient_descent"]


def test_titles_are_distinct():
    assert len({row.title for row in TORCH_OPTIMIZERS.values()}) == len(TORCH_OPTIMIZERS)


@pytest.mark.parametrize("name", TORCH_OPTIMIZERS)
def test_every_row_lowers_the_loss_at_its_rate(name):
    problem = Counted(name)
    for _ in range(60):
        problem.optimizer.step(problem.closure)
    last = problem.closure().item()
    assert last < 0.9 * problem.losses[0]
    assert problem.optimizer.param_groups[0]["lr"] == TORCH_OPTIMIZERS[name].learning_rate


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("sgd", {"momentum": 0, "nesterov": False}),
        ("momentum", {"momentum": 0.9, "nesterov": False}),
        ("nesterov", {"momentum": 0.9, "nesterov": True}),
        ("adam", {"amsgrad": False}),
        ("amsgrad", {"amsgrad": True}),
        ("adadelta", {"rho": 0.5}),
        ("lbfgs", {"line_search_fn": "strong_wolfe"}),
    ],
)
def test_rows_differ_by_their_settings(name, settings):
    group = Counted(name).optimizer.param_groups[0]
    assert {key: group[key] for key in settings} == settings


@pytest.mark.parametrize("name", TORCH_OPTIMIZERS)
def test_every_row_evaluates_the_closure_where_the_net_then_is(name):
    """A stale pass would show as a loss that does not belong to the point at which it was taken."""
    problem = Counted(name)
    for _ in range(3):
        problem.optimizer.step(problem.closure)
    losses, points = list(problem.losses), list(problem.points)
    assert len(losses) == 3 if name != "lbfgs" else len(losses) > 3
    for loss, point in zip(losses, points, strict=True):
        nn.utils.vector_to_parameters(point, problem.net.parameters())
        assert cross_entropy(problem.net(problem.inputs), problem.labels).item() == loss


def test_one_l_bfgs_step_makes_many_passes_and_ends_lower_than_sixty_of_gradient_descent():
    newton, descent = Counted("lbfgs"), Counted("gradient_descent")
    newton.optimizer.step(newton.closure)
    assert len(set(newton.losses)) > 10
    for _ in range(60):
        descent.optimizer.step(descent.closure)
    assert newton.closure() < descent.closure()
