"""The numbers of a look, against scipy and by hand."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from calig_fast.monitor.measures import measure
from calig_fast.results.attribution import Attribution


def attribution(scores, special, layers, **changes):
    """One input of hand-written scores, one token of padding behind it."""
    t, depth = len(scores) + 1, len(layers)
    made = Attribution(
        scores=torch.tensor([[*scores, 9.0]]),
        layer_scores=torch.tensor([[[*row, 9.0] for row in layers]]),
        gap=torch.tensor([[2.0] * depth]),
        convergence_delta=torch.tensor([[0.1] * (depth - 1) + [-0.4]]),
        error=torch.full((1, depth), 0.01),
        score_error=torch.tensor([0.25]),
        n_steps=torch.full((1, depth), 5),
        layer_converged=torch.ones(1, depth, dtype=torch.bool),
        target=torch.tensor([1]),
        logits=torch.tensor([[0.0, math.log(3.0)]]),
        mask=torch.arange(t)[None] < t - 1,
        special=torch.tensor([[*special, True]]),
        labels=("bad", "good"),
        settings={"tolerance": 0.02, "certify": "layers"},
    )
    return replace(made, **changes)


SPECIAL = [True, False, False, False, True]
ROWS = [[0.0, 1.0, -2.0, 1.0, 5.0], [0.0, 1.0, 0.0, -3.0, 5.0], [7.0, 0.0, 8.0, 0.0, 0.0]]


def test_by_hand():
    a = attribution([0.5, 1.0, -3.0, 0.0, 0.5], SPECIAL, ROWS)
    look, compared = measure(7, "p", a, certified=True, first=None, last=None)
    assert compared.tolist() == [1.0, -3.0, 0.0]
    assert (look.step, look.probe, look.label, look.predicted) == (7, "p", "good", "good")
    assert look.probability == pytest.approx(0.75)
    assert math.isnan(look.drift)
    assert math.isnan(look.drift_from_first)
    assert look.entropy == pytest.approx(-(0.25 * math.log(0.25) + 0.75 * math.log(0.75)) / math.log(3))
    assert look.top5 == pytest.approx(1.0)
    assert look.special == pytest.approx(0.2)
    assert look.layers == pytest.approx((0.25, 0.25, 0.5))
    assert look.depth == pytest.approx((0.25 * 1 + 0.5 * 2) / 2)
    assert (look.delta, look.gap, look.score_error) == pytest.approx((0.4, 2.0, 0.25))
    assert look.converged is True
    assert look.scores == (0.5, 1.0, -3.0, 0.0, 0.5)


def test_drift_is_to_the_last_look_and_to_the_first():
    a = attribution([0.0, 1.0, 2.0, 3.0, 0.0], SPECIAL, ROWS)
    same, reversed_ = np.array([10.0, 11.0, 19.0]), np.array([3.0, 2.0, 1.0])
    look, _ = measure(1, "p", a, certified=False, first=reversed_, last=same)
    assert look.drift == pytest.approx(0.0)
    assert look.drift_from_first == pytest.approx(2.0)
    assert look.converged is None


def test_the_five_largest_of_many():
    scores = [0.0, *[float(v) for v in range(1, 11)], 0.0]
    special = [True, *[False] * 10, True]
    look, _ = measure(1, "p", attribution(scores, special, [scores]), certified=False, first=None, last=None)
    assert look.top5 == pytest.approx((10 + 9 + 8 + 7 + 6) / 55)


def test_what_cannot_be_said_is_nan_and_null_in_json():
    nothing = torch.full((1, 3), torch.nan)
    a = attribution([0.0] * 5, SPECIAL, ROWS, error=nothing, convergence_delta=nothing, gap=nothing, target=None)
    look, _ = measure(1, "p", a, certified=True, first=np.zeros(3), last=np.zeros(3))
    assert look.converged is None
    record = json.loads(json.dumps(look.record(), allow_nan=False))
    for name in ("probability", "drift", "entropy", "top5", "special", "delta", "gap"):
        assert record[name] is None, name


def test_one_logit_and_a_contrast():
    one = attribution([0.0, 1.0, 2.0, 3.0, 0.0], SPECIAL, ROWS, logits=torch.tensor([[0.0]]), target=torch.tensor([0]))
    look, _ = measure(1, "p", one, certified=False, first=None, last=None)
    assert look.probability == pytest.approx(0.5)
    assert look.predicted is None
    both = attribution([0.0, 1.0, 2.0, 3.0, 0.0], SPECIAL, ROWS, target=torch.tensor([[1, 0]]))
    look, _ = measure(1, "p", both, certified=False, first=None, last=None)
    assert look.label == "good - bad"
    assert math.isnan(look.probability)
