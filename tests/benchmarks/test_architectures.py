"""The measure of architectures: what is right is found right, and what is planted wrong is found wrong."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from helpers.tiny_models import Linear

from benchmarks.architectures import blocks, models, oracle, run, summary, verdict
from benchmarks.architectures.cases import CASES
from calig_fast import Attribution, Explainer
from calig_fast.bench import machine

RESULT = Path(__file__).parents[2] / "benchmarks" / "results" / "architectures.json"
LLAMA = CASES["text/llama"]


def judged(case=LLAMA, **options):
    model = case.model()
    call, low = case.calls(model)
    layers = blocks.longest(model, call, low)
    key = next(k for k, v in call.items() if not torch.equal(v, low[k]))
    return verdict.judge(model, call, low, key, verdict.Memory(), layers=list(layers), method="layer_ig", **options)


def test_plain_hooks_give_w_times_the_difference_of_a_linear_model():
    torch.manual_seed(0)
    model = Linear()
    x, low = ({"": ids} for ids in torch.randint(5, 60, (2, 1, 6)))
    found = oracle.layers(model, ["blocks.0", "blocks.1"], x, low, 1)
    with torch.no_grad():
        step = [torch.eye(8) + block.weight.T for block in model.blocks]
        difference = model.words(x[""]) - model.words(low[""])
        wanted = [difference * (step[0] @ step[1] @ model.head.weight[1])]
        wanted.append((difference @ step[0]) * (step[1] @ model.head.weight[1]))
    for layer, product in zip(found, wanted, strict=True):
        torch.testing.assert_close(layer.product.float(), product, rtol=1e-4, atol=1e-6)
        assert layer.own == pytest.approx(float(layer.product.sum()), rel=1e-4)
    assert blocks.longest(model, x, low) == ("blocks",)


def test_an_architecture_goes_through_the_whole_measure_in_a_process_of_its_own():
    (record,) = run.run(["timm/vit_tiny_patch16_224"])
    assert record["verdict"] == verdict.RIGHT, record
    assert record["auto"]["engine"] == "native"
    assert record["blocks"] == ["blocks"]
    assert summary.same_blocks(record)
    assert len(record["default"]["layers"]) == 3
    (record,) = run.run(["timm/vit_tiny_patch16_224"], limit=1e-9)
    assert record["verdict"] == "not_tried"
    assert "takes too long" in record["not_tried"]
    assert "takes too long" in summary.table({record["name"]: record})


def test_named_blocks_are_right():
    found = judged()
    assert (found.verdict, found.why) == (verdict.RIGHT, [])
    assert all(layer["off"] < 2e-2 for layer in found.layers)


PLANTED = {
    "r_l": (lambda a: replace(a, layer_scores=a.layer_scores.flip(2)), "r_l is off"),
    "gap": (lambda a: replace(a, gap=a.gap * 1.5), "gap"),
    "logits": (lambda a: replace(a, logits=a.logits + 1), "logits"),
}


@pytest.mark.parametrize("what", PLANTED)
def test_a_planted_wrong_answer_is_found(what, monkeypatch):
    change, told = PLANTED[what]

    class Changed(Explainer):
        def __call__(self, inputs, **options) -> Attribution:
            return change(super().__call__(inputs, **options))

    monkeypatch.setattr(verdict, "Explainer", Changed)
    found = judged()
    assert found.verdict == verdict.WRONG
    assert told in found.why[0]


def test_a_wrong_answer_with_a_word_is_not_wrong(monkeypatch):
    class Doubting(Explainer):
        def __call__(self, inputs, **options) -> Attribution:
            a = super().__call__(inputs, **options)
            return replace(a, layer_scores=a.layer_scores.flip(2), layer_converged=torch.zeros_like(a.layer_converged))

    monkeypatch.setattr(verdict, "Explainer", Doubting)
    assert judged().verdict == verdict.UNSURE


def test_a_sentence_is_a_refusal_and_anything_else_is_raw():
    sentence = ValueError("layers: expected names of modules that the model has, got three that it has not")
    assert verdict.refusal(sentence).verdict == verdict.REFUSED
    for error in (ValueError("too many values to unpack (expected 2)"), RuntimeError(str(sentence)), KeyError("x")):
        assert verdict.refusal(error).verdict == verdict.RAW


def test_the_committed_numbers_are_of_every_architecture():
    committed = json.loads(RESULT.read_text(encoding="utf-8"))
    found = committed["architectures"]
    if all(committed["machine"][name] == machine.describe()[name] for name in ("transformers", "timm")):
        assert set(found) == set(CASES)
    assert {r["verdict"] for r in found.values()} <= {"right", "unsure", "refused", "not_tried", "wrong"}
    assert [name for name, r in found.items() if r["verdict"] in {"wrong", "raw"}] == []
    assert sum(r["verdict"] == "right" for r in found.values()) >= 235
    assert sum(r.get("bare", {}).get("verdict") == "right" for n, r in found.items() if n.startswith("text/")) >= 100


def test_the_page_and_the_list_of_models_are_those_of_the_committed_numbers():
    committed = json.loads(RESULT.read_text(encoding="utf-8"))
    packages = {name: committed["machine"][name] for name in ("transformers", "timm")}
    rows = [models.row(name, committed["architectures"][name]) for name in CASES if name in committed["architectures"]]
    assert models.PAGE.read_text(encoding="utf-8") == models.page(rows, packages)
    assert json.loads(models.TRIED.read_text(encoding="utf-8")) == {"packages": packages, "models": rows}
