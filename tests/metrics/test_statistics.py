"""Intervals and paired tests: against SciPy, by hand, and what they cover."""

import pytest
import torch

from calig_fast.metrics import Measure, interval, paired_test

X = torch.distributions.Exponential(1.0).icdf(torch.linspace(0.02, 0.98, 40).double())


@pytest.mark.parametrize("method", ["bca", "percentile"])
def test_scipy_says_the_same(method):
    stats = pytest.importorskip("scipy.stats")
    numpy = pytest.importorskip("numpy")
    wanted = stats.bootstrap(
        (X.numpy(),), numpy.mean, n_resamples=40_000, method=method, rng=numpy.random.default_rng(0)
    ).confidence_interval
    found = interval(X, resamples=40_000, method=method)
    spread = wanted.high - wanted.low  # two bootstraps of 40000 draws differ by about one per cent of the width
    assert found.low == pytest.approx(wanted.low, abs=0.03 * spread)
    assert found.high == pytest.approx(wanted.high, abs=0.03 * spread)
    assert found.estimate == pytest.approx(float(X.mean()))


def test_bca_leans_towards_the_long_tail():
    bca, plain = interval(X), interval(X, method="percentile")
    assert bca.low > plain.low
    assert bca.high > plain.high


def test_seeds_levels_and_undefined_values():
    assert interval(X) == interval(X)
    assert interval(X, seed=1) != interval(X)
    wide, narrow = interval(X, level=0.99), interval(X, level=0.5)
    assert wide.low < narrow.low < narrow.high < wide.high
    holes = torch.cat([X, torch.tensor([torch.nan, torch.nan])])
    assert interval(holes) == interval(X)
    measure = Measure("m", holes, True)
    assert measure.interval() == interval(X)
    assert measure.mean() == pytest.approx(float(X.mean()))
    same = interval(torch.ones(5))
    assert (same.low, same.estimate, same.high) == (1.0, 1.0, 1.0)


def test_an_interval_covers_as_often_as_it_says():
    generator = torch.Generator().manual_seed(0)
    hits = 0
    for seed in range(200):
        found = interval(torch.randn(40, generator=generator), level=0.9, resamples=500, seed=seed)
        hits += found.low <= 0 <= found.high
    assert 165 <= hits <= 195  # 180 expected, standard deviation 4


def test_paired_differences():
    b = torch.linspace(-3, 3, 30)
    a = b + 0.1 + 0.02 * torch.randn(30, generator=torch.Generator().manual_seed(0))
    found = paired_test(a, b)
    assert found.excludes_zero
    assert found.low < found.difference < found.high
    assert found.difference == pytest.approx(0.1, abs=0.02)
    assert found.p_value < 1e-3
    back = paired_test(Measure("b", b, True), Measure("a", a, True))
    assert back.difference == pytest.approx(-found.difference)
    assert back.p_value == found.p_value
    none = paired_test(a - a.mean(), b - b.mean())
    assert not none.excludes_zero
    assert none.p_value > 0.9


def test_few_pairs_try_every_sign():
    # of the 8 sign choices of (1, 2, 3), only +++ and --- are as far out; of (1, 2, -3) every one with |sum| >= 0
    assert paired_test([1.0, 2, 3], [0.0, 0, 0]).p_value == 2 / 8
    assert paired_test([1.0, 2, -3], [0.0, 0, 0]).p_value == 1.0


def test_a_pair_with_an_undefined_value_is_dropped():
    found = paired_test([1.0, 2, 3, torch.nan], [0.0, 0, torch.nan, 0])
    assert found.count == 2
    assert found.difference == 1.5
