"""The estimate of a corpus's cost compared with the cost: 40 cases of models, lengths and dtypes.

    python -m benchmarks.bench_estimate

Of every case one process makes the estimate, and another explains all inputs and measures; both begin as copies of this
one, which has run no product. Seconds are those of the
processor on both sides, of one thread, so that other programs count less. Memory is above the model and the loaded
libraries. Writes benchmarks/results/estimate.json, in which cases that were not measured again stay.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import random
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any
from unittest import mock

import torch

from calig_fast import Explainer, corpus, demo
from calig_fast.bench import machine, record
from calig_fast.corpus import memory
from calig_fast.corpus.tables import arrow

RESULT = Path(__file__).parent / "results" / "estimate.json"
LENGTHS = {"short": (4, 12), "medium": (25, 60), "long": (90, 140), "mixed": (4, 140)}
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
TEXTS = ("minilm", "tiny", "roberta-96", "autograd")
PICTURES = {"vit-64": 64, "vit-128": 128}
INPUTS = {"minilm": 16, "autograd": 16, "vit-128": 32}
OTHERS = 64  # inputs of the other models
# Of random weights. With 0.02 the answers are less than the rounding of bfloat16, and there is nothing to explain.
SPREAD = {"initializer_range": 0.1}
WORDS = "the film was unbelievably good and a dull evening with its plot that never ends but acting superb"


@dataclass(frozen=True)
class Case:
    """One case.

    Args:
        model: "minilm" (MiniLM-L6), "tiny" (the BERT that the package has), "autograd" (a BERT of width 128 and random
            weights by the autograd engine), or one of random weights.
        lengths: of its texts, a key of LENGTHS; of pictures their seed.
        dtype: to compute in.
    """

    model: str
    lengths: str
    dtype: str

    def explainer(self) -> Explainer:
        """The Explainer of the case."""
        model, processor = loaded(self.model)
        engine = "autograd" if self.model == "autograd" else "native"
        return Explainer(model, processor, engine=engine, dtype=DTYPES[self.dtype])

    def inputs(self) -> list[Any]:
        """Seeded inputs, none like another."""
        count = INPUTS.get(self.model, OTHERS)
        if self.model in PICTURES:
            size = PICTURES[self.model]
            draw = torch.Generator().manual_seed(int(self.lengths))
            return list(torch.randint(0, 256, (count, 3, size, size), generator=draw, dtype=torch.uint8).unbind())
        rng, words = random.Random(self.lengths), WORDS.split(" ")
        low, high = LENGTHS[self.lengths]
        return [" ".join([str(i), *rng.choices(words, k=rng.randint(low, high))]) for i in range(count)]


CASES = [
    *(Case(*parts) for parts in product(TEXTS, LENGTHS, DTYPES)),
    *(Case(model, seed, dtype) for model, seed, dtype in product(PICTURES, ("0", "1"), DTYPES)),
]


@cache
def loaded(name: str) -> tuple[Any, Any]:
    """A model and its tokenizer or processor."""
    import transformers as t

    if name in PICTURES:
        config = t.ViTConfig(
            hidden_size=96, num_hidden_layers=6, num_attention_heads=3, intermediate_size=384, num_labels=10, **SPREAD
        )
        config.image_size, config.patch_size = PICTURES[name], 8
        return t.ViTForImageClassification(config).eval(), t.ViTImageProcessor(size=PICTURES[name])
    shown = demo.load("tiny" if name == "tiny" else "sentiment", 1)
    if name in ("minilm", "tiny"):
        return shown.model, shown.processor
    sizes = {
        "vocab_size": len(shown.processor),
        "num_labels": 2,
        "pad_token_id": shown.processor.pad_token_id,
        **SPREAD,
    }
    if name == "roberta-96":
        geometry = {"hidden_size": 96, "num_hidden_layers": 6, "num_attention_heads": 3, "intermediate_size": 384}
        return t.RobertaForSequenceClassification(t.RobertaConfig(**geometry, **sizes)).eval(), shown.processor
    geometry = {"hidden_size": 128, "num_hidden_layers": 4, "num_attention_heads": 4, "intermediate_size": 512}
    return t.BertForSequenceClassification(t.BertConfig(**geometry, **sizes)).eval(), shown.processor


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, or one side of one case."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, nargs="*", help="numbers of the cases to measure; all by default")
    parser.add_argument("--out", type=Path, default=RESULT, help="the JSON; it keeps the cases that it has")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    torch.manual_seed(0)
    memory.bound_code()
    arrow()
    for number in range(len(CASES)) if options.cases is None else options.cases:
        sides = {side: _apart(CASES[number], side) for side in ("estimated", "measured")}
        ratios = {name: sides["estimated"][name] / sides["measured"][name] for name in ("seconds", "peak_bytes")}
        row = {**asdict(CASES[number]), **sides, "ratio": {k: round(v, 3) for k, v in ratios.items()}}
        print(CASES[number], row["ratio"], flush=True)
        known = record.read(options.out).get("cases", [])
        rows = {**{_key(one): one for one in known}, _key(row): row}
        ordered = [rows[key] for case in CASES if (key := _key(asdict(case))) in rows]
        summary = {name: _summary([row["ratio"][name] for row in ordered]) for name in ("seconds", "peak_bytes")}
        written = {**machine.describe(), "summary": summary, "cases": ordered}
        record.write(options.out, written)
    print(json.dumps(summary, indent=1))


def _key(row: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(row[name] for name in ("model", "lengths", "dtype"))


def _side(case: Case, side: str) -> dict[str, float]:
    """The estimated cost of a case, or the measured one, in this process."""
    explainer, inputs = case.explainer(), case.inputs()
    options: Any = {"engine": explainer.settings.engine, "dtype": explainer.settings.dtype}
    if side == "estimated":
        with mock.patch("time.perf_counter", time.process_time):
            estimate = corpus.estimate(explainer.model, inputs, explainer.processor, **options)
        return {"seconds": estimate.seconds, "peak_bytes": estimate.peak_bytes}
    begun = time.process_time()
    with tempfile.TemporaryDirectory() as out, memory.above() as above:
        corpus.explain_corpus(explainer.model, inputs, Path(out), explainer.processor, workers=0, **options)
    return {"seconds": time.process_time() - begun, "peak_bytes": above[0]}


def _apart(case: Case, side: str) -> dict[str, float]:
    loaded(case.model)
    with multiprocessing.get_context("fork").Pool(1) as pool:
        return pool.apply(_side, (case, side))


def _summary(ratios: Sequence[float]) -> dict[str, float]:
    """How many of the ratios, estimated over measured, are near one."""
    return {
        "cases": len(ratios),
        "within_20_percent": sum(abs(r - 1) <= 0.2 for r in ratios),
        "under_by_more_than_30_percent": sum(r < 0.7 for r in ratios),
        "least": min(ratios),
        "most": max(ratios),
    }


if __name__ == "__main__":
    main()
