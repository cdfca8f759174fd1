"""The JSON of an attribution: every field, so that `Attribution.from_json` brings it back whole."""

from __future__ import annotations

import json
import math
import os
import stat
from collections.abc import Mapping
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .._utils import files
from .._utils.arguments import kind as named_kind
from . import schema

VERSION = 1
KIND = "calig_fast.attribution"
_NOT_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


def written(values: Mapping[str, Any]) -> str:
    """The fields of an attribution as JSON text, in the form of `json_schema`.

    Args:
        values: every field by name.

    Raises:
        ValueError: a field has a wrong dtype, shape or type.
        TypeError: a setting is no plain value, or a number that is not finite.
    """
    tensors = {n: v.detach().cpu() for n, v in values.items() if isinstance(v, Tensor)}
    record = schema.plain(values)
    schema.check(tensors, record)
    document = {
        "kind": KIND,
        "schema_version": VERSION,
        **record,
        "tensors": {name: _plain(tensor) for name, tensor in tensors.items()},
    }
    try:
        return json.dumps(document, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise TypeError(f"settings: expected finite numbers, strings, lists and dicts of them: {error}") from error


def read(source: str | bytes | Path) -> dict[str, Any]:
    """The fields of an attribution from JSON text, or from a file of it.

    Args:
        source: JSON text, which begins with {, or the name of a file.

    Raises:
        TypeError: neither.
        ValueError: no JSON, no attribution, or of another release.
        OSError: the file is missing or not readable.
    """
    text, where = _text(source)
    try:
        document = json.loads(text, parse_constant=_refused)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{where}: no JSON: {error}") from error
    try:
        return _fields(document)
    except ValueError as error:
        raise ValueError(f"{where}: no attribution that this release can read: {error}") from error


@cache
def _schema_text() -> str:
    return resources.files(__package__).joinpath("attribution.schema.json").read_text(encoding="utf-8")


def json_schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of the text."""
    definition: dict[str, Any] = json.loads(_schema_text())
    return definition


def _text(source: Any) -> tuple[str | bytes, str]:
    """The JSON and its name for messages."""
    if isinstance(source, bytes | bytearray):
        return bytes(source), "source"
    if isinstance(source, str) and source.lstrip("\ufeff \t\r\n").startswith(("{", "[")):
        return source.lstrip("\ufeff"), "source"
    if not isinstance(source, str) and not hasattr(source, "__fspath__"):
        raise TypeError(f"source: expected JSON text or the name of a file, got {named_kind(source)}")
    file = files.named(source, "source")
    try:
        if not stat.S_ISREG(os.stat(file).st_mode) and not file.is_dir():
            raise ValueError(f"source: expected a file, got a pipe or a device: {file}")
        return file.read_bytes(), f"source: {file}"
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"source: expected JSON text, which begins with {{, or the name of a file; there is no file {file}"
        ) from error


def _refused(name: str) -> Any:
    raise ValueError(f'{name} stands without quotes; write "{name}"')


def _fields(document: Any) -> dict[str, Any]:
    if not isinstance(document, dict):
        raise ValueError(f"expected an object, got {named_kind(document)}")
    record = dict(document)
    kind, version, written = (record.pop(name, None) for name in ("kind", "schema_version", "tensors"))
    if kind != KIND:
        raise ValueError(f'kind: expected "{KIND}", got {named_kind(kind)}')
    if version != VERSION or isinstance(version, bool):
        raise ValueError(f"schema_version: expected {VERSION}, got {named_kind(version)}")
    if not isinstance(written, dict):
        raise ValueError(f"tensors: expected an object, got {named_kind(written)}")
    tensors = {name: _tensor(name, value) for name, value in written.items()}
    schema.check(tensors, record)
    return schema.fields_of(tensors, record)


def _plain(tensor: Tensor) -> dict[str, Any]:
    values = tensor.tolist()
    finite = not tensor.is_floating_point() or bool(torch.isfinite(tensor).all())
    return {
        "dtype": str(tensor.dtype).removeprefix("torch."),
        "shape": list(tensor.shape),
        "values": values if finite else _spelled(values),
    }


def _spelled(value: Any) -> Any:
    """NaN and infinities as strings, which JSON has no numbers for."""
    if isinstance(value, list):
        return [_spelled(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value


def _tensor(name: str, entry: Any) -> Tensor:
    """A tensor of its dtype, shape and nested lists."""
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "values"}:
        raise ValueError(f"{name}: expected an object of dtype, shape and values, got {named_kind(entry)}")
    if name not in schema.TENSORS:
        raise ValueError(f"tensors: {name!r} is none that this release knows")
    dtype, shape = schema.TENSORS[name][0], entry["shape"]
    if entry["dtype"] != str(dtype).removeprefix("torch."):
        raise ValueError(f"{name}: expected the dtype {str(dtype).removeprefix('torch.')}, got {entry['dtype']!r}")
    if not isinstance(shape, list) or not all(type(n) is int and n >= 0 for n in shape):
        raise ValueError(f"{name}: expected a shape of integers, got {named_kind(shape)}")
    flat = [entry["values"]]
    for length in shape:
        if any(not isinstance(row, list) or len(row) != length for row in flat):
            raise ValueError(f"{name}: its values do not have the shape {shape}")
        flat = [value for row in flat for value in row]
    return _typed(name, flat, dtype).reshape(shape)


def _typed(name: str, flat: list[Any], dtype: torch.dtype) -> Tensor:
    """A flat tensor of numbers or flags of the dtype."""
    if dtype == torch.bool:
        fits = all(v is True or v is False for v in flat)
    elif dtype == torch.float32:
        flat = [_NOT_FINITE.get(v, v) if isinstance(v, str) else v for v in flat]
        fits = all(type(v) in {float, int} for v in flat)
    else:
        fits = all(type(v) is int for v in flat)
    if not fits:
        raise ValueError(f"{name}: expected values of {str(dtype).removeprefix('torch.')}")
    try:
        made = torch.tensor(flat, dtype=torch.float64 if dtype == torch.float32 else dtype)
    except (RuntimeError, OverflowError) as error:  # a number that the dtype does not hold
        raise ValueError(f"{name}: {error}") from error
    if made.dtype != dtype and bool((made.isinf() != made.float().isinf()).any()):
        raise ValueError(f"{name}: expected values of float32, got one beyond its largest")
    return made.to(dtype)
