"""Text inputs: tokens from text, and names, words and special tokens from the tokenizer's encodings."""

from __future__ import annotations

import contextlib
import functools
import math
import threading
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from .._utils.host_copies import fetched, sent
from .._utils.warn import warn
from ..results.tokens import Text, Word
from .rows import collated

Pair = tuple[str, str]
_lock = threading.RLock()
_PIECE_STARTS = ("\u2581", "\u0120")  # how sentencepiece and byte-level BPE mark a piece that starts a word


@dataclass(frozen=True)
class Encoded:
    """The tokenizer's encoding of the caller's text.

    Args:
        encoding: a BatchEncoding of tensors.
        parts: the text of each input, or the two of a pair.
        truncated: tokens cut off each.
        limit: most tokens that the model and its tokenizer take.
        longest: tokens of the longest.
    """

    encoding: Any
    parts: tuple[tuple[str, ...], ...]
    truncated: tuple[int, ...]
    limit: int
    longest: int

    def original(self, index: int) -> str | None:
        """The text of one input; None for a pair."""
        return self.parts[index][0] if len(self.parts[index]) == 1 else None


def encode(
    inputs: str | Sequence[Any],
    tokenizer: Any,
    longest: int | None,
    padding: int = 0,
    side: str | None = None,
    *,
    whole: bool = False,
) -> Encoded:
    """Tokenise text, a list of texts, a pair (a tuple of two), or a list of pairs.

    Args:
        inputs: the text.
        tokenizer: a Hugging Face tokenizer.
        longest: most tokens the model reads; longer text is cut, with a warning, and the cut is reported.
        padding: id that pads a batch where the tokenizer has no padding token.
        side: side of the padding, None for the tokenizer's.
        whole: longer text is not cut.

    Raises:
        TypeError: no tokenizer, something that is no text, or texts mixed with pairs.
        ValueError: no text at all.
    """
    one = isinstance(inputs, str) or (isinstance(inputs, tuple) and _is_pair(inputs))
    rows: list[Any] = [inputs] if one else list(inputs)
    _check_rows(rows)
    if tokenizer is not None and not callable(tokenizer):
        raise TypeError(
            f"processor: a {type(tokenizer).__name__} is no tokenizer of transformers and cannot be called with text; "
            "wrap it, as in PreTrainedTokenizerFast(tokenizer_object=...)"
        )
    if tokenizer is None:
        raise TypeError(
            'inputs: text needs a tokenizer; pass processor=, or tokenizer(text, return_tensors="pt") instead of text'
        )
    limit = min(longest or 10**9, getattr(tokenizer, "model_max_length", None) or 10**9)
    parts = tuple((str(row),) if isinstance(row, str) else tuple(map(str, row)) for row in rows)
    first = [part[0] for part in parts]
    second = None if len(parts[0]) == 1 else [part[1] for part in parts]
    with _lent(tokenizer), _naming(tokenizer):
        lengths = [len(ids) for ids in tokenizer(first, second, truncation=False, verbose=False)["input_ids"]]
        cut = tuple(0 if whole else max(0, n - limit) for n in lengths)
        options = {"truncation": any(cut), "max_length": limit if any(cut) else None}
        if getattr(tokenizer, "pad_token_id", 0) is None:
            encodings = [
                tokenizer(text, None if second is None else second[i], verbose=False, **options)
                for i, text in enumerate(first)
            ]
            encoding: Any = collated(encodings, padding)
        else:
            sided = {} if side is None else {"padding_side": side}
            encoding = tokenizer(first, second, return_tensors="pt", padding=True, verbose=False, **options, **sided)
    if any(cut) and side is None:
        which = ", ".join(f"input {i} has {n} tokens" for i, n in enumerate(lengths) if cut[i])
        warn(
            f'the model reads {limit} tokens and {which}; the rest is cut (long_texts="windows" explains all of it in '
            "windows)"
        )
    return Encoded(encoding, parts, cut, limit, max(lengths))


def _check_rows(rows: list[Any]) -> None:
    """Raise where something is no text, and no pair of texts where others are.

    Raises:
        TypeError: naming the inputs.
        ValueError: no text at all.
    """
    if not rows:
        raise ValueError("inputs: the batch is empty; pass at least one text")
    strange = {i: row for i, row in enumerate(rows) if not isinstance(row, str) and not _is_pair(row)}
    if strange:
        kinds = sorted({_kind(row) for row in strange.values()})
        raise TypeError(
            f"inputs: expected texts or pairs of texts, got {', '.join(kinds)} at input {list(strange)[:10]}; leave "
            "these out, or write them as text"
        )
    if len({isinstance(row, str) for row in rows}) > 1:
        raise TypeError("inputs: expected texts or pairs of texts, got both in one list; explain them in two calls")
    blank = [i for i, row in enumerate(rows) if not (row.strip() if isinstance(row, str) else any(map(str.strip, row)))]
    if blank:
        raise ValueError(f"inputs: input {blank} is empty; pass text with a word in it")


