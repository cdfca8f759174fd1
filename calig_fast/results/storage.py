"""The file of an attribution: safetensors, the record in its metadata, and a digest of both."""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .._utils import files
from .._utils.warn import warn
from . import schema

FORMAT = 2  # 1: a pair of files, without a digest
KIND = "calig_fast.attribution"
_MOST_HEADER = 100_000_000  # bytes that readers of safetensors take
_DTYPES = {torch.float32: "F32", torch.int64: "I64", torch.bool: "BOOL", torch.uint8: "U8"}


def write(path: str | os.PathLike[str], values: Mapping[str, Any]) -> Path:
    """Write the fields of an attribution to one file.

    The texts are a tensor of bytes, because the metadata of a safetensors file is limited to 100 MB.

    Args:
        path: the file, with its suffix or without.
        values: every field by name.

    Returns:
        the file.

    Raises:
        TypeError, ValueError: `path` is not the name of a file, or a field has a wrong dtype, shape or type.
        OSError: the file cannot be written.
    """
    file = _file(path)
    tensors = {n: v.detach().cpu().contiguous() for n, v in values.items() if isinstance(v, Tensor)}
    record = schema.plain(values)
    schema.check(tensors, record)
    texts = record.pop("texts")
    try:
        record_text, texts_text = json.dumps(record), json.dumps(texts)
    except (TypeError, ValueError, RecursionError) as error:
        raise TypeError(f"settings: expected numbers, strings, lists and dicts of them: {error}") from error
    if texts is not None:
        tensors["texts"] = torch.frombuffer(bytearray(texts_text.encode()), dtype=torch.uint8)
    about = {"kind": KIND, "format": str(FORMAT), "record": record_text}
    return files.write(file, *_safetensors(tensors, {**about, "sha256": _digest(about, tensors)}))


def read(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read the fields of an attribution from a file of `write`, or from a pair of files of format 1.

    Args:
        path: the file, with its suffix or without.

    Raises:
        TypeError, ValueError: `path` is not the name of a file, or the file is damaged or no attribution.
        OSError: the file is missing or not readable.
    """
    file = _file(path)
    tensors, about = _contents(file)
    document = file.with_suffix(".json")
    is_pair = not about and document.is_file()
    record = _pair(file, document) if is_pair else _record(file, tensors, about)
    try:
        schema.check(tensors, record)
    except ValueError as error:
        raise ValueError(f"{file}: no attribution that this release can read: {error}") from error
    return schema.fields_of(tensors, record)


def _file(path: str | os.PathLike[str]) -> Path:
    named = files.named(path)
    stem = named.with_suffix("") if named.suffix in {".json", ".safetensors"} else named
    return stem.with_name(stem.name + ".safetensors")


def _safetensors(tensors: Mapping[str, Tensor], about: Mapping[str, str]) -> Iterator[bytes | memoryview]:
    """The parts of a file. The library's `save_file` hides the error number of a full disk; `save` copies tensors."""
    header: dict[str, Any] = {"__metadata__": about}
    ordered, end = sorted(tensors, key=lambda n: (-tensors[n].element_size(), n)), 0
    for name in ordered:
        begin, end = end, end + tensors[name].nbytes
        header[name] = {
            "dtype": _DTYPES[tensors[name].dtype],
            "shape": list(tensors[name].shape),
            "data_offsets": [begin, end],
        }
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    if len(text) > _MOST_HEADER:
        raise ValueError(f"settings, labels: {len(text)} bytes of them, and a file takes {_MOST_HEADER}")
    yield len(text).to_bytes(8, "little")
    yield text
    yield from (_bytes(tensors[name]) for name in ordered)


def _bytes(tensor: Tensor) -> memoryview:
    return tensor.reshape(-1).view(torch.uint8).numpy().data


def _digest(about: Mapping[str, str], tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 of the record and of every tensor's name, dtype, shape and values."""
    sha256 = hashlib.sha256(f"{about['kind']}\n{about['format']}\n{about['record']}".encode())
    for name, tensor in sorted(tensors.items()):
        sha256.update(f"\n{name} {tensor.dtype} {list(tensor.shape)}\n".encode())
        sha256.update(_bytes(tensor))
    return sha256.hexdigest()


def _contents(file: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and metadata. The tensors are copies, because those of the library are mapped from the file."""
    from safetensors import SafetensorError, safe_open

    if not stat.S_ISREG(os.stat(file).st_mode) and not file.is_dir():
        raise ValueError(f"{file}: expected a file, got a pipe or a device")
    with file.open("rb"):  # its errors name the file
        pass
    try:
        with safe_open(file, framework="pt") as content:
            tensors = {name: content.get_tensor(name).clone() for name in content.keys()}  # noqa: SIM118 (not a dict)
            return tensors, dict(content.metadata() or {})
    except SafetensorError as error:
        raise ValueError(f"{file}: no safetensors file, or a damaged one: {error}") from error


def _record(file: Path, tensors: dict[str, Tensor], about: dict[str, str]) -> Any:
    """The record of a file of format 2; its texts are removed from the tensors."""
    if about.get("kind") != KIND or not {"format", "record", "sha256"} <= set(about):
        raise ValueError(f"{file}: no attribution: its metadata holds none, and no {file.stem}.json lies beside it")
    if about["format"] != str(FORMAT):
        raise ValueError(
            f"{file}: not an attribution of format {FORMAT} but of {about['format']!r}; load it with the release that "
            "wrote it"
        )
    if _digest(about, tensors) != about["sha256"]:
        raise ValueError(f"{file}: damaged: its content does not have the digest that it had when it was saved")
    record = _parsed(file, about["record"])
    texts = tensors.pop("texts", None)
    if not isinstance(record, dict):
        raise ValueError(f"{file}: its record is no object")
    return {**record, "texts": None if texts is None else _parsed(file, bytes(_bytes(texts)))}


def _pair(file: Path, document: Path) -> Any:
    """The record of a file of format 1, from the `.json` beside it."""
    record = _parsed(document, document.read_bytes())
    if not isinstance(record, dict) or record.pop("format", None) != 1:
        raise ValueError(f"{document}: not an attribution of format 1; load it with the release that wrote it")
    for name in schema.OPTIONAL:
        if record.pop(name, None) is not None:
            raise ValueError(f"{document}: {name}: expected a tensor in {file.name}, or null")
    warn(
        f"{file} and {document.name}: a pair of files of an earlier release, which only their shapes tie together; "
        "save it again, which makes one file"
    )
    return {"single": False, **record}


def _parsed(file: Path, text: str | bytes) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{file}: its record is no JSON: {error}") from error
