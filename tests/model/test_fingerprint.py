"""The fingerprint of a model differs where a clone of before is none of now."""

import copy

import pytest
import torch
from helpers.tiny_models import tiny
from torch import nn

from calig_fast.model.fingerprint import Fingerprint

CHANGES = {
    "an attribute": lambda m: setattr(m.bert.encoder.layer[0].attention.self.dropout, "p", 0.3),
    "a new attribute": lambda m: setattr(m, "scale", 2.0),
    "the mode": lambda m: m.train(),
    "a module": lambda m: setattr(m, "classifier", nn.Linear(24, 3)),
    "a hook": lambda m: m.classifier.register_forward_hook(lambda *args: None),
    "the place of a weight": lambda m: setattr(m.classifier.weight, "data", m.classifier.weight.data.clone()),
    "a setting": lambda m: setattr(m.config, "problem_type", "regression"),
    "the number of blocks": lambda m: m.bert.encoder.layer.append(copy.deepcopy(m.bert.encoder.layer[0])),
    "a class": lambda m: setattr(m.classifier, "__class__", type("Other", (nn.Linear,), {})),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_a_clone_copies_is_seen(change):
    model = copy.deepcopy(tiny("bert"))
    before = Fingerprint(model)
    assert before.fits(model)
    CHANGES[change](model)
    assert not before.fits(model)


def test_what_a_clone_shares_is_not():
    model = copy.deepcopy(tiny("bert"))
    before = Fingerprint(model)
    for p in model.parameters():
        p.data.mul_(2)
    with torch.no_grad():
        model.classifier.weight.add_(1)
    assert before.fits(model)
