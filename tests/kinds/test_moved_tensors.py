"""What is moved, and what counts in n: the effective weights that the loss depends on, each once."""

import copy
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy
from torch.nn.utils import parametrizations, parametrize, prune

import basinscope as bs
from basinscope.errors import InputError
from tests.anyones import perceptron, sample_losses, untouched, vectors


def _radii(model, loss=sample_losses, batches=None, **settings):
    objective = bs.Objective(model, loss, batches or vectors(), **settings)
    return bs.basin_radius(objective, num_directions=4, progress=False)


class Heads(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.value = nn.Linear(8, 1)
        self.body, self.policy = nn.Linear(4, 8), nn.Linear(8, 3)

    def forward(self, x):
        hidden = self.body(x).tanh()
        return self.policy(hidden), self.value(hidden)


def _policy_loss(model, batch):
    return cross_entropy(model(batch[0])[0], batch[1], reduction="none")


def test_tensors_that_do_not_reach_the_loss_rest_and_do_not_count(caplog):
    model = Heads().double().eval()
    objective = bs.Objective(model, _policy_loss, vectors())
    found = bs.basin_radius(objective, num_directions=4, progress=False)
    assert int(found["num_moved"]) == 4 * 8 + 8 * 3
    assert [f.name for f in objective.filters] == ["body.weight", "policy.weight"]
    assert "does not depend on value.weight" in caplog.text
    asked = bs.Objective(model, _policy_loss, vectors(), parameters="*.weight")
    assert asked.num_moved == bs.basin_radius(asked, num_directions=4, progress=False)["num_moved"] == 64
    # Resting tensors change neither the directions nor the loss along them.
    np.testing.assert_allclose(found["radius"], bs.basin_radius(asked, num_directions=4, progress=False)["radius"])


def test_experts_that_only_a_later_batch_uses_are_moved():
    class Experts(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.experts = nn.ModuleList(nn.Linear(4, 3) for _ in range(3))

        def forward(self, x):
            return self.experts[len(x) // 3](x)

    objective = bs.Objective(Experts().double().eval(), sample_losses, vectors())
    objective.check()
    assert [f.name for f in objective.filters] == ["experts.0.weight", "experts.1.weight"]


class LowRank(nn.Module):
    def __init__(self, trained):
        super().__init__()
        torch.manual_seed(0)
        self.base = nn.Linear(4, 3).requires_grad_(False)
        self.lora_a, self.lora_b = nn.Linear(4, 2, bias=False), nn.Linear(2, 3, bias=False)
        if not trained:
            nn.init.zeros_(self.lora_b.weight)

    def forward(self, x):
        return self.base(x) + self.lora_b(self.lora_a(x))


def test_an_adapter_before_training_is_explained():
    with pytest.raises(InputError, match=r"lora_b\.weight is zero.*adapter.*train") as caught:
        bs.Objective(LowRank(trained=False).double().eval(), sample_losses, vectors()).check()
    assert "\n" not in str(caught.value)
    trained = bs.Objective(LowRank(trained=True).double().eval(), sample_losses, vectors())
    trained.check()
    assert trained.num_moved == 14


def _weight_normed(layer):
    return parametrizations.weight_norm(layer, dim=1 if isinstance(layer, nn.ConvTranspose2d) else 0)


@pytest.mark.filterwarnings("ignore:.*is deprecated")
def _old_weight_norm(layer):
    return nn.utils.weight_norm(layer, dim=1 if isinstance(layer, nn.ConvTranspose2d) else 0)


class Doubled(nn.Module):
    def forward(self, weight):
        return 2 * weight


def _own(layer):
    parametrize.register_parametrization(layer, "weight", Doubled())
    return layer


def _pruned(layer):
    return prune.l1_unstructured(layer, "weight", amount=0.4)


class Images(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.up, self.out = nn.ConvTranspose2d(2, 3, 3), nn.Linear(3, 3)

    def forward(self, x):
        return self.out(self.up(x).relu().mean((2, 3)))


@pytest.mark.filterwarnings("ignore:.*weight_norm.*deprecated")
@pytest.mark.parametrize(
    "change", [_weight_normed, _old_weight_norm, parametrizations.spectral_norm, nn.utils.spectral_norm, _own, _pruned]
)
def test_the_same_function_gives_the_same_landscape_under_any_parametrisation(change):
    torch.manual_seed(0)
    model = Images().double()
    change(model.up)
    change(model.out)
    model(torch.zeros(1, 2, 4, 4, dtype=torch.float64))
    model.eval()
    plain = Images().double().eval()
    with torch.no_grad():
        model(torch.zeros(1, 2, 4, 4, dtype=torch.float64))
        plain.up.weight.copy_(model.up.weight)
        plain.out.weight.copy_(model.out.weight)
        plain.up.bias.copy_(model.up.bias)
        plain.out.bias.copy_(model.out.bias)
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(6, 2, 4, 4, generator=generator, dtype=torch.float64)
    batches = [(x, torch.arange(6) % 3)]
    with untouched(model):
        found = _radii(model, batches=batches)
        top = bs.curvature(bs.Objective(model, sample_losses, batches), top=1, progress=False)
    masks: Any = {"masks": "zeros"} if change is _pruned else {}
    wanted = _radii(plain, batches=batches, **masks)
    np.testing.assert_allclose(found["radius"], wanted["radius"], rtol=1e-9)
    assert int(found["num_moved"]) == int(wanted["num_moved"])
    right = bs.curvature(bs.Objective(plain, sample_losses, batches, **masks), top=1, progress=False)
    np.testing.assert_allclose(top["eigenvalue"], right["eigenvalue"], rtol=1e-6)


def test_states_of_parametrised_networks_are_points_of_the_effective_weights():
    one, two = (perceptron(seed=seed) for seed in (0, 1))
    plain = bs.linear_path(bs.Objective(one, sample_losses, vectors()), two.state_dict(), progress=False)
    for model in (one, two):
        parametrizations.weight_norm(model[0])
    found = bs.linear_path(bs.Objective(one, sample_losses, vectors()), two.state_dict(), progress=False)
    np.testing.assert_allclose(found["loss"], plain["loss"], rtol=1e-9)


def test_a_parametrised_network_that_is_trained_further_is_followed():
    model = perceptron()
    parametrizations.weight_norm(model[0])
    objective = bs.Objective(model, sample_losses, vectors())
    before = objective.center_loss
    with torch.no_grad():
        model[0].parametrizations.weight.original0.mul_(1.5)
    wanted = bs.Objective(model, sample_losses, vectors()).center_loss
    assert objective.center_loss == wanted != before


def test_parameters_in_the_same_memory_are_one():
    def tied(same):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 4), nn.Linear(4, 3)).double().eval()
        model[2].weight = model[0].weight if same else nn.Parameter(model[0].weight.data)
        return model

    found, wanted = _radii(tied(same=False)), _radii(tied(same=True))
    np.testing.assert_array_equal(found["radius"], wanted["radius"])
    assert int(found["num_moved"]) == int(wanted["num_moved"]) == 28


def test_parameters_that_overlap_in_memory_are_refused():
    model = nn.Sequential(nn.Linear(4, 4, bias=False), nn.Linear(4, 3, bias=False)).double().eval()
    storage = torch.randn(24, dtype=torch.float64)
    model[0].weight = nn.Parameter(storage[:16].view(4, 4))
    model[1].weight = nn.Parameter(storage[12:].view(3, 4))
    with pytest.raises(InputError, match=r"0\.weight and 1\.weight overlap in memory"):
        bs.Objective(model, sample_losses, vectors())
    model[1].weight = nn.Parameter(torch.cat([storage, storage[:4]])[16:].view(3, 4))
    assert bs.Objective(model, sample_losses, vectors()).num_moved == 28


def test_parameters_without_data_are_named():
    with torch.device("meta"):
        whole = nn.Linear(4, 3).eval()
    part = nn.Sequential(nn.Linear(4, 8), nn.Linear(8, 3, device="meta")).eval()
    for model, name in ((whole, "weight"), (part, r"1\.weight")):
        with pytest.raises(InputError, match=rf"^{name} is on the meta device, which holds no data"):
            bs.Objective(model, sample_losses, vectors())


def test_the_precision_of_half_networks_loses_no_short_step():
    model, batches = perceptron(dtype=torch.bfloat16), vectors(dtype=torch.bfloat16)
    wide = perceptron(dtype=torch.bfloat16).double()
    for rho in (0.005, 0.001):
        found, wanted = (
            bs.sharpness(o, rho=rho, num_random=2, progress=False)
            for o in (
                bs.Objective(model, sample_losses, batches),
                bs.Objective(wide, sample_losses, [(x.double(), y) for x, y in batches]),
            )
        )
        assert float(found["worst"]) == pytest.approx(float(wanted["worst"]), rel=1e-2)
    own = bs.Objective(model, sample_losses, batches, precision="own")
    with pytest.raises(InputError, match=r"lost in the rounding of bfloat16 weights"):
        bs.sharpness(own, rho=0.001, num_random=2, progress=False)


def test_a_rise_below_the_rounding_of_the_loss_has_no_radius(caplog):
    torch.manual_seed(0)
    x = torch.randn(64, 4)
    target = 2e5 + 5e4 * torch.randn(64, 1)

    def loss(model, batch):
        return (1e5 * model(batch[0]) - batch[1]).square().squeeze(1)

    model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1)).eval()
    objective = bs.Objective(model, loss, [(x, target)])
    found = bs.basin_radius(objective, num_directions=3, progress=False)
    assert found["radius"].isnull().all()
    assert set(found["status"].values.tolist()) == {5}
    assert "lost in rounding" in caplog.text
    coarse = bs.basin_radius(objective, rise=0.01 * objective.center_loss, num_directions=3, progress=False)
    wide = bs.Objective(copy.deepcopy(model).double(), loss, [(x.double(), target.double())])
    fine = bs.basin_radius(wide, rise=0.01 * objective.center_loss, num_directions=3, progress=False)
    np.testing.assert_allclose(coarse["radius"], fine["radius"], rtol=1e-2)


