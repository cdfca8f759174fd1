"""Each input is in the tables exactly once: whatever was there before, whatever fails, whichever engine ran."""

import errno
import json
import os
from unittest import mock

import pytest
import torch
from helpers import corpora

from calig_fast import Explainer, corpus
from calig_fast._utils import files


@pytest.fixture
def go(tmp_path):
    """Explains a corpus of texts in this process; the summary."""

    def run(inputs, out="out", **options):
        model, tokenizer = corpora.text_model()
        given = {"workers": 0, "part_size": 4, **options}
        return corpus.explain_corpus(model, inputs, tmp_path / out, tokenizer, **given)

    return run


def test_rows_are_those_of_explain(go, tmp_path):
    texts = corpora.sentences(11)
    done = go(texts)
    assert (done.inputs, done.explained, done.failed) == (11, 11, 0)
    model, tokenizer = corpora.text_model()
    rows = corpora.read(tmp_path / "out", "tokens").to_pylist()
    inputs = corpora.read(tmp_path / "out", "inputs").to_pylist()
    assert [row["id"] for row in inputs] == list(range(11))
    assert done.rows == len(rows)
    for number, text in enumerate(texts):
        a = Explainer(model, tokenizer)(text)
        mine = [row for row in rows if row["id"] == number]
        assert [row["text"] for row in mine] == list(a.tokens[0])
        scores = torch.tensor([row["score"] for row in mine], dtype=torch.float64)
        torch.testing.assert_close(scores, a.scores[0].double(), atol=0.02 * float(a.scores.abs().max()), rtol=0.02)
        told = inputs[number]
        assert (told["label"], told["rows"], told["error"]) == (a.label(), len(mine), None)
        assert told["logits"] == pytest.approx(a.logits[0].tolist(), abs=1e-5)
        assert all(text[row["start"] : row["end"]] == row["word"] for row in mine if row["word"])


def test_rows_do_not_depend_on_the_parts_before(go, tmp_path):
    texts = corpora.sentences(12)
    go(texts)
    go(texts[:4], "first")
    go(texts, "first")
    assert corpora.content(tmp_path / "out") == corpora.content(tmp_path / "first")


def test_the_same_command_again_costs_nothing(go):
    texts = corpora.sentences(10)
    go(texts)
    with mock.patch.object(Explainer, "__call__", side_effect=AssertionError):
        done = go(texts)
    assert (done.inputs, done.explained, done.copied) == (10, 0, 0)


@pytest.mark.parametrize("change", ["grown", "at the front", "one removed", "one changed", "turned round"])
def test_other_inputs_cost_what_is_new(go, tmp_path, change):
    texts = corpora.sentences(10)
    new = {
        "grown": [*texts, "one more", "and more"],
        "at the front": ["one more", *texts],
        "one removed": texts[:3] + texts[4:],
        "one changed": [*texts[:3], "another", *texts[4:]],
        "turned round": texts[::-1],
    }[change]
    go(texts)
    done = go(new)
    assert done.explained == len(set(new) - set(texts))
    go(texts, "once")
    go(iter(new), "once")  # which cannot be read twice, so that more may be explained
    assert corpora.read(tmp_path / "out", "tokens")["text"].equals(corpora.read(tmp_path / "once", "tokens")["text"])
    go(new, "anew")
    for kind in ("tokens", "inputs"):
        one, other = (corpora.read(tmp_path / out, kind) for out in ("out", "anew"))
        assert one["id"].equals(other["id"])
        assert one.drop_columns([n for n in one.column_names if str(one.schema.field(n).type) == "double"]).num_rows
    found = {row["id"]: row["content"] for row in corpora.read(tmp_path / "out", "inputs").to_pylist()}
    wanted = {row["id"]: row["content"] for row in corpora.read(tmp_path / "anew", "inputs").to_pylist()}
    assert found == wanted
    words = {}
    for row in corpora.read(tmp_path / "out", "tokens").to_pylist():
        words.setdefault(row["id"], []).append(row["text"])
    assert [w[1:-1] for _, w in sorted(words.items())] == [corpora.text_model()[1].tokenize(text) for text in new]


def test_other_work_is_not_taken_for_done_and_comes_back(go, tmp_path):
    texts = corpora.sentences(9)
    go(texts)
    before = corpora.content(tmp_path / "out")
    others = [{"tolerance": 0.3}, {"target": 0}, {"method": "layer_ig"}, {"by": "word"}, {"save_layers": [1]}]
    for options in others:
        done = go(texts, **options)
        assert (done.explained, done.inputs) == (9, 9), options
        assert len(set(corpora.read(tmp_path / "out", "tokens")["settings"].to_pylist())) == 1
    done = go(texts)
    assert (done.explained, done.inputs) == (0, 9)
    assert corpora.content(tmp_path / "out") == before


def test_other_weights_are_other_work(tmp_path):
    import copy

    model, tokenizer = corpora.text_model()
    other = copy.deepcopy(model)
    with torch.no_grad():
        other.classifier.bias[0] += 1e-3
    texts = corpora.sentences(5)
    for one in (model, other):
        assert corpus.explain_corpus(one, texts, tmp_path / "out", tokenizer, workers=0).explained == 5
    assert corpus.explain_corpus(model, texts, tmp_path / "out", tokenizer, workers=0).explained == 0


def test_a_bad_input_is_a_row_with_its_error(go, tmp_path):
    bad = ["a film", "  ", {"input_ids": [7, 10**9]}, "dull", None]
    done = go(bad)
    rows = corpora.read(tmp_path / "out", "inputs").to_pylist()
    assert done.failed == 3
    assert [bool(row["error"]) for row in rows] == [False, True, True, False, True]
    assert "empty" in rows[1]["error"]
    assert {row["id"] for row in corpora.read(tmp_path / "out", "tokens").to_pylist()} == {0, 3}
    again = go(bad, retry_failed=True)
    assert (again.explained, again.copied, again.inputs, again.failed) == (3, 2, 5, 3)


