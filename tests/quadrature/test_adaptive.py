"""The adaptive integral on integrands with known integrals: within its own estimate, or flagged."""

import math

import numpy as np
import pytest
import torch

from calig_fast._utils.ends import ENDS
from calig_fast.quadrature.adaptive import AdaptiveIntegrals, Paths, Start
from calig_fast.quadrature.fixed import FixedIntegrals
from calig_fast.quadrature.panels import Panels, _unresolved
from calig_fast.quadrature.rules import FIXED, nodes_and_weights
from calig_fast.quadrature.values import Values


def paths_of(f, gap, noise=1e-12, **known):
    """One path of f: a -> [T] float64."""
    ends = torch.stack([f(0.0), f(1.0)])[:, None]
    return Paths(ends=ends, gap=np.array([gap]), noise=np.array([noise]), **known)


def adaptive(f, gap, tolerance=2e-2, budget=128, *, noise=1e-12, first=4, strength=0.0, defer=False, **known):
    """The adaptive integral of one path, evaluated until it asks for no more."""
    path = AdaptiveIntegrals(
        paths_of(f, gap, noise, **known), [Start(first, strength)], tolerance=tolerance, budget=budget, defer=defer
    )
    return finish(path, f)


def integrate(f, truth, tolerance=2e-2, budget=128, gap=None):
    """Integrate one path; its answer and the true relative error."""
    now = Answer(adaptive(f, float(truth.sum()) if gap is None else gap, tolerance, budget))
    return now, float((now.r - truth).norm() / truth.norm())


def finish(path, f):
    """Give a path all it asks for."""
    rounds = 0
    while wanted := path.pending():
        path.add(torch.stack([f(a) for a in wanted.node]))
        rounds += 1
        assert rounds < 60
    return path


class Answer:
    """The answer of a lone path."""

    def __init__(self, path):
        now = path.estimates
        self.r, self.coarse, self.nodes = now.r[0], now.coarse[0], int(now.nodes[0])
        for name, column in vars(now.errors).items():
            setattr(self, name, float(column[0]))
        self.converged = bool(path.converged[0]) if isinstance(path, AdaptiveIntegrals) else None


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
    path = adaptive(f, float(truth.sum()), 0.5, 64)
    before = Answer(path)
    assert path.refine(np.array([True])).all()
    after = Answer(finish(path, f))
    assert after.nodes > before.nodes
    assert after.error < before.error


def test_paths_beside_each_other_are_what_each_is_alone():
    """Smooth, steep, rough, jumping and flat ones, which begin differently: the answers, errors and nodes of each."""
    known = [(6.0, 0.4), (15.0, 0.7), (200.0, 0.043), (80.0, 0.31), (1.0, 0.5)]
    fs = [sigmoid_path(*one) for one in known]
    starts = [Start(4), Start(6, 0.3), Start(8), Start(12, 0.45), Start(2)]
    alone = [
        adaptive(f, float(truth.sum()), first=start.intervals, strength=start.strength)
        for (f, truth), start in zip(fs, starts, strict=True)
    ]
    ends = torch.stack([torch.stack([f(a) for f, _ in fs]) for a in (0.0, 1.0)])
    gap = np.array([float(truth.sum()) for _, truth in fs])
    together = AdaptiveIntegrals(
        Paths(ends=ends, gap=gap, noise=np.full(len(fs), 1e-12)), starts, tolerance=2e-2, budget=128
    )
    while wanted := together.pending():
        together.add(torch.stack([fs[path][0](a) for path, a in zip(wanted.path, wanted.node, strict=True)]))
    for i, one in enumerate(alone):
        torch.testing.assert_close(together.estimates.r[i], one.estimates.r[0])
        assert together.estimates.nodes[i] == one.estimates.nodes[0]
        assert together.errors.error[i] == pytest.approx(one.errors.error[0])
    seen = {int(p): table for table in together.tables() for p in table.paths}
    for i, one in enumerate(alone):
        mine, nodes = seen[i], next(iter(one.tables())).nodes
        assert mine.nodes == nodes
        assert list(nodes) == sorted(nodes)
        for a, row in zip(nodes, mine.rows[list(mine.paths).index(i)], strict=True):
            torch.testing.assert_close(row, fs[i][0](a))


