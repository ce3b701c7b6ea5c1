import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from basinscope.errors import InputError
from basinscope.training.schedules import Schedule

steps = st.integers(1, 10_000)


def test_cosine_falls_from_the_rate_to_the_floor():
    schedule = Schedule(steps=100, learning_rate=0.01, rate_floor=0.1)
    assert schedule.rate_at(0) == pytest.approx(0.01)
    assert schedule.rate_at(50) == pytest.approx(0.01 * (0.1 + 0.9 / 2))
    assert schedule.rate_at(25) == pytest.approx(0.01 * (0.1 + 0.9 * (1 + math.sqrt(0.5)) / 2))
    assert schedule.rate_at(100) == pytest.approx(0.001)
    assert schedule.rate_at(1000) == pytest.approx(0.001)


def test_tenfold_divides_by_ten_at_each_third():
    schedule = Schedule(steps=300, learning_rate=1.0, decay="tenfold")
    found = [schedule.rate_at(step) for step in (0, 99, 100, 199, 200, 299, 300, 450)]
    assert found == pytest.approx([1, 1, 0.1, 0.1, 0.01, 0.01, 0.01, 0.01])


def test_tenfold_stops_at_the_floor():
    assert Schedule(steps=3, learning_rate=1.0, decay="tenfold", rate_floor=0.05).rate_at(2) == 0.05


def test_steps_divide_by_ten_at_each_milestone():
    schedule = Schedule(steps=100, learning_rate=0.1, decay="steps")
    found = [schedule.rate_at(step) for step in (0, 39, 40, 59, 60, 79, 80, 99, 150)]
    assert found == pytest.approx([0.1, 0.1, 0.01, 0.01, 1e-3, 1e-3, 1e-4, 1e-4, 1e-4])


def test_milestones_are_those_asked_for_and_there_may_be_none():
    schedule = Schedule(steps=150, learning_rate=0.05, decay="steps", milestones=(1 / 3, 2 / 3))
    assert [schedule.rate_at(step) for step in (49, 50, 99, 100)] == pytest.approx([0.05, 0.005, 0.005, 5e-4])
    level = Schedule(steps=10, learning_rate=0.05, decay="steps", milestones=())
    assert {level.rate_at(step) for step in range(20)} == {0.05}


def test_the_order_of_milestones_does_not_matter():
    forth, back = (
        Schedule(steps=50, learning_rate=1.0, decay="steps", milestones=stones) for stones in ((0.2, 0.7), (0.7, 0.2))
    )
    assert [forth.rate_at(step) for step in range(60)] == [back.rate_at(step) for step in range(60)]


def test_the_rate_rises_over_the_warmup_then_keeps_to_its_milestones():
    schedule = Schedule(steps=100, learning_rate=1.0, decay="steps", milestones=(0.5,), warmup=0.1)
    assert [schedule.rate_at(step) for step in (0, 4, 9, 10, 50)] == pytest.approx([0.1, 0.5, 1, 1, 0.1])


def test_poison_is_constant_then_falls_by_the_settle_ratio_and_on():
    schedule = Schedule(steps=100, learning_rate=1.0, poison=0.3, settle_from=0.6, settle_ratio=0.01)
    assert schedule.poison_at(0) == schedule.poison_at(60) == 0.3
    assert schedule.poison_at(80) == pytest.approx(0.03)
    assert schedule.poison_at(100) == pytest.approx(0.003)
    assert schedule.poison_at(140) == pytest.approx(0.00003)


@pytest.mark.parametrize("decay", ["cosine", "tenfold", "steps"])
@given(steps=steps, step=st.integers(0, 20_000))
def test_rate_and_poison_never_rise_and_stay_positive(decay, steps, step):
    schedule = Schedule(steps=steps, learning_rate=0.1, poison=0.5, decay=decay)
    assert 0 < schedule.rate_at(step + 1) <= schedule.rate_at(step) <= 0.1
    assert 0 <= schedule.poison_at(step + 1) <= schedule.poison_at(step) <= 0.5


def test_natural_training_has_no_poison_at_any_step():
    schedule = Schedule(steps=10, learning_rate=0.1)
    assert {schedule.poison_at(step) for step in range(20)} == {0.0}


@given(steps)
def test_the_settle_phase_may_last_half_as_long_again(steps):
    assert Schedule(steps=steps, learning_rate=1.0).max_steps == steps + math.ceil(steps / 2)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("steps", 0),
        ("learning_rate", 0.0),
        ("learning_rate", math.nan),
        ("poison", -0.1),
        ("settle_from", 1.0),
        ("settle_from", -0.1),
        ("settle_ratio", 0.0),
        ("settle_ratio", 1.5),
        ("milestones", (0.5, 1.0)),
        ("milestones", (0.0,)),
    ],
)
def test_a_value_out_of_range_is_named(field, value):
    with pytest.raises(InputError, match=field):
        Schedule(**{"steps": 10, "learning_rate": 0.1, field: value})
