"""The table that a result prints: bounded, with label, error, convergence and the strongest units."""

from dataclasses import replace

import pytest
import torch
from helpers.exported import exported
from helpers.synthetic import cases, of_texts, read
from rich.cells import cell_len

from calig_fast.views.html import NOTEBOOK_SCORES, fragment
from calig_fast.views.table import HEAD, ROWS, table, table_html

CASES = {**cases(), **exported()}


@pytest.mark.parametrize("name", CASES)
def test_it_is_short_and_says_what_matters(name):
    a = CASES[name]
    text = repr(a)
    assert text == str(a) == table(a)
    lines = text.splitlines()
    assert len(lines) <= ROWS + 4
    assert max(map(cell_len, lines)) <= 200
    assert "tensor(" not in text
    assert "\x1b" not in text
    for b, line in enumerate(lines[2 : 2 + a.batch]):
        assert line.split()[0] == str(b)
        assert (" yes " in line or " - " in line) or not bool(a.converged[b])
        assert "NO" in line or bool(a.converged[b]) or bool(a.error[b].isnan().all())
    html = table_html(a)
    assert html.count("<tr>") == 1 + min(a.batch, ROWS)
    assert "<script" not in html


def test_the_strongest_words_are_named():
    a = CASES["texts"]
    best = a.top(1)[0][0]
    assert f"{best.name} {best.score:+.3g}" in repr(a)
    assert "1 of 2 did not converge" in repr(a)
    assert "NO: limit" in repr(a)
    assert repr(a).splitlines()[1].split() == " ".join(HEAD).split()


def test_many_inputs_and_long_names_stay_short():
    a = of_texts([read("word " * 3 + "x" * 5000)] * 500, labels=("label " * 500,) * 5)
    assert len(repr(a)) < 5000
    assert f"... {500 - ROWS} more rows" in repr(a)
    assert len(a.by("sentence")._repr_html_()) < 10_000


def test_tensors_without_values():
    assert "meta device" in repr(CASES["texts"].to("meta"))
    assert "meta device" in CASES["texts"].to("meta")._repr_html_()


def test_a_notebook_gets_the_page_or_where_that_is_long_the_table():
    a = CASES["texts"]
    assert a._repr_html_() == fragment(a)
    assert "calig-panel" in a._repr_html_()
    long = replace(a, layer_scores=torch.zeros(2, NOTEBOOK_SCORES, 1).expand(2, NOTEBOOK_SCORES, a.scores.shape[1]))
    assert len(long.layer_scores) == 2
    assert fragment(long) == table_html(long)
