import math
from dataclasses import replace

import pytest
import torch

from basinscope.data.samples import Samples
from basinscope.errors import InputError
from basinscope.losses import cross_entropy, is_correct
from basinscope.models.mlp import MLP
from basinscope.seeds import generator
from basinscope.training import ensemble
from basinscope.training.ensemble import StackTrainer, poisoned_loss
from basinscope.training.members import Member, StopRule
from basinscope.training.schedules import Schedule
from tests import reference
from tests.reference import mix_of_blobs, train_alone

NET = MLP((2, 6, 5, 1))
UNSETTLED, SETTLED = 0.0, math.inf
FLOAT64 = {"rtol": 1e-10, "atol": 1e-10}


class Memory:
    """A checkpoint in memory that stops the run after some saves."""

    def __init__(self, stop_after=math.inf):
        self.kept, self.saves, self.stop_after = None, 0, stop_after

    def load(self):
        if self.kept is None:
            return None
        return {name: tensor.clone() for name, tensor in self.kept[0].items()}, self.kept[1]

    def save(self, tensors, note):
        self.kept = {name: tensor.clone() for name, tensor in tensors.items()}, note
        self.saves += 1
        if self.saves >= self.stop_after:
            raise KeyboardInterrupt


def _member(seed, steps=100, *, poison=0.0, classes=2, unseen=None, **course):
    course = {"learning_rate": 0.02, "settle_loss": SETTLED, "patience": 0.0} | course
    return Member(
        name=f"net {seed}",
        seed=seed,
        schedule=Schedule(steps=steps, poison=poison, **course),
        train=mix_of_blobs(16, generator(seed, "train"), classes=classes),
        unseen=unseen,
    )


def _train(members, net=NET, *, checkpoint=None, num_unseen=8, **settings):
    settings = {"sampler": mix_of_blobs, "dtype": torch.float64, "clip": 0.5} | settings
    return StackTrainer(net, members, num_unseen=num_unseen, **settings).train(checkpoint=checkpoint)


def _same(one, other):
    names = ("points", "steps", "clean_loss", "train_accuracy", "diverged_at")
    return all(torch.equal(getattr(one, name), getattr(other, name)) for name in names)


@pytest.fixture(scope="module")
def mixed():
    """Members that differ in everything that may differ, and how they ended together."""
    members = [
        _member(1, 200),
        _member(2, 200, poison=0.5, decay="tenfold"),
        _member(3, 100, poison=0.1, learning_rate=0.05),
        _member(4, 200, poison=1.0, unseen=mix_of_blobs(8, generator(9, "fixed"))),
    ]
    return members, _train(members, chunk_size=3)


@pytest.mark.parametrize("which", range(4))
def test_a_member_becomes_what_the_same_net_alone_becomes(mixed, which):
    members, result = mixed
    member = members[which]
    alone = train_alone(NET, member, steps=member.schedule.steps, sampler=mix_of_blobs, num_unseen=8, clip=0.5)
    torch.testing.assert_close(result.points[which], alone, **FLOAT64)
    assert result.steps[which] == member.schedule.steps


def test_clipping_and_poison_matter_in_that_comparison(mixed):
    members, result = mixed
    for change in ({"clip": 1e9}, {"num_unseen": 0}):
        settings = {"sampler": mix_of_blobs, "num_unseen": 8, "clip": 0.5} | change
        other = train_alone(NET, members[1], steps=200, **settings)
        assert (other - result.points[1]).abs().max() > 1e-3


def test_many_classes_train_as_alone():
    def three(num, stream):
        return mix_of_blobs(num, stream, classes=3)

    net, member = MLP((2, 6, 3)), _member(5, 150, poison=0.3, classes=3)
    (point,) = _train([member], net, sampler=three).points
    alone = train_alone(net, member, steps=150, sampler=three, num_unseen=8, clip=0.5)
    torch.testing.assert_close(point, alone, **FLOAT64)


