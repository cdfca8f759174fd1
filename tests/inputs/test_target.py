"""Targets and outputs: several targets in one call as in single calls, and the logits in every kind of output."""

from dataclasses import dataclass
from types import SimpleNamespace

import pytest
import torch
from helpers.real_models import seeded
from helpers.tiny_models import SIZES, Linear, ids, pixels, tiny

from calig_fast import Attribution, explain, metrics
from calig_fast.engines.autograd import AutogradEngine
from calig_fast.engines.native.engine import NativeEngine
from calig_fast.pipeline.one_call import SEVERAL
from calig_fast.views.one_input import summarise

NODES = {"quadrature": "corrected_trapezoid", "n_steps": 6}


def call_of(kind, *lengths):
    return pixels(len(lengths)) if kind == "vit" else ids(*lengths)


def same(row, alone, tolerance=1e-5):
    for name in ("scores", "layer_scores", "gap", "logits", "error", "convergence_delta"):
        torch.testing.assert_close(
            getattr(row, name), getattr(alone, name), rtol=tolerance, atol=tolerance, equal_nan=True
        )
    assert torch.equal(row.target, alone.target)


@pytest.mark.parametrize("engine", ["native", "autograd"])
@pytest.mark.parametrize("method", ["calig", "layer_ig", "chefer", "attcat", "gradient_x_input"])
@pytest.mark.parametrize("kind", ["bert", "vit"])
def test_several_targets_are_single_calls(kind, method, engine):
    call = call_of(kind, 7, 4)
    options = {"method": method, "engine": engine, **NODES}
    several = explain(tiny(kind), call, target=[[0, 2], [1, 0]], **options)
    assert several.target.tolist() == [0, 2, 1, 0]
    assert several.source.tolist() == [0, 0, 1, 1]
    first, second = (explain(tiny(kind), call, target=t, **options) for t in ([0, 1], [2, 0]))
    for row, (alone, b) in enumerate([(first, 0), (second, 0), (first, 1), (second, 1)]):
        same(several[row], alone[b])


def test_conductance_too():
    call = ids(5)
    several = explain(tiny("bert"), call, target=[[0, 1]], method="conductance", **NODES)
    for k in range(2):
        same(several[k], explain(tiny("bert"), call, target=k, method="conductance", **NODES))


def test_all_classes_of_a_ragged_batch_and_their_texts():
    call = ids(6, 3)
    a = explain(tiny("bert"), call, target="all", **NODES)
    classes = a.logits.shape[1]
    assert a.target.tolist() == [*range(classes)] * 2
    assert a.source.tolist() == [0] * classes + [1] * classes
    assert a.texts is not None
    assert [t.tokens for t in a.texts[:classes]] == [a.texts[0].tokens] * classes
    same(a[classes + 1], explain(tiny("bert"), call, target=1, **NODES)[1])


def test_the_adaptive_rule_holds_for_each_and_certified_scores_too():
    call = ids(8)
    for certify in ("layers", "scores"):
        several = explain(tiny("bert"), call, target="all", certify=certify)
        for row in several:
            alone = explain(tiny("bert"), call, target=int(row.target), certify=certify)
            same(row, alone)
            assert torch.equal(row.n_steps, alone.n_steps)


@pytest.mark.parametrize("kind", ["log_prob", "prob", "contrast"])
def test_other_scalars(kind):
    call, pairs = ids(5, 6), [[[0, 1], [2, 0]], [[1, 2], [0, 2]]]
    target = pairs if kind == "contrast" else [[0, 1], [2, 0]]
    several = explain(tiny("bert"), call, target=target, output=kind, **NODES)
    for k in range(2):
        alone = explain(tiny("bert"), call, target=[row[k] for row in target], output=kind, **NODES)
        for b in range(2):
            same(several[2 * b + k], alone[b])


