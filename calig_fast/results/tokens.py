"""The parts of an input: words and tokens of a text, the patch grid of an image."""

from __future__ import annotations

from dataclasses import dataclass, field, replace


@dataclass(frozen=True)
class Word:
    """One word of an input: its text, the token positions it was split into, and its place in the text.

    Args:
        text: the word as written.
        tokens: positions of its word pieces, indices into `Attribution.scores[b]`.
        start: first character in the input text, or -1 where the text is not known.
        end: one past the last character, or -1.
        part: 0, or 1 for a word of the second text of a pair.
    """

    text: str
    tokens: tuple[int, ...]
    start: int = -1
    end: int = -1
    part: int = 0


@dataclass(frozen=True)
class Text:
    """One text input: its tokens, its words, and the text itself if the caller passed it.

    Args:
        tokens: one string a token, padding left out; `len(tokens)` real tokens.
        words: the words the tokens make up; special tokens belong to none.
        text: the text as given, or None (ids were given).
        truncated: tokens cut off because the model reads no more; 0 when the whole text was read.
        windows: windows that the text was explained in, see `long_texts` of `explain`.
    """

    tokens: tuple[str, ...]
    words: tuple[Word, ...]
    text: str | None = None
    truncated: int = 0
    windows: int = 1

    def with_added(self, before: int, after: int) -> Text:
        """The same text in a model that puts tokens of its own before and after it."""
        front, back = ([f"[{place} {i}]" for i in range(n)] for place, n in (("before", before), ("after", after)))
        words = tuple(replace(w, tokens=tuple(t + before for t in w.tokens)) for w in self.words)
        return replace(self, tokens=(*front, *self.tokens, *back), words=words)


@dataclass(frozen=True)
class Grid:
    """The layout of an image's tokens.

    The patch of row r and column c covers pixels r * height to (r + 1) * height from the top, c * width to
    (c + 1) * width from the left. The model does not read what lies after the last row or column; a patch that reaches
    beyond the image was filled up by the model.

    Args:
        rows: patches from top to bottom.
        columns: patches from left to right.
        prefix: tokens before the first patch (class token, distillation token, registers).
        height: pixels of a patch from top to bottom, None where they are not known; two grids are equal all the same.
        width: the same from left to right.
        suffix: tokens after the last patch.
        names: of the tokens before the first patch, empty where they are not known.
    """

    rows: int
    columns: int
    prefix: int = 1
    height: int | None = field(default=None, compare=False)
    width: int | None = field(default=None, compare=False)
    suffix: int = 0
    names: tuple[str, ...] = field(default=(), compare=False)

    @property
    def tokens(self) -> int:
        """All tokens of an image."""
        return self.prefix + self.rows * self.columns + self.suffix

    @property
    def patches(self) -> slice:
        """The tokens that are patches."""
        return slice(self.prefix, self.prefix + self.rows * self.columns)
