"""The units of an input: what belongs to each, and what cannot be asked of it."""

import numpy as np
import pytest
import torch
from helpers.exported import exported, left_padded, pair
from helpers.synthetic import of_texts, read

from calig_fast.results.units import token_names, units_of, usual

CASES = exported()


def names(a, by, index=0):
    return [u.text for u in units_of(a, by)[1][index]]


def test_the_usual_unit():
    assert {name: usual(a) for name, a in CASES.items() if usual(a) != "word"} == {
        "words unknown": "token", "images": "patch", "grid alone": "patch", "prefix tokens": "patch",
    }  # fmt: skip
    assert units_of(CASES["texts"], None)[0] == "word"


@pytest.mark.parametrize("name", CASES)
def test_tokens_are_the_real_ones_in_order(name):
    a = CASES[name]
    _, found = units_of(a, "token")
    for b in range(a.batch):
        assert [u.tokens for u in found[b]] == [(t,) for t in a.mask[b].nonzero().flatten().tolist()]
        assert [u.special for u in found[b]] == a.special[b][a.mask[b]].tolist()
        if a.texts is not None:
            assert tuple(u.text for u in found[b]) == a.tokens[b]
            of = {t: n for n, word in enumerate(a.words[b]) for t in word.tokens}
            assert [u.words for u in found[b]] == [(of[t],) if t in of else () for (t,) in (u.tokens for u in found[b])]


def test_padding_on_the_left_moves_no_name():
    a = left_padded()
    assert not a.mask[1, 0]
    first = int(a.mask[1].nonzero()[0])
    assert token_names(a, 1)[first] == "[CLS]"
    assert names(a, "word", 1) == ["Bad", "one", "."]
    assert [a.scores[1, u.tokens[0]] for u in units_of(a, "word")[1][1]] == a.scores[1, first + 1 : first + 4].tolist()


def test_patches_have_their_place():
    _, (found, _) = units_of(CASES["prefix tokens"], "patch")
    assert [u.place for u in found] == [(r, c) for r in range(2) for c in range(4)]
    assert [u.tokens for u in found] == [(t,) for t in range(2, 10)]
    assert names(CASES["prefix tokens"], "token")[:3] == ["prefix token 0", "prefix token 1", "row 0, column 0"]


def test_sentences_hold_every_word_once():
    a = CASES["texts"]
    _, found = units_of(a, "sentence")
    assert [u.text for u in found[0]] == ["One film.", "Another, unbelievably good, film!"]
    assert [n for u in found[0] for n in u.words] == list(range(len(a.words[0])))
    assert [t for u in found[0] for t in u.tokens] == [t for w in a.words[0] for t in w.tokens]
    assert a.texts[0].text[found[0][1].start : found[0][1].end] == found[0][1].text


def test_sentences_of_a_pair_keep_its_sides():
    _, (found,) = units_of(pair(), "sentence")
    assert [(u.text, u.part) for u in found] == [("It is bad.", 0), ("So bad!", 0), ("Is it bad?", 1)]
    assert {u.start for u in found} == {-1}
    assert [u.tokens for u in found] == [(1, 2, 3, 4), (5, 6, 7), (9, 10, 11, 12)]


@pytest.mark.parametrize(
    "spans",
    [
        [(0, 9), (10, 43)],
        [[0, 9], [10, 43]],
        [[(0, 9), (10, 43)]],
        np.array([[0, 9], [10, 43]]),
        torch.tensor([[[0, 9], [10, 43]]]),
        ((np.int64(0), 9), (10, torch.tensor(43))),
    ],
)
def test_spans_of_one_input(spans):
    kind, (found,) = units_of(CASES["texts"][0], spans)
    assert kind == "span"
    assert [u.text for u in found] == ["One film.", "Another, unbelievably good, film!"]
    assert [u.tokens for u in found] == [u.tokens for u in units_of(CASES["texts"], "sentence")[1][0]]


def test_spans_keep_their_order_and_may_be_empty():
    _, (first, second) = units_of(CASES["texts"], [[(10, 17), (0, 3), (3, 4)], []])
    assert [(u.text, u.words) for u in first] == [("Another", (3,)), ("One", (0,)), (" ", ())]
    assert second == ()


def test_a_word_that_a_span_cuts_is_told():
    a = of_texts([read("An unbelievable film")])
    with pytest.warns(UserWarning, match=r"cut 1 of its words.*'unbelievable' at 3 to 15"):
        _, (found,) = units_of(a, [(0, 5), (5, 20)])
    assert [u.words for u in found] == [(0,), (1, 2)]


@pytest.mark.parametrize(
    ("name", "by", "kind", "say"),
    [
        ("texts", "letter", ValueError, 'by: expected one of "token"'),
        ("texts", "patch", ValueError, "texts have no patches"),
        ("images", "word", ValueError, "images have no words"),
        ("images", "sentence", ValueError, "images have no sentences"),
        ("words unknown", "word", ValueError, "the words of these inputs are not known"),
        ("texts", [(0, 3)], ValueError, "for each of 2 inputs"),
        ("one", [(0, 3), (2, 4)], ValueError, "overlap"),
        ("one", [(3, 3)], ValueError, "0 <= start < end <= 4"),
        ("one", [(0, 5)], ValueError, "0 <= start < end <= 4"),
        ("one", [(-1, 2)], ValueError, "0 <= start < end <= 4"),
        ("one", [[("0", 3)]], TypeError, "spans"),
        ("one", [[(0.0, 3.0)]], TypeError, "spans"),
        ("one", [[(True, 3)]], TypeError, "spans"),
        ("one", 3, TypeError, "spans"),
        ("one", {0: 3}, TypeError, "spans"),
        ("one", b"word", TypeError, "spans"),
        ("pair", [(0, 3)], ValueError, "input 0 lacks"),
        ("grid alone", [(0, 3)], ValueError, "input 0 lacks"),
    ],
)
def test_what_cannot_be(name, by, kind, say):
    with pytest.raises(kind, match="by: ") as found:
        units_of(CASES[name], by)
    assert say in str(found.value)
