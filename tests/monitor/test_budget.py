"""When looks are paid for, by a clock of our own."""

from itertools import pairwise

import pytest
from helpers.clock import Clock

from calig_fast.monitor.budget import Budget


def run(budget, clock, steps, seconds, cost):
    """Steps of a training, each of `seconds`, and looks of cost(number); the steps that looked."""
    looked = []
    budget.start()
    for step in range(1, steps + 1):
        clock.now += seconds
        if budget.allows():
            spent = cost(len(looked))
            clock.now += spent
            budget.charge(spent, looked=True)
            looked.append(step)
    return looked


@pytest.mark.parametrize("share", [0.01, 0.02, 0.1, 0.5])
def test_looks_of_one_cost_stay_below_the_share_once_the_first_is_paid(share):
    clock = Clock()
    budget = Budget(share, clock)
    looked = run(budget, clock, 5000, 0.1, lambda number: 0.3)
    assert looked[0] == 1
    assert 0.8 * share < budget.used <= share
    gaps = [b - a for a, b in pairwise(looked[1:])]
    assert max(gaps) - min(gaps) <= 1


def test_the_first_look_comes_at_once_and_the_second_when_both_are_paid():
    clock = Clock()
    budget = Budget(0.1, clock)
    looked = run(budget, clock, 100, 1.0, lambda number: 1.0)
    assert looked[:2] == [1, 18]  # 1 + 1 second of 20: 18 of training, the first look, and the one to come


def test_the_share_holds_at_every_moment_after_the_second_look():
    clock = Clock()
    budget = Budget(0.05, clock)
    for _ in range(40):
        looks = budget.looks
        run(budget, clock, 50, 0.05, lambda number: 0.2)
        assert budget.looks < 2 or budget.used <= 0.05
        assert budget.looks - looks <= 1
    assert budget.looks > 10


def test_dearer_looks_are_spaced_further_apart():
    clock = Clock()
    budget = Budget(0.1, clock)
    looked = run(budget, clock, 4000, 0.1, lambda number: 0.1 * (1 + number))
    gaps = [b - a for a, b in pairwise(looked)]
    assert gaps[2:] == sorted(gaps[2:])
    assert budget.used <= 0.1


def test_a_pause_buys_one_look_not_a_burst():
    clock = Clock()
    budget = Budget(0.02, clock)
    run(budget, clock, 1000, 0.1, lambda number: 0.1)
    clock.now += 3600
    assert len(run(budget, clock, 40, 0.1, lambda number: 0.1)) == 1


def test_what_the_first_look_paid_for_once_is_not_expected_again():
    clock = Clock()
    budget = Budget(0.125, clock)
    looked = run(budget, clock, 3000, 0.125, lambda number: 16.0 if number == 0 else 0.125)
    assert looked[1] > 1000
    assert looked[2] - looked[1] == 7  # eight times the cost, of which the look itself is one


def test_a_share_of_one_looks_every_time():
    clock = Clock()
    assert run(Budget(1.0, clock), clock, 20, 0.0, lambda number: 5.0) == list(range(1, 21))


def test_what_is_spent_without_looking_counts():
    clock = Clock()
    budget = Budget(0.5, clock)
    budget.charge(3.0, looked=False)
    assert budget.used == 0.0
    assert budget.allows()
    budget.start()
    clock.now = 10.0
    assert budget.used == pytest.approx(0.3)
