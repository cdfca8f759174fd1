"""The endpoints alone, a monitor's look, compared with the integral: the order of the tokens, and the cost.

    python -m benchmarks.end_points

Writes benchmarks/results/end_points.json. Takes a minute of one core.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from calig_fast import Attribution, Explainer, demo
from calig_fast._utils.ranks import rank_correlation
from calig_fast.bench import machine, record

RESULT = Path(__file__).parent / "results" / "end_points.json"
WORK = {"sentiment": 40, "topics": 8}  # inputs of each demo
WORDS = 60


def compared(name: str, count: int) -> dict[str, Any]:
    """The endpoints against the integral to the default tolerance, over the inputs of a demo."""
    d = demo.load(name, count=count)
    texts = [" ".join(sample.input.split()[:WORDS]) for sample in d.samples]
    rough, rough_seconds = explained(Explainer(d.model, d.processor, n_steps=1), texts)
    exact, exact_seconds = explained(Explainer(d.model, d.processor, certify="scores"), texts)
    pairs = [(content(a), content(b)) for a, b in zip(rough, exact, strict=True)]
    order = [rank_correlation(a, b) for a, b in pairs]
    return {
        "inputs": len(texts),
        "rank_correlation_median": round(float(np.median(order)), 3),
        "rank_correlation_worst": round(min(order), 3),
        "same_strongest_token": sum(int(a.abs().argmax() == b.abs().argmax()) for a, b in pairs),
        "seconds_end_points": round(rough_seconds, 3),
        "seconds_certified_scores": round(exact_seconds, 3),
    }


def explained(explainer: Explainer, texts: list[str]) -> tuple[list[Attribution], float]:
    """An attribution of each text, one by one, and the seconds they took; what is done once is not counted."""
    explainer(texts[0])
    begun = time.perf_counter()
    return [explainer(text) for text in texts], time.perf_counter() - begun


def content(a: Attribution) -> Tensor:
    """Scores of the tokens that are not special, float64."""
    return a.scores[0][(a.mask & ~a.special)[0]].double()


def main() -> None:
    torch.set_num_threads(1)
    results = {**machine.describe(), "work": {name: compared(name, count) for name, count in WORK.items()}}
    record.write(RESULT, results)
    print(json.dumps(results["work"], indent=1))


if __name__ == "__main__":
    main()