@pytest.mark.parametrize("engine", [NativeEngine, AutogradEngine])
def test_the_way_up_is_shared(engine, monkeypatch):
    heads, head = [], engine.start
    monkeypatch.setattr(engine, "start", lambda self, *a, **k: heads.append(1) or head(self, *a, **k))
    name = "native" if engine is NativeEngine else "autograd"
    explain(tiny("bert"), ids(5), target=[[0, 1, 2]], engine=name, **NODES)
    assert len(heads) == 1
    many = [[0, 1, 2] * SEVERAL]
    a = explain(tiny("bert"), ids(5), target=many, engine=name, **NODES)
    assert len(heads) == 4
    assert a.target.tolist() == many[0]


def test_inputs_in_groups_keep_their_places():
    call = ids(5, 4, 6, 3)
    a = explain(tiny("bert"), call, target="all", **NODES)
    classes = a.logits.shape[1]
    assert a.source.tolist() == [b for b in range(4) for _ in range(classes)]
    seen = []
    explain(tiny("bert"), call, target="all", progress=lambda done, total: seen.append((done, total)), **NODES)
    assert seen[-1] == (4, 4)


def test_a_file_and_a_page_hold_them(tmp_path):
    a = explain(tiny("bert"), ids(5), target=[[0, 2]], **NODES)
    a.save(tmp_path / "a")
    b = Attribution.load(tmp_path / "a")
    assert torch.equal(b.source, a.source)
    assert a.to_html().count("<section") >= 1


@pytest.mark.parametrize(
    ("target", "error", "words"),
    [
        ([0, 2, 1], ValueError, "a list in the list"),
        ([[0, 1], [2]], ValueError, "more of one input than of another"),
        ([[0, 9], [0, 1]], ValueError, "outside 0"),
        ("most", ValueError, '"all"'),
        ([[0], [1], [2]], ValueError, "one for each of 2"),
    ],
)
def test_wrong_ones_are_named(target, error, words):
    with pytest.raises(error, match=words):
        explain(tiny("bert"), ids(5, 4), target=target, **NODES)


def test_all_is_not_for_contrasts():
    with pytest.raises(TypeError, match="not with output"):
        explain(tiny("bert"), ids(5), target="all", output="contrast", **NODES)


@dataclass
class Answer:
    """An output of one's own."""

    scores: torch.Tensor
    states: torch.Tensor | None = None


def wrapping(change, classes=3):
    """A linear model that returns `change` of its logits."""

    class Own(Linear):
        def forward(self, input_ids):
            return change(super().forward(input_ids)[:, :classes])

    return seeded(Own(), seed=3)


OWN = {"layers": "blocks", "method": "layer_ig", "baselines": 0, **NODES}


@pytest.mark.parametrize(
    "change",
    [
        lambda z: {"logits": z},
        lambda z: {"out": z, "states": z[:, None], "loss": z.sum()},
        lambda z: [z],
        lambda z: (z.sum(), z),
        lambda z: (z.sum(), z, z[:, None]),
        lambda z: [z.argmax(1), z],
        Answer,
        lambda z: Answer(scores=z, states=z[:, None]),
        lambda z: SimpleNamespace(logits=z),
        lambda z: z.squeeze(),
    ],
)
@pytest.mark.parametrize("count", [1, 2])
def test_outputs_in_every_container(change, count):
    call = {"input_ids": ids(5, 5)["input_ids"][:count]}
    wanted, a = explain(wrapping(lambda z: z), call, **OWN), explain(wrapping(change), call, **OWN)
    same(a, wanted)
    assert torch.equal(a.logits, wanted.logits)
    assert torch.equal(a.target, wanted.target)
    if count == 1:  # no baseline beside it: the model gets a single row
        alone = explain(wrapping(change), call, **{**OWN, "method": "gradient_x_input"})
        torch.testing.assert_close(alone.logits, wanted.logits)


@pytest.mark.parametrize(
    "change", [lambda z: z[:, 0], lambda z: z[:, :1], lambda z: {"y": z[:, 0]}, lambda z: z[:, 0].squeeze()]
)
@pytest.mark.parametrize("count", [1, 2, 3])
def test_one_number_a_row_is_one_logit(change, count):
    call = {"input_ids": ids(5, 5, 5)["input_ids"][:count]}
    wanted = explain(wrapping(lambda z: z), call, target=0, **OWN)
    a = explain(wrapping(change), call, **OWN)
    torch.testing.assert_close(a.layer_scores, wanted.layer_scores)
    assert a.logits.shape == (count, 1)
    assert a.target.tolist() == [0] * count
    assert a.probabilities.isnan().all(), "one number without a name may be anything"


