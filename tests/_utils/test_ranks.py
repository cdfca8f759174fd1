"""Spearman's rank correlation against SciPy's, and where there is none."""

import math

import pytest
import torch

from calig_fast._utils.ranks import rank_correlation


@pytest.mark.parametrize("n", [2, 3, 10, 200])
def test_it_is_scipys_ties_included(n):
    stats = pytest.importorskip("scipy.stats")
    x, y = torch.randn(2, n, generator=torch.Generator().manual_seed(n), dtype=torch.float64)
    for a, b in ((x, y), (x.round(decimals=1), y.round(decimals=1)), (x.round(), y)):
        assert rank_correlation(a, b) == pytest.approx(stats.spearmanr(a, b).statistic, nan_ok=True)


def test_of_what_does_not_vary_there_is_none():
    assert math.isnan(rank_correlation(torch.tensor([1.0]), torch.tensor([2.0])))
    assert math.isnan(rank_correlation(torch.ones(4), torch.arange(4.0)))
    assert math.isnan(rank_correlation(torch.zeros(0), torch.zeros(0)))
