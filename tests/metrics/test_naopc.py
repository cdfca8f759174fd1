"""NAOPC: bounds of a bag of words in closed form, orders tried one by one, a beam beside every order."""

import itertools

import pytest
import torch
from helpers.bags import Bag, content, contributions
from helpers.tiny_models import ids, tiny

from calig_fast import explain
from calig_fast.metrics import naopc

LENGTHS = (8, 5, 9)
OPTIONS = {"target": 1, "removal": "zero_embedding", "output": "logit"}


def aopc(worth, order):
    """Mean over the sizes of the sum that the first tokens of an order add."""
    return float(worth[list(order)].cumsum(0).mean())


@pytest.mark.parametrize("beam", [0, 1, 3])
def test_a_bag_of_words_in_closed_form(beam):
    model, call = Bag(), ids(*LENGTHS)
    worth, inner = contributions(model, call), content(call)
    scores = torch.randn(worth.shape, generator=torch.Generator().manual_seed(0))
    options = {"exhaustive": 0, "beam": beam} if beam else {"exhaustive": 8}
    found = naopc(model, call, scores, **OPTIONS, **options)
    assert found.exact.tolist() == [not beam] * 3
    for b in range(3):
        tokens = inner[b].nonzero().flatten()
        mine, order = worth[b, tokens], torch.argsort(-scores[b, tokens])
        rising = torch.argsort(mine).tolist()
        low, high = aopc(mine, rising), aopc(mine, rising[::-1])
        assert float(found.lower[b]) == pytest.approx(low)
        assert float(found.upper[b]) == pytest.approx(high)
        assert float(found.aopc[b]) == pytest.approx(aopc(mine, order.tolist()))
        assert float(found.values[b]) == pytest.approx((aopc(mine, order.tolist()) - low) / (high - low))
        opposite = (aopc(mine, order.tolist()[::-1]) - low) / (high - low)
        assert float(found.sufficiency[b]) == pytest.approx(opposite)
    best = naopc(model, call, worth, **OPTIONS, **options, bounds=found)
    torch.testing.assert_close(best.values, torch.ones(3).double())
    torch.testing.assert_close(best.sufficiency, torch.zeros(3).double())


def test_every_order_of_a_transformer_is_searched():
    model, call = tiny("bert"), ids(7)
    a = explain(model, call)
    found = naopc(model, call, a, removal="pad")
    inner = content(call)[0].nonzero().flatten().tolist()
    target = int(a.target)
    with torch.no_grad():
        whole = model(**call).logits.softmax(1)[0, target]

        def drop(removed):
            changed = call["input_ids"].clone()
            changed[0, list(removed)] = 0
            return float(whole - model(**{**call, "input_ids": changed}).logits.softmax(1)[0, target])

        known = {frozenset(s): drop(s) for k in range(1, 6) for s in itertools.combinations(inner, k)}
    means = [sum(known[frozenset(order[:k])] for k in range(1, 6)) / 5 for order in itertools.permutations(inner)]
    assert float(found.lower) == pytest.approx(min(means), abs=1e-6)
    assert float(found.upper) == pytest.approx(max(means), abs=1e-6)
    beam = naopc(model, call, a, removal="pad", exhaustive=0, beam=5)
    assert float(beam.lower) >= float(found.lower) - 1e-6
    assert float(beam.upper) <= float(found.upper) + 1e-6
    assert float(beam.upper) == pytest.approx(float(found.upper), abs=1e-3)
    assert not beam.exact.any()


def test_bounds_of_other_inputs_are_refused():
    model, call = Bag(), ids(6)
    found = naopc(model, call, torch.rand(1, 6), **OPTIONS)
    with pytest.raises(ValueError, match="bounds: expected those of 2 inputs, got 1"):
        naopc(model, ids(6, 5), torch.rand(2, 6), **OPTIONS, bounds=found)
    with pytest.raises(TypeError, match="bounds: expected None or a result of naopc"):
        naopc(model, call, torch.rand(1, 6), **OPTIONS, bounds=(0, 1))


def test_words_of_no_effect_have_no_share():
    model, call = Bag(), ids(6)
    with torch.no_grad():
        model.words.weight.zero_()
    assert naopc(model, call, torch.rand(1, 6), **OPTIONS).values.isnan().all()
