"""One input of a corpus: its id, its value, and the digest of its content."""

from __future__ import annotations

import hashlib
import io
import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

Id = int | str


@dataclass(frozen=True)
class Picture:
    """An image file that is not decoded yet.

    Args:
        content: bytes of the file.
    """

    content: bytes

    def decoded(self) -> Any:
        """The picture.

        Raises:
            ValueError: the bytes are no picture.
        """
        from PIL import Image, UnidentifiedImageError

        try:
            picture = Image.open(io.BytesIO(self.content))
            picture.load()
        except Exception as error:  # the decoders of many formats raise as many kinds
            why = "its format is not known" if isinstance(error, UnidentifiedImageError) else error
            raise ValueError(f"inputs: it holds no picture that can be read ({why})") from error
        return picture


@dataclass(frozen=True)
class Item:
    """One input.

    Args:
        id: unique in its corpus.
        value: a text, a pair of texts, a `Picture`, or any single input of `explain`; None where it cannot be read.
        error: the reason why it cannot be read, "" where it can.
    """

    id: Id
    value: Any
    error: str = ""

    @property
    def size(self) -> int:
        """Bytes of the value, roughly."""
        return _size(self.value)


def _size(value: Any) -> int:
    if isinstance(value, Picture):
        return len(value.content)
    if isinstance(value, str | bytes):
        return len(value)
    if isinstance(value, tuple | list):
        return sum(map(_size, value))
    if isinstance(value, np.ndarray | Tensor):
        return int(value.nbytes)
    if hasattr(value, "size") and hasattr(value, "getbands"):
        return int(value.size[0] * value.size[1] * len(value.getbands()))
    return 64


def content(item: Item) -> str:
    """32 hexadecimal digits that change with the value and the error of an item, not with its id."""
    digest = hashlib.sha256()
    _feed(digest, item.error)
    _feed(digest, item.value)
    return digest.hexdigest()[:32]


def _feed(digest: Any, value: Any) -> None:
    """Feed a value with its kind and its length, so that no two values give the same bytes."""
    kind, data = _bytes(value)
    digest.update(f"{kind}:{len(data)}:".encode())
    digest.update(data)


def _bytes(value: Any) -> tuple[str, bytes]:
    if isinstance(value, str):
        return "text", value.encode("utf-8", "surrogatepass")
    if isinstance(value, Picture):
        return "picture", value.content
    if isinstance(value, tuple | list | Mapping) or isinstance(getattr(value, "data", None), Mapping):
        parts = [item for pair in sorted(dict(value).items()) for item in pair] if _is_mapping(value) else list(value)
        inner = hashlib.sha256()
        for part in parts:
            _feed(inner, part)
        return f"{len(parts)} parts", inner.digest()
    if isinstance(value, Tensor):
        value = value.detach().cpu()
        return f"tensor {value.dtype} {list(value.shape)}", pickle.dumps(value.tolist())
    if isinstance(value, np.ndarray):
        return f"array {value.dtype} {value.shape}", np.ascontiguousarray(value).tobytes()
    if hasattr(value, "getbands") and hasattr(value, "tobytes"):
        palette = value.getpalette() if value.mode == "P" else None
        return f"pixels {value.mode} {value.size} {palette}", value.tobytes()
    return type(value).__name__, repr(value).encode("utf-8", "surrogatepass")


def _is_mapping(value: Any) -> bool:
    return isinstance(value, Mapping) or isinstance(getattr(value, "data", None), Mapping)
