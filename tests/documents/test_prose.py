"""The rules of CONTRIBUTING.md on names and prose, as far as a program can check them."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
CODE = [path for room in ("calig_fast", "tools", "benchmarks", "tests") for path in sorted((ROOT / room).rglob("*.py"))]
PACKAGE = [path for path in CODE if path.is_relative_to(ROOT / "calig_fast")]
MOST = 25  # words of a sentence
NO_START = re.compile(r"(What|Whether|Whose|Where|That of)\b")
OTHER_NAMES = re.compile(r"(reference|oracle)s?", re.IGNORECASE)  # baseline, autograd engine, torch backend, definition


def docstrings(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and (text := ast.get_docstring(node)):
            yield text


def sentences(text: str) -> Iterator[str]:
    """The sentences of a page; a span of code is one word, and asides, tables, formulas and blocks are left out."""
    text = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    for part in re.split(r"\n\s*\n|\n\s*(?=[-*] )|\n\s*(?=\d+\. )", text):
        if re.match(r"\s*([|#>]|    )", part):
            continue
        plain = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", re.sub(r"`[^`]*`", "code", part))
        for _ in range(2):
            plain = re.sub(r"\([^()]*\)", "", plain)
        for sentence in re.split(r"(?<=[.?!;:])\**\s+", " ".join(plain.split())):
            if "=" not in sentence:
                yield sentence


def long_sentences(text: str) -> list[str]:
    return [sentence for sentence in sentences(text) if len(sentence.split()) > MOST]


def test_no_docstring_begins_with_a_relative():
    found = [(path.name, text.split("\n")[0]) for path in CODE for text in docstrings(path) if NO_START.match(text)]
    assert found == []


def test_no_sentence_of_a_page_is_long():
    assert [(page.name, sentence) for page in PAGES for sentence in long_sentences(page.read_text())] == []


def test_no_first_sentence_of_a_docstring_is_long():
    firsts = [(path, text.split("\n\n")[0]) for path in PACKAGE for text in docstrings(path)]
    assert [(path.name, sentence) for path, text in firsts for sentence in long_sentences(text)] == []


def identifiers(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        for field in ("id", "attr", "arg", "name", "asname"):
            if isinstance(name := getattr(node, field, None), str):
                yield name


def test_a_thing_has_one_name():
    assert [(path.name, name) for path in PACKAGE for name in identifiers(path) if OTHER_NAMES.fullmatch(name)] == []


def test_messages_name_the_processor():
    """`tokenizer=` is the old name of the argument."""
    texts = [
        (path.name, node.value)
        for path in PACKAGE
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and "\n" not in node.value
    ]
    old = [(name, text) for name, text in texts if "tokenizer=" in text and name != "explainers.py"]  # takes either
    assert old == []


def test_long_sentences_are_found():
    words = " ".join(["word"] * 26)
    assert long_sentences(f"Short. {words}. Also short.") == [f"{words}."]
    assert long_sentences(f"`{words}` is code, and ({words}) an aside.") == []
    assert long_sentences(f"| {words} |\n\n```\n{words}\n```\n") == []
