"""The estimate of a corpus's cost compared with the cost: 40 cases of models, lengths and dtypes.

    python -m benchmarks.bench_estimate

Of every case one process makes the estimate, and another explains all inputs and measures seconds and memory. Writes
benchmarks/results/estimate.json. Takes about ten minutes of one core; nothing else should run beside it.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib import import_module
from itertools import product
from pathlib import Path
from typing import Any
from unittest import mock

import torch

from calig_fast import Explainer, corpus, demo
from calig_fast._utils import files
from calig_fast.bench import machine
from calig_fast.corpus.parts import About, Content, Folder

estimates = import_module("calig_fast.corpus.estimate")  # the function of the room has its name

RESULT = Path(__file__).parent / "results" / "estimate.json"
LENGTHS = {"short": (4, 12), "medium": (25, 60), "long": (90, 180), "mixed": (4, 180)}
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
TEXTS = ("sentiment", "roberta", "electra", "autograd")
PICTURES = {"vit-64": 64, "vit-128": 128}
INPUTS, BY_AUTOGRAD = 64, 24
WORDS = "the film was unbelievably good and a dull evening with its plot that never ends but acting superb"


@dataclass(frozen=True)
class Case:
    """One case.

    Args:
        model: "sentiment" (MiniLM-L6), "autograd" (the same by the autograd engine), or a geometry of random weights.
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
        count = BY_AUTOGRAD if self.model == "autograd" else INPUTS
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


def loaded(name: str) -> tuple[Any, Any]:
    """A model and its tokenizer or processor."""
    import transformers as t

    if name in PICTURES:
        config = t.ViTConfig(
            hidden_size=192, num_hidden_layers=12, num_attention_heads=3, intermediate_size=768, num_labels=10
        )
        config.image_size, config.patch_size = PICTURES[name], 8
        return t.ViTForImageClassification(config).eval(), t.ViTImageProcessor(size=PICTURES[name])
    shown = demo.load("sentiment", 1)
    if name in ("sentiment", "autograd"):
        return shown.model, shown.processor
    vocabulary = len(shown.processor)
    sizes = {"vocab_size": vocabulary, "num_labels": 2, "pad_token_id": shown.processor.pad_token_id}
    if name == "roberta":
        geometry = {"hidden_size": 256, "num_hidden_layers": 8, "num_attention_heads": 4, "intermediate_size": 1024}
        config = t.RobertaConfig(**geometry, **sizes)
        return t.RobertaForSequenceClassification(config).eval(), shown.processor
    return t.ElectraForSequenceClassification(t.ElectraConfig(**sizes)).eval(), shown.processor


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, or one side of one case."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", type=int, help="number of a case, for one side of it")
    parser.add_argument("--side", choices=("estimated", "measured"))
    parser.add_argument("--cases", type=int, nargs="*", help="numbers of the cases to measure; all by default")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    torch.manual_seed(0)
    if options.case is not None:
        print(json.dumps(_side(CASES[options.case], options.side)))
        return
    rows = []
    for number in options.cases or range(len(CASES)):
        sides = {side: _apart(number, side) for side in ("estimated", "measured")}
        ratios = {name: sides["estimated"][name] / sides["measured"][name] for name in ("seconds", "peak_bytes")}
        rows.append({**asdict(CASES[number]), **sides, "ratio": {k: round(v, 3) for k, v in ratios.items()}})
        print(CASES[number], rows[-1]["ratio"], flush=True)
    summary = {name: _summary([row["ratio"][name] for row in rows]) for name in ("seconds", "peak_bytes")}
    print(json.dumps(summary, indent=1))
    if not options.cases:
        files.write(RESULT, json.dumps({**machine.describe(), "summary": summary, "cases": rows}, indent=1) + "\n")


def _side(case: Case, side: str) -> dict[str, float]:
    """The estimated cost of a case, or the measured one, in this process."""
    explainer, inputs = case.explainer(), case.inputs()
    options: Any = {"engine": explainer.settings.engine, "dtype": explainer.settings.dtype}
    if side == "estimated":
        found = corpus.estimate(explainer.model, inputs, explainer.processor, **options)
        return {"seconds": found.seconds, "peak_bytes": found.peak_bytes}
    seconds: list[float] = []
    real = Folder.write

    def write(self: Folder, content: Content, about: About) -> None:
        seconds.append(content.seconds)
        real(self, content, about)

    with (
        tempfile.TemporaryDirectory() as out,
        mock.patch.object(Folder, "write", write),
        estimates.memory_above() as above,
    ):
        corpus.explain_corpus(explainer.model, inputs, Path(out), explainer.processor, workers=0, **options)
    return {"seconds": sum(seconds), "peak_bytes": above[0]}


def _apart(number: int, side: str) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.bench_estimate", "--case", str(number), "--side", side]
    answer = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return dict(json.loads(answer.splitlines()[-1]))


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
