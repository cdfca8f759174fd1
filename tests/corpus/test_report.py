"""The page of a corpus, and its sums: part by part, through DuckDB, and by hand."""

import math
from collections import defaultdict

import pytest
from helpers import corpora

from calig_fast import corpus
from calig_fast.corpus import words
from calig_fast.corpus.parts import UNITS, Folder


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpus")
    model, tokenizer = corpora.text_model()
    options = {"workers": 0, "part_size": 8}
    corpus.explain_corpus(model, [*corpora.sentences(30), ""], folder / "one", tokenizer, **options)
    corpus.explain_corpus(model, corpora.sentences(30), folder / "two", tokenizer, target=0, **options)
    return folder


def files(folder):
    found = Folder(folder)
    found.look()
    return [found.file(name, UNITS) for name in sorted(found.there)]


def by_hand(folder):
    inputs = defaultdict(lambda: defaultdict(lambda: defaultdict(float)))
    for row in corpora.read(folder, "tokens").to_pylist():
        if not row["special"]:
            inputs[row["id"], row["label"]][row["word"]][row["word_number"]] += row["score"]
    found = defaultdict(lambda: [0, 0.0, 0.0, 0.0, 0.0])
    for (_, label), of in inputs.items():
        whole = sum(abs(score) for places in of.values() for score in places.values())
        for word, places in of.items():
            score = sum(places.values()) / len(places)
            share = sum(map(abs, places.values())) / whole
            for i, value in enumerate((1, score, score**2, share, share**2)):
                found[label, word][i] += value
    return found


@pytest.mark.parametrize("how", ["by_arrow", "by_duckdb"])
def test_sums_are_those_by_hand(made, how, monkeypatch):
    if how == "by_duckdb":
        pytest.importorskip("duckdb")
    monkeypatch.setattr(words, "MERGED", 2)
    wanted = by_hand(made / "one")
    table = getattr(words, how)(files(made / "one")).to_pylist()
    assert {(row["label"], row["word"]) for row in table} == set(wanted)
    for row in table:
        assert [row[name] for name in words.SUMS] == pytest.approx(wanted[row["label"], row["word"]])
    assert words.by_arrow([]).num_rows == 0


def test_a_page(made, tmp_path):
    page = corpus.report(made / "one", path=tmp_path / "page.html")
    assert (tmp_path / "page.html").read_text(encoding="utf-8") == page
    assert "31 inputs, 1 failed" in page
    assert "input is empty" in page
    assert "unbelievably" in page
    assert "http" not in page
    assert "Beside" not in page


def test_two_runs_compared(made):
    page = corpus.report(made / "one", made / "two")
    assert "30 inputs are explained in both; 0 have the same label" in page
    assert "the same label" in corpus.report(made / "one", made / "one")
    with pytest.raises(ValueError, match="holds no corpus"):
        corpus.report(made)


def test_pictures(tmp_path):
    model, processor = corpora.image_model()
    folder = corpora.picture_folder(tmp_path / "in", 3)
    corpus.explain_corpus(model, folder, tmp_path / "out", processor, workers=0)
    assert "row 0, column 2" in corpus.report(tmp_path / "out")


def test_means_have_their_intervals():
    from calig_fast.corpus.report import Mean, _mean

    values = [1.0, 2.0, 4.0]
    (mean,), (half,) = ([float(v) for v in found] for found in _mean(*map(list_of, (sum(values), 21.0, 3.0))))
    assert mean == pytest.approx(7 / 3)
    assert half == pytest.approx(1.96 * math.sqrt(sum((v - 7 / 3) ** 2 for v in values) / 2 / 3))
    assert Mean(0.5, float("nan")).text == "0.5"
    assert Mean(0.5, 0.1).text == "0.5 ± 0.1"


def list_of(value):
    import numpy as np

    return np.array([value])
