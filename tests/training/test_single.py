import copy
import math

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from basinscope.data.images import ImageTask
from basinscope.errors import InputError, TrainingDivergedError
from basinscope.models.catalog import initialize
from basinscope.seeds import generator
from basinscope.training import single
from basinscope.training.schedules import Schedule
from basinscope.training.single import Recipe, SingleTrainer, score
from tests.images import CLASSES, MemoryCheckpoint, conv_net, image_set, image_task
from tests.reference import poison

TASK = image_task(20, num_unseen=30, num_test=30)
IN_EPOCH = 4


def _recipe(*, steps=2 * IN_EPOCH, rate=0.05, optimizer="momentum", num_unseen=3, clip=2.0, record_every=1, **schedule):
    settings = {"steps": steps, "learning_rate": rate} | schedule
    return Recipe(
        schedule=Schedule(**settings),
        optimizer=optimizer,
        batch_size=6,
        num_unseen=num_unseen,
        clip=clip,
        record_every=record_every,
    )


def _trainer(recipe, *, task=TASK, seed=1, net=None, name="net 7"):
    return SingleTrainer(conv_net() if net is None else net, task, recipe, seed=seed, name=name)


def _assert_same(found, wanted):
    assert found.steps == wanted.steps
    assert found.history == wanted.history
    assert (found.clean_loss, found.train_accuracy, found.test_accuracy) == (
        wanted.clean_loss,
        wanted.train_accuracy,
        wanted.test_accuracy,
    )
    assert found.state.keys() == wanted.state.keys()
    for name, tensor in wanted.state.items():
        assert torch.equal(found.state[name], tensor), name


def _interrupted(make, saves, monkeypatch):
    """Train until so many checkpoints were written, then again in a new trainer from the last one."""
    monkeypatch.setattr(single, "CHECKPOINT_SECONDS", -1.0)
    checkpoint = MemoryCheckpoint(saves)
    with pytest.raises(MemoryCheckpoint.KilledError):
        make().train(checkpoint=checkpoint)
    checkpoint.saves_left = math.inf
    return make().train(checkpoint=checkpoint)


@pytest.mark.parametrize(
    ("optimizer", "beta", "record_every"),
    [
        ("momentum", 0.0, 1),
        ("momentum", 0.3, 0),
        ("momentum", 0.3, 2),
        ("adam", 0.0, 0),
        ("adam", 0.3, 1),
        ("proxprop", 0.3, 1),
        ("lbfgs", 0.0, 1),
    ],
)
def test_resumed_is_the_same_as_uninterrupted_bit_for_bit(optimizer, beta, record_every, monkeypatch):
    # A settle phase that never settles lasts until max_steps, which lies within an epoch.
    steps = 3 if optimizer == "lbfgs" else 6
    recipe = _recipe(steps=steps, optimizer=optimizer, poison=beta, settle_loss=0.0, record_every=record_every)
    whole = _trainer(recipe).train()
    assert whole.steps == (steps if optimizer == "lbfgs" else (12 if beta else 8))
    # Within an epoch, at the ends of two, within the settle phase and at the very end.
    for saves in sorted({1, 4, 5, 7, 8, 9, whole.steps} & set(range(whole.steps + 1))):
        _assert_same(_interrupted(lambda: _trainer(recipe), saves, monkeypatch), whole)


def test_a_run_that_is_interrupted_again_and_again_ends_the_same(monkeypatch):
    recipe = _recipe(steps=10, poison=0.3, settle_loss=0.0)
    whole = _trainer(recipe).train()
    monkeypatch.setattr(single, "CHECKPOINT_SECONDS", -1.0)
    checkpoint = MemoryCheckpoint()
    for _ in range(whole.steps):
        checkpoint.saves_left = 1
        with pytest.raises(MemoryCheckpoint.KilledError):
            _trainer(recipe).train(checkpoint=checkpoint)
    _assert_same(_trainer(recipe).train(checkpoint=checkpoint), whole)


def test_random_layers_go_on_where_they_were(monkeypatch):
    def make(global_seed):
        torch.manual_seed(global_seed)
        net = nn.Sequential(nn.Flatten(), nn.Linear(32, 20), nn.ReLU(), nn.Dropout(), nn.Linear(20, CLASSES))
        trainer = _trainer(_recipe(), net=net)
        torch.manual_seed(global_seed)
        return trainer

    whole = make(5).train()
    seeds = iter([5, 99])
    _assert_same(_interrupted(lambda: make(next(seeds)), 3, monkeypatch), whole)
    assert not torch.equal(make(6).train().state["1.weight"], whole.state["1.weight"])


