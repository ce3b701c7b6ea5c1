"""Training with probes is training without them, bit for bit."""

import copy

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, TensorDataset

from basinscope.errors import InputError
from basinscope.landscape.module.objective import Objective
from basinscope.recording.as_found import as_found
from basinscope.recording.recorder import Recorder
from basinscope.recording.training_probes import TrainingProbes


def _net() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.3), nn.Flatten(), nn.Linear(64, 3)
    )


def _loader(**settings) -> DataLoader:
    stream = torch.Generator().manual_seed(7)
    images, labels = torch.randn(24, 1, 6, 6, generator=stream), torch.randint(3, (24,), generator=stream)
    return DataLoader(TensorDataset(images, labels), batch_size=8, shuffle=True, **settings)


def _loss(model, batch):
    return cross_entropy(model(batch[0]), batch[1], reduction="none")


def _rude(model):
    """Does to the network all that a probe should not."""
    model.train()
    model(torch.randn(5, 1, 6, 6)).sum().backward()
    np.random.rand()
    model[5].weight.requires_grad_(False)
    with torch.no_grad():
        model[0].weight.mul_(2.0)
    return float(model[1].running_mean.sum())


def _trained(loader, probes=None):
    """All that a training with dropout, BatchNorm and momentum leaves behind, and its recorder if it has probes."""
    model = _net().train()
    model[1].eval()  # a user's own choice of modes
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    torch.manual_seed(1)
    np.random.seed(1)
    recorder = None
    for epoch in range(2):
        model[1].train(epoch == 1)
        for batch in loader:
            optimizer.zero_grad()
            _loss(model, batch).mean().backward()
            optimizer.step()
            if probes is not None and recorder is None:
                recorder = Recorder(model, every=2, probes=probes(model, loader), optimizer=optimizer)
            elif recorder is not None:
                recorder.step()
    left = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    left |= {f"momentum {k}": each["momentum_buffer"] for k, each in optimizer.state_dict()["state"].items()}
    left |= {f"gradient of {name}": parameter.grad for name, parameter in model.named_parameters()}
    left["modes"] = torch.tensor([module.training for module in model.modules()])
    left["wanted"] = torch.tensor([parameter.requires_grad for parameter in model.parameters()])
    left["next"] = torch.tensor([float(torch.rand(())), np.random.rand()])
    return left, recorder


PROBES = {
    "objective": lambda model, loader: Objective(model, _loss, loader, one_dim="moved"),
    "everything": lambda model, loader: TrainingProbes(
        objective=Objective(model, _loss, loader, one_dim="moved"), rho=0.1, trace_vectors=2, further={"rude": _rude}
    ),
    "own functions": lambda model, loader: {"rude": _rude},
}


@pytest.mark.parametrize(
    ("probes", "own_generator"), [("objective", True), ("everything", False), ("own functions", False)]
)
def test_weights_are_those_of_a_training_without_probes(probes, own_generator):
    def loader():
        return _loader(**({"generator": torch.Generator().manual_seed(3)} if own_generator else {}))

    (left, recorder), (plain, _) = _trained(loader(), PROBES[probes]), _trained(loader())
    assert left.keys() == plain.keys()
    assert [name for name in left if not torch.equal(left[name], plain[name])] == []
    measured = recorder.measured()
    assert measured["step"].values.tolist() == [0, 2, 4]
    assert not measured["status"].values.any()


def test_everything_is_restored_after_an_error():
    model = _net().train()
    model[0].weight.grad = gradient = torch.ones_like(model[0].weight)
    model[5].weight.requires_grad_(False)
    before = copy.deepcopy(model)

    def fail():
        with as_found([model, model[0]], [], guarded=True):
            assert not any(module.training for module in model.modules())
            assert model[0].weight.grad is None
            _rude(model)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert model[0].weight.grad is gradient
    assert torch.equal(gradient, torch.ones_like(gradient))
    assert [p.requires_grad for p in model.parameters()] == [p.requires_grad for p in before.parameters()]
    assert all(module.training for module in model.modules())
    pairs = zip(model.state_dict().values(), before.state_dict().values(), strict=True)
    assert all(torch.equal(tensor, other) for tensor, other in pairs)


def test_modes_are_set_without_the_functions_of_the_network():
    class Merging(nn.Linear):
        """Adds to its weight whenever its mode is set, as layers that merge an adapter do."""

        def train(self, mode=True):
            with torch.no_grad():
                self.weight.add_(1.0)
            return super().train(mode)

    model = Merging(2, 2)
    weight = model.weight.detach().clone()
    with as_found([model], [], guarded=False):
        assert not model.training
    assert model.training
    assert torch.equal(model.weight, weight)


def test_a_loader_with_persistent_workers_is_refused():
    model = _net().eval()
    objective = Objective(model, _loss, _loader(num_workers=1, persistent_workers=True))
    with pytest.raises(InputError, match="persistent_workers=True"):
        Recorder(model, probes=objective)
