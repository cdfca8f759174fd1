"""Ray Data makes the parts of the embedded engine, to the byte, also where its actors are killed."""

import random

import pytest
from helpers import corpora, corpus_kills

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


def test_a_killed_actor_costs_no_input(tmp_path):
    said = corpus_kills.kill_actors(tmp_path, count=1, rng=random.Random(0), size=120)
    assert said == {"kills": {"actor": 1}, "same bytes": True, "faults": []}
