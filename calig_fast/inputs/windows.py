"""Long texts cut into sliding windows, each with the special tokens of the whole and what stays of a pair."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ..results.tokens import Text
from ..results.windows import Windows
from . import text as writing
from .arguments import Arguments, is_mask
from .text import Encoded

LONG_TEXTS = ("cut", "windows")
SHARE = 4  # of the tokens that move through a window, one in so many is shared with the next by default


class Long(NamedTuple):
    """The treatment of texts that are longer than the model reads.

    Args:
        texts: "cut", or "windows".
        stride: tokens that a window shares with the one before it, None for a quarter of those that move.
    """

    texts: str = "cut"
    stride: int | None = None

    @property
    def slides(self) -> bool:
        """Return True where windows slide over long texts."""
        return self.texts == "windows"


CUT = Long()


@dataclass(frozen=True)
class Whole:
    """Texts as the tokenizer writes them, of any length.

    Args:
        mask: [B,T] bool, real tokens, those of a text side by side.
        special: [B,T] bool.
        texts: their tokens and words, the words' tokens counted with the padding.
        parts: for every text the text of a pair that each real token belongs to, None at special tokens; None where
            the tokenizer did not keep it.
        pairs: two stretches of content are two texts.
    """

    mask: Tensor
    special: Tensor
    texts: tuple[Text, ...]
    parts: Sequence[Sequence[int | None]] | None = None
    pairs: bool = True


def most_positions(model: nn.Module) -> int | None:
    """The positions that a model has, by its configuration and its table of positions; None where neither tells."""
    configured = (
        getattr(getattr(module, "config", None), "max_position_embeddings", None) for module in model.modules()
    )
    limits = [next((n for n in configured if isinstance(n, int) and n > 0), None)]
    for name, module in model.named_modules():
        own = name.rpartition(".")[2]
        if isinstance(module, nn.Embedding) and "position" in own and "rel" not in own:  # relative ones have no end
            unused = 0 if module.padding_idx is None else module.padding_idx + 1  # positions count on from padding
            limits.append(module.num_embeddings - unused)
    return min((n for n in limits if n is not None), default=None)


def check_stride(long: Long) -> None:
    """Raise where an overlap is given, and there are no windows.

    Raises:
        ValueError: it is.
    """
    if long.stride is not None and not long.slides:
        raise ValueError(
            'stride: it is the overlap of windows, and the inputs are no windows; pass long_texts="windows" too, or '
            "leave stride out"
        )


def whole_texts(arguments: Arguments, source: Any, tokenizer: Any, encoded: Encoded | None) -> Whole:
    """The texts of an encoding that is longer than the model reads.

    Args:
        arguments: what the model takes.
        source: the encoding.
        tokenizer: the tokenizer, or None.
        encoded: how text was encoded, None for the caller's own ids.

    Raises:
        ValueError: a mask that cannot be cut.
    """
    main = arguments.tensors[arguments.content or ""]
    ids = None if main.is_floating_point() else main
    other = [n for n in arguments.tensors if n != arguments.content and is_mask(n) and n != "attention_mask"]
    if other:
        raise ValueError(
            f"inputs: {other} of {main.shape[1]} tokens cannot be cut into windows; pass the mask as attention_mask, "
            "or the text itself"
        )
    attention_mask = (
        arguments.tensors.get("attention_mask") if arguments.aside is None else arguments.aside.to(main.device)
    )
    mask = (
        torch.ones(main.shape[:2], dtype=torch.bool, device=main.device)
        if attention_mask is None
        else attention_mask != 0
    )
    if mask.shape != main.shape[:2]:
        raise ValueError(f"inputs: expected attention_mask {list(main.shape[:2])}, got {list(mask.shape)}")
    special = writing.special(source, ids, mask, tokenizer)
    encodings = writing.kept(source, ids, mask)
    parts = None
    if encodings is not None:
        parts = [[e.sequence_ids[t] for t in row.nonzero().flatten()] for e, row in zip(encodings, mask, strict=True)]
    texts = writing.texts(source, ids, mask, special, tokenizer=tokenizer, encoded=encoded)
    return Whole(mask, special, texts, parts, pairs=encoded is None or len(encoded.parts[0]) > 1)


def of_windows(windows: Windows, mask: Tensor) -> tuple[Tensor, tuple[Text, ...]]:
    """Special tokens [W,T] and tokens of the windows.

    Raises:
        ValueError: tokens of a window count as padding.
    """
    if mask.sum(1).tolist() != [len(places) for places in windows.places]:
        raise ValueError("inputs: ids among the text's count as padding; pass an attention_mask that marks the padding")
    special = torch.zeros_like(mask)
    for w in range(len(mask)):
        special[w, mask[w]] = torch.tensor(windows.special_of(w), device=mask.device)
    return special, tuple(Text(windows.names(w), ()) for w in range(len(mask)))


def cut(
    arguments: Arguments, whole: Whole, limit: int, long: Long, *, fill: int, left: bool = False
) -> tuple[Arguments, Windows]:
    """The arguments of the windows, padded on the right, and where each window stands in its text.

    Of a pair the longer text moves; the other one stands in every window.

    Args:
        arguments: of the whole texts.
        whole: the texts.
        limit: most tokens of a window.
        long: the overlap.
        fill: id that pads.
        left: windows are counted from the end, as by a tokenizer that truncates on the left.

    Raises:
        ValueError: a text that leaves no room for its pair, an overlap as large as a window.
    """
    owners: list[int] = []
    places: list[tuple[int, ...]] = []
    strides = [0]
    for number, text in enumerate(whole.texts):
        count = len(text.tokens)
        if count <= limit:
            owners.append(number)
            places.append(tuple(range(count)))
            continue
        first, end = _moving(whole, number)
        room = limit - (count - (end - first))
        stride = _stride(long.stride, room, number, limit)
        strides.append(stride)
        for start, stop in _spans(end - first, room, stride, left):
            owners.append(number)
            places.append((*range(first), *range(first + start, first + stop), *range(end, count)))
    real = [row.nonzero().flatten() for row in whole.mask]
    windows = Windows(
        tuple(owners),
        tuple(places),
        tuple(_compact(text, rows.tolist()) for text, rows in zip(whole.texts, real, strict=True)),
        tuple(tuple(row[rows].tolist()) for row, rows in zip(whole.special, real, strict=True)),
        max(map(len, places)),
        max(strides),
    )
    return _sliced(arguments, windows, real, fill), windows


def _moving(whole: Whole, number: int) -> tuple[int, int]:
    """The first and one past the last of the tokens that move: the content, of a pair the longer text."""
    special = whole.special[number][whole.mask[number]].tolist()
    if whole.parts is not None:
        labels = whole.parts[number]
        kinds = {part for part in labels if part is not None}
        ranges = [_ends([i for i, part in enumerate(labels) if part == kind]) for kind in sorted(kinds)]
    else:
        content = [
            list(group) for is_special, group in groupby(range(len(special)), special.__getitem__) if not is_special
        ]
        joined = whole.pairs and len(content) == 2
        ranges = [_ends(run) for run in content] if joined else [(content[0][0], content[-1][-1] + 1)]
    return max(ranges, key=lambda ends: ends[1] - ends[0])


def _ends(places: list[int]) -> tuple[int, int]:
    return places[0], places[-1] + 1


def _stride(given: int | None, room: int, number: int, limit: int) -> int:
    if room < 1:
        raise ValueError(
            f"inputs: of the pair {number}, both texts are as long as a window of {limit} tokens, so nothing can move "
            "through it; shorten one of them"
        )
    if given is not None and given >= room:
        raise ValueError(
            f"stride: expected less than the {room} tokens that a window of {limit} takes of text {number}, got {given}"
        )
    return room // SHARE if given is None else given


def _spans(count: int, room: int, stride: int, left: bool) -> list[tuple[int, int]]:
    """Windows of `room` tokens over `count`; the last one, or the first one from the left, may be shorter."""
    spans = []
    for start in range(0, count, room - stride):
        spans.append((start, min(start + room, count)))
        if spans[-1][1] == count:
            break
    return [(count - stop, count - start) for start, stop in reversed(spans)] if left else spans


def _compact(text: Text, real: list[int]) -> Text:
    """A text with its words' tokens counted without padding."""
    place = {t: i for i, t in enumerate(real)}
    return replace(text, words=tuple(replace(word, tokens=tuple(place[t] for t in word.tokens)) for word in text.words))


