"""The rows of an export: a row for each unit, every column against the tensors."""

import math
from pathlib import Path

import pytest
import torch
from helpers.exported import exported

from calig_fast.results.records import ROW_COLUMNS, SCHEMA_VERSION, UNIT_COLUMNS, table

CASES = exported()
PAGE = (Path(__file__).parents[2] / "docs" / "exports.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", CASES)
def test_a_row_for_each_real_token(name):
    a = CASES[name]
    rows = a.to_records()
    assert [(r["row"], r["position"]) for r in rows] == [tuple(place) for place in a.mask.nonzero().tolist()]
    b = [r["row"] for r in rows]
    t = [r["position"] for r in rows]
    scores = torch.tensor([r["score"] for r in rows], dtype=torch.float64)
    torch.testing.assert_close(scores, a.scores[b, t].double(), equal_nan=True, rtol=0, atol=0)
    for n in range(a.layer_scores.shape[1]):
        column = torch.tensor([r[f"layer_{a.block(n)}"] for r in rows], dtype=torch.float64)
        torch.testing.assert_close(column, a.layer_scores[b, n, t].double(), rtol=0, atol=0)
    assert [r["special"] for r in rows] == a.special[b, t].tolist()
    if a.texts is not None:
        assert [r["text"] for r in rows] == [
            name.encode("utf-8", "backslashreplace").decode() for names in a.tokens for name in names
        ]


@pytest.mark.parametrize("name", CASES)
def test_the_columns_of_an_input(name):
    a = CASES[name]
    for r in a.to_records():
        b = r["row"]
        assert r["schema_version"] == SCHEMA_VERSION
        assert r["input"] == (b if a.source is None else a.source[b])
        assert (r["label"], r["converged"]) == (a.label(b), a.converged[b])
        assert (r["method"], r["engine"], r["backend"]) == (a.method, a.engine, a.backend)
        assert (r["tolerance"], r["baselines"]) == (a.settings.tolerance, a.settings.baselines)
        assert r["score_error"] == pytest.approx(float(a.score_error[b]), nan_ok=True)
        worst = float(a.error[b].max()) if a.error.shape[1] else math.nan
        assert r["layer_error"] == pytest.approx(worst, nan_ok=True)
        target = [] if a.target is None else a.target[b].reshape(-1).tolist()
        assert [v for v in (r["target"], r["contrast"]) if v is not None] == target
        assert (r["reason"] == "") is r["converged"]


def test_why_an_input_did_not_converge():
    assert {(r["row"], r["reason"]) for r in CASES["texts"].to_records()} == {(0, "limit"), (1, "")}


def test_words_twice_are_told_apart():
    rows = [r for r in CASES["scripts"].to_records() if r["word"] == "caf\u00e9"]
    assert len({r["word_number"] for r in rows}) == 2
    assert len({(r["start"], r["end"]) for r in rows}) == 2
    sides = [(r["word_number"], r["part"]) for r in CASES["pair"].to_records() if r["word"] == "bad"]
    assert sides == [(2, 0), (5, 0), (9, 1)]


def test_the_pieces_of_a_word_share_its_place():
    a = CASES["texts"]
    rows = [r for r in a.to_records() if r["word"] == "unbelievably"]
    assert [r["text"] for r in rows] == ["unbe", "##lievably"]
    assert {a.texts[0].text[r["start"] : r["end"]] for r in rows} == {"unbelievably"}
    special = [r for r in a.to_records() if r["special"]]
    assert {(r["word"], r["word_number"], r["start"], r["part"]) for r in special} == {(None, None, None, None)}


def test_patches_by_row_and_column():
    rows = CASES["prefix tokens"].to_records()
    first = [r for r in rows if r["row"] == 0]
    assert [(r["unit"], r["patch_row"], r["patch_column"]) for r in first[:4]] == [
        ("token", None, None), ("token", None, None), ("patch", 0, 0), ("patch", 0, 1),
    ]  # fmt: skip
    assert (first[-1]["patch_row"], first[-1]["patch_column"]) == (1, 3)


@pytest.mark.parametrize("name", CASES)
def test_every_row_has_every_column_of_its_type(name):
    for by in ("token", "word", "sentence"):
        try:
            made = table(CASES[name].by(by))
        except ValueError:
            continue
        layers = [c for c in made.columns if c not in UNIT_COLUMNS and c not in ROW_COLUMNS]
        assert list(made.columns) == [*UNIT_COLUMNS, *layers, *ROW_COLUMNS]
        for column, values in made.columns.items():
            kind = made.types[column]
            assert all(v is None or type(v) is kind for v in values), column


def test_layers_are_chosen():
    a = CASES["some blocks"]
    assert [c for c in a.to_records()[0] if c.startswith("layer_")] == ["layer_1", "layer_4", "layer_5", "layer_error"]
    row = a.to_records(layers=[-1, 0, 2])[5]
    assert [c for c in row if c.startswith("layer_")] == ["layer_5", "layer_1", "layer_error"]
    assert row["layer_5"] == float(a.layer_scores[0, 2, row["position"]])
    assert not [c for c in a.to_records(layers=[])[0] if c.startswith("layer_") and c != "layer_error"]


@pytest.mark.parametrize(
    ("layers", "kind"),
    [([3], IndexError), (["0"], TypeError), (1, TypeError), ("01", TypeError), (torch.tensor(1), TypeError)],
)
def test_layers_that_are_not_there(layers, kind):
    with pytest.raises(kind, match="layers: expected"):
        CASES["texts"].to_records(layers=layers)


def test_the_page_names_every_column():
    for column in (*UNIT_COLUMNS, *ROW_COLUMNS):
        assert f"| `{column}` |" in PAGE, column
