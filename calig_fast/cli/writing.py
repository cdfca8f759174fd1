"""Output of a command: the answer to standard output or a file, all else to standard error."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import typer

STDOUT = Path("-")


def folders_exist(*paths: Path | None) -> None:
    """Refuse a file in a missing folder, before any work is done.

    Raises:
        FileNotFoundError: naming the file.
    """
    for path in paths:
        if path is not None and path != STDOUT and not path.parent.is_dir():
            raise FileNotFoundError(f"{path}: there is no folder {path.parent}; make it first")


def wrote(path: Path) -> None:
    """Report on standard error that a file was written."""
    typer.echo(f"wrote {path}", err=True)


def write_json(document: Any, path: Path) -> None:
    """Write plain values as JSON, NaN and infinity as null; "-" is standard output."""
    text = json.dumps(_plain(document), ensure_ascii=False, indent=1, allow_nan=False)
    if path == STDOUT:
        typer.echo(text)
        return
    path.write_text(text + "\n", encoding="utf-8")
    wrote(path)


def write_html(page: str, path: Path) -> None:
    """Write a page."""
    path.write_text(page, encoding="utf-8")
    wrote(path)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(v) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
