"""Rank agreement: by hand, against SciPy, and what is left out."""

import pytest
import torch
from helpers.tiny_models import ids, tiny

from calig_fast import explain
from calig_fast.metrics import agreement, kendall, spearman, top_k_overlap

A = torch.tensor([[1.0, 2, 3, 4, 5]])


def test_equal_reversed_and_constant_scores():
    for measure in (spearman, kendall):
        assert measure(A, 7 * A - 2).values.tolist() == pytest.approx([1])
        assert measure(A, -A).values.tolist() == pytest.approx([-1])
        assert measure(A, -A, absolute=True).values.tolist() == pytest.approx([1])
        assert bool(torch.isnan(measure(A, torch.ones(1, 5)).values).all())


@pytest.mark.parametrize("ties", [False, True])
def test_scipy_says_the_same(ties):
    stats = pytest.importorskip("scipy.stats")
    a, b = (torch.randn(4, 25, generator=torch.Generator().manual_seed(s)).double() for s in (0, 1))
    a = a.round() if ties else a
    for row in range(4):
        wanted = stats.spearmanr(a[row], b[row])[0], stats.kendalltau(a[row], b[row])[0]
        found = spearman(a, b).values[row], kendall(a, b).values[row]
        assert list(map(float, found)) == pytest.approx(list(wanted), abs=1e-12)


def test_overlap_by_hand():
    b = torch.tensor([[5.0, 1, 2, 4, 3]])
    assert top_k_overlap(A, b, k=2).values.tolist() == [0.5]  # {4, 3} and {0, 3}
    assert top_k_overlap(A, b, k=0.6).values.tolist() == pytest.approx([2 / 3])  # {4, 3, 2} and {0, 3, 4}
    assert top_k_overlap(A, b, k=9).values.tolist() == [1.0]
    assert top_k_overlap(torch.zeros(1, 5), torch.zeros(1, 5), k=2).values.tolist() == [1.0]


def test_special_tokens_and_padding_are_left_out():
    model, call = tiny("bert"), ids(9, 6)
    a, b = (explain(model, call, method=m, target=0) for m in ("gradient_x_input", "attcat"))
    found = spearman(a, b)
    short = spearman(a.scores[1:, 1:5], b.scores[1:, 1:5])
    assert float(found.values[1]) == pytest.approx(float(short.values[0]))
    mask = a.mask & ~a.special
    torch.testing.assert_close(spearman(a.scores, b.scores, mask=mask).values, found.values)


def test_every_two_methods():
    scores = {name: torch.randn(3, 12, generator=torch.Generator().manual_seed(s)) for s, name in enumerate("abc")}
    names, matrix = agreement(scores)
    assert names == ("a", "b", "c")
    torch.testing.assert_close(matrix, matrix.T)
    torch.testing.assert_close(matrix.diagonal(), torch.ones(3).double())
    assert float(matrix[0, 2]) == pytest.approx(spearman(scores["a"], scores["c"]).mean())
    assert float(agreement(scores, "top_k", k=3).matrix[0, 1]) == pytest.approx(
        top_k_overlap(scores["a"], scores["b"], k=3).mean()
    )
