"""The Python of docs/monitor.md runs unchanged, and its numbers equal the committed results of the example."""

import json
import re
from pathlib import Path

import pytest

from calig_fast.demo import MissingPackageError, load

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "monitor.md").read_text(encoding="utf-8")
MEASURED = json.loads((ROOT / "benchmarks" / "results" / "monitor.json").read_text(encoding="utf-8"))


def test_the_python_to_paste_runs(tmp_path, monkeypatch):
    pytest.importorskip("transformers")
    try:
        load("sentiment", count=1)
    except MissingPackageError as error:
        pytest.skip(str(error))
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for block in re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL):
        exec(compile(block, "monitor.md", "exec"), names)
    assert [json.loads(line)["probe"] for line in (tmp_path / "looks.jsonl").read_text().splitlines()][:2] == [
        "A dull film.",
        "premiere",
    ]
    assert "superb" in (tmp_path / "looks.html").read_text(encoding="utf-8")
    assert len(names["callbacks"]) == 1


def test_what_it_links_to_is_there():
    for link in re.findall(r"\]\(([^)#]+)\)", PAGE):
        assert (ROOT / "docs" / link).exists(), link


def test_the_committed_run_kept_its_bar():
    assert MEASURED["overhead_measured"] <= MEASURED["overhead_allowed"]
    assert MEASURED["losses_identical"]
    assert MEASURED["weights_identical"]
    assert MEASURED["largest_loss_difference"] == 0.0
    for probe in MEASURED["probes"]:
        assert probe["relevance_on_planted"][-1] > 3 * probe["relevance_on_planted"][0]


def test_the_order_of_the_end_points_is_the_measured_one():
    found = json.loads((ROOT / "benchmarks" / "results" / "end_points.json").read_text(encoding="utf-8"))["work"]
    for name, said in (("sentiment", "40 film sentences"), ("topics", "8 news articles of 60 words")):
        part = found[name]
        told = (
            f"| {said} | {part['rank_correlation_median']:.2f} | {part['rank_correlation_worst']:.2f} "
            f"| {part['same_strongest_token']} of {part['inputs']} |"
        )
        assert told in PAGE
    times = {name: part["seconds_certified_scores"] / part["seconds_end_points"] for name, part in found.items()}
    assert f"took {times['sentiment']:.0f} times as long on the sentences and\n{times['topics']:.0f} times" in PAGE


def test_what_is_told_of_the_run_is_what_was_measured():
    before, after = MEASURED["accuracy_before"], MEASURED["accuracy_after"]
    for kind in before:
        assert re.search(
            rf"^\| {kind}.* \| {100 * before[kind]:.0f} % \| {100 * after[kind]:.0f} % \|$", PAGE, re.MULTILINE
        )
    took, share = MEASURED["seconds_with"], 100 * MEASURED["overhead_measured"]
    assert f"The run took {took:.0f} s, of which the monitor took {share:.1f} %" in PAGE


def test_every_number_of_a_look_is_in_the_page():
    from calig_fast.monitor.measures import Look

    for name in Look.__dataclass_fields__:
        assert f"`{name}`" in PAGE, name
