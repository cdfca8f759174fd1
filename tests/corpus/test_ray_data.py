"""Ray Data makes the parts of the embedded engine, to the byte."""

import pytest
from helpers import corpora

from calig_fast import corpus

ray = pytest.importorskip("ray")


def test_the_same_bytes(tmp_path):
    model, tokenizer = corpora.text_model()
    texts = corpora.sentences(10)
    for out, options in (("here", {}), ("ray", {"address": "local", "workers": 1})):
        options = {"workers": 0, "part_size": 4, **options}
        corpus.explain_corpus(model, texts, tmp_path / out, tokenizer, **options)
    ray.shutdown()
    assert corpora.content(tmp_path / "here") == corpora.content(tmp_path / "ray")
