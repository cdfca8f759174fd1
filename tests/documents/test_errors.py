"""Every error of docs/errors.md is raised, as the type it should be; every error raised here is in the page."""

import copy
import itertools
import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from helpers.captum_errors import CAPTUM_CASES
from helpers.command_errors import COMMAND_CASES
from helpers.corpus_errors import CORPUS_CASES
from helpers.file_errors import FILE_CASES
from helpers.image_errors import IMAGE_CASES
from helpers.metric_errors import METRIC_CASES
from helpers.odd_errors import ODD_CASES
from helpers.quantised import PackedLinear, in_each_block
from helpers.refused import (
    Deaf,
    Failing,
    Folded,
    FullyShardedDataParallel,
    Hashed,
    Listless,
    Merging,
    Needing,
    Noisy,
    NoWords,
    P,
    Pooling,
    Segments,
    SentenceTransformer,
    Shorter,
    Widthless,
    Words,
    X,
    ZeroShot,
    alike,
    altered,
    autoencoder,
    bert,
    biased,
    encoder_decoder,
    failing,
    left_padded,
    long_bert,
    moody,
    offloaded,
    one_logit,
    packing,
    picture,
    poisoned,
    quantised,
    regression,
    replaced,
    text,
    token_model,
    two_heads,
    vit,
    without,
)
from helpers.rule_errors import RULE_CASES
from helpers.tiny_models import Linear, ids, tiny
from helpers.view_errors import VIEW_CASES
from helpers.window_errors import WINDOW_CASES
from torch import nn

from calig_fast import Explainer, Fusion, explain, metrics
from calig_fast.model.families import find
from calig_fast.monitor import Monitor, Probe

PAGE = (Path(__file__).parents[2] / "docs" / "errors.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| `(.+?)` \|", PAGE, re.MULTILINE)


LINEAR = {"layers": "blocks", "method": "layer_ig"}