def _is_pair(row: Any) -> bool:
    return isinstance(row, tuple | list) and len(row) == 2 and all(isinstance(part, str) for part in row)


def _kind(row: Any) -> str:
    return "NaN" if isinstance(row, float) and math.isnan(row) else type(row).__name__


@contextlib.contextmanager
def _naming(tokenizer: Any) -> Iterator[None]:
    """Name the tokenizer in errors that it raises."""
    try:
        yield
    except Exception as error:  # tokenizers of all makers raise as many kinds
        raise ValueError(
            f"processor: {type(tokenizer).__name__} cannot make ids of the texts ({type(error).__name__}: {error}); "
            "pass the tokenizer that the model was trained with"
        ) from error


@contextlib.contextmanager
def _lent(tokenizer: Any) -> Iterator[None]:
    """A tokenizer for one thread at a time, its truncation and padding left as they were.

    A fast tokenizer keeps both in a state that all its users share.
    """
    with _lock:
        shared = getattr(tokenizer, "_tokenizer", None)
        known = hasattr(shared, "enable_truncation") and hasattr(shared, "enable_padding")
        before = (shared.truncation, shared.padding) if shared is not None and known else None
        try:
            yield
        finally:
            if shared is not None and before is not None:
                truncation, padding = before
                shared.no_truncation() if truncation is None else shared.enable_truncation(**truncation)
                shared.no_padding() if padding is None else shared.enable_padding(**padding)


def local_tokenizer(model: nn.Module) -> Any:
    """The tokenizer saved beside a model that came from a folder or from the hub's cache, or None."""
    source = getattr(getattr(model, "config", None), "_name_or_path", "") or ""
    return _tokenizer_in(source) if source else None


@functools.lru_cache(maxsize=8)
def _tokenizer_in(source: str) -> Any:
    try:
        from transformers import AutoTokenizer

        tokenizer = AutoTokenizer.from_pretrained(source, local_files_only=True)
    except (ImportError, OSError, ValueError):
        return None
    return tokenizer if has_vocabulary(tokenizer) else None


def has_vocabulary(tokenizer: Any) -> bool:
    """Return True if a tokenizer has more than special tokens; transformers makes one without from an empty folder."""
    return len(tokenizer) > len(tokenizer.all_special_ids)


def special(source: Any, ids: Tensor | None, mask: Tensor, tokenizer: Any) -> Tensor:
    """Special tokens [B,T], from the best witness there is.

    In order: a special_tokens_mask in the inputs, what a fast tokenizer kept, the tokenizer's list, and, with ids
    alone, the tokens that stand first and last in their text, wherever they stand beside others.

    Raises:
        ValueError: a special_tokens_mask of another shape.
    """
    if ids is not None:
        ids = fetched(ids)[0]
    return sent(_special(source, ids, fetched(mask)[0], tokenizer), mask.device)


def _special(source: Any, ids: Tensor | None, mask: Tensor, tokenizer: Any) -> Tensor:
    """See `special`; on the host."""
    given_mask = None if isinstance(source, Tensor) else source.get("special_tokens_mask")
    if given_mask is not None:
        special_mask = fetched(torch.as_tensor(given_mask))[0]
        special_mask = special_mask[None] if special_mask.dim() == 1 else special_mask
        if special_mask.shape != mask.shape:
            raise ValueError(f"inputs: expected special_tokens_mask {list(mask.shape)}, got {list(special_mask.shape)}")
        return (special_mask != 0) & mask
    encodings = kept(source, ids, mask)
    if encodings is not None:
        out = torch.zeros_like(mask)
        for b, encoding in enumerate(encodings):
            out[b, : len(encoding.ids)] = torch.tensor(encoding.special_tokens_mask) != 0
        return out & mask
    if ids is None:
        return torch.zeros_like(mask)
    if tokenizer is not None and hasattr(tokenizer, "all_special_ids"):
        content = {tokenizer.unk_token_id, getattr(tokenizer, "mask_token_id", None)}
        listed = torch.tensor([i for i in tokenizer.all_special_ids if i not in content])
        return torch.isin(ids, listed) & mask
    out = torch.zeros_like(mask)
    for b in range(len(ids)):
        real = mask[b].nonzero().flatten()
        if len(real) > 2:
            ends = real[[0, -1]]
            alike = torch.isin(ids[b], ids[b, ends]) & mask[b]
            out[b] = alike if bool((mask[b] & ~alike).any()) else torch.isin(torch.arange(len(alike)), ends)
    return out


