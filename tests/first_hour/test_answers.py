"""An answer in the hands of a new user: looked at, grouped, put into a table, compared, plotted."""

import json
import logging

import pytest
import torch

import calig_fast
from calig_fast import demo, metrics
from calig_fast.monitor import Monitor

TEXT = "The plot is thin, but the acting is superb. I would see it again!"


@pytest.fixture(scope="module")
def answer(explainer):
    return explainer(TEXT)


def test_the_label_is_a_name(answer):
    assert answer.label() in {"NEGATIVE", "POSITIVE"}


def test_the_repr_is_short(answer):
    assert len(repr(answer)) < 2500
    assert "strongest" in repr(answer)


def test_what_a_console_shows_of_the_others_is_a_line(answer, explainer, model, tokenizer):
    erasure = metrics.erasure(model, [TEXT, "Dull."], explainer([TEXT, "Dull."]), processor=tokenizer)
    shown = {
        "Comparison of 1 input, side by side: 'a', 'b'": calig_fast.compare({"a": answer, "b": answer}),
        "DataSetSummary of 1 input of 'old'; the most important words: ": calig_fast.summary({"old": answer}),
        f"Explainer({type(model).__name__}, method='gradient_x_input')": explainer,
        "Demo('tiny': BertForSequenceClassification, 4 samples, labels negative, positive)": demo.load("tiny"),
        "Monitor(probes=1, steps=0, looks=0)": Monitor(model, [TEXT], tokenizer),
        "Curve(comprehensiveness, mean=": erasure.comprehensiveness,
        "Measure(": erasure.difference,
    }
    for start, value in shown.items():
        assert repr(value).startswith(start)
        assert len(repr(value)) < 200
        assert "\n" not in repr(value)
    assert repr(erasure.comprehensiveness).endswith(", inputs=2, higher is better)")
    assert len(repr(erasure)) < 600


def test_words_with_scores(answer):
    names = [word for word, _ in answer.word_scores()]
    assert "superb" in " ".join(names)
    assert len(answer.by("word").top(3)[0]) == 3


@pytest.mark.parametrize("by", ["token", "word", "sentence", [(0, 8), (8, 42)]], ids=str)
@pytest.mark.parametrize("how", ["sum", "mean", "max"])
def test_scores_by_any_unit_with_the_aggregation_named(by, how, answer):
    found = answer.by(by, how=how)
    tokens = answer.scores[0].double()
    of = {"sum": torch.sum, "mean": torch.mean, "max": torch.max}[how]
    for unit, score in zip(found.units[0], found.scores[0], strict=True):
        assert score == pytest.approx(float(of(tokens[list(unit.tokens)])))
    assert {row["how"] for row in found.to_records()} == {how}


def test_a_data_frame(answer):
    pytest.importorskip("pandas")
    frame = answer.by("word").to_pandas()
    assert {"text", "score", "label", "start", "end"} <= set(frame.columns)


def test_json_and_back(answer, tmp_path):
    path = answer.save(tmp_path / "a.safetensors")
    assert torch.equal(calig_fast.Attribution.load(path).scores, answer.scores)
    assert json.loads(json.dumps(answer.by("word").to_records()))


def test_parquet(answer, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    assert parquet.read_table(answer.by("word").to_parquet(tmp_path / "a.parquet")).num_rows > 5


def test_shap_plots_take_it(answer):
    pytest.importorskip("shap")
    assert answer.to_shap().values is not None


def test_two_answers_are_compared(answer, explainer):
    assert answer != explainer(TEXT)  # by identity, as tensors hold no one truth; `compare` says how they differ
    assert torch.equal(answer.scores, explainer(TEXT).scores)
    with pytest.raises(TypeError, match=r"pass \[a, b\]"):
        calig_fast.compare(answer, explainer(TEXT))
    assert "superb" in calig_fast.compare([answer, explainer(TEXT)]).to_html()


def test_a_figure_and_a_page(answer, tmp_path):
    pytest.importorskip("matplotlib")
    answer.plot().savefig(tmp_path / "a.png")
    answer.to_html(tmp_path / "a.html")
    assert "superb" in (tmp_path / "a.html").read_text(encoding="utf-8")


def test_a_notebook_shows_it(answer):
    assert "superb" in answer._repr_html_()
    assert len(answer._repr_html_()) < 120_000


def test_warnings_reach_a_log(model, tokenizer, caplog):
    logging.captureWarnings(True)
    try:
        calig_fast.explain(model, "word " * 100, tokenizer, method="gradient_x_input")
    finally:
        logging.captureWarnings(False)
    assert "the model reads 64 tokens" in caplog.text