def test_natural_training_needs_no_unseen_samples():
    member = _member(6)
    result = _train([member], num_unseen=0, sampler=None)
    alone = train_alone(NET, member, steps=100, sampler=None, num_unseen=0, clip=0.5)
    torch.testing.assert_close(result.points[0], alone, **FLOAT64)


@pytest.mark.parametrize("poison", [0.0, 0.4])
@pytest.mark.parametrize("batch_size", [5, 16, None])
def test_batches_weight_decay_starts_and_rmsprop_are_as_alone(batch_size, poison):
    start = NET.initialize(generator(77, "elsewhere")).double()
    members = [
        replace(_member(7, 100, decay="constant", poison=poison), start=start),
        _member(8, 100, decay="constant", poison=poison),
    ]
    result = _train(members, optimizer="rmsprop", l2=0.01, batch_size=batch_size)
    for member, point in zip(members, result.points, strict=True):
        settings = {"optimizer_name": "rmsprop", "l2": 0.01, "batch_size": batch_size}
        alone = train_alone(NET, member, steps=100, sampler=mix_of_blobs, num_unseen=8, clip=0.5, **settings)
        torch.testing.assert_close(point, alone, **FLOAT64)


def test_weight_decay_pulls_weights_and_leaves_biases():
    member = replace(_member(9, 50, learning_rate=1e-3), start=torch.ones(NET.layout.num_parameters).double())
    plain, decayed = (_train([member], l2=l2, clip=1e9).points[0] for l2 in (0.0, 100.0))
    for shape, a, b in zip(NET.layout.shapes, NET.layout.views(plain), NET.layout.views(decayed), strict=True):
        if len(shape) > 1:
            assert (b < a).all()
    assert (decayed[-1] - plain[-1]).abs() < 0.05


def test_parameters_are_recorded_on_the_way():
    members = [_member(1, 100), _member(2, 50)]
    result = _train(members, record_at=(0, 50, 7, 100), chunk_size=1)
    assert result.recorded.shape == (2, 4, NET.layout.num_parameters)
    starts = torch.stack([NET.initialize(generator(m.seed, "start")).double() for m in members])
    assert torch.equal(result.recorded[:, 0], starts)
    for place, steps in ((1, 50), (2, 7)):
        alone = train_alone(NET, members[0], steps=steps, sampler=mix_of_blobs, num_unseen=8, clip=0.5)
        torch.testing.assert_close(result.recorded[0, place], alone, **FLOAT64)
    assert torch.equal(result.recorded[0, 3], result.points[0])
    assert result.recorded[1, 3].isnan().all(), "this member had left"


def test_a_recorded_run_that_was_interrupted_records_the_same(monkeypatch):
    monkeypatch.setattr(ensemble, "CHECKPOINT_SECONDS", -1.0)
    members, settings = [_member(1, 200), _member(2, 200)], {"record_at": (0, 30, 120), "optimizer": "rmsprop"}
    memory = Memory(stop_after=2)
    with pytest.raises(KeyboardInterrupt):
        _train(members, checkpoint=memory, **settings)
    memory.stop_after = math.inf
    assert torch.equal(_train(members, checkpoint=memory, **settings).recorded, _train(members, **settings).recorded)


def test_a_member_leaves_as_soon_as_its_rule_holds():
    easy = _member(3, 1000)
    held_out = mix_of_blobs(40, generator(5, "held out"))
    free = _train([easy], num_unseen=0).steps[0]
    fitted = _train([replace(easy, stop=StopRule(clean_loss=0.3))], num_unseen=0)
    assert free == 1000
    assert fitted.steps[0] < 1000
    assert fitted.steps[0] % ensemble.BLOCK == 0
    assert fitted.clean_loss[0] <= 0.3
    assert fitted.train_accuracy[0] == 1
    # A natural net is right on held-out samples, so a rule that wants it wrong never lets it go.
    never = StopRule(clean_loss=0.3, held_out=held_out, held_out_accuracy=0.2)
    assert _train([replace(easy, stop=never)], num_unseen=0).steps[0] == 1000
    always = StopRule(clean_loss=0.3, held_out=held_out, held_out_accuracy=1.0)
    assert _train([replace(easy, stop=always)], num_unseen=0).steps[0] == fitted.steps[0]


