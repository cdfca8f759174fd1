"""Every cell of the notebooks runs, in order, in an empty folder; they hold no output and are listed."""

import json

import pytest
import torch
from helpers.documents import ROOT

NOTEBOOKS = sorted((ROOT / "docs/tutorials").glob("*.ipynb"))


def cells(path):
    return json.loads(path.read_text(encoding="utf-8"))["cells"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
@pytest.mark.filterwarnings("ignore")
def test_a_notebook_runs(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    state, names = torch.random.get_rng_state(), {"__name__": "__main__"}
    try:
        for number, cell in enumerate(cells(path)):
            if cell["cell_type"] == "code":
                exec(compile("".join(cell["source"]), f"{path.name}, cell {number}", "exec"), names)
    finally:
        torch.random.set_rng_state(state)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_a_notebook_holds_no_output_and_is_listed(path):
    made = json.loads(path.read_text(encoding="utf-8"))
    assert (made["nbformat"], made["nbformat_minor"]) == (4, 5)
    assert len({cell["id"] for cell in made["cells"]}) == len(made["cells"])
    assert [c for c in made["cells"] if c.get("outputs") or c.get("execution_count")] == []
    assert f"({path.name})" in (ROOT / "docs/tutorials/index.md").read_text(encoding="utf-8")


def test_there_are_the_four():
    assert [p.stem for p in NOTEBOOKS] == ["corpus", "monitor", "text", "vit"]