def test_values_are_counted():
    f, truth = sigmoid_path(6.0, 0.4)
    path = AdaptiveIntegrals(paths_of(f, float(truth.sum())), [Start()], tolerance=2e-2, budget=8)
    with pytest.raises(ValueError, match="rows"):
        path.add(torch.zeros(1, 3).double())


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
    path = finish(FixedIntegrals(paths_of(f, float(truth.sum())), rule, 200), f)
    assert not path.refine(np.array([True])).any()
    now = Answer(path)
    assert now.error <= 1e-1
    assert float((now.r - truth).norm() / truth.norm()) < 1e-2


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
    unaware = Answer(adaptive(noisy, gap))
    aware = Answer(adaptive(noisy, gap, noise=rounding))
    assert unaware.nodes > 100
    assert aware.nodes < 20
    assert aware.converged
    assert float((aware.r - truth).norm() / truth.norm()) < 2e-2


def test_a_gap_within_rounding_still_counts_what_the_tokens_carry():
    """Everything missed is within rounding: it is weighed against the tokens, and too much of it is refined."""
    f, truth = sigmoid_path(60.0, 0.53)
    now = Answer(adaptive(f, float(truth.sum()), noise=10.0))
    assert now.converged
    assert float((now.r - truth).norm() / truth.norm()) < 4e-2


def test_many_intervals_are_judged_by_how_far_the_difference_fell():
    f, truth = sigmoid_path(100.0, 0.53)
    gap = float(truth.sum())
    half, whole = (Answer(adaptive(f, gap, first=m, defer=True)) for m in (32, 64))
    assert whole.disagreement < half.disagreement
    wanted = whole.disagreement**2 / half.disagreement
    assert wanted > whole.disagreement**2
    assert whole.error == pytest.approx(max(wanted, whole.disagreement / 7, 1.3 * abs(whole.delta / gap)))


def test_a_gap_that_rounding_keeps_open_is_not_chased():
    """As in bfloat16 where a model magnifies what it rounds: all values are a tenth off, and the gap never closes."""
    f, truth = sigmoid_path(6.0, 0.4)
    gap = float(truth.sum())

    def off(a):
        return 0.9 * f(a)

    chased = Answer(adaptive(off, gap))
    path = adaptive(off, gap, eps=2**-7)
    now = Answer(path)
    assert chased.nodes > 100
    assert now.nodes < 20
    assert path.stalled.all()
    assert not now.converged
    assert now.error > 0.05
    assert float((now.r - 0.9 * truth).norm() / truth.norm()) < 2e-2  # as good as the values are


def test_a_gap_that_more_nodes_close_is_no_rounding():
    """A spike between the nodes, in float32 and in bfloat16: in the one it is found, in the other found or flagged."""
    f, truth = sigmoid_path(200.0, 0.043)
    for eps in (2**-23, 2**-7):
        path = adaptive(f, float(truth.sum()), eps=eps)
        now = Answer(path)
        assert bool(path.stalled[0]) != now.converged
        if now.converged:
            assert float((now.r - truth).norm() / truth.norm()) <= 2e-2
        assert now.converged or eps > 1e-6


def test_an_integral_says_why_it_ends():
    f, truth = sigmoid_path(6.0, 0.4)
    spiky, whole = sigmoid_path(600.0, 0.31)
    made = {
        "": adaptive(f, float(truth.sum())),
        "limit": adaptive(f, float(truth.sum()), 1e-9, 16),
        "spike": adaptive(spiky, float(whole.sum()), budget=32),
        "rounding": adaptive(lambda a: 0.9 * f(a), float(truth.sum()), eps=2**-7),
        "nonfinite": adaptive(lambda a: f(a) * math.nan, 1.0),
    }
    assert {why: ENDS[path.estimates.ends[0]] for why, path in made.items()} == {why: why for why in made}
    assert made["nonfinite"].estimates.nodes[0] == 5  # more of them would be no better


def test_what_memory_cannot_hold_is_left_out():
    f, truth = sigmoid_path(6.0, 0.4)
    path = AdaptiveIntegrals(paths_of(f, float(truth.sum())), [Start()], tolerance=1e-9, budget=64)
    assert not path.stop()  # there is no answer yet
    path.add(torch.stack([f(a) for a in path.pending().node]))
    before = Answer(path)
    assert path.stop()
    assert not path.pending()
    assert ENDS[path.estimates.ends[0]] == "memory"
    assert not path.refine(np.array([True])).any()
    assert Answer(path).error == before.error