def test_a_poison_factor_of_zero_is_natural_training_whatever_is_drawn():
    drawn, natural = _train([_member(6)]), _train([_member(6)], num_unseen=0)
    torch.testing.assert_close(drawn.points, natural.points, **FLOAT64)


def test_a_member_does_not_depend_on_its_company_or_its_place(mixed):
    members, together = mixed
    backwards = _train(members[::-1])
    torch.testing.assert_close(backwards.points.flip(0), together.points, **FLOAT64)
    torch.testing.assert_close(_train(members[1:3]).points, together.points[1:3], **FLOAT64)


@pytest.mark.parametrize("chunk_size", [1, 2, 10])
def test_the_chunk_changes_results_by_rounding_only(mixed, chunk_size):
    members, together = mixed
    torch.testing.assert_close(_train(members, chunk_size=chunk_size).points, together.points, **FLOAT64)


def test_scores_are_those_of_the_final_parameters(mixed):
    members, result = mixed
    assert (result.diverged_at == -1).all()
    for row, member in enumerate(members):
        train = member.train.to("cpu", torch.float64)
        logits = NET.as_module(result.points[row])(train.inputs)
        assert result.clean_loss[row].item() == pytest.approx(cross_entropy(logits, train.labels).mean().item())
        assert result.train_accuracy[row] == is_correct(logits, train.labels).double().mean()


def test_a_member_that_has_not_settled_goes_on_until_its_patience_ends():
    calm = _member(1, 100, settle_loss=SETTLED, patience=1.0)
    restless = _member(2, 100, settle_loss=UNSETTLED, patience=1.0)
    result = _train([calm, restless])
    assert result.steps.tolist() == [100, 200]
    alone = train_alone(NET, restless, steps=200, sampler=mix_of_blobs, num_unseen=8, clip=0.5)
    torch.testing.assert_close(result.points[1], alone, **FLOAT64)


def test_a_member_leaves_as_soon_as_its_clean_loss_has_settled():
    angle = torch.linspace(0, 3, 16)
    train = Samples(torch.stack([angle.cos(), angle.sin()], 1), (angle > 1.5).long())
    course = {"learning_rate": 0.002, "rate_floor": 1.0, "patience": 20.0}
    settling = replace(_member(1, 50, settle_loss=0.1, **course), train=train)
    result = _train([settling])
    steps = int(result.steps[0])
    assert 50 < steps < settling.schedule.max_steps
    assert result.clean_loss[0] <= 0.1
    before = _train([replace(settling, schedule=replace(settling.schedule, steps=steps - 50, patience=0.0))])
    assert before.steps[0] == steps - 50
    assert before.clean_loss[0] > 0.1


@pytest.mark.parametrize("stop_after", [1, 3])
def test_resumed_is_the_same_as_uninterrupted_bit_for_bit(mixed, stop_after, monkeypatch):
    monkeypatch.setattr(ensemble, "CHECKPOINT_SECONDS", -1.0)
    members, _ = mixed
    whole = _train(members)
    checkpoint = Memory(stop_after)
    with pytest.raises(KeyboardInterrupt):
        _train(members, checkpoint=checkpoint)
    checkpoint.stop_after = math.inf
    assert _same(_train(members, checkpoint=checkpoint), whole)
    assert checkpoint.saves == 4


def test_an_unfinished_checkpoint_is_continued_not_begun_again(monkeypatch):
    monkeypatch.setattr(ensemble, "CHECKPOINT_SECONDS", -1.0)
    checkpoint, drawn = Memory(2), []

    def counting(num, stream):
        drawn.append(num)
        return mix_of_blobs(num, stream)

    with pytest.raises(KeyboardInterrupt):
        _train([_member(1, 150)], checkpoint=checkpoint, sampler=counting)
    checkpoint.stop_after = math.inf
    _train([_member(1, 150)], checkpoint=checkpoint, sampler=counting)
    assert len(drawn) == 3


