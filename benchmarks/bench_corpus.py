"""Throughput of a corpus: `python -m benchmarks.bench_corpus` prints seconds, and the share that workers work.

The inputs are texts of 5 to 60 words on MiniLM-L6. The loop calls one Explainer batch by batch, with one thread. The
share is the time of all parts over the time that all workers were there, from the first part's begin to the last part's
end: reading, sending and writing are the rest.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from pathlib import Path
from typing import Any
from unittest import mock

import torch

from calig_fast import Explainer, corpus, demo
from calig_fast.corpus.parts import About, Content, Folder

WORDS = "the film was unbelievably good and a dull evening with its plot that never ends but acting superb"


def texts(count: int) -> list[str]:
    """Seeded texts, of which no two are alike."""
    rng, words = random.Random(0), WORDS.split(" ")
    return [" ".join([str(i), *(rng.choice(words) for _ in range(rng.randint(5, 60)))]) for i in range(count)]


def loop(shown: Any, inputs: list[str], size: int) -> float:
    """Seconds of an Explainer in a loop."""
    torch.set_num_threads(1)
    explainer = Explainer(shown.model, shown.processor)
    explainer(inputs[:2])
    begun = time.perf_counter()
    for first in range(0, len(inputs), size):
        explainer(inputs[first : first + size])
    return time.perf_counter() - begun


def tables(shown: Any, inputs: list[str], workers: int, part: int) -> tuple[float, float]:
    """Seconds from the first part's begin to the end, and the share of them that the workers worked."""
    ends: list[tuple[float, float]] = []
    real = Folder.write

    def write(self: Folder, content: Content, about: About) -> None:
        ends.append((time.perf_counter(), content.seconds))
        real(self, content, about)

    with tempfile.TemporaryDirectory() as out, mock.patch.object(Folder, "write", write):
        corpus.explain_corpus(shown.model, inputs, Path(out), shown.processor, workers=workers, part_size=part)
    begun = min(end - seconds for end, seconds in ends)
    last = sorted(end for end, _ in ends)[-workers]  # until the first worker has no more to do
    before = [(end, seconds) for end, seconds in ends if end <= last]
    busy = sum(seconds for _, seconds in before)
    return max(end for end, _ in ends) - begun, busy / (workers * (last - begun))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=256)
    parser.add_argument("--part", type=int, default=16)
    parser.add_argument("--workers", type=int, nargs="*", default=[1, 2])
    options = parser.parse_args()
    shown, inputs = demo.load("sentiment", 1), texts(options.count)
    print(f"Explainer in a loop: {loop(shown, inputs, options.part):.1f} s")
    for workers in options.workers:
        seconds, share = tables(shown, inputs, workers, options.part)
        print(f"{workers} workers: {seconds:.1f} s, {100 * share:.1f} % of the time at work")


if __name__ == "__main__":
    main()
