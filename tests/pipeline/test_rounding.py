"""Rounding of 16 bits is measured, layer by layer, and counted in every error."""

import copy

import numpy as np
import pytest
import torch
from helpers.tiny_models import ids, pixels, tiny

from calig_fast import Explainer, explain
from calig_fast.engines.autograd import AutogradEngine
from calig_fast.engines.native.engine import NativeEngine
from calig_fast.pipeline.integrate import _left
from calig_fast.pipeline.rounding import MEASURED, of_ends


@pytest.mark.parametrize("kind", ["bert", "vit", "dinov2"])
@pytest.mark.parametrize("engine", ["native", "autograd"])
def test_errors_in_bfloat16_hold_what_the_blocks_round(kind, engine):
    explainer = Explainer(copy.deepcopy(tiny(kind)), dtype=torch.bfloat16, engine=engine, tolerance=1e-1)
    calls = [ids(9, 6, seed=s) for s in range(3)] if kind == "bert" else [pixels(2) * scale for scale in (1, 0.5, -1)]
    for call in calls:
        exact = explain(tiny(kind), call, dtype=torch.float64, tolerance=1e-4, n_steps=1024)
        a = explainer(call, target=exact.target)
        error = (a.layer_scores - exact.layer_scores).norm(dim=2) / exact.layer_scores.norm(dim=2)
        assert (a.error > torch.finfo(torch.bfloat16).eps).all()
        assert (error <= 3 * a.error).all()
        assert (error[a.layer_converged] <= 2e-1).all()


@pytest.mark.parametrize(("engine", "made_by"), [("native", NativeEngine), ("autograd", AutogradEngine)])
def test_it_is_measured_at_the_first_calls(engine, made_by, monkeypatch):
    started, start = [], made_by.start
    monkeypatch.setattr(made_by, "start", lambda self, problem: started.append(self.dtype) or start(self, problem))
    explainer = Explainer(copy.deepcopy(tiny("bert")), dtype=torch.bfloat16, engine=engine)
    for _ in range(MEASURED + 2):
        explainer(ids(9))
    assert started.count(torch.float32) == MEASURED
    assert started.count(torch.bfloat16) == MEASURED + 2
    explain(tiny("bert"), ids(9), method="gradient_x_input", dtype=torch.bfloat16, engine=engine)
    assert started.count(torch.float32) == MEASURED  # nothing is integrated


def test_where_it_cannot_be_measured_it_is_taken_as_large(monkeypatch):
    start = NativeEngine.start

    def narrow_alone(self, problem):
        if self.dtype == torch.float32:
            raise torch.OutOfMemoryError("planted")
        return start(self, problem)

    monkeypatch.setattr(NativeEngine, "start", narrow_alone)
    a = explain(tiny("bert"), ids(9), dtype=torch.bfloat16)
    assert (a.error >= 0.5).all()
    assert set(a.reasons[0]) == {"rounding"}
    assert "wider dtype" in a.statement(0)


def test_in_float32_it_is_one_unit():
    a = explain(tiny("bert"), ids(9), tolerance=1e-9, n_steps=256)
    assert set(a.reasons[0]) <= {"rounding", "limit"}
    assert (a.error >= torch.finfo(torch.float32).eps).all()


def test_the_rounding_of_an_end_counts_by_its_share_of_the_integral():
    generator = torch.Generator().manual_seed(0)
    small, large = (
        torch.randn(2, 3, 2, 50, generator=generator).double() * torch.tensor([1e-3, 1.0])[:, None, None, None]
    )
    exact = torch.stack([small, large])
    off = of_ends(torch.stack([1.5 * small, large]), exact)  # half of the small end is wrong
    assert off.shape == (3, 2)
    assert (off < 1e-3).all()
    np.testing.assert_allclose(of_ends(torch.stack([small, 1.01 * large]), exact), 0.01, rtol=5e-2)
    opposite = torch.stack([large, small - large])  # the ends cancel, and so does not their rounding
    assert (of_ends(torch.stack([1.01 * large, small - large]), opposite) > 1).all()


def test_the_rule_gets_what_rounding_leaves_while_that_is_enough():
    left = _left(2e-2, np.array([1e-7, 5e-3, 1.4e-2, 1.9e-2, 0.5]))
    np.testing.assert_allclose(left, [2e-2, 1.5e-2, 6e-3, 1.9e-2, 0.5], rtol=1e-4)
