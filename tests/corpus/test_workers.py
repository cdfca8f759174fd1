"""Processes make the parts of one process, to the byte; their ends are seen, and lose one part each at most."""

import json
import os
import subprocess
import sys
import time

import pytest
import torch
from helpers import corpora
from helpers.corpus_kills import begin, children, ended

from calig_fast import corpus


def test_workers_make_the_same_bytes_and_pass_their_errors_on(tmp_path):
    model, tokenizer = corpora.text_model()
    texts = corpora.sentences(20)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    places = [value.data_ptr() for value in model.state_dict().values()]
    for count in (0, 2):
        corpus.explain_corpus(model, texts, tmp_path / str(count), tokenizer, workers=count, part_size=4)
    assert corpora.content(tmp_path / "0") == corpora.content(tmp_path / "2")
    assert places == [value.data_ptr() for value in model.state_dict().values()]
    torch.testing.assert_close(model.state_dict(), before)
    with pytest.raises(ValueError, match=r"target: .* outside"):
        corpus.explain_corpus(model, texts, tmp_path / "wrong", tokenizer, workers=1, target=7)


def test_a_model_that_cannot_be_sent(tmp_path):
    model, tokenizer = corpora.text_model()
    with pytest.raises(ValueError, match=r"model: it cannot be sent to other processes .* pass workers=0"):
        corpus.explain_corpus(model, ["a"], tmp_path / "out", tokenizer, workers=1, output=lambda out: out.logits[:, 0])


def test_random_kills(tmp_path):
    command = [sys.executable, "-m", "helpers.corpus_kills", tmp_path / "kills", "3", "0", "0", "24"]
    search = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    ran = subprocess.run([str(a) for a in command], capture_output=True, check=True, text=True, env=search)
    said = json.loads(ran.stdout)
    for kind in ("texts", "pictures"):
        assert said[kind]["faults"] == []
        assert said[kind]["same bytes"]
        assert said[kind]["kills"]["driver"] == 3


def test_killed_workers_are_replaced_and_none_outlives_its_driver(tmp_path):
    texts = corpora.text_file(tmp_path / "in.txt", corpora.sentences(60))
    process = begin(corpora.text_model(), texts, tmp_path / "out", 1)
    while not list((tmp_path / "out").glob("inputs/*.parquet")):
        assert ended(process) is None
        time.sleep(0.02)
    for worker in children(process):
        os.kill(worker, 9)
    while (code := ended(process)) is None:
        time.sleep(0.02)
    assert code == 0
    assert corpora.read(tmp_path / "out", "inputs")["id"].to_pylist() == list(range(60))
    process = begin(corpora.text_model(), texts, tmp_path / "again", 1)
    while not list((tmp_path / "again").glob("inputs/*.parquet")):
        time.sleep(0.02)
    workers = children(process)
    os.kill(process, 9)
    os.waitpid(process, 0)
    waited = time.monotonic() + 60
    while any(os.path.exists(f"/proc/{worker}") for worker in workers) and time.monotonic() < waited:
        time.sleep(0.05)
    assert not any(os.path.exists(f"/proc/{worker}") for worker in workers)