def _sliced(arguments: Arguments, windows: Windows, real: list[Tensor], fill: int) -> Arguments:
    main = arguments.tensors[arguments.content or ""]
    shape = main.shape[:2]
    rows = [real[owner][list(places)] for owner, places in zip(windows.owners, windows.places, strict=True)]
    first = [real[owner][: len(row)] for owner, row in zip(windows.owners, rows, strict=True)]

    def taken(name: str, value: Tensor) -> Tensor:
        if value.shape[:2] != shape:
            return value[list(windows.owners)]
        chosen = first if name == "position_ids" else rows  # positions count from the start of a window
        filled = fill if name == arguments.content else 0
        return _padded([value[o][row] for o, row in zip(windows.owners, chosen, strict=True)], windows.tokens, filled)

    mask = _padded([main.new_ones(len(row), dtype=torch.int64) for row in rows], windows.tokens, 0)
    needed = arguments.aside is not None or ("attention_mask" not in arguments.tensors and not bool(mask.all()))
    return replace(
        arguments,
        tensors={name: taken(name, value) for name, value in arguments.tensors.items()},
        aside=mask if needed else None,
    )


def _padded(rows: list[Tensor], length: int, fill: Any) -> Tensor:
    out = rows[0].new_full((len(rows), length, *rows[0].shape[1:]), fill)
    for row, values in zip(out, rows, strict=True):
        row[: len(values)] = values
    return out
