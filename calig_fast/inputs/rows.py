"""Containers of inputs: every sequence of texts, ids or encodings as one list, one mapping or one tensor."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from .._utils.arguments import as_tensor, kind
from .arguments import LABELS, dense
from .batches import BatchError, is_loader, unbatched
from .image_picture import is_image

OWNERS = "overflow_to_sample_mapping"  # the text of each window that a tokenizer made
MOST = 100_000  # inputs that are read at once: an iterator without an end must not fill the memory


@runtime_checkable
class _Indexed(Protocol):
    """A column: a length, and rows by their numbers."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Any: ...


class Collated(dict[str, Tensor]):
    """Several encodings as one batch, padded on the right.

    Attributes:
        encodings: what a fast tokenizer kept of each, empty where one kept nothing.
        made: names that are not the caller's, such as the mask of a padded batch.
    """

    encodings: list[Any]
    made: frozenset[str]


def is_mapping(value: Any) -> bool:
    """Return True for a mapping, or a tokenizer's output, which holds one."""
    if isinstance(value, Mapping):
        return True
    # the data of some arrays cannot be asked for
    return not isinstance(value, np.ndarray) and isinstance(getattr(value, "data", None), Mapping)


def gathered(inputs: Any) -> Any:
    """Iterators, arrays of text, columns and data sets as lists; everything else as it is.

    Raises:
        TypeError: nothing was passed, a table, a set, or bytes.
        ValueError: an iterator of more than `MOST` inputs.
    """
    if inputs is None:
        raise TypeError(
            "inputs: nothing was passed; pass the mapping itself, explain(model, batch), not explain(model, **batch)"
        )
    if isinstance(inputs, set | frozenset | bytes | bytearray):
        kind = type(inputs).__name__
        raise TypeError(f"inputs: expected text, a mapping of tensors or a list of them, got {kind}, which has no rows")
    if isinstance(inputs, np.ndarray | Tensor):
        return _numbers("the tensor" if isinstance(inputs, Tensor) else "the array", inputs)
    if isinstance(inputs, list | tuple):
        return _each(inputs)
    if isinstance(inputs, str) or is_mapping(inputs):
        _check_names(inputs)
        return inputs
    if hasattr(inputs, "columns"):
        raise TypeError(
            f'inputs: got a table ({type(inputs).__name__}); pass a column of texts, such as table["text"].tolist()'
        )
    if is_image(inputs) or not isinstance(inputs, Iterable | _Indexed):
        return inputs
    items: list[Any] = []
    try:
        each = iter(inputs) if isinstance(inputs, Iterable) else (inputs[i] for i in range(len(inputs)))
        items.extend(itertools.islice(unbatched(each) if is_loader(inputs) else each, MOST + 1))
    except BatchError:
        raise
    except Exception as error:  # of the caller's own class or generator
        raise ValueError(
            f"inputs: reading them from a {type(inputs).__name__} fails after {len(items)}, with "
            f"{type(error).__name__}: {error}"
        ) from error
    if len(items) > MOST:
        raise ValueError(f"inputs: the iterator gives more than {MOST} inputs; pass them in parts, or a list")
    return _each(items)


def _each(rows: list[Any] | tuple[Any, ...]) -> list[Any] | tuple[Any, ...]:
    """The rows, arrays among them in a form that PyTorch reads."""
    for number, row in enumerate(rows):
        if isinstance(row, Tensor):
            _numbers(f"row {number}", row)
        elif is_mapping(row):
            _check_names(row)
    if not any(isinstance(row, np.ndarray) for row in rows):
        return rows
    converted = [_numbers(f"row {i}", row) if isinstance(row, np.ndarray) else row for i, row in enumerate(rows)]
    return converted if isinstance(rows, list) else tuple(converted)


def _check_names(row: Any) -> None:
    """Raise where the names of a mapping are no texts."""
    if isinstance(row, str):
        return
    strange = [name for name in dict(row) if not isinstance(name, str)]
    if strange:
        raise TypeError(f"inputs: expected a mapping of arguments by their names, got the name {kind(strange[0])}")


