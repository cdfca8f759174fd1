"""The estimate counts every input, and fits times that grow with the length."""

from dataclasses import replace
from importlib import import_module

from helpers import corpora

from calig_fast import corpus

estimate = import_module("calig_fast.corpus.estimate")  # the function of the room has its name


def test_inputs_and_tokens_are_counted(tmp_path, monkeypatch, capsys):
    model, tokenizer = corpora.text_model()
    texts = [*corpora.sentences(40), ""]
    found = corpus.estimate(model, texts, tokenizer)
    counts = [len(tokenizer(text)["input_ids"]) for text in texts[:-1]]
    assert found.inputs == 41
    assert abs(found.tokens - sum(counts)) <= 0.05 * sum(counts) + 2
    assert found.seconds > 0
    assert found.peak_bytes >= 0
    assert found.probed <= 41
    monkeypatch.setattr(estimate, "KEPT", 10)
    assert corpus.estimate(model, iter(texts), tokenizer).inputs == 41
    done = corpus.explain_corpus(model, texts, tmp_path / "out", tokenizer, workers=0, dry_run=True)
    assert (done.inputs, done.explained) == (41, 0)
    said = capsys.readouterr().out
    assert "41 inputs" in said
    assert "fits" in said
    assert not (tmp_path / "out").exists()


def test_what_fits_has_room_for_every_worker_and_more():
    one = estimate.Estimate(9, 90, 1.0, peak_bytes=100, workers=2, probed=3, process_bytes=50, available_bytes=400)
    assert one.needed_bytes == 400
    assert one.fits
    assert not replace(one, peak_bytes=101).fits
    assert "does not fit: pass fewer workers=" in str(replace(one, available_bytes=399))
    assert replace(one, available_bytes=None).fits is None
    assert "fit" not in str(replace(one, available_bytes=None))
