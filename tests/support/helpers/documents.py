"""The pages of the documentation, and how what stands in them is run: Python in one namespace a page, `calig` as typed.

A block that cannot run is left out by a comment in the line above it, `<!-- no-run: why -->`.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

from typer.testing import CliRunner

from calig_fast.cli import app

ROOT = Path(__file__).parents[3]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), ROOT / "examples" / "README.md"]
FENCE = re.compile(r"(?:^<!-- (no-run: \S.*?) -->\n)?^( *)```(\w*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Fence:
    """A fenced block.

    Args:
        line: of its first line of code.
        language: "" if none is given.
        code: what stands in it.
        left_out: why it is not run, "" where it is.
    """

    line: int
    language: str
    code: str
    left_out: str


def fences(page: Path) -> list[Fence]:
    """The fenced blocks of a page."""
    text, found = page.read_text(encoding="utf-8"), []
    for match in FENCE.finditer(text):
        left_out, indent, language, code = match.groups()
        plain = "".join(line.removeprefix(indent) for line in code.splitlines(keepends=True))
        found.append(Fence(text[: match.start(4)].count("\n") + 1, language, plain, left_out or ""))
    return found


def commands(fence: Fence) -> list[list[str]]:
    """The lines of a block that call `calig`, as words; a line that ends in a backslash goes on in the next."""
    lines = fence.code.replace("\\\n", " ").splitlines()
    return [shlex.split(line, comments=True)[1:] for line in lines if line.startswith("calig ")]


def run(page: Path, typed: set[str]) -> None:
    """Run the blocks of a page in order, in the folder that is current.

    Args:
        page: its file.
        typed: calls of `calig` that were run before, which are not run again; those of this page are added.
    """
    names: dict[str, object] = {"__name__": page.stem}
    for fence in fences(page):
        if fence.left_out:
            continue
        if fence.language == "python":
            # line numbers in a traceback are those of the page
            exec(compile("\n" * (fence.line - 1) + fence.code, str(page), "exec"), names)
        for words in () if fence.language == "python" else commands(fence):
            if (line := shlex.join(words)) not in typed:
                typed.add(line)
                found = CliRunner().invoke(app, words)
                assert found.exit_code == 0, f"{page.name}: calig {line}: {found.output}"