def _numbers(name: str, value: Any) -> Any:
    """A tensor or an array of numbers in a form that PyTorch computes with; an array of texts or objects as lists.

    Raises:
        TypeError: a sparse, nested, quantised or complex one, or an array of dates or records.
        ValueError: a masked array of which values are masked.
    """
    if isinstance(value, Tensor):
        try:
            return dense(name, value)
        except TypeError as error:
            raise TypeError(f"inputs: {error}") from error
    if value.dtype.kind in "USO":
        return value.tolist()
    if value.dtype.kind not in "biuf":
        raise TypeError(f"inputs: {name} is of {value.dtype}; expected ints, bools, floats or texts")
    if isinstance(value, np.ma.MaskedArray) and bool(np.ma.getmaskarray(value).any()):
        raise ValueError(f"inputs: values of {name} are masked; fill them, as in array.filled(0), or leave them out")
    plain = np.asarray(value)
    narrow = plain.astype(np.float64) if plain.dtype.itemsize > 8 else plain
    native = narrow.astype(narrow.dtype.newbyteorder("="), copy=False)
    return native.copy() if any(step < 0 for step in native.strides) else native


def merged(inputs: Any, padding: int) -> Any:
    """A list of encodings or of ids as one mapping, texts in mappings as texts; everything else as it is.

    Args:
        inputs: what `gathered` gave.
        padding: id that fills the shorter rows.

    Raises:
        TypeError: rows of different kinds.
        ValueError: rows that cannot be stacked.
    """
    if is_mapping(inputs):
        return _text_of(inputs)
    if not isinstance(inputs, list | tuple) or not inputs:
        return inputs
    if all(is_mapping(row) for row in inputs):
        rows = [_text_of(row) for row in inputs]
        texts = [isinstance(row, str | tuple | list) for row in rows]
        if all(texts):
            return [text for row in rows for text in (row if isinstance(row, list) else [row])]
        if any(texts):
            raise TypeError("inputs: expected texts or encodings, got both in one list; explain them in two calls")
        return collated(rows, padding)
    if all(isinstance(row, int | np.integer) and not isinstance(row, bool) for row in inputs):
        return as_tensor("inputs", [int(row) for row in inputs], "ids of the vocabulary")
    if all(_is_numbers(row) for row in inputs):
        rows = [as_tensor("inputs", row, "ids or features") for row in inputs]
        if any(row.is_floating_point() for row in rows):
            return _stacked(rows)
        return collated([{"input_ids": row} for row in rows], padding, named=False)
    return inputs


def collated(rows: Sequence[Any], padding: int, named: bool = True) -> Collated:
    """Encodings as one batch, the shorter ones filled up on the right.

    Args:
        rows: mappings of one encoding [T] or of several [B,T] each.
        padding: id that fills up.
        named: the names of the ids are the caller's.

    Raises:
        ValueError: encodings of different names, or tensors that cannot be stacked.
        TypeError: a value that is no tensor.
    """
    names = {frozenset(dict(row)) for row in rows}
    if len(names) > 1:
        raise ValueError(f"inputs: every encoding needs the same names, got {[sorted(n) for n in names]}")
    tables = [_tables(row) for row in rows]
    lengths = [max((v.shape[1] for v in t.values() if v is not None and v.dim() > 1), default=0) for t in tables]
    longest = max(lengths)
    out = Collated()
    for name in tables[0]:
        given = [table[name] for table in tables]
        parts = [part for part in given if part is not None]
        if len(parts) < len(given):
            continue
        fill = padding if name == "input_ids" else int(name == "special_tokens_mask")
        filled = [
            _filled(part, longest, fill) if part.dim() > 1 and part.shape[1] == length else part
            for part, length in zip(parts, lengths, strict=True)
        ]
        out[name] = _stacked(filled, join=True, name=name)
    made = set() if named else {"input_ids"}
    if len(set(lengths)) > 1 and not any("mask" in name and name != "special_tokens_mask" for name in out):
        real = [torch.ones(_count(table), length) for table, length in zip(tables, lengths, strict=True)]
        out["attention_mask"] = torch.cat([_filled(mask, longest, 0) for mask in real]).long()
        made.add("attention_mask")
    if all(OWNERS in dict(row) for row in rows):
        out[OWNERS] = _owners([torch.as_tensor(dict(row)[OWNERS]) for row in rows])
    out.encodings = [encoding for row in rows for encoding in getattr(row, "encodings", None) or []]
    out.made = frozenset(made)
    return out


