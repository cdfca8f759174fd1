"""Scores of units: each way against its definition, with what is left over."""

import math

import numpy as np
import pytest
import torch
from helpers.exported import exported

CASES = exported()
UNITS = [(name, by) for name in CASES for by in ("token", "word", "sentence", "patch")]


def grouped(name, by, how="sum"):
    try:
        return CASES[name].by(by, how)
    except ValueError:
        return None


DEFINITIONS = {
    "sum": lambda v: float(np.sum(v)),
    "mean": lambda v: float(np.mean(v)),
    "max": lambda v: float(np.max(v)),
    "absmax": lambda v: float(v[np.argmax(np.abs(v))]),
}


@pytest.mark.parametrize("how", DEFINITIONS)
@pytest.mark.parametrize(("name", "by"), UNITS)
def test_each_way_is_its_definition(name, by, how):
    a, g = CASES[name], grouped(name, by, how)
    if g is None:
        return
    assert (g.kind, g.how) == (by, how)
    tables = [a.scores[:, None], g.scores[:, None]], [a.layer_scores, g.layer_scores]
    for tokens, units in tables:
        tokens = tokens.double().numpy()
        for b in range(a.batch):
            for layer in range(tokens.shape[1]):
                wanted = [DEFINITIONS[how](tokens[b, layer, list(u.tokens)]) for u in g.units[b]]
                np.testing.assert_allclose(units[b, layer, : len(wanted)], wanted, rtol=1e-12, atol=1e-14)
    assert g.mask.sum(1).tolist() == [len(u) for u in g.units]
    assert not g.scores[~g.mask].any()


@pytest.mark.parametrize(("name", "by"), UNITS)
def test_sums_and_the_rest_are_complete(name, by):
    a, g = CASES[name], grouped(name, by)
    if g is None:
        return
    torch.testing.assert_close(g.scores.sum(1) + g.rest, (a.scores * a.mask).double().sum(1), equal_nan=True)
    whole = (a.layer_scores * a.mask[:, None]).double().sum(2)
    torch.testing.assert_close(g.layer_scores.sum(2) + g.layer_rest, whole, equal_nan=True)


def test_words_are_word_scores():
    a = CASES["texts"]
    for b in range(2):
        words = a.word_scores(b)
        assert [u.text for u in a.by("word").units[b]] == [word for word, _ in words]
        assert a.by("word").scores[b, : len(words)].tolist() == pytest.approx([score for _, score in words], abs=1e-12)


def test_a_span_without_tokens():
    a = CASES["texts"][0]
    for how, wanted in (("sum", 0.0), ("mean", math.nan), ("max", math.nan), ("absmax", math.nan)):
        np.testing.assert_equal(a.by([(3, 4)], how).scores[0, 0].item(), wanted)
        empty = a.by([[]], how)
        assert (empty.scores.shape, empty.layer_scores.shape) == ((1, 0), (1, 3, 0))


@pytest.mark.parametrize("name", CASES)
def test_the_strongest(name):
    a = CASES[name]
    usual = "patch" if a.grid is not None else "token" if a.texts is None else "word"
    g = a.by(usual)
    assert a.top(4) == g.top(4)
    for b, found in enumerate(a.top(4)):
        plain = [n for n, u in enumerate(g.units[b]) if not u.special and not math.isnan(g.scores[b, n])]
        order = sorted(plain, key=lambda n: -abs(float(g.scores[b, n])))[:4]
        assert [r.score for r in found] == [float(g.scores[b, n]) for n in order]
        assert [r.sign for r in found] == [int(np.sign(float(g.scores[b, n]))) for n in order]
        assert [r.unit for r in found] == [g.units[b][n] for n in order]
        assert [r.name for r in found] == [g.units[b][n].text for n in order]
    assert len(a.top(10_000)) == a.batch


def test_special_tokens_never_rank():
    a = CASES["texts"]
    assert not any(r.unit.special for row in a.by("token").top(99) for r in row)
    assert len(a.by("token").top(99)[1]) == 2
    assert a.by("token").row_top(1, 99) == a.by("token").top(99)[1]


@pytest.mark.parametrize(
    ("k", "kind"), [(0, ValueError), (-1, ValueError), ("3", TypeError), (2.0, TypeError), (True, TypeError)]
)
def test_how_many_is_an_int(k, kind):
    with pytest.raises(kind, match=r"k: expected an int of at least 1"):
        CASES["texts"].top(k)


def test_an_unknown_way():
    with pytest.raises(ValueError, match=r'how: expected one of "sum", "mean", "max", "absmax"; got \'median\''):
        CASES["texts"].by("word", "median")


def test_it_shows_itself():
    g = CASES["texts"].by("sentence", "mean")
    assert repr(g).startswith("Grouped of 2 texts")
    assert "mean by sentence" in repr(g)
    assert "<table" in g._repr_html_()
