"""The plain values of a model, by which a change between two calls is seen."""

from copy import deepcopy

import pytest
import torch
from helpers.tiny_models import ids, tiny
from torch import nn

from calig_fast import Explainer, explain
from calig_fast.model.traits import traits_of


def changed(model, way):
    attention = model.bert.encoder.layer[0].attention.self
    if way == "number":
        attention.scaling = 0.9
    elif way == "activation":
        model.bert.encoder.layer[0].intermediate.intermediate_act_fn = nn.Tanh()
    else:
        model.bert.encoder.layer[0].output.LayerNorm.eps = 0.5


@pytest.mark.parametrize("way", ["number", "activation", "eps"])
def test_an_explainer_sees_what_no_weight_tells(way):
    model, call = deepcopy(tiny("bert")), ids(7)
    explainer = Explainer(model, baselines=0)
    explainer(call)
    changed(model, way)
    found, wanted = explainer(call), explain(model, call, baselines=0)
    torch.testing.assert_close(found.logits, model(**call).logits.detach())
    torch.testing.assert_close(found.scores, wanted.scores, rtol=2e-2, atol=1e-3)
    assert found.engine == wanted.engine


def test_weights_and_modes_are_no_traits():
    model = deepcopy(tiny("bert"))
    before = traits_of(model)
    with torch.no_grad():
        model.classifier.weight.add_(1)
    assert traits_of(model.train()) == before
    model.classifier = nn.Identity()
    assert traits_of(model) != before
