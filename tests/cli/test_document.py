"""An explanation as plain values: JSON brings back what it says."""

import json

import pytest
from helpers.tiny_models import ids, pixels, tiny

from calig_fast import explain
from calig_fast.cli.document import document


def test_a_text():
    a = explain(tiny("bert"), ids(9, 6))
    found = document(a)
    assert json.loads(json.dumps(found)) == found
    assert found["method"] == a.method
    assert len(found["inputs"]) == 2
    second = found["inputs"][1]
    assert len(second["scores"]) == len(second["tokens"]) == 6
    assert second["scores"] == a.scores[1, :6].tolist()
    assert second["statement"] == a.statement(1)
    assert [layer["sum"] for layer in second["layers"]] == pytest.approx(a.layer_scores[1].sum(1).tolist(), abs=1e-6)
    assert all(len(layer["scores"]) == 6 for layer in second["layers"])
    assert [word["score"] for word in second["words"]] == [score for _, score in a.word_scores(1)]


def test_a_picture():
    a = explain(tiny("vit"), pixels(1))
    (found,) = document(a)["inputs"]
    assert found["patches"] == a.patch_scores(0).tolist()
    assert "words" not in found


def test_each_target_says_whose_it_is():
    a = explain(tiny("bert"), ids(9, 6), target=[[0, 1], [2, 3]])
    assert [(one["input"], one["target"]) for one in document(a)["inputs"]] == [
        (0, [0]), (0, [1]), (1, [2]), (1, [3]),
    ]  # fmt: skip


@pytest.mark.parametrize("how", ["sum", "mean"])
def test_units_that_were_asked_for(how):
    a = explain(tiny("bert"), ids(9, 6))
    found = document(a, a.by("word", how))
    assert (found["by"], found["how"]) == ("word", how)
    for b, one in enumerate(found["inputs"]):
        assert [unit["text"] for unit in one["units"]] == [word.text for word in a.words[b]]
        assert [unit["tokens"] for unit in one["units"]] == [list(word.tokens) for word in a.words[b]]
        assert [unit["score"] for unit in one["units"]] == a.by("word", how).scores[b][: len(one["units"])].tolist()
