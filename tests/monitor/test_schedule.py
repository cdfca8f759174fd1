"""Promised looks are spread over the steps of a run, the first and the last step among them."""

import pytest

from calig_fast.monitor.schedule import Schedule


def steps_of(looks, steps, numbers):
    schedule = Schedule(looks, steps)
    return [n for n in numbers if schedule.due(n)]


@pytest.mark.parametrize(
    ("looks", "steps", "wanted"),
    [
        (1, 10, [10]),
        (2, 10, [1, 10]),
        (4, 10, [1, 4, 7, 10]),
        (3, 6, [1, 4, 6]),
        (6, 6, [1, 2, 3, 4, 5, 6]),
        (9, 3, [1, 2, 3]),
        (1, 1, [1]),
        (5, 1, [1]),
    ],
)
def test_the_looks_of_a_run(looks, steps, wanted):
    assert steps_of(looks, steps, range(1, steps + 1)) == wanted


def test_steps_that_are_left_out_or_counted_on():
    assert steps_of(3, 9, [1, 1, 6, 7, 7, 9]) == [1, 6, 9]
    assert steps_of(3, 9, range(101, 110)) == [101, 105, 109]


def test_a_longer_run_than_was_said():
    assert steps_of(2, 3, range(1, 9)) == [1, 3]


def test_what_is_no_number():
    for wrong in (0, 1.5, "x"):
        with pytest.raises((TypeError, ValueError), match="looks: expected"):
            Schedule(wrong, 3)
        with pytest.raises((TypeError, ValueError), match="steps: expected"):
            Schedule(3, wrong)
    with pytest.raises(ValueError, match=r"pass steps=, or step the monitor by its callback"):
        Schedule(3).due(1)
