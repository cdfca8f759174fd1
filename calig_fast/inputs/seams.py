"""Windows that a tokenizer made of long texts, put together: where each of them stands in its text."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from ..results.tokens import Text
from ..results.windows import Windows
from .rows import OWNERS, is_mapping
from .text import kept, words_by_marks, words_kept

STAY = (None, "first", "last")  # runs that are the same in all windows
REST = "overflowing_tokens"
CERTAIN = 3  # tokens that repeat at all seams together by chance hardly ever
Span = tuple[Any, ...]  # the keys of tokens that stand side by side
Run = tuple[object, list[int]]  # a label, None for special tokens, and numbers of tokens


@dataclass(frozen=True)
class Read:
    """The windows as they were read.

    Args:
        content: [W,T] ids or [W,T,E] features.
        mask: [W,T] bool.
        special: [W,T] bool.
        names: the tokens of each window.
        kept: what a fast tokenizer kept of each window, or None.
        offsets: [W,T,2] places of the tokens in the text, or None.
    """

    content: Tensor
    mask: Tensor
    special: Tensor
    names: Sequence[tuple[str, ...]]
    kept: Sequence[Any] | None = None
    offsets: Tensor | None = None


def read(source: Any, content: Tensor, mask: Tensor, special: Tensor, names: Sequence[tuple[str, ...]]) -> Read:
    """The windows of an encoding.

    Args:
        source: the encoding.
        content: see `Read`, as the rest.
    """
    offsets = None
    if "offset_mapping" in dict(source):
        with contextlib.suppress(ValueError, TypeError, RuntimeError):  # of rows of several lengths, which say nothing
            offsets = torch.as_tensor(dict(source)["offset_mapping"])
    fits = offsets is not None and offsets.shape == (*mask.shape, 2)
    ids = None if content.is_floating_point() else content
    return Read(content, mask, special, names, kept(source, ids, mask), offsets if fits else None)


def check_overflow(inputs: Any) -> None:
    """Raise where a tokenizer gives the rest of a text as bare ids, as those in Python do.

    Args:
        inputs: a mapping or a list of them; anything else passes.

    Raises:
        ValueError: it does.
    """
    for row in inputs if isinstance(inputs, list | tuple) else [inputs]:
        if is_mapping(row) and len(dict(row).get(REST) or ()):
            raise ValueError(
                f"inputs: this tokenizer gives the rest of a long text as {REST}, not as windows; pass the text itself "
                'with long_texts="windows"'
            )


def owners(given: Any, rows: int) -> list[int] | None:
    """The text of each window, counted in the order of the windows; None where each text has one.

    Args:
        given: the tokenizer's `overflow_to_sample_mapping`, or None.
        rows: W.

    Raises:
        ValueError: a mapping that does not have W numbers.
    """
    if given is None:
        return None
    try:
        texts = torch.as_tensor(given).reshape(-1)
    except (ValueError, TypeError, RuntimeError) as error:
        raise ValueError(f"inputs: {OWNERS} holds no numbers ({error}); pass it as the tokenizer made it") from error
    if texts.is_floating_point() or texts.is_complex() or texts.dtype == torch.bool or len(texts) != rows:
        raise ValueError(
            f"inputs: expected {OWNERS} of {rows} ints, one for each row, got {texts.dtype} [{len(texts)}]; leave it "
            "out to explain each row as a text of its own"
        )
    numbers = {value: i for i, value in enumerate(dict.fromkeys(texts.tolist()))}
    return None if len(numbers) == rows else [numbers[value] for value in texts.tolist()]


def joined(read: Read, of: Sequence[int], tokenizer: Any, stride: int | None) -> Windows:
    """Find the place of every window in its text.

    Windows of one text agree where they overlap. By the places of the tokens in the text the overlap is seen for each
    seam; by ids alone it is the one that all seams allow, or what `stride` says.

    Args:
        read: the windows.
        of: the text of each.
        tokenizer: the tokenizer, or None.
        stride: tokens of overlap as the caller knows them, or None.

    Raises:
        ValueError: windows of one text with other special tokens, an overlap that is not there or cannot be told.
    """
    keys = _keys(read)
    placed = read.kept is not None or read.offsets is not None
    placed = placed and _ascend(read)
    backwards = not placed and getattr(tokenizer, "truncation_side", "right") == "left"
    groups = [[w for w, owner in enumerate(of) if owner == text] for text in range(max(of) + 1)]
    chains = [
        _Chains(rows, _runs(read, keys, rows, text), keys, placed=placed, backwards=backwards)
        for text, rows in enumerate(groups)
    ]
    seams = [seam for chain in chains for seam in chain.seams()]
    if not placed and stride is None:
        for text, chain in enumerate(chains):
            chain.check_lengths(text)
    shared = None if placed else _uniform(seams, stride)
    if placed and stride is not None and any(_overlap(*seam) != stride for seam in seams):
        raise ValueError(
            f"stride: the windows share {sorted({_overlap(*seam) for seam in seams})} tokens, got {stride}; leave it "
            "out, as they tell it themselves"
        )
    places = {w: row for chain in chains for w, row in chain.places(shared).items()}
    overlaps = [shared] if shared is not None else [_overlap(*seam) for seam in seams]
    wholes = [_whole(read, rows, places, tokenizer) for rows in groups]
    return Windows(
        tuple(of),
        tuple(places[w] for w in range(len(of))),
        tuple(text for text, _ in wholes),
        tuple(special for _, special in wholes),
        max(map(len, places.values())),
        max(overlaps, default=0),
    )


@dataclass(frozen=True)
class _Chains:
    """The windows of one text as runs of tokens: special tokens, a text that stays, a text that moves.

    Args:
        rows: numbers of the windows.
        runs: the runs of each window, as many in each.
        keys: the keys of every window's tokens.
        placed: keys hold the place in the text.
        backwards: the first window is the last of the text.
    """

    rows: list[int]
    runs: list[list[Run]]
    keys: list[list[Any]]
    placed: bool
    backwards: bool

    def _spans(self, run: int) -> list[Span]:
        """The run of every window."""
        return [tuple(self.keys[w][t] for t in runs[run][1]) for w, runs in zip(self.rows, self.runs, strict=True)]

    def _order(self, run: int) -> list[int]:
        """The windows in the order of the text, of a run that moves; none where it stays."""
        windows = list(range(len(self.rows)))
        if self.runs[0][run][0] in STAY:
            return []
        if self.placed:
            spans = self._spans(run)
            return sorted(windows, key=lambda i: (spans[i][0][1:], spans[i][-1][1:]))
        return windows[::-1] if self.backwards else windows

    def check_lengths(self, text: int) -> None:
        """Raise where a window that is not the last is shorter than another, as no tokenizer makes them.

        Raises:
            ValueError: naming the text.
        """
        for run in range(len(self.runs[0])):
            spans, order = self._spans(run), self._order(run)
            full = {len(spans[i]) for i in order[:-1]}
            if self.backwards:
                full = {len(spans[i]) for i in order[1:]}
            if len(full) > 1:
                raise ValueError(
                    f"inputs: windows in the middle of text {text} are of different lengths, {sorted(full)}, so their "
                    "ids do not tell how they overlap; pass the tokenizer's output itself, or stride="
                )

    def seams(self) -> list[tuple[Span, Span]]:
        """Different spans that follow each other."""
        pairs = []
        for run in range(len(self.runs[0])):
            spans = self._spans(run)
            pairs += [(spans[a], spans[b]) for a, b in pairwise(self._order(run))]
        return [seam for seam in pairs if not self.placed or seam[0] != seam[1]]

    def places(self, shared: int | None) -> dict[int, tuple[int, ...]]:
        """The place of each token of each window in the text."""
        by_window: dict[int, list[int]] = {w: [] for w in self.rows}
        begin = 0
        for run in range(len(self.runs[0])):
            spans = self._spans(run)
            starts = [begin] * len(spans)
            for a, b in pairwise(self._order(run)):
                overlap = _overlap(spans[a], spans[b]) if shared is None else shared
                starts[b] = starts[a] + len(spans[a]) - overlap
            for w, start, span in zip(self.rows, starts, spans, strict=True):
                by_window[w] += range(start, start + len(span))
            begin = max(start + len(span) for start, span in zip(starts, spans, strict=True))
        return {w: tuple(row) for w, row in by_window.items()}


def _keys(read: Read) -> list[list[Any]]:
    """The trait that tokens of two windows share where they are the same token of the text."""
    out = []
    for w, mask in enumerate(read.mask):
        real = mask.nonzero().flatten().tolist()
        content = read.content[w].tolist()
        ids = [tuple(value) if isinstance(value, list) else value for value in content]
        if read.kept is not None:
            words, places = read.kept[w].word_ids, read.kept[w].offsets
            # the places in words that came apart count from the word, so its number goes first
            out.append([(ids[t], -1 if words[t] is None else words[t], *places[t]) for t in real])
        elif read.offsets is not None:
            places = read.offsets[w].tolist()
            out.append([(ids[t], *places[t]) for t in real])
        else:
            out.append([ids[t] for t in real])
    return out


def _ascend(read: Read) -> bool:
    """Return True where the places in the text ascend; they count from each word where the words came apart."""
    if read.kept is not None or read.offsets is None:
        return True
    for starts, special, mask in zip(read.offsets[:, :, 0], read.special, read.mask, strict=True):
        flags = special[mask].tolist()
        for is_special, group in groupby(zip(flags, starts[mask].tolist(), strict=True), lambda pair: pair[0]):
            run = [start for _, start in group]
            if not is_special and len(run) > 1 and (run != sorted(run) or run[0] == run[-1]):
                return False
    return True


def _runs(read: Read, keys: list[list[Any]], rows: list[int], text: int) -> list[list[Run]]:
    """The runs of every window of a text, as many in each."""
    if read.kept is not None:
        by_window = []
        for w in rows:
            real = read.mask[w].nonzero().flatten().tolist()
            labels = [read.kept[w].sequence_ids[t] for t in real]
            by_window.append([(label, list(group)) for label, group in groupby(range(len(real)), labels.__getitem__)])
    else:
        by_window = _split(read, keys, rows, text)
    kinds = {tuple((label, len(run) if label is None else 0) for label, run in runs) for runs in by_window}
    if len(kinds) > 1:
        raise ValueError(
            f"inputs: the windows of text {text} have not the same special tokens, so they cannot be put together; "
            f"leave {OWNERS} out to explain each of them as a text of its own"
        )
    return by_window


def _split(read: Read, keys: list[list[Any]], rows: list[int], text: int) -> list[list[Run]]:
    """Runs by special tokens alone: what stands first or last in all windows, up to a special token, stays."""
    special = [read.special[w][read.mask[w]].tolist() for w in rows]
    first = [flags.index(False) for flags in special]
    last = [len(flags) - flags[::-1].index(False) for flags in special]
    middles = [list(range(a, b)) for a, b in zip(first, last, strict=True)]
    before = _common([[(keys[w][t], special[i][t]) for t in middles[i]] for i, w in enumerate(rows)])
    rest = [middle[before:] for middle in middles]
    after = _common([[(keys[w][t], special[i][t]) for t in rest[i][::-1]] for i, w in enumerate(rows)])
    out: list[list[Run]] = []
    both = []
    for flags, middle, moving in zip(special, middles, rest, strict=True):
        end = len(moving) - after
        runs = [
            (None, list(range(middle[0]))),
            ("first", middle[:before]),
            ("moving", moving[:end]),
            ("last", moving[end:]),
            (None, list(range(middle[-1] + 1, len(flags)))),
        ]
        out.append([(label, run) for label, run in runs])
        inner = [list(group) for is_special, group in groupby(flags[t] for t in moving[:end]) if is_special]
        both.append(len(inner) == 1)
    if len(rows) > 1 and all(both):
        raise ValueError(
            f"inputs: the windows of text {text} seem to be pairs of which both texts move, which their ids do not "
            "tell apart; pass the tokenizer's output itself"
        )
    return [[run for i, run in enumerate(runs) if any(each[i][1] for each in out)] for runs in out]


def _common(rows: list[list[tuple[Any, bool]]]) -> int:
    """The length of what all rows begin with, up to its last special token; 0 for one row."""
    if len(rows) < 2:
        return 0
    same = 0
    while same < min(map(len, rows)) - 1 and len({row[same] for row in rows}) == 1:
        same += 1
    return max((i + 1 for i in range(same) if rows[0][i][1]), default=0)


def _overlap(before: Span, after: Span) -> int:
    """The most tokens that end one span and begin the next."""
    return next(n for n in range(min(len(before), len(after)), -1, -1) if before[len(before) - n :] == after[:n])


def _uniform(seams: list[tuple[Span, Span]], stride: int | None) -> int:
    """The overlap that all seams allow, by ids alone."""

    def fits(n: int) -> bool:
        return all(n <= min(len(a), len(b)) and a[len(a) - n :] == b[:n] for a, b in seams)

    if stride is not None:
        if not fits(stride):
            raise ValueError(
                f"stride: the windows do not share {stride} tokens; pass the stride that the tokenizer was called with"
            )
        return stride
    most = min((min(len(a), len(b) - 1) for a, b in seams), default=0)  # the next window holds a token that is new
    counts = [n for n in range(1, most + 1) if fits(n)]
    if len(counts) > 1 or (counts and counts[0] * len(seams) < CERTAIN):
        raise ValueError(
            f"inputs: the overlap of the windows cannot be told from their ids (it may be {[0, *counts]} tokens); pass "
            "the tokenizer's output itself, its offset_mapping, or the stride= that it was called with"
        )
    return counts[0] if counts else 0


def _whole(
    read: Read, rows: list[int], places: dict[int, tuple[int, ...]], tokenizer: Any
) -> tuple[Text, tuple[bool, ...]]:
    """The text that windows make, and its special tokens."""
    count = max(max(places[w]) for w in rows) + 1
    names, special = [""] * count, [False] * count
    # the encoding of the whole text, as far as words are read from it
    whole: dict[str, list[Any]] = {
        name: [None] * count for name in ("tokens", "offsets", "word_ids", "sequence_ids", "special_tokens_mask")
    }
    for w in rows:
        real = read.mask[w].nonzero().flatten().tolist()
        for j, (t, place) in enumerate(zip(real, places[w], strict=True)):
            named = read.kept is not None or not read.content.is_floating_point()
            names[place] = read.names[w][j] if named else f"[{place}]"
            special[place] = bool(read.special[w, t])
            if read.kept is not None:
                for name, values in whole.items():
                    values[place] = getattr(read.kept[w], name)[t]
    if read.kept is not None:
        words = words_kept(SimpleNamespace(**whole), list(range(count)), (), tokenizer)
    else:
        words = words_by_marks(names, list(range(count)), special, tokenizer)
    return Text(tuple(names), words), tuple(special)