CASES = [
    (ValueError, lambda: explain(quantised(), X)),
    (ValueError, lambda: explain(packing(), X)),
    (ValueError, lambda: explain(in_each_block(tiny("bert"), PackedLinear), X, dtype=torch.bfloat16)),
    (ValueError, lambda: explain(copy.deepcopy(tiny("bert")).to("meta"), X)),
    (ValueError, lambda: explain(nn.Identity(), X)),
    (TypeError, lambda: explain("bert-base-uncased", X)),
    (ValueError, lambda: explain(FullyShardedDataParallel(), X)),
    (ValueError, lambda: explain(replaced(), X)),
    (ValueError, lambda: explain(Listless(), X["input_ids"], baselines=0)),
    (ValueError, lambda: explain(moody(), X)),
    (ValueError, lambda: explain(Noisy(), X["input_ids"], baselines=0, **LINEAR)),
    (ValueError, lambda: explain(Hashed(), X["input_ids"], baselines="zero_embedding", **LINEAR)),
    (ValueError, lambda: explain(encoder_decoder(), X["input_ids"], baselines="zero_embedding", **LINEAR)),
    (ValueError, lambda: explain(Deaf(), X["input_ids"], baselines=3, **LINEAR)),
    (ValueError, lambda: explain(Folded(), X["input_ids"], baselines=0, **LINEAR)),
    (ValueError, lambda: explain(Widthless(), X["input_ids"], baselines=0, **LINEAR)),
    (ValueError, lambda: explain(Pooling(), X["input_ids"], baselines=0, **LINEAR)),
    (ValueError, lambda: explain(two_heads(), X, engine="native")),
    (ValueError, bert(failing())),
    (ValueError, lambda: explain(autoencoder(), P)),
    (
        ValueError,
        lambda: explain(tiny("bert"), X, encoder=replace(find(tiny("bert")), readout=lambda mask: -mask.float())),
    ),
    (ValueError, lambda: explain(token_model(), X)),
    (ValueError, lambda: explain(poisoned(), X)),
    (ValueError, lambda: explain(Linear(), X["input_ids"], layers="blocks", baselines=0)),
    (ValueError, lambda: explain(Merging(), X["input_ids"], layers="blocks", method="layer_ig", baselines=0)),
    (ValueError, bert(output=lambda out: out.logits[:, 0].detach())),
    (
        ValueError,
        lambda: explain(
            NoWords(), {"inputs_embeds": torch.ones(1, 4, 8)}, layers="unused", method="ig", baselines="zeros"
        ),
    ),
    (ValueError, text([])),
    (ValueError, vit(torch.zeros(0, 3, 16, 16))),
    (ValueError, bert(torch.zeros(1, 0, dtype=torch.int64))),
    (ValueError, bert(torch.zeros(0, 5, dtype=torch.int64))),
    (ValueError, text("   ")),
    (ValueError, bert({"input_ids": torch.tensor([[1, 2]]), "special_tokens_mask": torch.tensor([[1, 1]])})),
    (ValueError, bert({**X, "attention_mask": torch.zeros_like(X["attention_mask"])})),
    (TypeError, bert("a text without a tokenizer")),
    (TypeError, lambda: explain(tiny("vit"), picture())),
    (TypeError, text(["one", 2])),
    (TypeError, bert(3.5)),
    (TypeError, bert({"input_ids": [[1, 5, 2], [1, 2]]})),
    (ValueError, lambda: explain(Linear(), {"input_ids": X["input_ids"], "segments": X["input_ids"]}, **LINEAR)),
    (ValueError, bert(torch.tensor([[1, 99, 2]]))),
    (ValueError, bert(ids(41))),
    (TypeError, bert(P)),
    (ValueError, bert(torch.zeros(1, 1, 5, dtype=torch.int64))),
    (ValueError, bert({**X, "attention_mask": torch.ones(1, 5)})),
    (ValueError, bert({**X, "special_tokens_mask": torch.ones(7, 1)})),
    (ValueError, bert(baselines=torch.full((24,), float("nan")))),
    (ValueError, bert({**X, "attention_mask": torch.ones(2, 7)})),
    (ValueError, bert({"labels": torch.tensor([1])})),
    (ValueError, bert({"attention_mask": torch.ones(1, 7)})),
    (ValueError, vit({"pixel_values": torch.ones(1, 3)})),
    (ValueError, vit(P * float("nan"))),
    (ValueError, bert({k: v.to("meta") for k, v in X.items()})),
    (ValueError, lambda: explain(Shorter(), X["input_ids"], baselines=0, **LINEAR)),
    (TypeError, lambda: Explainer(tiny("bert"), step=3)),
    (ValueError, bert(method="lime")),
    (TypeError, bert(method=3)),
    (ValueError, bert(method="ig", lam=0.3)),
    (ValueError, bert(lam=1.2)),
    (ValueError, bert(target=4)),
    (ValueError, bert(target=-1)),
    (ValueError, bert(layers=[7])),
    (ValueError, bert(target="sport")),
    (TypeError, bert(target=1.0)),
    (TypeError, bert(target=[0.5])),
    (TypeError, bert(target=torch.tensor([0.5]))),
    (ValueError, lambda: explain(alike(), X, target="x")),
    (ValueError, lambda: explain(regression(), X, output="prob")),
    (TypeError, bert(None)),
    (TypeError, bert({1, 2})),
    (TypeError, bert(SimpleNamespace(columns=["text"]))),
    (ValueError, text(itertools.repeat("a text"))),
    (TypeError, text([{"text": "one"}, {"input_ids": [1, 5, 2]}])),
    (ValueError, bert([{"input_ids": [1, 5, 2]}, {"input_ids": [1, 5, 2], "attention_mask": [1, 1, 1]}])),
    (ValueError, bert([torch.ones(3, 24), torch.ones(4, 24)])),
    (ValueError, text({"text": ["one"], "text_pair": ["two", "three"]})),
    (TypeError, bert({"input_ids": X["input_ids"].to_sparse()})),
    (TypeError, bert({**X, "position_ids": torch.ones(1, 7)})),
    (ValueError, lambda: explain(Needing(), X["input_ids"], **LINEAR)),
    (ValueError, lambda: explain(Linear(), ["one two", "three"], Words(), **LINEAR)),
    (ValueError, lambda: explain(Linear(), ("one", "two"), Segments(), **LINEAR)),
    (ValueError, bert({**X, "attention_mask": -X["attention_mask"]})),
    (ValueError, bert({**X, "token_type_ids": torch.full((1, 7), 5)})),
    (ValueError, bert({"input_ids": X["input_ids"][:, None]})),
    (ValueError, bert({"inputs_embeds": torch.full((1, 3, 24), torch.nan)})),
    (ValueError, lambda: explain(SentenceTransformer(nn.Linear(2, 2)), "a text")),
    (ValueError, lambda: explain(ZeroShot(), "a text")),
    (ValueError, bert(target=[1, 2, 3])),
    (ValueError, lambda: explain(one_logit(), X, output="contrast")),
    (ValueError, bert(output=lambda out: out.logits[:, 0], target=1)),
    (ValueError, bert(output=lambda out: out.logits)),
    (ValueError, bert(output="margin")),
    (ValueError, bert(quadrature="simpson")),
    (ValueError, bert(n_steps=0)),
    (TypeError, bert(n_steps=2.0)),
    (ValueError, bert(n_steps=10**9)),
    (TypeError, bert(progress=1)),
    (ValueError, lambda: explain(Failing(), X["input_ids"], layers="blocks", baselines=0, method="layer_ig")),
    (TypeError, bert(progress=lambda: None)),
    (TypeError, bert(return_maps="yes")),
    (TypeError, bert(output=lambda: None)),
    (TypeError, bert(baselines=torch.tensor(True))),
    (ValueError, bert(tolerance=0)),
    (ValueError, bert(certify="scores", quadrature="gausslegendre")),
    (ValueError, bert(certify="scores", method="conductance")),
    (ValueError, bert(certify="tokens")),
    (ValueError, bert(engine="eager")),
    (ValueError, bert(engine="native", method="conductance")),
    (ValueError, bert(backend="opencl")),
    (ValueError, bert(backend="cuda")),
    (ValueError, lambda: explain(altered(), X, engine="native")),
    (ValueError, bert(left_padded(), engine="native")),
    (ValueError, bert(dtype=torch.int8)),
    (ValueError, bert(memory_budget=100)),
    (TypeError, bert(memory_budget="1 GB")),
    (ValueError, lambda: Explainer(long_bert(), memory_budget=2**20)(ids(2000))),
    (ValueError, bert(method="ig", return_maps=True)),
    (ValueError, bert(layers=[])),
    (ValueError, bert(layers=[0, "bert"])),
    (ValueError, lambda: Explainer(tiny("bert"))(X, layers="bert.encoder.layer")),
    (ValueError, bert(layers="bert.encoder.layers")),
    (ValueError, bert(baselines="blur")),
    (ValueError, lambda: explain(tiny("bert"), ids(5, 4), target=[[0, 1], [2]])),
    (ValueError, vit(baselines="pad")),
    (ValueError, bert(baselines="mask")),
    (ValueError, vit(baselines="black")),
    (ValueError, bert(baselines=torch.zeros(5, dtype=torch.int64))),
    (ValueError, bert(baselines=torch.zeros(3, 7, dtype=torch.int64))),
    (TypeError, bert(baselines={})),
    (TypeError, vit(baselines=["blur", [0.0]])),
    (ValueError, bert(baselines=[0, 0])),
    (ValueError, bert(baselines=[])),
    (ValueError, vit(baselines="blur:wide")),
    (ValueError, bert(baselines=torch.full((7,), 99))),
    (ValueError, bert(method="conductance", baselines="zeros")),
    (
        ValueError,
        lambda: explain(
            NoWords(), {"inputs_embeds": torch.ones(1, 4, 8)}, baselines=3, layers="stack", method="layer_ig"
        ),
    ),
    (ValueError, lambda: explain(offloaded(), X)),
    (ValueError, lambda: Fusion(lam=-1)),
    (ValueError, lambda: Monitor(tiny("bert"), [])),
    (ValueError, lambda: Monitor(tiny("bert"), Probe(ids(5, 6)))),
    (ValueError, lambda: Monitor(tiny("bert"), ["the same", "the same"], Words())),
    (TypeError, lambda: Probe("a text", target="sport")),
    (ValueError, lambda: Monitor(tiny("bert"), X, every=0)),
    (ValueError, lambda: Monitor(tiny("bert"), X, overhead=2)),
    (ValueError, lambda: Monitor(tiny("bert"), X, looks=0)),
    (ValueError, lambda: Monitor(tiny("bert"), X, looks=2).step()),
    (ValueError, lambda: Monitor(tiny("bert"), X, steps=9)),
    (TypeError, lambda: Monitor(tiny("bert"), X, log=3)),
    (TypeError, lambda: Monitor(tiny("bert"), X, page=3)),
    (TypeError, lambda: Monitor(tiny("bert"), X, strict=None)),
    (TypeError, lambda: Monitor(tiny("bert"), X).step("3")),
    (TypeError, lambda: Monitor(tiny("bert"), torch.tensor(3))),
    (TypeError, lambda: Probe("a text", name=3)),
    (TypeError, lambda: Monitor(tiny("bert"), X, target=1)),
    (ValueError, lambda: Monitor(tiny("bert"), X, tolerance=1e-3)),
    (ValueError, lambda: Monitor(tiny("bert"), Probe(X, target=(0, 1)), strict=True).step()),
    (ImportError, lambda: without("transformers", "calig_fast.monitor.trainer")),
    (ImportError, lambda: without("lightning", "calig_fast.monitor.lightning")),
    (ValueError, lambda: metrics.span_scores(Explainer(tiny("bert"), Words())("two words"), [])),
    (ValueError, lambda: metrics.span_scores(Explainer(tiny("bert"), Words())("two words"), [[(0, 3)]])),
    (TypeError, biased(torch.zeros(1, 2, 2).double())),
    (ValueError, biased(torch.zeros(1, 1, 1))),
    (ValueError, biased(torch.zeros(1, 2, 2, device="meta"))),
    *METRIC_CASES,
    *RULE_CASES,
    *ODD_CASES,
    *IMAGE_CASES,
    *CAPTUM_CASES,
    *COMMAND_CASES,
    *VIEW_CASES,
    *WINDOW_CASES,
    *FILE_CASES,
    *CORPUS_CASES,
]


def rows_in(message):
    return [row for row in ROWS if row in message]


@pytest.mark.parametrize(("kind", "call"), CASES, ids=map(str, range(len(CASES))))
def test_each_error_is_of_its_type_and_in_the_page(kind, call):
    with pytest.raises(kind) as caught:
        call()
    assert rows_in(str(caught.value)), f"not in docs/errors.md: {caught.value}"


def test_every_row_of_the_page_is_raised_by_a_case():
    raised = set()
    for kind, call in CASES:
        with pytest.raises(kind) as caught:
            call()
        raised |= set(rows_in(str(caught.value)))
    assert set(ROWS) == raised


def test_the_page_has_no_row_twice():
    assert len(ROWS) == len(set(ROWS)) > 60


def test_truncation_is_a_warning_and_reported():
    explainer = Explainer(tiny("bert"), Words())
    with pytest.warns(UserWarning, match="input 1 has 62 tokens"):
        a = explainer(["two words", "word " * 60])
    assert [t.truncated for t in a.texts] == [0, 22]
    assert a.scores.shape == (2, 40)
