"""The benchmark beside Captum runs both, and the page has its numbers."""

import json
from pathlib import Path

import torch

from benchmarks import bench_captum

ROOT = Path(__file__).parents[2]


def test_both_are_run_in_every_round_and_compared():
    calls = []

    def run(name, value):
        return lambda: calls.append(name) or torch.tensor([value])

    captum, mine, apart = bench_captum.by_turns((run("captum", 4.0), run("ours", 5.0)), 3)
    assert len(captum) == len(mine) == 3
    assert calls == ["captum", "ours", "captum", "ours", "ours", "captum", "captum", "ours"]
    assert apart == 0.25
    found = bench_captum.row("a layer", [2.0, 6.0], [1.0, 2.0], apart)
    assert found["times"] == {"median": 2.5, "min": 2.0, "max": 3.0}


def test_the_page_tells_what_was_measured():
    found = json.loads((ROOT / "benchmarks/results/captum.json").read_text())
    page = (ROOT / "docs/captum.md").read_text(encoding="utf-8")
    assert all(row["relative_difference"] <= bench_captum.LIMIT for row in found["rows"])
    for row in found["rows"]:
        assert f"| {' | '.join(bench_captum.cells(row))} |" in page
    assert found["command"] in page
