import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers.exported import left_padded
from helpers.synthetic import HOSTILE, REVIEW, cases, of_images, of_texts, read

from calig_fast.views.one_input import leftwards, summarise, visible


def test_words_sum_their_pieces_and_apart_holds_the_rest() -> None:
    a = of_texts([read(REVIEW), read("short text")])
    for index in range(2):
        s = summarise(a, index)
        assert s.values[0] == pytest.approx([v for _, v in a.word_scores(index)], abs=1e-6)
        assert s.values[3] == pytest.approx([v for _, v in a.word_scores(index, layer=2)], abs=1e-5)
        assert s.apart == ("[CLS]", "[SEP]")
        assert s.values[2].sum() + s.apart_values[2].sum() == pytest.approx(
            float(a.layer_scores[index, 1].sum()), abs=1e-4
        )
        assert s.layers[4].total == pytest.approx(float(a.gap[index, 4] + a.convergence_delta[index, 4]), abs=1e-4)


def test_a_token_of_no_word_is_shown_apart_and_padding_nowhere() -> None:
    text = read("one two three")
    loose = text.words[:1] + text.words[2:]
    a = of_texts([type(text)(text.tokens, loose, text.text), read(REVIEW)])
    assert summarise(a, 0).apart == ("[CLS]", "two", "[SEP]")


def test_patches_leave_prefix_tokens_out() -> None:
    a = of_images(side=7, layers=4)
    s = summarise(a, 0)
    assert s.values[0].reshape(7, 7) == pytest.approx(a.patch_scores(0).numpy(), abs=1e-6)
    assert s.apart == ("prefix token 0",)


def test_the_text_comes_back_whole() -> None:
    s = summarise(of_texts([read(REVIEW)]), 0)
    assert "".join(p.text for p in s.segments) == REVIEW
    assert [p.text for p in s.segments if p.unit is not None] == list(s.units)
    unknown = summarise(of_texts([read(REVIEW, known=False)]), 0)
    assert "".join(p.text for p in unknown.segments) == " ".join(unknown.units)


def test_places_outside_the_text_fall_back_to_the_words() -> None:
    text = read("one two")
    wrong = type(text)(text.tokens, tuple(reversed(text.words)), text.text)
    assert [p.text for p in summarise(of_texts([wrong]), 0).segments] == ["two", " ", "one"]


def test_probabilities() -> None:
    every = cases()
    a = every["text"]
    expected = torch.softmax(a.logits[0].double(), 0)
    predicted = summarise(a, 0).predicted
    assert predicted is not None
    assert predicted.probability == pytest.approx(float(expected.max()))
    one = summarise(every["one logit"], 0)
    assert one.explained[0].probability == pytest.approx(1 / (1 + math.exp(2)))
    assert [c.name for c in summarise(every["contrast"], 0).explained] == ["business", "sport"]
    assert summarise(every["contrast"], 0).target == "business - sport"
    own = summarise(every["own output"], 0)
    assert (own.predicted, own.explained, own.target) == (None, (), "output")


def test_convergence_has_three_answers() -> None:
    every = cases()
    assert summarise(every["text"], 0).converged is True
    late = summarise(every["unconverged"], 0)
    assert late.converged is False
    assert [x.converged for x in late.layers] == [True, True, False, True, True, True]
    nothing = summarise(every["integrates nothing"], 0)
    assert nothing.converged is None
    assert {x.converged for x in nothing.layers} == {None}


def test_ranking_is_by_sign_and_size() -> None:
    s = summarise(cases()["text"], 0)
    supporting, opposing = s.strongest(0, 5)
    ordered = np.sort(s.values[0])
    assert list(s.values[0, supporting]) == list(ordered[::-1][:5])
    assert list(s.values[0, opposing]) == list(ordered[:5])
    assert summarise(cases()["all zero"], 0).strongest(0, 5) == ([], [])


def test_index_outside() -> None:
    with pytest.raises(IndexError, match="holds 1 inputs"):
        summarise(cases()["text"], 1)
    assert summarise(cases()["text"], -1).target == summarise(cases()["text"], 0).target


