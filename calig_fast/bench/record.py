"""The files of a benchmark or a check: its results in JSON, and what is made of them; each is written whole."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from .._utils import files


def read(path: Path) -> dict[str, Any]:
    """The results in a file; empty if there is no file."""
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else {}


def write(path: Path, content: Mapping[str, Any] | str | bytes) -> None:
    """Write results as JSON, or a page or data as they are, whole.

    Args:
        path: the file; a kill or a full disk leaves the old one.
        content: results, text or bytes.
    """
    files.write(path, json.dumps(content, indent=1) + "\n" if isinstance(content, Mapping) else content)


def append(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Append results to a file, each a line of JSON; a last line that a killed process left is dropped."""
    files.append(path, "\n".join(map(json.dumps, rows)), lambda cut: True)
