import copy
import math
import warnings

import numpy as np
import pytest
import torch

import basinscope as bs
from basinscope.results.convert import check
from tests.anyones import Recurrent, Vision, drawn, images, mean_loss, sum_and_count, tokens, untouched


def _gpt2():
    """A GPT-2 of two layers and its batches, as a tokenizer makes them."""
    with warnings.catch_warnings():
        # transformers itself uses what torch has deprecated.
        warnings.simplefilter("ignore")
        from transformers import BatchEncoding, GPT2Config, GPT2LMHeadModel

        config = GPT2Config(
            n_layer=2, n_embd=16, n_head=2, vocab_size=50, n_positions=8, bos_token_id=0, eos_token_id=0
        )
        model = drawn(GPT2LMHeadModel(config))
    words = torch.randint(50, (5, 6), generator=torch.Generator().manual_seed(0))
    batches = [BatchEncoding({"input_ids": part, "labels": part}) for part in words.split([3, 2])]
    return model, lambda model, batch: model(**batch).loss, batches


MODELS = {
    "GPT-2": _gpt2,
    "vision": lambda: (drawn(Vision()), mean_loss, images()),
    "recurrent": lambda: (drawn(Recurrent()), sum_and_count, tokens()),
}


def _trained(model, loss_fn, batches, steps):
    """Checkpoints of a short training run of a copy."""
    twin, states = copy.deepcopy(model), []
    optimizer = torch.optim.SGD(twin.parameters(), lr=0.1)
    for step in range(steps):
        optimizer.zero_grad()
        found = loss_fn(twin, batches[step % len(batches)])
        (found[0] / found[1] if isinstance(found, tuple) else found).backward()
        optimizer.step()
        states.append({name: tensor.clone() for name, tensor in twin.state_dict().items()})
    return states


@pytest.fixture(scope="module", params=sorted(MODELS))
def brought(request):
    model, loss_fn, batches = MODELS[request.param]()
    states = _trained(model, loss_fn, batches, 3)
    # A gradient that was left behind must still be there afterwards.
    next(model.parameters()).grad = torch.ones_like(next(model.parameters()))
    return bs.Objective(model, loss_fn, batches, unit="nat"), states


def _radius(objective, states):
    return bs.basin_radius(objective, num_directions=2, tolerance=0.2, num_scanned=1)


VERBS = {
    "slice1d": ("slice1d", lambda o, s: bs.slice1d(o, num_directions=2, resolution=3)),
    "slice1d, hessian": (
        "slice1d",
        lambda o, s: bs.slice1d(o, num_directions=1, directions="hessian", resolution=3),
    ),
    "slice2d, random": ("slice2d", lambda o, s: bs.slice2d(o, resolution=3)),
    "slice2d, hessian": ("slice2d", lambda o, s: bs.slice2d(o, directions="hessian", resolution=3)),
    "slice2d, between": (
        "slice2d",
        lambda o, s: bs.slice2d(o, directions="between", points=(s[0], s[2]), resolution=3),
    ),
    "slice2d, pca": ("slice2d", lambda o, s: bs.slice2d(o, directions="pca", points=s, resolution=3)),
    "linear_path": ("slice1d", lambda o, s: bs.linear_path(o, s[-1], resolution=5)),
    "basin_radius": ("radius", _radius),
    "log_volume": ("volume", lambda o, s: bs.log_volume(_radius(o, s))),
    "curvature": (
        "curvature",
        lambda o, s: bs.curvature(
            o, top=2, density=True, max_steps=8, trace_vectors=2, density_starts=2, density_steps=4
        ),
    ),
    "curvature by filters": (
        "curvature",
        lambda o, s: bs.curvature(o, top=1, scale="filter", max_steps=6, trace_vectors=2),
    ),
    "sharpness": ("sharpness", lambda o, s: bs.sharpness(o, num_restarts=2, num_steps=2, num_random=3)),
    "adaptive sharpness": (
        "sharpness",
        lambda o, s: bs.sharpness(o, rho=0.5, adaptive=True, num_restarts=2, num_steps=2, num_random=3),
    ),
}
BLANK = {"log_volume_low", "log_volume_high"}
"""Left open by a few rays."""


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_measures_every_network_and_leaves_it_as_it_was(brought, verb, tmp_path):
    objective, states = brought
    kind, measure = VERBS[verb]
    with untouched(objective.model):
        found = measure(objective, states)
    assert check(found).attrs["kind"] == kind
    for name, variable in found.variables.items():
        if np.issubdtype(variable.dtype, np.number) and name not in BLANK:
            assert np.isfinite(variable.values).all(), name
    assert check(bs.load(bs.save(found, tmp_path / "found.nc"))).identical(found)


def test_slices_pass_through_the_network(brought):
    objective, _ = brought
    line = bs.slice1d(objective, num_directions=2, resolution=3)
    assert line["loss"].values[:, 1].tolist() == [objective.center_loss] * 2
    plane = bs.slice2d(objective, resolution=3)
    assert float(plane["loss"][1, 1]) == objective.center_loss
    assert abs(float(plane["cosine"])) < 1e-5
    assert plane["loss"].values[:, 1] == pytest.approx(line["loss"].values[0], rel=1e-12)


def test_a_path_ends_at_the_loss_of_the_other_minimum(brought):
    objective, states = brought
    path = bs.linear_path(objective, states[-1], resolution=3, beyond=0.0)
    end = copy.deepcopy(objective.model)
    end.load_state_dict(states[-1])
    wanted = bs.Objective(end, objective.functions["loss"], objective.batches).center_loss
    assert float(path["loss"][0, 0]) == objective.center_loss
    assert float(path["loss"][0, -1]) == pytest.approx(wanted, rel=1e-5)


def test_the_loss_crosses_the_cutoff_between_the_ends_of_each_radius_s_bracket(brought):
    objective, _ = brought
    found = bs.basin_radius(objective, num_directions=2, tolerance=0.05, rise=0.05)
    for ray in (0, 1):
        line = objective.direction(0, ray)
        rises = [
            objective.loss_at((line, float(found[end][ray]))) - objective.center_loss for end in ("lower", "upper")
        ]
        assert rises[0] <= 0.05 < rises[1]
    assert math.isclose(float(found["cutoff"]), objective.center_loss + 0.05, rel_tol=1e-12)