def test_embeddings_are_no_logits():
    from transformers import BertConfig, BertModel

    with pytest.raises(ValueError, match="needs logits"):
        explain(BertModel(BertConfig(**SIZES)), ids(5), **NODES)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda z: z * 1j, "model: expected logits .* got a tensor complex64"),
        (lambda z: z.to_sparse(), "model: expected logits .* got a sparse tensor"),
        (lambda z: torch.nested.nested_tensor(list(z)), "model: expected logits .* got a nested tensor"),
        (lambda z: z > 0, r"model: needs logits \[B,C\], got a tensor bool"),
        (lambda z: z.argmax(1), r"model: needs logits \[B,C\], got a tensor int64"),
        (lambda z: z[:, :0], "model: needs logits"),
        (lambda z: z[1:], "model: (expected|needs) logits"),
        (lambda z: z.tolist(), "model: needs logits"),
        (lambda z: {"logits": "a"}, "model: needs logits"),
    ],
)
def test_answers_that_are_no_logits_are_named(change, words):
    with pytest.raises((TypeError, ValueError), match=words):
        explain(wrapping(change), {"input_ids": ids(5, 5)["input_ids"]}, **OWN)


def test_probabilities_are_not_made_twice():
    call = {"input_ids": ids(5, 5)["input_ids"]}
    plain, own = wrapping(lambda z: z), wrapping(lambda z: z.softmax(1))
    for output in ("prob", "log_prob"):
        with pytest.warns(UserWarning, match="it returns probabilities"):
            a = explain(own, call, output=output, **OWN)
        b = explain(plain, call, output=output, **OWN)
        torch.testing.assert_close(a.layer_scores, b.layer_scores, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(a.scores, b.scores, rtol=1e-4, atol=1e-5)
    assert a.settings.returns == "probabilities"
    torch.testing.assert_close(a.probabilities, explain(plain, call, **OWN).probabilities, rtol=1e-5, atol=1e-6)
    assert "probabilities" in dict(a.settings).values()
    with pytest.warns(UserWarning, match="the probability itself"):
        b = explain(own, call, **OWN)
    c = explain(plain, call, output="prob", **OWN)
    torch.testing.assert_close(b.layer_scores, c.layer_scores, rtol=1e-4, atol=1e-5)
    masks = {"removal": "delete", "output": "prob"}
    torch.testing.assert_close(
        metrics.comprehensiveness(own, call, a, **masks).values,
        metrics.comprehensiveness(plain, call, a, **masks).values,
    )


def test_a_log_softmax_is_itself():
    call = {"input_ids": ids(5, 5)["input_ids"]}
    plain, own = wrapping(lambda z: z), wrapping(lambda z: z.log_softmax(1))
    for output in ("prob", "log_prob"):
        a, b = explain(own, call, output=output, **OWN), explain(plain, call, output=output, **OWN)
        torch.testing.assert_close(a.layer_scores, b.layer_scores, rtol=1e-4, atol=1e-5)


def one_label(**config):
    from transformers import BertConfig, BertForSequenceClassification

    return seeded(BertForSequenceClassification(BertConfig(**{**SIZES, "num_labels": 1, **config})), seed=3)


def test_a_regression_has_no_probability():
    for model in (
        one_label(),
        one_label(problem_type="regression"),
        one_label(num_labels=3, problem_type="regression"),
    ):
        a = explain(model, ids(5), **NODES)
        assert a.settings.returns == "values"
        assert a.probabilities.isnan().all()
        assert summarise(a, 0).predicted is None
    with pytest.raises(ValueError, match="a regression"):
        explain(one_label(problem_type="regression"), ids(5), output="prob", **NODES)


def test_one_logit_with_a_name_has_a_probability():
    for config in (
        {"id2label": {0: "toxic"}},
        {"problem_type": "multi_label_classification"},
    ):
        a = explain(one_label(**config), ids(5), **NODES)
        torch.testing.assert_close(a.probabilities, a.logits.double().sigmoid())
