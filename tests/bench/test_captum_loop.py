"""Captum's loop is asked the same question, and leaves the model as it was."""

import pytest
from helpers.tiny_models import ids, pixels, tiny

from calig_fast import Explainer, explain
from calig_fast.bench.captum_loop import loop, modules_before
from calig_fast.bench.gates import errors

pytest.importorskip("captum")


@pytest.mark.parametrize("kind", ["bert", "roberta", "distilbert", "electra", "vit", "dinov2", "timm-token"])
def test_captum_is_given_the_same_question(kind):
    model, call = tiny(kind), pixels(1)[0] if kind in {"vit", "dinov2", "timm-token"} else ids(7)
    explainer = Explainer(model)
    found = loop(model, explainer.encoder, call, 2).relevance(8, 8)
    wanted = explain(model, call, target=2, quadrature="gausslegendre", n_steps=8, engine="autograd")
    assert max(errors([found], [wanted.layer_scores[0]])) < 2e-5


def test_a_block_that_runs_twice_cannot_be_given_to_captum():
    model, call = tiny("albert"), ids(7)
    explainer = Explainer(model)
    with pytest.raises(ValueError, match="it runs 2 times"):
        modules_before(model, explainer.encoder.blocks, lambda: model(**call))


def test_nothing_is_left_in_the_model():
    model = tiny("bert")
    modules_before(model, Explainer(model).encoder.blocks, lambda: model(**ids(7)))
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())
