"""Progress says rate, time left and failures, and calls a function of the caller's."""

import logging
import time

from helpers import corpora

from calig_fast import corpus
from calig_fast.corpus import progress


def test_a_line_has_rate_time_left_and_failures():
    count = progress.Count(2000, done=600, new=500, failed=3, begun=time.monotonic() - 100)
    assert count.line() == "600 of 2,000 inputs, 5.0 a second, 280 s left, 3 failed".replace("280 s", "5 min")
    assert progress.Count(None, done=6, new=6, begun=time.monotonic() - 60).line() == "6 inputs, 6.0 a minute, 0 failed"


def test_lines_go_to_standard_error_and_to_the_log(monkeypatch, capsys, caplog):
    monkeypatch.setattr(progress, "EVERY", 0.0)
    caplog.set_level(logging.INFO, "calig_fast.corpus")
    with progress.shown(True, 5) as show:
        show(progress.Count(5, done=2, new=2))
    assert "2 of 5 inputs" in capsys.readouterr().err
    assert "2 of 5 inputs" in caplog.text
    with progress.shown(None, 5) as show:
        show(progress.Count(5, done=2))
    assert capsys.readouterr().err == ""


def test_a_function_is_called_after_each_part(tmp_path):
    seen = []
    model, tokenizer = corpora.text_model()
    options = {"workers": 0, "part_size": 4, "progress": lambda *numbers: seen.append(numbers)}
    corpus.explain_corpus(model, corpora.sentences(9), tmp_path, tokenizer, **options)
    assert seen == [(4, 9), (8, 9), (9, 9)]
