"""Sentences about films, negative or positive: MiniLM-L6 with low-rank changes to its weights and a new head."""

from __future__ import annotations

import hashlib
import io
import tarfile

from torch import Tensor

from . import minilm, packages, weights
from .demo import Demo, Sample, first, take_turns

NAME = "sentiment"
LABELS = ("negative", "positive")
ARCHIVE = "vaderSentiment-3.3.2.tar.gz"
COMMAND = "pip download --no-deps --no-binary :all: vaderSentiment==3.3.2 -d"
INNER = "vaderSentiment-3.3.2/additional_resources/hutto_ICWSM_2014.tar.gz"
RATINGS = "hutto_ICWSM_2014/movieReviewSnippets_GroundTruth.txt"


def member(archive: tarfile.TarFile, name: str) -> bytes:
    """The bytes of one file of an archive.

    Raises:
        ValueError: the archive has no such file.
    """
    try:
        file = archive.extractfile(name)
    except KeyError:
        file = None
    if file is None:
        raise ValueError(f"{ARCHIVE}: no file {name} in it; delete it and download it again")
    return file.read()


def split() -> tuple[list[Sample], list[Sample]]:
    """The rated sentences as (train, test), each sentence once; the sign of the mean rating is the label.

    Sentences rated within 0.3 of zero (on -4 to 4, the mean of several annotators) have no clear sign and are left
    out. A hash of the sentence selects about one in six for testing.

    Raises:
        MissingPackageError: the archive is not where `packages.archive` looks.
    """
    with tarfile.open(packages.archive(ARCHIVE, COMMAND)) as outer:
        inner = member(outer, INNER)
    with tarfile.open(fileobj=io.BytesIO(inner)) as archive:
        table = member(archive, RATINGS).decode("utf-8", errors="ignore")
    parts: tuple[list[Sample], list[Sample]] = ([], [])
    seen = set()
    for line in table.splitlines():
        _, rating, sentence = line.split("\t", 2)
        sentence = " ".join(sentence.split())
        if abs(float(rating)) < 0.3 or sentence.lower() in seen:
            continue
        seen.add(sentence.lower())
        held_out = hashlib.sha256(sentence.lower().encode()).digest()[0] % 6 == 0
        parts[held_out].append(Sample(sentence, int(float(rating) > 0)))
    return parts


def merge(base: dict[str, Tensor], stored: dict[str, Tensor]) -> dict[str, Tensor]:
    """Merge the stored changes into the package's weights: W + B A, and the head as stored.

    Args:
        base: the package's weights by name, among them every changed W [out,in].
        stored: `<name of W>.A` [rank,in] and `<name of W>.B` [out,rank] of every changed W; all else is taken as it is.
    """
    merged = {name: value for name, value in stored.items() if not name.endswith((".A", ".B"))}
    for key in stored:
        if key.endswith(".A"):
            name = key.removesuffix(".A")
            merged[name] = base[name] + stored[f"{name}.B"] @ stored[key]
    return merged


def load(count: int) -> Demo:
    """The demo with `count` of the test sentences."""
    chosen = first(take_turns(split()[1], len(LABELS)), count)
    model = minilm.classifier(LABELS, merge(minilm.state(), weights.read(NAME)))
    return Demo(NAME, model, minilm.tokenizer(), chosen, LABELS)
