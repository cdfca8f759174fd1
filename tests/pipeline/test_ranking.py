"""guarantee="top-k": as many gradients as the ranking needs, and the pairs that stay undecided."""

import itertools

import pytest
import torch
from helpers.tiny_models import ids, pixels, tiny

from calig_fast import Explainer, explain

EXACT = {"tolerance": 1e-5, "n_steps": 512}


def ranked(a, b, k):
    """The k largest of one input with their signs."""
    content = (a.mask[b] & ~a.special[b]).nonzero().flatten().tolist()
    best = sorted(content, key=lambda t: -abs(float(a.scores[b, t])))[:k]
    return {(t, float(a.scores[b, t]) > 0) for t in best}


@pytest.mark.parametrize("kind", ["bert", "vit"])
@pytest.mark.parametrize("k", [1, 3])
def test_a_decided_ranking_is_the_exact_one(kind, k):
    decided = 0
    for seed in range(4):
        call = ids(9, 7, seed=seed) if kind == "bert" else pixels(2) * (1 + seed)
        exact = explain(tiny(kind), call, **EXACT)
        a = explain(tiny(kind), call, guarantee="top-k", k=k, tolerance=1e-3, target=exact.target)
        assert a.settings.k == k
        for b, pairs in enumerate(a.undecided):
            assert bool(a.converged[b]) == (not pairs or float(a.score_error[b]) <= 1e-3)
            if not pairs:
                decided += 1
                assert ranked(a, b, k) == ranked(exact, b, k)
    assert decided


def test_it_takes_no_more_gradients_than_the_scores_and_fewer_where_they_lie_apart():
    call = ids(9, 7, 8)
    scores = explain(tiny("bert"), call, guarantee="scores", tolerance=1e-4)
    ranking = explain(tiny("bert"), call, guarantee="top-k", k=1, tolerance=1e-4)
    assert int(ranking.n_steps.sum()) < int(scores.n_steps.sum())
    assert (ranking.n_steps <= scores.n_steps).all()


def test_undecided_pairs_are_those_within_the_error():
    a = explain(tiny("bert"), ids(9, 7), guarantee="top-k", k=2, n_steps=2)
    scores = a.scores[0].double()
    size = float(a.score_error[0]) * float(scores.norm())
    content = [t for t in range(9) if a.mask[0, t] and not a.special[0, t]]
    best = sorted(content, key=lambda t: -abs(float(scores[t])))
    wanted = {(t, t) for t in best[:2] if abs(float(scores[t])) <= size}
    wanted |= {
        (t, u)
        for t, u in itertools.product(best[:2], best[2:])
        if abs(float(scores[t])) - abs(float(scores[u])) <= 2**0.5 * size
    }
    assert set(a.undecided[0]) == wanted


def test_a_ranking_of_all_tokens_needs_their_signs_alone():
    a = explain(tiny("bert"), ids(4), guarantee="top-k", k=50)
    assert all(t == u for t, u in a.undecided[0])


def test_the_older_name_is_the_same_and_k_belongs_to_the_ranking():
    call = ids(9)
    a, b = explain(tiny("bert"), call, guarantee="scores"), explain(tiny("bert"), call, certify="scores")
    assert a.settings == b.settings
    assert torch.equal(a.scores, b.scores)
    with pytest.raises(ValueError, match=r"^k: it counts what guarantee=.top-k. ranks"):
        explain(tiny("bert"), call, k=3)
    with pytest.raises(ValueError, match=r"^guarantee: expected"):
        explain(tiny("bert"), call, guarantee="top")
    with pytest.raises(ValueError, match=r"^k: expected"):
        explain(tiny("bert"), call, guarantee="top-k", k=0)
    explainer = Explainer(tiny("bert"), guarantee="top-k", k=2)
    assert explainer(call).settings.k == 2
    assert explainer(call, guarantee="layers").settings.k is None
