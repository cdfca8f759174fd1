"""Pages and tables in Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined


def page(template: Path, **values: Any) -> str:
    """A page in Markdown.

    Args:
        template: a Jinja file. Filters `row` makes cells a line of a table, `e` writes a number as 1.2e-03; `ruler` and
            `table` are the functions below.
        values: the template's variables.

    Raises:
        jinja2.UndefinedError: the template names a value that is missing.
    """
    environment = Environment(
        loader=FileSystemLoader(template.parent),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(row=row, e=lambda number: f"{number:.1e}")
    environment.globals.update(ruler=ruler, table=table)
    return environment.get_template(template.name).render(values)


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table, its first row the head."""
    return "\n".join(map(row, (head, ["---"] * len(head), *rows))) + "\n"


def row(cells: Iterable[object]) -> str:
    """A line of a table."""
    return f"| {' | '.join(map(str, cells))} |"


def ruler(columns: int, words: int = 1) -> str:
    """The line under a table's head: the first columns hold words, the others figures."""
    return row(["---"] * words + ["---:"] * (columns - words))