def pictures_joined(inputs: Any) -> Any:
    """A list of mappings of pixels [C,H,W] or [B,C,H,W] as one mapping; everything else as it is.

    Raises:
        ValueError, TypeError: see `collated`.
    """
    if not isinstance(inputs, list | tuple) or not inputs or not all(map(is_mapping, inputs)):
        return inputs
    tables = [{name: _value(name, value) for name, value in dict(row).items()} for row in inputs]
    if any("spatial_shapes" in table for table in tables):  # patches [N,P], cut already, have no such axes
        return inputs
    alone = [any(v is not None and v.dim() == 3 and v.is_floating_point() for v in t.values()) for t in tables]
    return collated(
        [
            {n: v[None] if one and v is not None else v for n, v in t.items()}
            for t, one in zip(tables, alone, strict=True)
        ],
        0,
    )


def windows_apart(inputs: Any) -> Any:
    """An encoding of windows with each window as a text of its own; everything else as it is."""
    if isinstance(inputs, list | tuple):
        return [windows_apart(row) for row in inputs] if all(map(is_mapping, inputs)) else inputs
    if not is_mapping(inputs) or OWNERS not in dict(inputs):
        return inputs
    out = Collated({name: value for name, value in dict(inputs).items() if name != OWNERS})
    out.encodings, out.made = getattr(inputs, "encodings", None) or [], frozenset()
    return out


def _owners(mappings: Sequence[Tensor]) -> Tensor:
    """The text of each window; a number counts over all rows, the numbers of several windows within their encoding."""
    out, following = [], 0
    for mapping in mappings:
        if mapping.dim() == 0:
            out.append(mapping.reshape(1))
        else:
            out.append(mapping.reshape(-1) + following)
            following = int(out[-1].max()) + 1 if mapping.numel() else following
    return torch.cat(out)


def _text_of(row: Any) -> Any:
    """The text, the pair, or the list of these, of a mapping that holds text and no ids."""
    values = dict(row)
    first, second = values.get("text"), values.get("text_pair")
    if "input_ids" in values or not isinstance(first, str | list | tuple):
        return row
    if isinstance(first, str):
        return first if second is None else (first, second)
    if second is None:
        return list(first)
    if not isinstance(second, list | tuple) or len(second) != len(first):
        raise ValueError(f"inputs: expected as many of text_pair as of text, {len(first)}, got {second!r}")
    return list(zip(first, second, strict=True))


def _is_numbers(row: Any) -> bool:
    if isinstance(row, Tensor):
        return row.dim() > 0
    if isinstance(row, np.ndarray):
        return row.ndim > 0 and row.dtype.kind in "iuf"
    return isinstance(row, list | tuple) and len(row) > 0 and all(isinstance(v, int | np.integer) for v in row)


def _tables(row: Any) -> dict[str, Tensor | None]:
    """One mapping's values with a row axis: of one encoding [T], or of several [B,T], which may have labels [B]."""
    values = {name: _value(name, value) for name, value in dict(row).items() if name != OWNERS}
    several = any(value is not None and value.dim() > 1 for value in values.values())
    axes = {name: 1 if several and name in LABELS else 2 for name in values}
    return {n: v[None] if v is not None and v.dim() < axes[n] else v for n, v in values.items()}


def _value(name: str, value: Any) -> Tensor | None:
    """A value as a tensor; None for what is no number, such as the text beside the ids."""
    if value is None or isinstance(value, str) or (isinstance(value, list) and value and isinstance(value[0], str)):
        return None
    try:
        return torch.as_tensor(value)
    except (ValueError, TypeError, RuntimeError) as error:
        raise TypeError(f"inputs: {name} is no tensor and cannot be made one ({error})") from error


def _count(table: Mapping[str, Tensor | None]) -> int:
    return next(len(value) for value in table.values() if value is not None and value.dim() > 1)


def _filled(value: Tensor, length: int, fill: int) -> Tensor:
    if value.shape[1] == length:
        return value
    more = value.new_full((value.shape[0], length - value.shape[1], *value.shape[2:]), fill)
    return torch.cat([value, more], 1)


def _stacked(rows: list[Tensor], join: bool = False, name: str = "the rows") -> Tensor:
    try:
        return torch.cat(rows) if join else torch.stack(rows)
    except RuntimeError as error:
        raise ValueError(
            f"inputs: {name} are of different shapes, {[list(r.shape) for r in rows][:4]}; pad them to one, or explain "
            "them one at a time"
        ) from error
