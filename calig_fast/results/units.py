"""The units of an input: its tokens, words, sentences, patches, or the caller's spans of characters."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from numbers import Integral
from typing import TYPE_CHECKING, Any

from .._utils.arguments import MOST, choice, kind, scalar, shown
from .._utils.warn import warn
from .sentences import Span, joined, sentences
from .tokens import Grid, Text, Word

if TYPE_CHECKING:
    from .attribution import Attribution

NAMES = ("token", "word", "sentence", "patch")
SPAN = "span"
By = str | Sequence[Any]


@dataclass(frozen=True)
class Unit:
    """A part of one input that has one score.

    Args:
        kind: "token", "patch", "word", "sentence" or "span".
        text: the part as written, a token's name, or the place of a patch.
        tokens: positions of its tokens, indices into `Attribution.scores[b]`.
        start: first character in the input text, or -1 where it is not known. A token has the place of its word.
        end: one past the last character, or -1.
        part: 0, or 1 in the second text of a pair.
        words: numbers of its words, indices into `Text.words`.
        place: row and column of a patch, else None.
        special: a special token, or a token before the patches.
    """

    kind: str
    text: str
    tokens: tuple[int, ...]
    start: int = -1
    end: int = -1
    part: int = 0
    words: tuple[int, ...] = ()
    place: tuple[int, int] | None = None
    special: bool = False


def usual(a: Attribution) -> str:
    """The usual unit: "word" of texts, "patch" of images, "token" where neither is known."""
    return "patch" if a.grid is not None else "token" if a.texts is None else "word"


def token_names(a: Attribution, index: int) -> dict[int, str]:
    """The name of every real token of one input by its position; padding may stand on either side."""
    real = a.mask[index].nonzero().flatten().tolist()
    if a.grid is not None:
        return {t: _patch_name(a.grid, t) for t in real}
    known = () if a.texts is None else a.texts[index].tokens
    return {t: known[i] if i < len(known) else f"token {t}" for i, t in enumerate(real)}


def _patch_name(grid: Grid, token: int) -> str:
    if token < grid.patches.start:
        return grid.names[token] if token < len(grid.names) else f"prefix token {token}"
    if token >= grid.patches.stop:
        return f"suffix token {token - grid.patches.stop}"
    row, column = divmod(token - grid.prefix, max(grid.columns, 1))
    return f"row {row}, column {column}"


def units_of(a: Attribution, by: By | None) -> tuple[str, tuple[tuple[Unit, ...], ...]]:
    """The name of the unit, and the units of every input in reading order (spans in the caller's).

    Args:
        a: of texts or images.
        by: "token", "word", "sentence", "patch", spans of characters, or None for the usual unit.

    Raises:
        ValueError: an unknown unit, one that these inputs do not have, or spans that cannot be.
        TypeError: no name and no spans.
    """
    by = usual(a) if by is None else by
    if isinstance(by, str):
        name = choice("by", by, NAMES, ", or spans of characters")
        check(a.grid is not None, a.texts is not None, name)
        return name, tuple(named_units(a, b, name) for b in range(a.batch))
    spans = _spans(a, by)
    return SPAN, tuple(_span_units(a, b, row) for b, row in enumerate(spans))


def check(images: bool, words: bool, name: str) -> None:
    """Raise where inputs do not have such units.

    Args:
        images: the inputs are images.
        words: the words are known.
        name: of the unit.

    Raises:
        ValueError: they do not.
    """
    if images and name in {"word", "sentence"}:
        raise ValueError(f'by: images have no {name}s; use "patch", or "token" for the tokens before the patches too')
    if not images and name == "patch":
        raise ValueError('by: texts have no patches; use "token", "word" or "sentence"')
    if not images and not words and name != "token":
        raise ValueError(f'by: the {name}s of these inputs are not known; use "token"')


def named_units(a: Attribution, index: int, name: str) -> tuple[Unit, ...]:
    """The units of one input by the name of the unit, which the input has (`check`)."""
    if name in {"token", "patch"}:
        return _token_units(a, index, name)
    assert a.texts is not None
    text = a.texts[index]
    if name == "word":
        return tuple(
            Unit("word", w.text, w.tokens, w.start, w.end, part=w.part, words=(n,)) for n, w in enumerate(text.words)
        )
    return _sentence_units(text)


def _token_units(a: Attribution, index: int, name: str) -> tuple[Unit, ...]:
    names, special = token_names(a, index), a.special[index].tolist()
    if a.grid is not None:
        patches, columns = a.grid.patches, max(a.grid.columns, 1)
        return tuple(
            Unit("patch", text, (t,), place=divmod(t - patches.start, columns), special=special[t])
            if patches.start <= t < patches.stop
            else Unit("token", text, (t,), special=True)
            for t, text in names.items()
            if name == "token" or patches.start <= t < patches.stop
        )
    words = () if a.texts is None else a.texts[index].words
    of = {t: (n, w) for n, w in enumerate(words) for t in w.tokens}
    out = []
    for t, text in names.items():
        n, word = of.get(t, (-1, None))
        if word is None:
            out.append(Unit("token", text, (t,), special=special[t]))
        else:
            place = word.start, word.end
            out.append(Unit("token", text, (t,), *place, part=word.part, words=(n,), special=special[t]))
    return tuple(out)


def _placed(text: Text) -> bool:
    """True where the text and the place of each of its words are known."""
    return text.text is not None and all(0 <= w.start <= w.end <= len(text.text) for w in text.words)


def _sentence_units(text: Text) -> tuple[Unit, ...]:
    """Sentences that hold a word; the words joined by spaces stand for a text that is not known."""
    if text.text is not None and _placed(text):
        places = [(w.start, w.end) for w in text.words]
        return _held(text.words, range(len(text.words)), places, sentences(text.text), text.text)
    out: list[Unit] = []
    for part in sorted({w.part for w in text.words}):
        numbers = [n for n, w in enumerate(text.words) if w.part == part]
        whole, places = joined([text.words[n].text for n in numbers])
        units = _held(text.words, numbers, places, sentences(whole), whole)
        out += [Unit("sentence", u.text, u.tokens, part=part, words=u.words) for u in units]
    return tuple(out)


def _held(
    words: Sequence[Word], numbers: Sequence[int], places: Sequence[Span], spans: Sequence[Span], text: str
) -> tuple[Unit, ...]:
    held = _assigned(places, spans)
    return tuple(
        _unit("sentence", text, span, words, [numbers[i] for i in members])
        for span, members in zip(spans, held, strict=True)
        if members
    )


def _unit(name: str, text: str, span: Span, words: Sequence[Word], numbers: Sequence[int]) -> Unit:
    tokens = tuple(t for n in numbers for t in words[n].tokens)
    return Unit(name, text[slice(*span)], tokens, *span, words=tuple(numbers))


def _assigned(places: Sequence[Span], spans: Sequence[Span]) -> list[list[int]]:
    """For each span the words that have most of their characters there, among the spans; spans do not overlap."""
    order = sorted(range(len(spans)), key=lambda i: spans[i])
    starts = [spans[i][0] for i in order]
    held: list[list[int]] = [[] for _ in spans]
    for number, (start, end) in enumerate(places):
        end = max(end, start + 1)  # a word without characters has its place
        best, most = -1, 0
        at = max(bisect_right(starts, start) - 1, 0)
        while at < len(order) and starts[at] < end:
            shared = min(end, spans[order[at]][1]) - max(start, starts[at])
            best, most = (order[at], shared) if shared > most else (best, most)
            at += 1
        if best >= 0:
            held[best].append(number)
    return held


def _span_units(a: Attribution, index: int, spans: Sequence[Span]) -> tuple[Unit, ...]:
    text = None if a.texts is None else a.texts[index]
    if text is None or text.text is None or not _placed(text):
        raise ValueError(
            f"by: spans need the text and the place of its words, which input {index} lacks (an image, "
            'ids, or a pair); use "word" or "token"'
        )
    size = len(text.text)
    for start, end in spans:
        if not 0 <= start < end <= size:
            raise ValueError(
                f"by: expected spans (start, end) with 0 <= start < end <= {size}, the characters of input {index}; "
                f"got {(start, end)}"
            )
    for first, second in pairwise(sorted(spans)):
        if second[0] < first[1]:
            raise ValueError(f"by: {first} and {second} of input {index} overlap; pass them in two calls")
    held = _assigned([(w.start, w.end) for w in text.words], spans)
    cut = [
        text.words[n]
        for (start, end), members in zip(spans, held, strict=True)
        for n in members
        if text.words[n].start < start or text.words[n].end > end
    ]
    if cut:
        examples = ", ".join(f"{shown(w.text)} at {w.start} to {w.end}" for w in cut[:3])
        warn(
            f"by: spans of input {index} cut {len(cut)} of its words, which count as a whole in the span that holds "
            f"most of them: {examples}"
        )
    return tuple(
        Unit(SPAN, u.text, u.tokens, u.start, u.end, words=u.words)
        for u in (_unit(SPAN, text.text, span, text.words, members) for span, members in zip(spans, held, strict=True))
    )


def _spans(a: Attribution, by: Any) -> list[list[Span]]:
    """The spans of each input: a list of them for one input, a list of such lists for several."""
    wanted = f"{', '.join(map(repr, NAMES))}, or spans (start, end) of characters, a list of them for each input"
    rows = listed("by", by, wanted)
    if a.batch == 1 and (not rows or _is_span(rows[0])):
        rows = [rows]
    if len(rows) != a.batch:
        raise ValueError(f"by: expected a list of spans for each of {a.batch} inputs, got {len(rows)}")
    out = []
    for row in rows:
        spans = listed("by", row, wanted)
        if not all(_is_span(span) for span in spans):
            raise TypeError(f"by: expected {wanted}; got {kind(row)}")
        out.append([(int(scalar(start)), int(scalar(end))) for start, end in spans])
    return out


def listed(name: str, value: Any, wanted: str) -> list[Any]:
    """The items of a list, an array or another sequence.

    Args:
        name: of the argument.
        value: the value that came.
        wanted: noun of the message.

    Raises:
        TypeError: a text, something without a length and items, or of too many.
    """
    if isinstance(value, str | bytes) or not hasattr(value, "__len__") or not hasattr(value, "__getitem__"):
        raise TypeError(f"{name}: expected {wanted}; got {kind(value)}")
    try:
        size = len(value)
        items = [value[i] for i in range(size)] if size <= MOST else None
    except Exception as error:  # of the caller's own class, a mapping, or an array without axes
        raise TypeError(f"{name}: expected {wanted}; got {kind(value)}") from error
    if items is None:
        raise TypeError(f"{name}: expected {wanted}, at most {MOST}; got {size}")
    return items


def _is_span(value: Any) -> bool:
    try:
        bounds = [scalar(value[i]) for i in range(len(value))]
    except Exception:  # of the caller's own class, or no list at all
        return False
    return len(bounds) == 2 and all(isinstance(i, Integral) and not isinstance(i, bool) for i in bounds)
