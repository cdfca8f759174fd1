"""Output of a command: the answer to standard output or a file, all else to standard error."""

from __future__ import annotations

import csv
import io
import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from .._utils import files

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ..results.grouping import Grouped

STDOUT = Path("-")
TABLES = (".csv", ".jsonl", ".parquet")


def folders_exist(*paths: Path | None) -> None:
    """Refuse a file that cannot be written, as in a missing folder, before any work is done.

    Raises:
        OSError: naming the file.
        ValueError: two paths are one file.
    """
    named = [path for path in paths if path is not None and path != STDOUT]
    for i, path in enumerate(named):
        files.refuse(path)
        if path.resolve() in [other.resolve() for other in named[:i]]:
            raise ValueError(f"{path}: two options name this file; give each its own")


def is_table(path: Path | None) -> None:
    """Refuse a table of another kind than `TABLES`, before any work is done.

    Raises:
        ValueError: naming the kinds.
    """
    if path is not None and path.suffix.lower() not in TABLES:
        raise ValueError(f"--out {path}: expected a file that ends in {', '.join(TABLES)}")


def wrote(path: Path) -> None:
    """Report on standard error that a file was written."""
    typer.echo(f"wrote {path}", err=True)


def one_to_stdout(html: Path | None, json: Path | None) -> bool:
    """True where a page or JSON goes to standard output, which then takes no other text.

    Raises:
        ValueError: both go there.
    """
    if html == json == STDOUT:
        raise ValueError("--html: standard output takes --json already; give one of them the name of a file")
    return STDOUT in (html, json)


def write_json(document: Any, path: Path) -> None:
    """Write plain values as JSON, NaN and infinity as null; "-" is standard output."""
    _write(json.dumps(plain(document), ensure_ascii=False, indent=1, allow_nan=False) + "\n", path)


def write_html(page: str, path: Path) -> None:
    """Write a page; "-" is standard output."""
    _write(page, path)


def write_scores(grouped: Grouped, path: Path) -> None:
    """Write the rows of a table of scores, as .csv, .jsonl or .parquet."""
    match path.suffix.lower():
        case ".parquet":
            grouped.to_parquet(path)
        case ".jsonl":
            lines = [json.dumps(plain(row), ensure_ascii=False, allow_nan=False) for row in grouped.to_records()]
            files.write(path, "".join(f"{line}\n" for line in lines))
        case _:
            rows = grouped.to_records()
            text = io.StringIO(newline="")
            table = csv.DictWriter(text, list(rows[0]) if rows else [])
            table.writeheader()
            table.writerows(rows)
            files.write(path, text.getvalue())
    wrote(path)


def write_picture(figure: Figure, path: Path) -> None:
    """Write a figure as PNG."""
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=150)
    files.write(path, content.getvalue())


def _write(text: str, path: Path) -> None:
    if path == STDOUT:
        typer.echo(files.encoded(text), nl=False)  # bytes: a terminal of another encoding refuses some letters
        return
    files.write(path, text)
    wrote(path)


def plain(value: Any) -> Any:
    """A value as JSON holds it, NaN and infinity as null."""
    if isinstance(value, dict):
        return {key: plain(v) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
