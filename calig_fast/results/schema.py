"""The fields of an attribution in a file: the dtype, shape and type of each, and their agreement."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .tokens import Grid, Text, Word

TENSORS = {
    "scores": (torch.float32, "B T"),
    "layer_scores": (torch.float32, "B L T"),
    "gap": (torch.float32, "B L"),
    "convergence_delta": (torch.float32, "B L"),
    "error": (torch.float32, "B L"),
    "score_error": (torch.float32, "B"),
    "n_steps": (torch.int64, "B L"),
    "layer_converged": (torch.bool, "B L"),
    "logits": (torch.float32, "B C"),
    "mask": (torch.bool, "B T"),
    "special": (torch.bool, "B T"),
    "target": (torch.int64, "B"),
    "images": (torch.uint8, "B H W 3"),
    "maps": (torch.float32, "B L T U"),
    "source": (torch.int64, "B"),
    "bypass": (torch.float32, "B L"),
    "ends": (torch.int64, "B L"),
}
OPTIONAL = ("target", "images", "maps", "source", "bypass", "ends")
PAIR = "B 2"  # the target of a contrast


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_list(of: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, list) and all(map(of, value))


def _is_name(value: Any) -> bool:
    return isinstance(value, str)


def _is_flag(value: Any) -> bool:
    return isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, float) or _is_count(value)


def _is_mapping(value: Any) -> bool:
    return isinstance(value, dict)


def _or_null(kind: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: value is None or kind(value)


Kinds = Mapping[str, tuple[Callable[[Any], bool], str]]

_NAME, _FLAG, _COUNT = (_is_name, "a string"), (_is_flag, "true or false"), (_is_count, "an integer")
_NAME_OR_NULL = (_or_null(_is_name), "a string or null")
RECORD: Kinds = {
    "texts": (_or_null(_is_list(_is_mapping)), "a list of objects, or null"),
    "grid": (_or_null(_is_mapping), "an object or null"),
    "labels": (_or_null(_is_list(_is_name)), "a list of strings, or null"),
    "method": _NAME,
    "settings": (_is_mapping, "an object"),
    "engine": _NAME,
    "backend": _NAME,
    "single": _FLAG,
}
_GRID: Kinds = {
    **dict.fromkeys(("rows", "columns", "prefix", "suffix"), _COUNT),
    **dict.fromkeys(("height", "width"), (_or_null(_is_count), "an integer or null")),
    "names": (_is_list(_is_name), "a list of strings"),
}
_TEXT: Kinds = {
    "tokens": (_is_list(_is_name), "a list of strings"),
    "words": (_is_list(_is_mapping), "a list of objects"),
    "text": _NAME_OR_NULL,
    "truncated": _COUNT,
    "windows": _COUNT,
}
_WORD: Kinds = {
    "text": _NAME,
    "tokens": (_is_list(_is_count), "a list of integers"),
    "start": _COUNT,
    "end": _COUNT,
    "part": _COUNT,
}
_SETTINGS: Kinds = {
    **dict.fromkeys(("family", "output", "quadrature", "certify", "dtype"), _NAME_OR_NULL),
    "baselines": (lambda v: v is None or _is_name(v) or _is_list(_is_name)(v), "a string, a list of strings, or null"),
    "blocks": (_or_null(_is_list(_is_name)), "a list of strings, or null"),
    "layers": (_or_null(_is_list(_is_count)), "a list of integers, or null"),
    **dict.fromkeys(("n_steps", "k"), (_or_null(_is_count), "an integer or null")),
    "tolerance": (_or_null(_is_number), "a number or null"),
    **dict.fromkeys(
        ("fusion", "rules", "map_rules", "calibration", "windows"), (_or_null(_is_mapping), "an object or null")
    ),
    **dict.fromkeys(("model", "not_native"), _NAME),
    "multi_label": _FLAG,
    "returns": _NAME,
}


def plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """The fields without the tensors, as plain values of JSON.

    Args:
        values: every field by name.
    """
    texts, grid, labels = (values[name] for name in ("texts", "grid", "labels"))
    return {
        "texts": None if texts is None else [_lists(asdict(text)) for text in texts],
        "grid": None if grid is None else _lists(asdict(grid)),
        "labels": None if labels is None else list(labels),
        "settings": _lists(dict(values["settings"])),
        **{name: values[name] for name in ("method", "engine", "backend", "single")},
    }


def fields_of(tensors: Mapping[str, Tensor], record: Mapping[str, Any]) -> dict[str, Any]:
    """Every field by name, from tensors and a record that passed `check`."""
    texts, grid, labels = record["texts"], record["grid"], record["labels"]
    return {
        **dict.fromkeys(OPTIONAL),
        **tensors,
        **record,
        "texts": None if texts is None else tuple(map(_text, texts)),
        "grid": None if grid is None else Grid(**{**grid, "names": tuple(grid.get("names", ()))}),
        "labels": None if labels is None else tuple(labels),
    }


def check(tensors: Mapping[str, Tensor], record: Any) -> None:
    """Check every dtype, shape and type, and the agreement of the tensors with the record.

    Args:
        tensors: by name of the field.
        record: the other fields as plain values of JSON.

    Raises:
        ValueError: a field is missing, unknown or wrong; it names the field.
    """
    sizes = _sizes(tensors)
    _object("record", record, RECORD)
    settings = record["settings"]
    _object("settings", settings, {name: kind for name, kind in _SETTINGS.items() if name in settings}, others=True)
    layers = settings.get("layers")
    if layers is not None and len(layers) != sizes["L"]:
        raise ValueError(f"settings: expected {sizes['L']} layers, as layer_scores has, got {len(layers)}")
    _check_grid(record["grid"], record["texts"], sizes["T"])
    if record["texts"] is not None:
        _check_texts(record["texts"], tensors["mask"])


def _sizes(tensors: Mapping[str, Tensor]) -> dict[str, int]:
    """The length of every axis by its letter."""
    missing = [name for name in TENSORS if name not in tensors and name not in OPTIONAL]
    unknown = [name for name in tensors if name not in TENSORS]
    if missing or unknown:
        raise ValueError(_difference("tensors", missing, unknown))
    sizes: dict[str, int] = {}
    for name, (dtype, axes) in TENSORS.items():
        if name not in tensors:
            continue
        tensor = tensors[name]
        letters = (PAIR if name == "target" and tensor.dim() == 2 else axes).split()
        fits = tensor.dtype == dtype and tensor.dim() == len(letters)
        if not fits or any(_length(sizes, a, n) != n for a, n in zip(letters, tensor.shape, strict=True)):
            wanted = ",".join(str(sizes.get(a, a)) for a in letters)
            got = f"{_short(tensor.dtype)} [{','.join(map(str, tensor.shape))}]"
            raise ValueError(f"{name}: expected {_short(dtype)} [{wanted}], got {got}")
    return sizes


def _length(sizes: dict[str, int], axis: str, size: int) -> int:
    """The length of an axis: its number, or the first length found for its letter."""
    return int(axis) if axis.isdigit() else sizes.setdefault(axis, size)


def _check_grid(grid: Any, texts: Any, tokens: int) -> None:
    if grid is None:
        return
    if texts is not None:
        raise ValueError("grid: expected null beside texts, which have no patches")
    grid = {"height": None, "width": None, "suffix": 0, "names": [], **grid}
    _object("grid", grid, _GRID)
    if (
        min(value for value in grid.values() if isinstance(value, int)) < 0
        or grid["prefix"] + grid["rows"] * grid["columns"] + grid["suffix"] != tokens
    ):
        raise ValueError(f"grid: expected prefix + rows x columns + suffix = {tokens} tokens, got {grid}")


def _check_texts(texts: list[Any], mask: Tensor) -> None:
    rows, places = mask.shape
    if len(texts) != rows:
        raise ValueError(f"texts: expected {rows}, one for each row of the tensors, got {len(texts)}")
    for i, (text, count) in enumerate(zip(texts, mask.sum(1).tolist(), strict=True)):
        where = f"texts[{i}]"
        _object(where, {"windows": 1, **text}, _TEXT)
        if len(text["tokens"]) != count:
            raise ValueError(f"{where}: expected {count} tokens, as the mask has, got {len(text['tokens'])}")
        for word in text["words"]:
            _object(f"a word of {where}", {"part": 0, **word}, _WORD)
            if any(not 0 <= t < places for t in word["tokens"]):  # padding may stand on the left
                raise ValueError(f"{where}: a word has tokens {word['tokens']}, outside 0..{places - 1}")


def _object(where: str, value: Any, kinds: Kinds, others: bool = False) -> None:
    """Check the names and types in an object of JSON; `others` allows further names."""
    if not isinstance(value, dict):
        raise ValueError(f"{where}: expected an object, got {_named(value)}")
    missing, unknown = [n for n in kinds if n not in value], [n for n in value if n not in kinds and not others]
    if missing or unknown:
        raise ValueError(_difference(where, missing, unknown))
    for name, (fits, words) in kinds.items():
        if not fits(value[name]):
            raise ValueError(f"{where}: {name}: expected {words}, got {_named(value[name])}")


def _difference(where: str, missing: list[str], unknown: list[str]) -> str:
    lacks = f" lacks {', '.join(missing)};" if missing else ""
    holds = f" holds {', '.join(map(repr, unknown))}, which this release does not know;" if unknown else ""
    return f"{where}:{lacks}{holds}".removesuffix(";")


def _named(value: Any) -> str:
    text = repr(value)
    return text if len(text) < 40 else f"{text[:40]}... ({type(value).__name__})"


def _short(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _lists(value: Any) -> Any:
    """Tuples become lists, and NumPy's numbers become Python's."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, dict):
        return {key: _lists(v) for key, v in value.items()}
    return [_lists(v) for v in value] if isinstance(value, list | tuple) else value


def _text(record: dict[str, Any]) -> Text:
    words = tuple(Word(w["text"], tuple(w["tokens"]), w["start"], w["end"], w.get("part", 0)) for w in record["words"])
    return Text(tuple(record["tokens"]), words, record["text"], record["truncated"], record.get("windows", 1))
