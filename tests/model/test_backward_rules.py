"""Backward rules: their names, their options, and what a result says of them."""

import pytest
import torch
from helpers.tiny_models import ids, tiny

from calig_fast import Attribution, Explainer, Rules, explain
from calig_fast.model.backward_rules import resolve

GIM = {"norm": "frozen", "softmax_temperature": 2.0, "halve_products": True, "gate": "plain"}


def test_names_stand_for_rules():
    assert resolve("plain") == Rules()
    assert Rules().plain
    assert resolve("gim") == Rules(norm="frozen", softmax_temperature=2, halve_products=True)
    assert resolve(Rules(gate="frozen")) == Rules(gate="frozen")
    assert resolve("gim").record() == GIM
    assert Rules().record() is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"norm": "thawed"}, 'norm: expected one of "plain", "frozen"'),
        ({"gate": 1}, "gate: expected one of"),
        ({"softmax_temperature": 0}, "softmax_temperature: expected a finite number of at least 0.001, got 0"),
        ({"softmax_temperature": float("inf")}, "softmax_temperature: expected"),
        ({"halve_products": 1}, "halve_products: expected True or False"),
    ],
)
def test_wrong_options_are_named(options, message):
    with pytest.raises((ValueError, TypeError), match=message):
        Rules(**options)


@pytest.mark.parametrize("given", ["lrp", Rules, None, 2])
def test_wrong_rules_are_named(given):
    with pytest.raises((ValueError, TypeError), match="rules: "):
        explain(tiny("bert"), ids(9, 6), rules=given)


def test_the_result_names_the_rules_and_promises_no_sum():
    a = explain(tiny("bert"), ids(9, 6), rules="gim")
    assert a.settings["rules"] == GIM
    assert a.engine == "native"
    assert torch.isnan(a.convergence_delta).all()
    assert "need not sum to the change of the output" in a[0].statement()
    assert Attribution.from_json(a.to_json()).settings["rules"] == GIM
    plain = explain(tiny("bert"), ids(9, 6))
    assert "rules" not in plain.settings
    assert "backward rules" not in plain[0].statement()
    torch.testing.assert_close(a.gap, plain.gap, rtol=1e-4, atol=1e-6)


def test_an_explainer_changes_rules_from_call_to_call():
    explainer = Explainer(tiny("bert"), rules="gim")
    first, plain, again = explainer(ids(9)), explainer(ids(9), rules="plain"), explainer(ids(9))
    assert plain.settings.rules is None
    assert (first.scores - plain.scores).norm() > 1e-2 * plain.scores.norm()
    torch.testing.assert_close(again.scores, first.scores, rtol=3e-2, atol=1e-3)


def test_the_error_is_that_of_the_integral():
    exact = explain(tiny("bert"), ids(9, 6), rules="gim", quadrature="gausslegendre", n_steps=60)
    for tolerance in (5e-2, 1e-2, 1e-3):
        a = explain(tiny("bert"), ids(9, 6), rules="gim", tolerance=tolerance)
        true = (a.layer_scores - exact.layer_scores).norm(dim=2) / exact.layer_scores.norm(dim=2)
        assert a.converged.all()
        assert (true <= 2 * tolerance).all()
    gap = (exact.layer_scores.sum(2) - exact.gap).abs() / exact.gap.abs()
    assert (gap > 5e-2).any()  # so that the gap could have judged nothing


def test_a_path_of_the_input_refuses_other_rules():
    with pytest.raises(ValueError, match='rules: method "conductance"'):
        explain(tiny("bert"), ids(9), rules="gim", method="conductance")


def test_a_batch_gives_what_single_calls_give():
    both = explain(tiny("bert"), ids(9, 6), rules="gim", quadrature="corrected_trapezoid", n_steps=8)
    one = ids(9, 6)
    alone = explain(
        tiny("bert"), {k: v[1:, :6] for k, v in one.items()}, rules="gim", quadrature="corrected_trapezoid", n_steps=8
    )
    torch.testing.assert_close(both.scores[1, :6], alone.scores[0], rtol=1e-3, atol=1e-6)
