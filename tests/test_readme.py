"""The README's Python is run as it stands."""

import json
import re
from pathlib import Path

import pytest

from benchmarks.accuracy import PARTS
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
    names: dict[str, object] = {}
    for block in BLOCKS:
        exec(compile(block, "README.md", "exec"), names)
    said = capsys.readouterr().out
    assert "superb" in said
    assert "onverged" in said
    assert "Interval(" in said
    assert (tmp_path / "why.html").stat().st_size > 10_000


def test_what_it_links_to_is_there():
    links = re.findall(r"\]\(([^)#]+)\)", README)
    assert links
    for link in links:
        assert (ROOT / link).exists(), link


def test_its_accuracy_is_the_committed_one():
    parts = json.loads((ROOT / "benchmarks/results/accuracy.json").read_text())["parts"]
    assert set(parts) == set(PARTS)
    for part in parts.values():
        worst, gradients = part["worst_true_error_of_converged"], part["mean_gradients"]
        told = (
            f"| {part['converged']} of {part['paths']} | {part['off_by_more_than_the_tolerance']} | {part['lied']} "
            f"| {worst:.1e} | {gradients:.0f} |"
        )
        assert told in README


def test_the_targets_it_names_are_in_the_makefile():
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"make ([a-z]+)\b", README)) - {"alone"} <= targets
