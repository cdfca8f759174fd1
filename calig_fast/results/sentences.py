"""Sentences of a text by its punctuation: no model, no language data."""

from __future__ import annotations

import re
from collections.abc import Sequence

Span = tuple[int, int]

# Marks before a space: full stops, ... of Latin, Greek, Arabic, Urdu and Ethiopic. Marks of Chinese, Japanese and the
# Indic scripts stand before no space. Closing quotes and brackets may follow each.
_SPACED = ".!?\u2026\u203d\u061f\u06d4\u1362"
_ALONE = "\u3002\uff01\uff1f\uff61\u0964\u0965"
_CLOSING = "\"')\u2018\u2019\u201c\u201d\u00ab\u00bb\\]"
_WIDE_CLOSING = "\u300d\u300f\u300b\uff09"
_OPENING = "\"'([-\u2018\u201c\u201e\u00ab\u00bf\u00a1\u2013\u2014\u2022"
_END = re.compile(
    rf"(?<![{_SPACED}])[{_SPACED}]+[{_CLOSING}]*(?=\s)|[{_ALONE}]+[{_CLOSING}{_WIDE_CLOSING}]*|\n[^\S\n]*\n\s*"
)
_PUNCTUATION = re.compile(r"[^\w\s]+")
_ABBREVIATIONS = """
    mr mrs ms dr prof sr jr st gen col sgt capt rev hon gov sen rep no vs etc eg ie e.g i.e cf al fig figs eq eqs sec
    ch vol pp p approx dept est inc ltd co corp jan feb mar apr jun jul aug sep sept oct nov dec u.s u.k a.m p.m ca
    z.b d.h bzw nr bspw usw m mme mlle
"""
_SHORT = frozenset(re.findall(r"\S+", _ABBREVIATIONS))


def sentences(text: str) -> list[Span]:
    """The sentences of a text as [start, end) of its characters, in order and without the spaces around them.

    A sentence ends at `.`, `!`, `?` or an ellipsis before a space and no lower-case letter, at a mark of Chinese,
    Japanese or an Indic script, and at an empty line. Abbreviations, initials and numbers end none. In a text without
    capitals a lower-case letter may begin a sentence.

    Args:
        text: any text.
    """
    cased = any(c.isupper() for c in text)
    cuts = [m.end() for m in _END.finditer(text) if _ends(text, m, cased)]
    out = []
    for begin, end in zip([0, *cuts], [*cuts, len(text)], strict=True):
        part = text[begin:end]
        sentence = part.strip()
        if sentence:
            start = begin + len(part) - len(part.lstrip())
            out.append((start, start + len(sentence)))
    return out


def _ends(text: str, match: re.Match[str], cased: bool) -> bool:
    mark = match.group()
    if "\n" in mark or mark[0] in _ALONE:
        return True
    following = _next(text, match.end())
    if not following or (cased and following.islower()):
        return False
    if mark != ".":
        return True
    before = _word_before(text, match.start())
    if before.lower().strip(".") in _SHORT or (len(before) == 1 and before.isupper() and before != "I"):
        return False
    return not (before.isdigit() and len(before) < 3 and following.isdigit())


def _next(text: str, place: int) -> str:
    """The first character after spaces and opening marks."""
    while place < len(text) and (text[place].isspace() or text[place] in _OPENING):
        place += 1
    return text[place : place + 1]


def _word_before(text: str, place: int) -> str:
    """The characters back to a space or an opening mark, of a short word alone."""
    begin = place
    while begin and place - begin < 12 and not text[begin - 1].isspace() and text[begin - 1] not in _OPENING:
        begin -= 1
    return text[begin:place]


def joined(words: Sequence[str]) -> tuple[str, list[Span]]:
    """Words as one text with a space before each that is no punctuation, and the place of each in it."""
    parts: list[str] = []
    places: list[Span] = []
    length = 0
    for word in words:
        if parts and not (_PUNCTUATION.fullmatch(word) and word[0] not in _OPENING):
            parts.append(" ")
            length += 1
        parts.append(word)
        places.append((length, length + len(word)))
        length += len(word)
    return "".join(parts), places