def test_hidden_characters_become_visible() -> None:
    shown = visible(HOSTILE)
    assert "\x1b" not in shown
    assert "␛" in shown
    assert "<U+202E>" in shown
    shown.encode("utf-8")
    assert visible("a\tb\nc é 日本") == "a\tb\nc é 日本"


def test_blocks_have_the_numbers_of_the_model() -> None:
    a = of_texts([read("some words here")], layers=2)
    chosen = replace(a, settings={**a.settings, "layers": [3, 7]})
    assert summarise(chosen, 0).rows == ("all layers fused", "block 3", "block 7")
    assert "(layer 7)" in chosen.statement() or "(layer 3)" in chosen.statement()
    assert summarise(replace(chosen, scores=a.layer_scores[:, 1]), 0).rows[0] == "scores, of block 7"
    assert summarise(of_texts([read("some words")], layers=0), 0).rows == ("scores",)


def test_other_units_have_their_scores() -> None:
    a = of_texts([read("One film. A better, unbelievably good film."), read("short text")])
    for by, how in (("token", "sum"), ("word", "max"), ("sentence", "mean"), ([[(0, 9)], [(6, 10)]], "sum")):
        g = a.by(by, how)
        for index in range(2):
            s = summarise(g, index)
            plain = [n for n, u in enumerate(g.units[index]) if not u.special]
            assert s.units == tuple(g.units[index][n].text for n in plain)
            np.testing.assert_array_equal(s.values[0], g.scores[index, plain].numpy())
            np.testing.assert_array_equal(s.values[1:], g.layer_scores[index][:, plain].numpy())
            assert (s.unit, s.how) == (g.kind, how)
            held = {t for n in plain for t in g.units[index][n].tokens}
            assert set(s.outside) == set(range(len(a.texts[index].tokens))) - held
    assert "".join(p.text for p in summarise(a.by("sentence"), 0).segments) == a.texts[0].text


def test_padding_on_the_left_moves_no_name() -> None:
    a = left_padded()
    s = summarise(a, 1)
    assert s.apart == ("[CLS]", "[SEP]")
    assert [[name for name, _ in pieces] for pieces in s.pieces] == [["Bad"], ["one"], ["."]]


def test_the_places_of_a_word_are_one_line_of_a_ranking() -> None:
    a = of_texts([read("Good film. good acting, good end, poor sound")])
    s = summarise(a, 0)
    places = [i for i, w in enumerate(s.units) if w.lower() == "good"]
    for row in range(len(s.values)):
        supporting, opposing = s.words(row, 99)
        (word,) = [w for w in supporting + opposing if w.name == "Good"]
        assert sorted(word.units) == places
        assert word.score == pytest.approx(s.values[row, places].sum())
        assert word.units[0] == max(places, key=lambda i: abs(s.values[row, i]))
        assert [w.score for w in supporting] == sorted((w.score for w in supporting), reverse=True)
        assert sum(w.score for w in supporting + opposing) == pytest.approx(s.values[row].sum())


@pytest.mark.parametrize(
    ("certify", "late", "state", "mark"),
    [
        ("layers", None, "converged", True),
        ("layers", 2, "not converged", False),
        ("scores", 2, "scores converged; layers not asked", None),
        ("scores", None, "scores converged", True),
        ("top-k", 2, "ranking decided; layers not asked", None),
    ],
)
def test_the_state_says_which_part_was_asked_about(certify: str, late: int | None, state: str, mark: bool) -> None:
    a = of_texts([read(REVIEW)], late=late, settings={"tolerance": 0.02, "certify": certify, "k": 5})
    a = replace(a, score_error=torch.tensor([0.01]))
    s = summarise(a, 0)
    assert s.state == state
    assert s.layers[2].converged is mark
    assert s.converged is (state != "not converged")
    missed = replace(a, score_error=torch.tensor([0.1]), settings={"tolerance": 0.02, "certify": "scores"})
    assert summarise(missed, 0).state == "scores not converged"


@pytest.mark.parametrize(
    ("text", "left"), [("שלום abc", True), ("abc שלום", False), ("12 ... مرحبا", True), ("", False)]
)
def test_the_first_letter_with_a_direction_decides(text: str, left: bool) -> None:
    assert leftwards(text) is left
