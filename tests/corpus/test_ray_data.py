"""Ray Data makes the parts of the embedded engine, to the byte, also where one of its actors is killed."""

import os
import threading
import time
from pathlib import Path

import pytest
from helpers import corpora

from calig_fast import corpus

ray = pytest.importorskip("ray")


@pytest.fixture
def cluster():
    ray.init(num_cpus=2, log_to_driver=False, include_dashboard=False)
    yield
    ray.shutdown()


def parents(process):
    """The ancestors of a process, from its parent on."""
    found = []
    while process > 1:
        process = int((Path("/proc") / str(process) / "stat").read_text().rpartition(")")[2].split()[1])
        found.append(process)
    return found


def actors():
    """The actors that make parts, of this process's cluster."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if b"MapWorker" in (entry / "cmdline").read_bytes() and os.getpid() in parents(int(entry.name)):
                    found.append(int(entry.name))
            except OSError:
                continue
    return found


def test_the_same_bytes(tmp_path, cluster):
    model, tokenizer = corpora.text_model()
    texts = corpora.sentences(10)
    for out, options in (("here", {}), ("ray", {"address": "local", "workers": 1})):
        options = {"workers": 0, "part_size": 4, **options}
        corpus.explain_corpus(model, texts, tmp_path / out, tokenizer, **options)
    assert corpora.content(tmp_path / "here") == corpora.content(tmp_path / "ray")


def test_a_killed_actor_costs_no_input(tmp_path, cluster):
    model, tokenizer = corpora.text_model()
    texts = corpora.sentences(120)
    options = {"part_size": 4, "workers": 2}
    killed = []

    def kill():
        while not killed:
            for process in actors()[:1]:
                time.sleep(0.3)
                os.kill(process, 9)
                killed.append(process)
            time.sleep(0.05)

    def begin(done, total):
        if done == 4:
            threading.Thread(target=kill, daemon=True).start()

    corpus.explain_corpus(model, texts, tmp_path / "ray", tokenizer, address="local", progress=begin, **options)
    corpus.explain_corpus(model, texts, tmp_path / "here", tokenizer, part_size=4, workers=0)
    assert killed
    assert corpora.differences(tmp_path / "here", tmp_path / "ray") == []
    assert corpora.content(tmp_path / "here") == corpora.content(tmp_path / "ray")
