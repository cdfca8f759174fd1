"""The README's Python is run as it stands."""

import re
from pathlib import Path

import pytest

from calig_fast.demo import MissingPackageError, load

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def test_the_python_to_paste_runs(tmp_path, monkeypatch, capsys):
    try:
        load("sentiment", count=1)
    except MissingPackageError as error:
        pytest.skip(str(error))
    monkeypatch.chdir(tmp_path)
    assert len(BLOCKS) == 1
    exec(compile(BLOCKS[0], "README.md", "exec"), {})
    said = capsys.readouterr().out
    assert "superb" in said
    assert "onverged" in said
    assert (tmp_path / "why.html").stat().st_size > 10_000


def test_what_it_links_to_is_there():
    links = re.findall(r"\]\(([^)#]+)\)", README)
    assert links
    for link in links:
        assert (ROOT / link).exists(), link


def test_the_targets_it_names_are_in_the_makefile():
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"make ([a-z]+)\b", README)) - {"alone"} <= targets