def texts(
    source: Any, ids: Tensor | None, mask: Tensor, special: Tensor, *, tokenizer: Any, encoded: Encoded | None
) -> tuple[Text, ...]:
    """Names of the tokens of every input, and the words they make up."""
    mask, special = fetched(mask, special)
    if ids is not None:
        ids = fetched(ids)[0]
    encodings = kept(source, ids, mask)
    out = []
    for b in range(len(mask)):
        real = mask[b].nonzero().flatten().tolist()
        if encodings is not None:
            names = [encodings[b].tokens[t] for t in real]
            words = words_kept(encodings[b], real, encoded.parts[b] if encoded else (), tokenizer)
        else:
            names = _names(None if ids is None else ids[b], real, tokenizer)
            words = words_by_marks(names, real, special[b].tolist(), tokenizer)
        original, truncated = (encoded.original(b), encoded.truncated[b]) if encoded else (None, 0)
        out.append(Text(tuple(names), words, original, truncated))
    return tuple(out)


def kept(source: Any, ids: Tensor | None, mask: Tensor) -> list[Any] | None:
    """The encodings that a fast tokenizer kept of each input, if they belong to these ids."""
    encodings = getattr(source, "encodings", None)
    if not encodings or ids is None or len(encodings) != len(ids):
        return None
    for e, row, real in zip(encodings, ids.tolist(), mask.tolist(), strict=True):
        if e.ids != row[: len(e.ids)] or any(real[len(e.ids) :]):  # encodings that were padded later end before the row
            return None
    return list(encodings)


def _names(ids: Tensor | None, real: list[int], tokenizer: Any) -> list[str]:
    if ids is None:
        return [f"[{t}]" for t in real]
    every = ids.tolist()
    values = [int(every[t]) for t in real]
    if tokenizer is not None and hasattr(tokenizer, "convert_ids_to_tokens"):
        with contextlib.suppress(OverflowError, IndexError, KeyError):  # ids of another vocabulary
            return [str(name) for name in tokenizer.convert_ids_to_tokens(values)]
    return [f"#{value}" for value in values]


def words_kept(encoding: Any, real: list[int], parts: tuple[str, ...], tokenizer: Any) -> tuple[Word, ...]:
    """Words as the tokenizer split them, with their place in the text; the words of a pair have none."""
    groups: list[tuple[tuple[int, int], list[int]]] = []
    for t in real:
        word, sequence = encoding.word_ids[t], encoding.sequence_ids[t]
        if word is None or encoding.special_tokens_mask[t]:
            continue
        if groups and groups[-1][0] == (sequence, word):
            groups[-1][1].append(t)
        else:
            groups.append(((sequence, word), [t]))
    if not parts:
        return tuple(
            Word(_joined([encoding.tokens[t] for t in pieces], tokenizer), tuple(pieces), part=sequence or 0)
            for (sequence, _), pieces in groups
        )
    words = []
    for sequence, text in enumerate(parts):
        part_groups = [pieces for (of, _), pieces in groups if of == sequence]
        spans = [(encoding.offsets[pieces[0]][0], encoding.offsets[pieces[-1]][1]) for pieces in part_groups]
        for pieces, (start, end) in zip(part_groups, _places(text, spans), strict=True):
            place = (start, end) if len(parts) == 1 else (-1, -1)
            words.append(Word(text[start:end], tuple(pieces), *place, part=sequence))
    return tuple(words)


def _places(text: str, spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Spans of words as they are written: a tokenizer's may hold the space before a word, or leave out its accents."""
    out = []
    free = 0
    for i, (start, end) in enumerate(spans):
        following = max(end, spans[i + 1][0]) if i + 1 < len(spans) else len(text)
        if text[start:end].strip():
            start += len(text[start:end]) - len(text[start:end].lstrip())
        while start == end and start > free and text[start - 1].isspace():  # spaces alone, trimmed to nothing
            start -= 1
        while end < following and unicodedata.category(text[end]).startswith("M"):  # vowel signs and accents
            end += 1
        out.append((start, end))
        free = end
    return out


def words_by_marks(names: list[str], real: list[int], special: list[bool], tokenizer: Any) -> tuple[Word, ...]:
    """Words put together by the marks that tokenizers put on word pieces; every token a word where there are none."""
    marked = any(n.startswith(_PIECE_STARTS) for n in names)
    groups: list[list[int]] = []
    open_word = False
    for i, (name, t) in enumerate(zip(names, real, strict=True)):
        if special[t]:
            open_word = False
            continue
        starts = name.startswith(_PIECE_STARTS) if marked else not name.startswith("##")
        if open_word and not starts:
            groups[-1].append(i)
        else:
            groups.append([i])
        open_word = True
    return tuple(Word(_joined([names[i] for i in g], tokenizer), tuple(real[i] for i in g)) for g in groups)


def _joined(pieces: list[str], tokenizer: Any) -> str:
    """Word pieces as one word; the tokenizer knows how byte-level pieces are written."""
    decode = getattr(tokenizer, "convert_tokens_to_string", None)
    decoded = decode(pieces).strip().removeprefix("##") if decode else ""
    if decoded and not any(map(str.isspace, decoded)):
        return str(decoded)
    text = "".join(p.removeprefix("##") for p in pieces)
    for mark in _PIECE_STARTS:
        text = text.replace(mark, " ")
    return text.strip() or "".join(pieces)