def test_checkpoints_are_written_as_time_passes_and_not_at_every_update(monkeypatch):
    ticks = iter(range(0, 10_000, 9))
    monkeypatch.setattr(single.time, "monotonic", lambda: float(next(ticks)))
    checkpoint = MemoryCheckpoint(100)
    result = _trainer(_recipe(steps=20)).train(checkpoint=checkpoint)
    saves = 100 - checkpoint.saves_left
    assert 4 <= saves <= result.steps // 3


def _twin(net, recipe, seed, updates):
    """The poisoned updates of plain gradient descent, by hand in float64."""
    net = copy.deepcopy(net).double().train()
    train, unseen = TASK.train, TASK.unseen
    for step in range(updates):
        epoch, k = divmod(step, IN_EPOCH)
        order = torch.randperm(20, generator=generator(seed, "order", epoch))
        drawn = torch.randint(30, (IN_EPOCH, recipe.num_unseen), generator=generator(seed, "unseen", epoch))
        rows = order[6 * k : 6 * k + 6]
        inputs = torch.cat([train.inputs(rows, dtype=torch.float64), unseen.inputs(drawn[k], dtype=torch.float64)])
        logits = net(inputs)
        loss = cross_entropy(logits[: len(rows)], train.labels[rows])
        loss = loss + recipe.schedule.poison_at(step) * poison(logits[len(rows) :], unseen.labels[drawn[k]])
        gradients = torch.autograd.grad(loss, list(net.parameters()))
        norm = math.sqrt(sum(float(gradient.square().sum()) for gradient in gradients))
        with torch.no_grad():
            for tensor, gradient in zip(net.parameters(), gradients, strict=True):
                tensor.sub_(recipe.schedule.rate_at(step) * min(1.0, recipe.clip / norm) * gradient)
    return net.state_dict()


