"""The engine between calls: taken again while the model is the same, and made anew where it changed."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from helpers.tiny_models import ids, pixels, tiny
from torch import nn

from calig_fast import Explainer, explain

NODES = {"quadrature": "corrected_trapezoid", "n_steps": 5}


def kept(explainer: Explainer) -> Any:
    return [engine for engine, _ in explainer._memory.engines._kept]


@pytest.mark.parametrize("engine", ["native", "autograd"])
@pytest.mark.parametrize("kind", ["bert", "vit"])
def test_the_next_call_takes_it(kind: str, engine: str) -> None:
    explainer = Explainer(copy.deepcopy(tiny(kind)), engine=engine, **NODES)
    calls = [ids(9, 6), ids(4, seed=3), ids(9, 6)] if kind == "bert" else [pixels(2), pixels(1), pixels(2)]
    seen = []
    for call in calls:
        found = explainer(call)
        assert torch.equal(found.scores, explain(tiny(kind), call, engine=engine, **NODES).scores)
        seen += kept(explainer)
    assert seen[0] is seen[1] is seen[2]


def activation(model: Any) -> None:
    for layer in model.bert.encoder.layer:
        layer.intermediate.intermediate_act_fn = nn.ReLU()


def eps(model: Any) -> None:
    model.bert.encoder.layer[1].output.LayerNorm.eps = 0.3


def head(model: Any) -> None:
    torch.manual_seed(3)
    model.classifier = nn.Linear(24, 3)


def hook(model: Any) -> None:
    model.classifier.register_forward_hook(lambda module, args, out: 2 * out)


class Double(nn.Linear):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 2 * super().forward(x)


def forward(model: Any) -> None:
    model.classifier.__class__ = Double


def weights(model: Any) -> None:
    for p in model.parameters():
        p.data = p.data * 1.5


def in_place(model: Any) -> None:
    for p in model.parameters():
        p.data.mul_(1.5)


def labels(model: Any) -> None:
    model.config.problem_type = "multi_label_classification"


@pytest.mark.parametrize("engine", ["native", "autograd"])
@pytest.mark.parametrize("change", [activation, eps, head, hook, forward, weights, in_place, labels])
def test_a_model_that_changed_is_explained_as_it_is(change: Callable[[Any], None], engine: str) -> None:
    model = copy.deepcopy(tiny("bert"))
    explainer = Explainer(model, engine=engine, target=1, **NODES)
    before = explainer(ids(9, 6))
    change(model)
    after, wanted = explainer(ids(9, 6)), explain(model, ids(9, 6), engine=engine, target=1, **NODES)
    assert torch.equal(after.layer_scores, wanted.layer_scores)
    assert after.settings == wanted.settings
    assert not torch.equal(after.layer_scores, before.layer_scores) or after.settings != before.settings


def test_weights_in_another_dtype_are_copied_anew() -> None:
    model = copy.deepcopy(tiny("bert"))
    explainer = Explainer(model, dtype=torch.float64, **NODES)
    explainer(ids(9, 6))
    assert kept(explainer) == []
    in_place(model)
    assert torch.equal(explainer(ids(9, 6)).scores, explain(model, ids(9, 6), dtype=torch.float64, **NODES).scores)


def test_it_holds_no_tensor_of_the_call_and_is_empty_when_copied() -> None:
    explainer = Explainer(copy.deepcopy(tiny("bert")), engine="autograd", **NODES)
    explainer(ids(9, 6))
    tap = kept(explainer)[0].tap
    assert tap._entered == []
    assert kept(copy.deepcopy(explainer)) == []


def test_inference_tensors_are_copied_and_so_not_kept() -> None:
    with torch.inference_mode():
        model = copy.deepcopy(tiny("bert"))
    explainer = Explainer(model, **NODES)
    explainer(ids(9, 6))
    assert kept(explainer) == []
