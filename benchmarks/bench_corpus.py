"""Throughput of a corpus, and its memory over many inputs. Each part goes into benchmarks/results/corpus.json.

    python -m benchmarks.bench_corpus loop      the tables beside one Explainer in a loop, batch by batch
    python -m benchmarks.bench_corpus workers   two workers beside one, one thread each; needs two idle cores
    python -m benchmarks.bench_corpus many      100,000 short texts

The texts of `loop` and `workers` have 5 to 60 words, on MiniLM-L6. `many` runs a BERT of width 24 in this process.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import torch

from calig_fast import Explainer, corpus, demo
from calig_fast.bench import machine, record
from calig_fast.corpus import memory
from calig_fast.corpus.parts import About, Content, Folder

RESULT = Path(__file__).parent / "results" / "corpus.json"
WORDS = "the film was unbelievably good and a dull evening with its plot that never ends but acting superb"
MANY, TENTHS = 100_000, 10


def texts(count: int, low: int = 5, high: int = 60) -> list[str]:
    """Seeded texts, of which no two are alike."""
    rng, words = random.Random(0), WORDS.split(" ")
    return [" ".join([str(i), *(rng.choice(words) for _ in range(rng.randint(low, high)))]) for i in range(count)]


def loop(count: int, part: int) -> dict[str, Any]:
    """Seconds of the processor, of an Explainer in a loop and of the tables in one process, after a first call each."""
    shown, inputs = demo.load("sentiment", 1), texts(count)
    explainer = Explainer(shown.model, shown.processor)
    explainer(inputs[:2])

    def alone() -> float:
        begun = time.process_time()
        explainer.forget()
        for first in range(0, len(inputs), part):
            explainer(inputs[first : first + part])
        return time.process_time() - begun

    def tables() -> float:
        begun = time.process_time()
        with tempfile.TemporaryDirectory() as out:
            corpus.explain_corpus(shown.model, inputs, Path(out), shown.processor, workers=0, part_size=part)
        return time.process_time() - begun

    rounds = [(alone(), tables()) for _ in range(2)]
    one, other = (min(times) for times in zip(*rounds, strict=True))
    return {"inputs": count, "part_size": part, "loop": one, "tables": other, "share": round(one / other, 3)}


def workers(count: int, part: int) -> dict[str, Any]:
    """Inputs a second of one worker and of two, from the time when all work until the first has no more to do."""
    shown, inputs = demo.load("sentiment", 1), texts(count)
    figures: dict[str, Any] = {"inputs": count, "part_size": part}
    for number in (1, 2):
        with _written() as ends, tempfile.TemporaryDirectory() as out:
            corpus.explain_corpus(
                shown.model, inputs, Path(out), shown.processor, workers=number, part_size=part, threads=1
            )
        begins = sorted(end - content.seconds for end, content in ends)
        begun, last = begins[number - 1], sorted(end for end, _ in ends)[-number]
        busy = sum(max(0.0, min(end, last) - max(end - content.seconds, begun)) for end, content in ends)
        done = sum(
            content.inputs * max(0.0, min(end, last) - max(end - content.seconds, begun)) / content.seconds
            for end, content in ends
        )
        figures[str(number)] = {"rate": done / (last - begun), "share_at_work": busy / (number * (last - begun))}
    return {**figures, "gain": round(figures["2"]["rate"] / figures["1"]["rate"], 3)}


def many(folder: Path | None, count: int) -> dict[str, Any]:
    """Seconds of the processor for each tenth of many short texts, and the memory after it."""
    from transformers import BertConfig, BertForSequenceClassification

    torch.manual_seed(0)
    sizes = {"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48}
    model = BertForSequenceClassification(BertConfig(**sizes, vocab_size=30522, max_position_embeddings=32)).eval()
    processor, inputs = demo.load("sentiment", 1).processor, texts(count, 1, 4)
    parts: list[tuple[int, float, int]] = []
    clock = time.process_time()
    memory.bound_code()

    def after(done: int, total: int) -> None:
        nonlocal clock
        now = time.process_time()
        parts.append((done, now - clock, memory.of_process()))
        clock = now

    with tempfile.TemporaryDirectory() as temporary:
        out = folder or Path(temporary)
        summary = corpus.explain_corpus(
            model, inputs, out, processor, workers=0, part_size=512, tolerance=0.1, progress=after
        )
    size = len(parts) // TENTHS
    tenths = [parts[k * size : (k + 1) * size] for k in range(TENTHS)]
    tenths[0] = tenths[0][1:]  # the first part has the start
    seconds = [sum(spent for _, spent, _ in tenth) / len(tenth) for tenth in tenths]
    held = [max(size for _, _, size in tenth) for tenth in tenths]
    return {
        "inputs": summary.inputs,
        "failed": summary.failed,
        "seconds_a_part_by_tenth": [round(s, 4) for s in seconds],
        "mib_by_tenth": [round(size / 2**20, 1) for size in held],
        "last_over_first_seconds": round(seconds[-1] / seconds[0], 3),
        "last_over_first_memory": round(held[-1] / held[0], 3),
    }


@contextmanager
def _written() -> Iterator[list[tuple[float, Content]]]:
    """The parts that are written meanwhile, each with the time of its end."""
    ends: list[tuple[float, Content]] = []
    real = Folder.write

    def write(self: Folder, content: Content, about: About) -> None:
        ends.append((time.perf_counter(), content))
        real(self, content, about)

    with mock.patch.object(Folder, "write", write):
        yield ends


def main() -> None:
    """Measure one of the parts, and write it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=("loop", "workers", "many"))
    parser.add_argument("--count", type=int, help="inputs")
    parser.add_argument("--size", type=int, default=16, help="inputs of a part, of `loop` and `workers`")
    parser.add_argument("--folder", type=Path, help="of the tables of `many`; a temporary one when left out")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.part == "many":
        name, figures = "many", many(options.folder, options.count or MANY)
    else:
        name = f"{options.part}_{options.size}"
        figures = {"loop": loop, "workers": workers}[options.part](options.count or 96, options.size)
    record.write(RESULT, {**record.read(RESULT), name: {**machine.describe(), **figures}})
    print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