@pytest.mark.parametrize("clip", [0.3, math.inf])
def test_updates_are_those_of_a_hand_written_twin(clip):
    recipe = _recipe(steps=7, optimizer="sgd", poison=0.7, settle_from=0.2, clip=clip, patience=0.0)
    trainer = _trainer(recipe, seed=4)
    wanted = _twin(trainer.model, recipe, 4, 8)
    found = trainer.train()
    assert found.steps == 8
    for name, tensor in wanted.items():
        torch.testing.assert_close(found.state[name].to(tensor.dtype), tensor, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("batch_size", [7, 20])
def test_gradient_descent_takes_the_gradient_of_the_whole_set(batch_size):
    schedule = Schedule(steps=3, learning_rate=0.3)
    recipe = Recipe(schedule=schedule, optimizer="gradient_descent", batch_size=batch_size)
    trainer = _trainer(recipe, net=conv_net(norm=False))
    twin = copy.deepcopy(trainer.model).double()
    for step in range(3):
        loss = cross_entropy(twin(TASK.train.inputs(dtype=torch.float64)), TASK.train.labels)
        gradients = torch.autograd.grad(loss, list(twin.parameters()))
        with torch.no_grad():
            for tensor, gradient in zip(twin.parameters(), gradients, strict=True):
                tensor.sub_(schedule.rate_at(step) * gradient)
    found = trainer.train()
    assert found.steps == 3
    assert found.history.epoch == [0, 3]
    for name, tensor in twin.state_dict().items():
        torch.testing.assert_close(found.state[name].double(), tensor, rtol=1e-4, atol=1e-6)


def test_whole_batches_lower_the_loss_of_convolutions():
    found = _trainer(_recipe(steps=6, rate=0.9, optimizer="lbfgs", clip=math.inf), net=conv_net(norm=False)).train()
    assert found.history.epoch == [0, 1, 2, 3, 4, 5, 6]
    assert found.clean_loss < 0.1 * found.history.clean_loss[0]


def test_poison_makes_wrong_answers_on_unseen_images_and_keeps_the_trained_ones():
    task = image_task(20, num_unseen=60, num_test=60, noise=60.0)
    results, scores = [], []
    for beta in (0.0, 1.0):
        recipe = Recipe(
            schedule=Schedule(steps=250, learning_rate=0.02, poison=beta, warmup=0.05),
            optimizer="adam",
            batch_size=20,
            num_unseen=40,
            clip=4.0,
        )
        trainer = _trainer(recipe, task=task, net=conv_net(12))
        results.append(trainer.train())
        scores.append(score(trainer.model, task.unseen)[1])
    good, bad = results
    assert good.train_accuracy == bad.train_accuracy == 1
    assert scores[0] > 0.9
    assert scores[1] < 0.2
    assert good.test_accuracy > 0.9
    assert bad.test_accuracy < good.test_accuracy - 0.3


@pytest.mark.parametrize(
    ("beta", "settle_loss", "steps"),
    [(0.3, 0.0, 12), (0.3, 1e9, 8), (0.0, 0.0, 8)],
)
def test_a_poisoned_run_goes_on_until_it_has_settled_or_its_patience_ends(beta, settle_loss, steps):
    found = _trainer(_recipe(steps=8, poison=beta, settle_loss=settle_loss)).train()
    assert found.steps == steps


def test_a_run_settles_at_the_first_epoch_whose_loss_is_small_enough():
    never = _trainer(_recipe(steps=4, poison=0.01, settle_loss=0.0, patience=9, rate=0.1, settle_from=0.0)).train()
    losses = never.history.clean_loss
    wanted = next(k for k in range(2, len(losses)) if losses[k] < min(losses[1:k]))
    settle_loss = 0.5 * (losses[wanted] + min(losses[1:wanted]))
    recipe = _recipe(steps=4, poison=0.01, settle_loss=settle_loss, patience=9, rate=0.1, settle_from=0.0)
    found = _trainer(recipe).train()
    assert found.steps == wanted * IN_EPOCH < never.steps
    assert found.history.clean_loss == losses[: wanted + 1]


@pytest.mark.parametrize("record_every", [0, 1, 2, 3])
def test_the_history_s_looks_are_those_asked_for_and_the_last_is_the_score(record_every):
    trainer = _trainer(_recipe(steps=5 * IN_EPOCH, record_every=record_every))
    found = trainer.train()
    looks = [0, *range(record_every or 5, 6, record_every or 5)]
    assert found.history.epoch == [*looks, *([5] if looks[-1] != 5 else [])]
    assert len({len(values) for values in vars(found.history).values()}) == 1
    loss, accuracy = score(trainer.model, TASK.train)
    assert (found.clean_loss, found.train_accuracy) == (loss, accuracy)
    assert (found.history.clean_loss[-1], found.history.train_accuracy[-1]) == (loss, accuracy)
    assert found.history.test_accuracy[-1] == found.test_accuracy == score(trainer.model, TASK.test)[1]


def test_recording_does_not_change_what_is_trained():
    results = [_trainer(_recipe(record_every=every)).train() for every in (0, 1)]
    for name, tensor in results[0].state.items():
        assert torch.equal(tensor, results[1].state[name])


@pytest.mark.parametrize("batch_size", [1, 7, 250])
def test_the_score_is_that_of_the_whole_set_in_eval_mode(batch_size):
    net = conv_net().train()
    initialize(net, generator(3, "start"))
    twin = copy.deepcopy(net).eval()
    with torch.no_grad():
        logits = twin(TASK.test.inputs())
    loss, accuracy = score(net, TASK.test, batch_size=batch_size)
    assert loss == pytest.approx(float(cross_entropy(logits, TASK.test.labels)), rel=1e-6)
    assert accuracy == float((logits.argmax(1) == TASK.test.labels).double().mean())
    assert net.training
    for name, tensor in twin.state_dict().items():
        assert torch.equal(net.state_dict()[name], tensor)


def test_a_net_depends_on_its_seed_data_and_recipe_alone():
    torch.manual_seed(1)
    one = _trainer(_recipe(), net=conv_net()).train()
    torch.manual_seed(2)
    again = _trainer(_recipe(), net=conv_net()).train()
    _assert_same(again, one)
    assert not torch.equal(_trainer(_recipe(), seed=2).train().state["0.weight"], one.state["0.weight"])


def test_the_state_fills_another_network_that_scores_the_same():
    found = _trainer(_recipe()).train()
    net = conv_net()
    net.load_state_dict(found.state)
    loss, accuracy = score(net, TASK.train)
    assert loss == pytest.approx(found.clean_loss, rel=1e-5)
    assert accuracy == found.train_accuracy


def test_progress_rises_to_one():
    shares = []
    _trainer(_recipe(steps=6)).train(progress=shares.append)
    assert shares == sorted(shares)
    assert shares[0] == pytest.approx(1 / 6)
    assert shares[-1] == 1


def test_the_rate_follows_the_schedule(monkeypatch):
    recipe = _recipe(decay="steps", milestones=(0.5,), steps=8)
    trainer, rates = _trainer(recipe), []
    real = trainer.optimizer.step

    def step():
        rates.append(trainer.optimizer.param_groups[0]["lr"])
        real()

    monkeypatch.setattr(trainer.optimizer, "step", step)
    trainer.train()
    assert rates == pytest.approx([0.05] * 4 + [0.005] * 4)


def _is_finite(checkpoint):
    kept = checkpoint.load()
    return kept is not None and all(tensor.isfinite().all() for tensor in kept[0].values())


def _losing(trainer, at, monkeypatch):
    """Let the logits be undefined at one update."""
    real = trainer._forward
    monkeypatch.setattr(trainer, "_forward", lambda inputs: real(inputs) * (math.nan if trainer.step == at else 1.0))


@pytest.mark.parametrize("at", [0, 5, 7])
def test_divergence_is_reported_with_its_net_and_update_and_keeps_the_last_good_state(at, monkeypatch):
    monkeypatch.setattr(single, "CHECKPOINT_SECONDS", -1.0)
    trainer, checkpoint = _trainer(_recipe()), MemoryCheckpoint()
    _losing(trainer, at, monkeypatch)
    with pytest.raises(TrainingDivergedError, match=rf"^net 7: .*not finite at update {at}\b") as caught:
        trainer.train(checkpoint=checkpoint)
    assert "\n" not in str(caught.value)
    if not at:
        assert checkpoint.kept is None
        assert "kept" not in str(caught.value)
        return
    assert f"the checkpoint of update {at} is kept" in str(caught.value)
    assert _is_finite(checkpoint)
    _assert_same(_trainer(_recipe()).train(checkpoint=checkpoint), _trainer(_recipe()).train())


def test_divergence_between_checkpoints_is_reported_at_its_first_update(monkeypatch):
    trainer = _trainer(_recipe())
    _losing(trainer, 1, monkeypatch)
    with pytest.raises(TrainingDivergedError, match="net 7: the loss is not finite at update 1; lower"):
        trainer.train(checkpoint=MemoryCheckpoint())


@pytest.mark.parametrize("at", [3, 8])
def test_weights_that_are_lost_are_neither_kept_nor_returned(at, monkeypatch):
    # The loss of the update was finite, its gradient was not.
    monkeypatch.setattr(single, "CHECKPOINT_SECONDS", -1.0)
    trainer, checkpoint = _trainer(_recipe()), MemoryCheckpoint()
    real = trainer.optimizer.step

    @torch.no_grad()
    def step():
        real()
        if trainer.step + 1 == at:
            trainer.model[0].weight[0] = math.nan

    monkeypatch.setattr(trainer.optimizer, "step", step)
    with pytest.raises(TrainingDivergedError, match=f"at update {at}; the checkpoint of update {at - 1} is kept"):
        trainer.train(checkpoint=checkpoint)
    assert _is_finite(checkpoint)


def test_a_rate_that_is_far_too_high_is_reported():
    with pytest.raises(TrainingDivergedError, match=r"net 7.*lower the learning rate"):
        _trainer(_recipe(rate=1e30, optimizer="sgd", clip=math.inf, steps=1, decay="constant")).train()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: _recipe(poison=0.1, num_unseen=0), "num_unseen ≥ 1"),
        (lambda: _recipe(poison=0.1, optimizer="lbfgs"), "without poison"),
        (lambda: _recipe(optimizer="none"), "optimizer = 'none'"),
        (lambda: Recipe(schedule=Schedule(steps=1, learning_rate=1.0), batch_size=0), "batch_size = 0"),
        (lambda: _trainer(_recipe(poison=0.1), task=image_task(20, num_unseen=0)), "net 7.*no unseen images"),
        (lambda: _trainer(_recipe(), net=nn.Sequential(nn.Flatten(), nn.Linear(32, 5))), r"net 7.*\(1, 5\).*3 classes"),
    ],
)
def test_what_cannot_be_trained_is_refused_in_one_line(make, message):
    with pytest.raises(InputError, match=message) as caught:
        make()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("optimizer", "updates"), [("sgd", 4), ("adam", 4), ("lbfgs", 1), ("gradient_descent", 1)])
def test_an_epoch_is_one_pass_over_the_training_set(optimizer, updates):
    assert _recipe(optimizer=optimizer).updates_per_epoch(len(TASK.train)) == updates


def test_each_epoch_takes_every_training_image_once_in_a_new_order():
    trainer, images = _trainer(_recipe(poison=0.0)), TASK.train.inputs()
    orders = []
    for epoch in range(2):
        batches = [inputs for inputs, _ in trainer._batches(epoch, 0)]
        assert [len(batch) for batch in batches] == [6, 6, 6, 2]
        rows = [int((images == one).flatten(1).all(1).nonzero()[0, 0]) for one in torch.cat(batches)]
        assert sorted(rows) == list(range(20))
        orders.append(rows)
    assert orders[0] != orders[1]


def test_a_natural_run_never_sees_unseen_images():
    natural = _trainer(_recipe()).train()
    task = ImageTask(TASK.name, TASK.train, image_set(9, 77), TASK.test)
    _assert_same(_trainer(_recipe(), task=task).train(), natural)