def test_nothing_is_kept_before_its_time():
    checkpoint = Memory()
    _train([_member(1, 100)], checkpoint=checkpoint)
    assert checkpoint.saves == 0


def _with_nan(member):
    inputs = member.train.inputs.clone()
    inputs[3] = math.nan
    return replace(member, train=Samples(inputs, member.train.labels))


def test_a_member_with_nan_data_is_named_with_its_step_while_others_finish():
    members = [_member(1, 100, poison=0.2), _with_nan(_member(2, 100)), _member(3, 150)]
    result = _train(members)
    assert result.diverged_at.tolist() == [-1, 0, -1]
    assert result.clean_loss.isnan().tolist() == [False, True, False]
    others = _train([members[0], members[2]])
    torch.testing.assert_close(result.points[[0, 2]], others.points, **FLOAT64)


def test_the_step_of_a_later_divergence_is_found():
    calls = []

    def breaks_in_its_second_block(num, stream):
        samples = mix_of_blobs(num, stream)
        calls.append(num)
        if len(calls) == 2:
            samples.inputs[8 * 7] = math.nan
        return samples

    result = _train([_member(1, 150, poison=0.1)], sampler=breaks_in_its_second_block)
    assert result.diverged_at.tolist() == [50 + 7]


def test_progress_rises_to_one():
    shares = []
    trainer = StackTrainer(NET, [_member(1, 100), _member(2, 150)])
    trainer.train(progress=shares.append)
    assert shares == sorted(shares)
    assert shares[-1] == 1
    assert 0 < shares[0] < 1


@pytest.mark.parametrize("classes", [1, 3])
def test_the_poisoned_loss_is_its_formula(classes):
    stream = generator(0, "logits")
    logits = torch.randn(2, 7, classes, generator=stream, dtype=torch.float64)
    labels = torch.randint(max(2, classes), (2, 7), generator=stream)
    factor = torch.tensor([0.3, 2.0], dtype=torch.float64)
    wanted = [
        reference.clean_loss(z[:4], y[:4]) + b * reference.poison(z[4:], y[4:])
        for z, y, b in zip(logits, labels, factor, strict=True)
    ]
    torch.testing.assert_close(poisoned_loss(logits, labels, 4, factor), torch.stack(wanted))
    clean = torch.stack([reference.clean_loss(z, y) for z, y in zip(logits, labels, strict=True)])
    torch.testing.assert_close(poisoned_loss(logits, labels, 7, factor), clean)


def test_a_start_of_another_size_is_refused_by_name():
    with pytest.raises(InputError, match="net 1: a start of shape"):
        StackTrainer(NET, [replace(_member(1), start=torch.zeros(3))])


def test_an_empty_batch_is_refused():
    with pytest.raises(InputError, match="batch_size"):
        StackTrainer(NET, [_member(1)], batch_size=0)


def test_poison_without_unseen_samples_is_refused_by_name():
    with pytest.raises(InputError, match="net 1: poison"):
        StackTrainer(NET, [_member(1, poison=0.1)])


def test_fresh_unseen_samples_without_a_sampler_are_refused():
    with pytest.raises(InputError, match="sampler"):
        StackTrainer(NET, [_member(1, poison=0.1)], num_unseen=8)


def test_training_sets_of_different_sizes_are_refused():
    other = replace(_member(2), train=mix_of_blobs(17, generator(0, "other")))
    with pytest.raises(InputError, match="equally large"):
        StackTrainer(NET, [_member(1), other])


def test_the_training_set_stays_as_found():
    member = _member(1, poison=0.5)
    before = member.train.inputs.clone()
    _train([member])
    assert torch.equal(member.train.inputs, before)
