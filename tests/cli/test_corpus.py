"""`calig corpus`, `calig estimate` and `calig verify`, as they are typed."""

import json

import pytest
from helpers import corpora
from helpers.typed import fails, run

pytest.importorskip("pyarrow")


def test_a_corpus_from_the_command(texts, tmp_path):
    inputs = corpora.text_file(tmp_path / "in.txt", corpora.sentences(6))
    out = tmp_path / "out"
    typed = ("corpus", inputs, "--model", texts, "--out", out, "--workers", 0, "--part-size", 4, "--save-layers", 1)
    found = run(*typed, "--target", "GOOD", "--tolerance", 0.1, "--dtype", "float64")
    assert found.exit_code == 0, found.output
    assert found.stdout.startswith("6 inputs (6 now, 0 there before)")
    rows = corpora.read(out, "tokens")
    assert "layer_1" in rows.column_names
    assert "layer_0" not in rows.column_names
    assert set(rows["label"].to_pylist()) == {"good"}
    found = run("verify", out, "--sample", 2)
    assert found.exit_code == 0, found.output
    assert "2 of 2 inputs agree" in found.stdout
    found = run("corpus", "report", out)
    assert found.exit_code == 0, found.output
    assert "6 inputs" in (out / "report.html").read_text(encoding="utf-8")
    inputs.write_text("other words\n")
    found = run("verify", out, "--sample", 2)
    assert found.exit_code == 1
    assert "DIFFERS" in found.stdout


def test_the_exit_code_says_that_some_failed(texts, tmp_path):
    rows = [{"text": "a film", "key": "x"}, {"text": None, "key": "y"}]
    inputs = tmp_path / "in.jsonl"
    inputs.write_text("".join(json.dumps(row) + "\n" for row in rows))
    typed = ("corpus", "--model", texts, "--out", tmp_path / "out", inputs, "--id-column", "key", "--workers", 0)
    for option in ((), ("--retry-failed",)):
        found = run(*typed, *option)
        assert found.exit_code == 1, found.output
        assert "1 inputs failed" in found.stderr
    assert corpora.read(tmp_path / "out", "inputs")["error"].to_pylist() == [None, 'inputs: "text" is empty']


def test_pictures(pictures, tmp_path):
    inputs = corpora.picture_folder(tmp_path / "in", 2)
    found = run("corpus", inputs, "--model", pictures, "--out", tmp_path / "out", "--workers", 0)
    assert found.exit_code == 0, found.output
    assert corpora.read(tmp_path / "out", "inputs")["id"].to_pylist() == ["0001.png", "below/0000.png"]


def test_the_cost_is_told_and_nothing_is_written(texts, tmp_path):
    inputs = corpora.text_file(tmp_path / "in.txt", corpora.sentences(6))
    found = run("estimate", inputs, "--model", texts)
    assert found.exit_code == 0, found.output
    assert found.stdout.startswith("6 inputs, ")
    found = run("corpus", inputs, "--model", texts, "--out", tmp_path / "out", "--dry-run")
    assert found.exit_code == 0, found.output
    assert not (tmp_path / "out").exists()


def test_mistakes_are_one_line(texts, tmp_path):
    inputs = corpora.text_file(tmp_path / "in.csv", ["text,key", "a,b"])
    some = ("corpus", inputs, "--model", texts, "--out", tmp_path / "out", "--workers", 0)
    fails("corpus", tmp_path / "no.txt", *some[2:], say="there is no such file")
    fails(*some, "--column", "words", say='column: the inputs have no column "words"; there are text, key')
    fails(*some, "--dtype", "int8", say="dtype")
    fails(*some, "--target", 7, say="target: [7] is outside 0..1")
    fails(*some[:-2], "--workers", -1, say="workers")
    fails("verify", tmp_path, say="holds no corpus")
    fails("corpus", "report", tmp_path, say="holds no corpus")
    (tmp_path / "file").write_text("")
    fails(*some[:4], "--out", tmp_path / "file", "--workers", 0, say="file")
