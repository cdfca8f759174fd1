"""The adaptive integral on integrands with known integrals: within its own estimate, or flagged."""

import math

import pytest
import torch

from calig_fast.quadrature.adaptive import AdaptiveIntegral
from calig_fast.quadrature.fixed import FixedIntegral
from calig_fast.quadrature.rules import FIXED, nodes_and_weights


def integrate(f, truth, tolerance=2e-2, budget=128, gap=None):
    """Drive a path over f: a -> [T] float64; returns its estimate and the true relative error."""
    now = finish(AdaptiveIntegral(tolerance, budget, float(truth.sum()) if gap is None else gap, 1e-12), f)
    return now, float((now.r - truth).norm() / truth.norm())


def finish(path, f):
    """Give a path all it asks for; its last estimate."""
    rounds = 0
    while path.pending():
        wanted = path.pending()
        path.add(wanted, torch.stack([f(a) for a in wanted]))
        rounds += 1
        assert rounds < 60
    return path.estimate


def sigmoid_path(steepness, middle):
    """phi = derivative of a sigmoid; two tokens share it unevenly and a third opposes."""

    def f(a):
        s = 1 / (1 + math.exp(-steepness * (a - middle)))
        return torch.tensor([2.0, 0.5, -0.7], dtype=torch.float64) * steepness * s * (1 - s)

    rise = 1 / (1 + math.exp(-steepness * (1 - middle))) - 1 / (1 + math.exp(steepness * middle))
    return f, torch.tensor([2.0, 0.5, -0.7], dtype=torch.float64) * rise


@pytest.mark.parametrize("tolerance", [1e-1, 2e-2, 1e-3, 1e-5])
@pytest.mark.parametrize("steepness", [1.0, 6.0, 15.0])
def test_smooth_paths_meet_the_tolerance(steepness, tolerance):
    f, truth = sigmoid_path(steepness, 0.4)
    now, error = integrate(f, truth, tolerance)
    assert now.converged
    assert error <= tolerance


@pytest.mark.parametrize(("steepness", "middle"), [(80.0, 0.31), (200.0, 0.043), (400.0, 0.9)])
def test_a_spike_is_found_by_bisection_and_costs_less_than_a_grid_as_fine(steepness, middle):
    f, truth = sigmoid_path(steepness, middle)
    now, error = integrate(f, truth)
    assert now.converged
    assert error <= 2e-2
    width = 1 / steepness
    assert now.nodes < 4 / width


def test_a_jump_is_flagged_or_right():
    def f(a):
        return torch.tensor([0.0, 1.0], dtype=torch.float64) if a < 0.37 else torch.tensor([5.0, 1.0]).double()

    truth = torch.tensor([5 * 0.63, 1.0], dtype=torch.float64)
    for tolerance in (2e-2, 1e-3, 1e-6):
        now, error = integrate(f, truth, tolerance)
        assert now.converged
        assert error <= tolerance
    now, _ = integrate(f, truth, 1e-14)
    assert not now.converged, "bisection halves the jump's panel 4 nodes at a time, and 128 intervals end before 1e-14"


def test_a_spike_between_all_nodes_is_betrayed_by_completeness():
    def f(a):
        return torch.tensor([1.0 + (500.0 if 0.13 < a < 0.14 else 0.0)], dtype=torch.float64)

    now, _ = integrate(f, torch.tensor([6.0], dtype=torch.float64), budget=16)
    assert not now.converged
    assert abs(now.delta) > 1


def test_the_budget_holds_and_end_points_alone_are_one_interval():
    f, truth = sigmoid_path(300.0, 0.5)
    for budget in (1, 2, 3, 5, 8, 20, 33):
        now, _ = integrate(f, truth, 1e-9, budget)
        assert now.nodes <= budget + 1
    now, _ = integrate(f, truth, budget=1)
    assert now.nodes == 2
    torch.testing.assert_close(now.r, (f(0.0) + f(1.0)) / 2)


def test_a_path_of_zeros_is_converged_and_exact():
    now, _ = integrate(lambda a: torch.zeros(3).double(), torch.zeros(3).double() + 1e-30, gap=0.0)
    assert now.converged
    assert (now.r == 0).all()


def test_refine_goes_on_past_the_tolerance():
    f, truth = sigmoid_path(6.0, 0.4)
    path = AdaptiveIntegral(0.5, 64, float(truth.sum()), 1e-12)
    path.add(path.pending(), torch.stack([f(a) for a in path.pending()]))
    before = path.estimate
    assert path.refine()
    path.add(path.pending(), torch.stack([f(a) for a in path.pending()]))
    assert path.estimate.nodes > before.nodes
    assert path.estimate.error < before.error