def test_a_crossing_below_the_searched_range_is_no_radius():
    model = nn.Linear(4, 1, bias=False).double().eval()
    objective = bs.Objective(model, lambda m, b: 1e14 * (m(b) - 1).square().squeeze(1), [torch.ones(3, 4).double()])
    found = bs.basin_radius(objective, rise=100.0, num_directions=3, tolerance=0.01, progress=False)
    below = found["status"].values == 4
    assert below.tolist() == [True, True, False]
    assert found["radius"].values[below].tolist() == found["upper"].values[below].tolist() == [1e-4] * 2
    assert found["lower"].values[below].tolist() == [0.0] * 2


@pytest.mark.filterwarnings("ignore:.*weight_norm.*deprecated")
def test_old_weight_norm_is_copied_in_every_state():
    layer = nn.utils.weight_norm(nn.Linear(4, 3)).double().eval()
    objective = bs.Objective(layer, sample_losses, vectors())
    before = objective.center_loss
    assert bs.Objective(nn.utils.remove_weight_norm(layer), sample_losses, vectors()).center_loss == before


def test_asking_for_tensors_without_effect_alone_is_refused():
    objective = bs.Objective(Heads().double().eval(), _policy_loss, vectors(), parameters="value.*")
    with pytest.raises(InputError, match="does not depend on any moved tensor"):
        objective.check()
