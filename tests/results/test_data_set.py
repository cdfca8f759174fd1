"""The words and patches of many results: their places, means and order, against loops by hand."""

import numpy as np
import pytest
import torch
from helpers.synthetic import REVIEW, of_images, of_texts, read

from calig_fast import summary

FEW = of_texts([read("Good film, good cast"), read("bad film"), read("a good end")])


def by_hand(a, word):
    return [(b, score) for b in range(a.batch) for w, score in a.word_scores(b) if w.casefold() == word]


def test_every_place_of_a_word_is_there():
    s = summary(FEW, count=99)
    for word, places in zip(s.units, s.places[0], strict=True):
        wanted = by_hand(FEW, word)
        assert places.inputs.tolist() == [b for b, _ in wanted]
        assert places.scores == pytest.approx([v for _, v in wanted], abs=1e-6)
        assert places.mean == pytest.approx(np.mean([v for _, v in wanted]), abs=1e-6)
        assert places.importance == pytest.approx(sum(abs(v) for _, v in wanted) / 3, abs=1e-6)
    assert sorted(s.units) == sorted({w.casefold() for b in range(3) for w, _ in FEW.word_scores(b)})
    weights = [p.importance for p in s.places[0]]
    assert weights == sorted(weights, reverse=True)
    assert s.inputs == (3,)
    assert summary(FEW, count=2).left_out == len(s.units) - 2


def test_several_results_are_one_run_and_a_dict_is_several():
    whole, apart = summary(FEW), summary([FEW[0], FEW[1:]])
    assert whole.units == apart.units
    for a, b in zip(whole.places[0], apart.places[0], strict=True):
        assert a.inputs.tolist() == b.inputs.tolist()
        assert a.scores.tolist() == b.scores.tolist()
    two = summary({"old": FEW[[0]], "new": FEW})
    assert two.names == ("old", "new")
    assert two.inputs == (1, 3)
    bad = two.places[0][two.units.index("bad")]
    assert (len(bad.scores), bad.mean, bad.importance) == (0, 0.0, 0.0)


def test_a_target_takes_its_inputs_alone():
    a = of_texts([read("one two"), read("one three")], target=torch.tensor([0, 3]))
    s = summary(a, target="sport")
    assert set(s.units) == {"one", "three"}
    assert s.inputs == (1,)
    with pytest.raises(ValueError, match="one of business, sport; got 'tech'"):
        summary(a, target="tech")


def test_patches_are_named_by_their_place():
    a = of_images(side=4, layers=2, count=3)
    s = summary(a, count=16)
    assert s.unit == "patch"
    assert "class token" not in s.units
    places = s.places[0][s.units.index("row 1, column 2")]
    assert places.scores == pytest.approx([float(a.patch_scores(b)[1, 2]) for b in range(3)], abs=1e-7)
    with pytest.raises(ValueError, match="one grid"):
        summary([a, of_images(side=5, layers=2)])


def test_it_is_written_as_a_page_and_plotted(tmp_path):
    s = summary(of_texts([read(REVIEW)] * 2))
    text = s.to_html(tmp_path / "set.html", title="Reviews")
    assert (tmp_path / "set.html").read_text(encoding="utf-8") == text
    assert "<h1>Reviews</h1>" in text
    pytest.importorskip("matplotlib")
    assert len(s.plot("bar").axes) == 1
