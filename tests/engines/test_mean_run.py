"""Several baselines: the mean of what each gives, by both engines, and true statements of its errors."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from helpers import slow
from helpers.odd_models import made
from helpers.recorder import Fake
from helpers.tiny_models import CLS, SEP, ids, pixels, tiny

from calig_fast import Attribution, Explainer, Fusion, explain
from calig_fast.engines.native import engine as native
from calig_fast.engines.native.engine import NativeEngine

X = ids(9, 6)
P = pixels(2)
CONTENT = (X["attention_mask"] == 1) & (X["input_ids"] != CLS) & (X["input_ids"] != SEP)
DRAW = torch.Generator().manual_seed(3)
OTHERS = torch.randint(5, 60, (2, 9), generator=DRAW)
FILLER = torch.randn(24, generator=DRAW)
TEXT: list[Any] = ["zero_embedding", 7, FILLER, OTHERS]
IMAGE: list[Any] = ["blur", "blur:1.5", "mean", 0.5, torch.randn(2, 3, 16, 16, generator=DRAW)]
FIXED: dict[str, Any] = {"quadrature": "gausslegendre", "n_steps": 6, "target": 1}


def case(kind: str) -> tuple[Any, Any, list[Any]]:
    return tiny(kind), P if kind == "vit" else X, IMAGE if kind == "vit" else TEXT


def mean(every: list[Attribution], name: str) -> torch.Tensor:
    return torch.stack([getattr(a, name) for a in every]).mean(0)


@pytest.mark.parametrize("engine", ["native", "autograd"])
@pytest.mark.parametrize("kind", ["bert", "vit"])
@pytest.mark.parametrize("method", ["ig", "layer_ig", "calig"])
def test_layers_have_the_mean_of_their_relevances(kind, engine, method):
    model, x, baselines = case(kind)
    options: dict[str, Any] = {**FIXED, "engine": engine, "method": method}
    a = explain(model, x, baselines=baselines, **options)
    every = [explain(model, x, baselines=one, **options) for one in baselines]
    for name in ("layer_scores", "gap", "convergence_delta", *(["scores"] if method != "calig" else [])):
        torch.testing.assert_close(getattr(a, name), mean(every, name), rtol=1e-4, atol=1e-5)
    assert a.n_steps.tolist() == torch.stack([one.n_steps for one in every]).sum(0).tolist()
    assert a.settings.baselines == [one.settings.baselines for one in every]


def test_conductance_has_the_mean_of_its_paths():
    options: dict[str, Any] = {**FIXED, "method": "conductance"}
    a = explain(tiny("bert"), X, baselines=TEXT[:2], **options)
    every = [explain(tiny("bert"), X, baselines=one, **options) for one in TEXT[:2]]
    torch.testing.assert_close(a.layer_scores, mean(every, "layer_scores"), rtol=1e-4, atol=1e-6)
    with pytest.raises(ValueError, match="no such path"):
        explain(tiny("bert"), X, baselines=[7, "zeros"], **options)


@pytest.mark.parametrize("engine", ["native", "autograd"])
@pytest.mark.parametrize("layer", [0, 2])
def test_the_mean_equals_plain_hooks(engine, layer):
    model = tiny("bert")
    x = {name: value[:1] for name, value in X.items()}
    baselines = [OTHERS[:1], torch.where(CONTENT[:1], 7, X["input_ids"][:1])]
    a = explain(model, x, baselines=baselines, engine=engine, **FIXED)
    nodes, weights = np.polynomial.legendre.leggauss(6)
    expected = [
        slow.layer_relevance(
            model,
            Explainer(model).encoder.blocks[layer],
            x,
            {**x, "input_ids": low},
            1,
            nodes=((nodes + 1) / 2).tolist(),
            weights=(weights / 2).tolist(),
        )
        for low in baselines
    ]
    torch.testing.assert_close(a.layer_scores[0, layer].double(), sum(expected) / 2, rtol=1e-4, atol=1e-6)


def test_the_mean_is_rolled_out_once():
    a = explain(tiny("bert"), X, baselines=TEXT, method=Fusion(lam=1.0), **FIXED)
    for b, n in enumerate(X["attention_mask"].sum(1).tolist()):
        readout = torch.zeros(n, dtype=torch.float64)
        readout[0] = 1
        row, identity = readout.clone(), readout.clone()
        for relevance in a.layer_scores[b, :, :n].double().flip(0):
            abar = torch.eye(n, dtype=torch.float64) + (relevance / (n * relevance.abs().max()))[None]
            sizes = abar.abs().sum(1, keepdim=True)
            row, identity = row @ (abar / sizes), identity / sizes[:, 0]
        torch.testing.assert_close(a.scores[b, :n].double(), row - identity, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("engine", ["native", "autograd"])
@pytest.mark.parametrize("kind", ["bert", "vit"])
@pytest.mark.parametrize("guarantee", ["layers", "scores"])
def test_what_is_said_of_the_errors_is_true(kind, engine, guarantee):
    model, x, baselines = case(kind)
    exact = explain(model, x, baselines=baselines, quadrature="gausslegendre", n_steps=96, dtype=torch.float64)
    a = explain(model, x, baselines=baselines, engine=engine, guarantee=guarantee)
    assert a.converged.all()
    errors = (a.layer_scores - exact.layer_scores).norm(dim=2) / exact.layer_scores.norm(dim=2)
    of_scores = (a.scores - exact.scores).norm(dim=1) / exact.scores.norm(dim=1)
    if guarantee == "layers":
        assert (errors <= 2e-2).all()
    assert (errors <= 2 * a.error.clamp_min(1e-5)).all()
    assert (of_scores <= 2e-2).all()
    assert (of_scores <= 2 * a.score_error.clamp_min(1e-5)).all()
    torch.testing.assert_close(a.layer_scores.sum(2), a.gap + a.convergence_delta, rtol=1e-4, atol=2e-5)


def test_baselines_that_cancel_leave_an_error_relative_to_what_is_left():
    model = copy.deepcopy(tiny("bert")).double()
    e = model.get_input_embeddings()(X["input_ids"]).detach()
    way = 0.1 * torch.randn(e.shape, generator=torch.Generator().manual_seed(5), dtype=e.dtype)
    a = explain(model, X, baselines=[e + way, e - way], target=1)
    alone = explain(model, X, baselines=e + way, target=1)
    exact = explain(model, X, baselines=[e + way, e - way], quadrature="gausslegendre", n_steps=64, target=1)
    assert (exact.layer_scores.norm(dim=2) < alone.layer_scores.norm(dim=2)).all()
    errors = (a.layer_scores - exact.layer_scores).norm(dim=2) / exact.layer_scores.norm(dim=2)
    assert a.converged.all()
    assert (errors <= 2e-2).all()


def test_several_inputs_and_targets():
    options: dict[str, Any] = {**FIXED, "target": [[0, 2], [1, 3]]}
    a = explain(tiny("bert"), X, baselines=[7, OTHERS], **options)
    every = [explain(tiny("bert"), X, baselines=one, **options) for one in (7, OTHERS)]
    torch.testing.assert_close(a.layer_scores, mean(every, "layer_scores"), rtol=1e-4, atol=1e-6)
    assert a.source.tolist() == [0, 0, 1, 1]
    alone = explain(tiny("bert"), {k: v[1:, :6] for k, v in X.items()}, baselines=[7, OTHERS[1, :6]], **FIXED)
    torch.testing.assert_close(alone.layer_scores[0], a.layer_scores[2, :, :6], rtol=1e-4, atol=1e-6)
    assert not a.layer_scores[2:, :, 6:].any()


def test_one_in_a_list_is_that_one():
    a = explain(tiny("bert"), X, baselines=["zero_embedding"])
    alone = explain(tiny("bert"), X, baselines="zero_embedding")
    assert torch.equal(a.scores, alone.scores)
    assert a.settings == alone.settings


@pytest.mark.parametrize("kind", ["bert", "vit"])
def test_a_zero_hidden_state_beside_inputs(kind):
    model, x, baselines = case(kind)
    pair = [baselines[0], "zeros"]
    a = explain(model, x, baselines=pair, **FIXED)
    every = [explain(model, x, baselines=one, **FIXED) for one in pair]
    for name in ("layer_scores", "gap", "convergence_delta"):
        torch.testing.assert_close(getattr(a, name), mean(every, name), rtol=1e-4, atol=1e-5)


def test_what_passes_the_blocks_is_the_mean_too():
    rows = torch.tensor([[1, 40, 17, 33, 58, 21, 2], [1, 5, 9, 31, 44, 12, 2]])
    three = [7, rows.flip(1), "zeros"]
    options: dict[str, Any] = {**FIXED, "method": "layer_ig", "layers": "one.blocks", "n_steps": 16}
    a = explain(made("two_towers"), rows, baselines=three, **options)
    every = [explain(made("two_towers"), rows, baselines=one, **options) for one in three]
    torch.testing.assert_close(a.gap, mean(every, "gap"), rtol=1e-4, atol=1e-6)
    passed = torch.stack([one.bypass * one.gap for one in every]).mean(0)
    torch.testing.assert_close(a.bypass * a.gap, passed, rtol=1e-3, atol=1e-5)
    assert a.bypass.abs().max() > 1e-2


@pytest.mark.parametrize("rules", ["plain", "gim"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_rules_and_dtypes(rules, dtype):
    options: dict[str, Any] = {"rules": rules, "dtype": dtype, "target": 1, "method": "layer_ig"}
    a = explain(tiny("bert"), X, baselines=TEXT[:3], **options)
    exact = explain(tiny("bert"), X, baselines=TEXT[:3], **{**options, "dtype": torch.float64}, tolerance=1e-4)
    errors = (a.layer_scores - exact.layer_scores).norm(dim=2) / exact.layer_scores.norm(dim=2)
    assert (errors <= 2 * a.error).all()
    assert a.convergence_delta.isnan().all() == (rules == "gim")


def test_runs_that_take_turns_record_nothing(monkeypatch):
    fakes: list[Fake] = []

    def recorder(*args: Any) -> Fake:
        fakes.append(Fake())
        return fakes[-1]

    wanted = explain(tiny("bert"), X, baselines=TEXT, **FIXED)
    monkeypatch.setattr(native, "recorder_for", recorder)
    explainer = Explainer(tiny("bert"), engine="native", **FIXED)
    for _ in range(3):
        torch.testing.assert_close(explainer(X, baselines=TEXT).scores, wanted.scores, rtol=1e-5, atol=1e-6)
    assert sum(f.recorded for f in fakes) == 0
    for _ in range(3):
        explainer(X, baselines=7)
    assert sum(f.recorded for f in fakes) > 0


def test_the_runs_that_wait_count_in_the_budget(monkeypatch):
    waiting: list[int] = []
    start = NativeEngine.start

    def started(self: NativeEngine, problem: Any) -> Any:
        waiting.append(self.budget.waiting)
        return start(self, problem)

    monkeypatch.setattr(NativeEngine, "start", started)
    explain(tiny("bert"), X, baselines=TEXT[:3], **FIXED)
    assert waiting[0] == 0
    assert 0 < waiting[1] < waiting[2]
    waiting.clear()
    explain(tiny("bert"), X, baselines=7, **FIXED)
    assert waiting == [0]


def test_it_comes_back_from_json(tmp_path):
    a = explain(tiny("bert"), X, baselines=TEXT, **FIXED)
    back = Attribution.from_json(a.to_json())
    assert back.settings.baselines == ["zero_embedding", "id", "embeddings", "ids"]
    assert {r["baselines"] for r in a.to_records()} == {"zero_embedding, id, embeddings, ids"}
    a.save(tmp_path / "a")
    assert Attribution.load(tmp_path / "a").settings.baselines == back.settings.baselines