def test_nothing_but_bad_inputs(go, tmp_path):
    assert go(["", " "]).failed == 2
    assert corpora.read(tmp_path / "out", "inputs").num_rows == 2


def test_an_option_that_fits_no_input_is_told_at_once(go, tmp_path):
    with pytest.raises(ValueError, match=r"target: .* outside"):
        go(corpora.sentences(5), target=7)
    with pytest.raises(ValueError, match="'blur' is not one of"):
        go(corpora.sentences(5), baselines="blur")
    with pytest.raises(IndexError):
        go(corpora.sentences(5), save_layers=[9])
    assert not list((tmp_path / "out").glob("*/*.parquet"))


def test_a_full_disk_loses_nothing(go, tmp_path):
    texts = corpora.sentences(12)
    real, written = files._pour, []

    def full(handle, data):
        written.append(len(data))
        if len(written) > 5:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(handle, data)

    with mock.patch.object(files, "_pour", full), pytest.raises(OSError, match="No space left") as told:
        go(texts)
    assert str(tmp_path) in str(told.value)
    assert told.value.filename.endswith(".parquet")  # the file that has no room, and not the lock
    done = go(texts)
    assert (done.inputs, done.explained) == (12, 4)
    go(texts, "anew")
    assert corpora.content(tmp_path / "out") == corpora.content(tmp_path / "anew")


def test_a_folder_that_cannot_be_written(go, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        go(["a"], "file")
    with pytest.raises(OSError, match="file"):
        go(["a"], "file/below")
    if os.geteuid():
        (tmp_path / "closed").mkdir(mode=0o500)
        with pytest.raises(PermissionError, match="closed"):
            go(["a"], "closed")


def test_a_manifest_that_cannot_be_written_is_told(go, tmp_path):
    (tmp_path / "out" / "manifest.json").mkdir(parents=True)
    with pytest.raises(OSError, match=r"manifest\.json"):
        go(["a film"])
    (tmp_path / "out" / "manifest.json").rmdir()
    done = go(["a film"])
    assert (done.inputs, done.explained) == (1, 0)


def test_two_runs_in_one_folder(go, tmp_path):
    go(["a film"])
    with files.held(tmp_path / "out" / ".lock") as mine:
        assert mine
        with pytest.raises(RuntimeError, match="out: another run works in"):
            go(["a film"])
    assert go(["a film"]).inputs == 1


def test_ids_are_unique(go):
    rows = [{"text": "a", "key": "x"}, {"text": "b", "key": "y"}, {"text": "c", "key": "x"}]
    with pytest.raises(ValueError, match="id_column: the id 'x' stands twice"):
        go(rows, id_column="key")
    assert go(rows[:2], id_column="key").inputs == 2


def test_the_manifest_is_what_the_parts_say(go, tmp_path):
    done = go([*corpora.sentences(9), ""])
    told = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert (told["inputs"], told["failed"], told["rows"]) == (10, 1, done.rows)
    assert sum(part["rows"] for part in told["parts"]) == done.rows
    assert all((tmp_path / "out" / file).is_file() for part in told["parts"] for file in part["files"])
    (work,) = told["works"].values()
    assert work["settings"]["tolerance"] == 0.02
    (tmp_path / "out" / "manifest.json").write_text('{"inputs": 10, "parts": "all done"}')
    removed = sorted((tmp_path / "out" / "inputs").iterdir())[0]
    removed.unlink()
    assert go([*corpora.sentences(9), ""]).explained in (2, 4)
    assert json.loads((tmp_path / "out" / "manifest.json").read_text()) == told


def test_pictures_and_maps(tmp_path):
    from safetensors.torch import load_file

    model, processor = corpora.image_model()
    folder = corpora.picture_folder(tmp_path / "in", 7)
    (folder / "broken.png").write_bytes(b"no picture")
    options = {"workers": 0, "part_size": 5, "save_maps": True}
    done = corpus.explain_corpus(model, folder, tmp_path / "out", processor, **options)
    assert (done.inputs, done.failed) == (8, 1)
    rows = corpora.read(tmp_path / "out", "tokens").to_pylist()
    assert {row["unit"] for row in rows} == {"patch", "token"}
    assert sum(row["id"] == "below/0000.png" for row in rows) == 17
    maps = {name: m for file in (tmp_path / "out" / "maps").iterdir() for name, m in load_file(file).items()}
    assert len(maps) == 7
    assert maps["0001.png"].shape == (1, 3, 17, 17)
    (folder / "0001.png").unlink()
    again = corpus.explain_corpus(model, folder, tmp_path / "out", processor, **options)
    assert (again.explained, again.copied + 5) in {(0, 7), (0, 12)}


def test_several_targets_of_an_input(go, tmp_path):
    go(["a film", "dull"], target="all")
    rows = corpora.read(tmp_path / "out", "tokens").to_pylist()
    assert {(row["id"], row["target"]) for row in rows} == {(0, 0), (0, 1), (1, 0), (1, 1)}
    assert corpora.read(tmp_path / "out", "inputs").num_rows == 2


def test_rows_are_sorted_by_id_within_a_part(go, tmp_path):
    from pyarrow import parquet

    texts = corpora.sentences(9)
    go([{"text": text, "key": f"k{9 - i}"} for i, text in enumerate(texts)], id_column="key")
    for kind in ("tokens", "inputs"):
        for file in (tmp_path / "out" / kind).iterdir():
            ids = parquet.ParquetFile(file).read()["id"].to_pylist()
            assert ids == sorted(ids)
