"""Every error that the package raises, by its message: `python -m tools.error_index` prints the page of the site.

A message is read off its `raise` statement; a value in it is shown as an ellipsis. The rows of docs/errors.md say what
to do, and the page links to the section of the row that a message belongs to.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ERRORS = ROOT / "docs" / "errors.md"
HEAD = """---
hide: [toc]
---

# Errors by message

Search this page for a part of the message. An ellipsis stands for a value. [Errors and remedies](errors.md) says more.

| message | error | raised in | remedy |
|---|---|---|---|
"""


@dataclass(frozen=True, order=True)
class Site:
    """A message, the name of its error, and the module and line that raise it."""

    message: str
    error: str
    module: str
    line: int


def _text(node: ast.expr) -> str:
    """The text of an expression: values are ellipses; '' if it holds no text."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(_text(part) or "…" for part in node.values)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        parts = _text(node.left), _text(node.right)
        return "".join(part or "…" for part in parts) if any(parts) else ""
    return ""


def _raised(tree: ast.AST, module: str) -> Iterator[Site]:
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call) and node.exc.args):
            continue
        message = " ".join(_text(node.exc.args[0]).split())
        if re.search(r"\w{2}", message):
            yield Site(message, ast.unparse(node.exc.func).rpartition(".")[2], module, node.lineno)


def sites(package: Path = ROOT / "calig_fast") -> list[Site]:
    """The errors that a package raises with a message of its own, in the order of their messages."""
    every: set[Site] = set()
    for path in package.rglob("*.py"):
        name = path.relative_to(package).with_suffix("").as_posix().replace("/", ".")
        every |= set(_raised(ast.parse(path.read_text(encoding="utf-8")), name))
    return sorted(every, key=lambda site: (re.sub(r"\W", "", site.message).lower(), site))


def remedies(page: str) -> dict[str, str]:
    """The section of every row of docs/errors.md."""
    rows: dict[str, str] = {}
    section = ""
    for line in page.splitlines():
        if line.startswith("## "):
            section = line[3:]
        elif row := re.match(r"\| `(.+?)` \|", line):
            rows[row[1]] = section
    return rows


def _row(site: Site, rows: dict[str, str]) -> str:
    section = rows.get(max((part for part in rows if part in site.message), key=len, default=""), "")
    anchor = re.sub(r"[^\w -]", "", section).strip().lower().replace(" ", "-")
    remedy = f"[{section}](errors.md#{anchor})" if section else ""
    message = site.message.replace("|", "\\|")
    return f"| `` {message} `` | {site.error} | {site.module}, line {site.line} | {remedy} |\n"


def index() -> str:
    """The page, in Markdown."""
    rows = remedies(ERRORS.read_text(encoding="utf-8"))
    return HEAD + "".join(_row(site, rows) for site in sites())


if __name__ == "__main__":
    print(index())
