"""Sentences by punctuation: where one ends, and where none does."""

from itertools import pairwise

import pytest

from calig_fast.results.sentences import joined, sentences


def parts(text):
    return [text[start:end] for start, end in sentences(text)]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("", []),
        (" \n ", []),
        ("no mark at all", ["no mark at all"]),
        ("One. Two! Three? Four… Five", ["One.", "Two!", "Three?", "Four…", "Five"]),
        ("He paid 3.5 dollars. Fine.", ["He paid 3.5 dollars.", "Fine."]),
        ("Dr. Smith met J. Jones, e.g. Once. Then he left.", ["Dr. Smith met J. Jones, e.g. Once.", "Then he left."]),
        ('"Really?" she said. "Yes." He left.', ['"Really?" she said.', '"Yes."', "He left."]),
        ("Well... maybe. Or not?! Yes", ["Well... maybe.", "Or not?!", "Yes"]),
        ("great film. loved it! see it", ["great film.", "loved it!", "see it"]),
        ("A title\n\nThe body. More\nof it.", ["A title", "The body.", "More\nof it."]),
        ("Und das? \u201eJa.\u201c Er ging.", ["Und das?", "\u201eJa.\u201c", "Er ging."]),
        ("\u4f60\u597d\u3002\u6211\uff01\u597d", ["\u4f60\u597d\u3002", "\u6211\uff01", "\u597d"]),
        ("\u0645\u0631\u061f \u0646\u0639\u0645.", ["\u0645\u0631\u061f", "\u0646\u0639\u0645."]),
        ("  spaces.  Around.  ", ["spaces.", "Around."]),
    ],
)  # fmt: skip
def test_where_a_sentence_ends(text, wanted):
    assert parts(text) == wanted


@pytest.mark.parametrize("text", ["." * 50_000 + "x", " " * 50_000, "\n" + " " * 50_000, ". " * 50_000, '."' * 50_000])
def test_every_character_is_in_one_sentence(text):
    found = sentences(text)
    assert all(a[1] <= b[0] for a, b in pairwise(found))
    kept = "".join(text[start:end] for start, end in found)
    assert "".join(kept.split()) == "".join(text.split())


def test_words_joined_as_a_text():
    text, places = joined(["Good", ",", "(", "very", ")", "good", "."])
    assert text == "Good, ( very) good."
    assert [text[start:end] for start, end in places] == ["Good", ",", "(", "very", ")", "good", "."]
    assert joined([]) == ("", [])