def test_not_a_number_is_never_converged():
    now, _ = integrate(lambda a: torch.tensor([math.nan]).double(), torch.ones(1).double(), budget=16)
    assert not now.converged


@pytest.mark.parametrize("rule", FIXED)
def test_fixed_rules_integrate_and_weigh_to_one(rule):
    for n in (1, 2, 7, 50):
        nodes, weights = nodes_and_weights(rule, n)
        assert len(nodes) == len(weights) == n + (rule == "corrected_trapezoid")
        assert float(weights.sum()) == pytest.approx(1, abs=1e-12)
        assert min(nodes) >= 0
        assert max(nodes) <= 1
    f, truth = sigmoid_path(3.0, 0.4)
    path = FixedIntegral(rule, 200, 1e-1, float(truth.sum()), 1e-12)
    path.add(path.pending(), torch.stack([f(a) for a in path.pending()]))
    assert not path.pending()
    assert not path.refine()
    assert path.estimate.converged
    assert float((path.estimate.r - truth).norm() / truth.norm()) < 1e-2


def test_rounding_of_the_scalars_costs_no_nodes():
    """As in bfloat16: values are off, and the gap, what is left of scalars 50 times as large, by a fifth."""
    f, truth = sigmoid_path(6.0, 0.4)
    shares = torch.tensor([2.0, 0.5, -2.45], dtype=torch.float64)  # their sum cancels to a fortieth
    seed = torch.Generator().manual_seed(0)

    def noisy(a):
        return f(a)[0] / 2 * shares * (1 + 0.001 * torch.randn(3, generator=seed, dtype=torch.float64))

    truth = truth[0] / 2 * shares
    gap = 1.2 * float(truth.sum())
    rounding = 2**-7 * 50 * gap
    unaware = finish(AdaptiveIntegral(2e-2, 128, gap, 1e-12), noisy)
    aware = finish(AdaptiveIntegral(2e-2, 128, gap, rounding), noisy)
    assert unaware.nodes > 100
    assert aware.nodes < 20
    assert aware.converged
    assert float((aware.r - truth).norm() / truth.norm()) < 2e-2


def test_a_gap_within_rounding_still_counts_what_the_tokens_carry():
    """Everything missed is within rounding: it is weighed against the tokens, and too much of it is refined."""
    f, truth = sigmoid_path(60.0, 0.53)
    path = AdaptiveIntegral(2e-2, 128, float(truth.sum()), noise=10.0)
    now = finish(path, f)
    assert now.converged
    assert float((now.r - truth).norm() / truth.norm()) < 4e-2


def test_many_intervals_are_judged_by_how_far_the_difference_fell():
    f, truth = sigmoid_path(100.0, 0.53)
    gap = float(truth.sum())
    half, whole = (finish(AdaptiveIntegral(2e-2, 128, gap, 1e-12, first=m, defer=True), f) for m in (32, 64))
    assert whole.disagreement < half.disagreement
    wanted = whole.disagreement**2 / half.disagreement
    assert wanted > whole.disagreement**2
    assert whole.error == pytest.approx(wanted + abs(whole.delta / gap))


def test_a_gap_that_rounding_keeps_open_is_not_chased():
    """As in bfloat16 where a model magnifies what it rounds: all values are a tenth off, and the gap never closes."""
    f, truth = sigmoid_path(6.0, 0.4)
    gap = float(truth.sum())

    def off(a):
        return 0.9 * f(a)

    chased = finish(AdaptiveIntegral(2e-2, 128, gap, 1e-12), off)
    path = AdaptiveIntegral(2e-2, 128, gap, 1e-12, eps=2**-7)
    now = finish(path, off)
    assert chased.nodes > 100
    assert now.nodes < 20
    assert path.stalled
    assert not now.converged
    assert now.error > 0.05
    assert float((now.r - 0.9 * truth).norm() / truth.norm()) < 2e-2  # as good as the values are


def test_a_gap_that_more_nodes_close_is_no_rounding():
    """A spike between the nodes, in float32 and in bfloat16: in the one it is found, in the other found or flagged."""
    f, truth = sigmoid_path(200.0, 0.043)
    for eps in (2**-23, 2**-7):
        path = AdaptiveIntegral(2e-2, 128, float(truth.sum()), 1e-12, eps=eps)
        now = finish(path, f)
        assert path.stalled != now.converged
        if now.converged:
            assert float((now.r - truth).norm() / truth.norm()) <= 2e-2
        assert now.converged or eps > 1e-6