def test_a_fixed_rule_of_the_ends_alone_needs_nothing():
    f, _ = sigmoid_path(3.0, 0.4)
    path = FixedIntegrals(paths_of(f, 1.0), "corrected_trapezoid", 1)
    assert not path.pending()
    torch.testing.assert_close(Answer(path).r, (f(0.0) + f(1.0)) / 2)


def jump_path(places, sizes):
    """phi jumps at `places` by the rows of `sizes`; and its integral."""
    rows = torch.tensor(sizes, dtype=torch.float64)
    at = torch.tensor(places, dtype=torch.float64)
    return (
        lambda a: 1.0 + ((a > at)[:, None] * rows).sum(0),
        1.0 + ((1 - at)[:, None] * rows).sum(0),
    )


@pytest.mark.parametrize("tolerance", [5e-2, 1e-2, 1e-3])
@pytest.mark.parametrize("seed", range(6))
def test_the_bound_of_jumps_holds_where_their_two_rules_agree(seed, tolerance):
    generator = np.random.default_rng(seed)
    count = 2 + seed % 3
    sizes = generator.normal(size=(count, 4))
    sizes[1] = -sizes[0]  # their parts of the two rules' difference cancel
    f, truth = jump_path(generator.uniform(size=count), sizes)
    now = Answer(adaptive(f, float(truth.sum()), tolerance, 1024, kinked=True))
    error = float((now.r - truth).norm() / truth.norm())
    assert error <= 1.5 * now.error
    assert not now.converged or error <= 1.5 * tolerance


@pytest.mark.parametrize("place", [0.03, 0.11, 0.2, 0.37, 0.5, 0.61, 0.83, 0.99])
def test_a_jump_in_a_panel_is_bounded(place):
    values = Values(torch.tensor([[float(a > place)] for a in np.arange(5) / 4], dtype=torch.float64))
    panels = Panels(np.zeros(1))
    panels.cut(0, np.arange(5))
    which = np.zeros(1, dtype=np.int64)
    r, _, columns = panels.answers(which, values)
    _, rule = panels.judge(which, columns.numpy())
    assert abs(float(r[0, 0]) - (1 - place)) <= rule[0] * abs(float(r[0, 0]))


def test_a_resolved_panel_has_no_jump():
    a = torch.arange(5, dtype=torch.float64)[:, None] / 4
    for smooth in (torch.exp(a), torch.sin(3 * a), (a - 0.5) ** 3, a**2):
        assert float(_unresolved(smooth[None, None])) == 0
    assert float(_unresolved((a > 0.6).double()[None, None])) == pytest.approx(0.25)
    assert float(_unresolved(torch.exp(-((a - 0.5) ** 2) / 1e-3)[None, None])) > 0.2


def test_without_a_gap_the_rules_alone_judge():
    def f(a):
        return torch.tensor([a**3, 1 + 2 * a**3], dtype=torch.float64)

    judged = adaptive(f, gap=5.0, tolerance=1e-2, budget=32)  # 5 is the sum of another integral
    assert not judged.converged.any()
    alone = adaptive(f, gap=5.0, tolerance=1e-2, budget=32, complete=False)
    assert alone.converged.all()
    found = alone.estimates
    torch.testing.assert_close(found.r, torch.tensor([[0.25, 1.5]], dtype=torch.float64), rtol=1e-2, atol=0)
    e1 = float((found.r - found.coarse).norm() / found.r.norm())
    assert float(found.errors.error[0]) == pytest.approx(e1 / 2)


@pytest.mark.parametrize("rule", ["riemann_middle", "gausslegendre"])
def test_a_fixed_rule_without_a_gap_knows_nothing_of_its_error(rule):
    ends = torch.ones(2, 1, 3, dtype=torch.float64)
    integrals = FixedIntegrals(Paths(ends=ends, gap=np.array([9.0]), noise=np.array([0.0]), complete=False), rule, 4)
    integrals.add(torch.ones(len(integrals.pending().path), 3, dtype=torch.float64))
    assert integrals.estimates.errors.error.tolist() == [1.0]
