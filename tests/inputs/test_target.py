"""Several targets of an input in one call: the answers of single calls, from one forward pass."""

import pytest
import torch
from helpers.tiny_models import ids, pixels, tiny

from calig_fast import Attribution, explain
from calig_fast._pipeline import SEVERAL
from calig_fast.engines.autograd import AutogradEngine
from calig_fast.engines.native.engine import NativeEngine

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
    heads, head = [], engine.ends
    monkeypatch.setattr(engine, "ends", lambda self, *a, **k: heads.append(1) or head(self, *a, **k))
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
        ("most", TypeError, '"all"'),
        ([[0], [1], [2]], ValueError, "one for each of 2"),
    ],
)
def test_wrong_ones_are_named(target, error, words):
    with pytest.raises(error, match=words):
        explain(tiny("bert"), ids(5, 4), target=target, **NODES)


def test_all_is_not_for_contrasts():
    with pytest.raises(TypeError, match="not with output"):
        explain(tiny("bert"), ids(5), target="all", output="contrast", **NODES)
