"""calig_fast.captum beside Captum itself: LayerIntegratedGradients at each block input, the same call to both.

    python -m benchmarks.bench_captum [--threads 1] [--rounds 5] [--out FILE]

One process, the two by turns, CPU seconds. Captum is given the internal_batch_size that suits it best, ours takes its
own. Nothing is reported where the answers differ.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import captum.attr as captums
import torch
from torch import Tensor, nn

from benchmarks import captum_loop, measure
from benchmarks.results import FOLDER
from benchmarks.works import Work, minilm_128
from calig_fast import captum as ours
from calig_fast.bench import machine, record

LIMIT = 1e-5  # the largest relative difference
Run = Callable[[], Tensor]


def contenders(work: Work, layer: nn.Module, batch_size: int) -> tuple[Run, Run]:
    """The same attribution of the first input at a layer, by Captum and by ours, 50 Gauss-Legendre nodes each."""
    x, low, target = work.calls[0][work.key], work.lows[0], work.targets[0]

    def forward(x: Tensor) -> Tensor:
        logits: Tensor = work.model(**{work.key: x}).logits
        return logits

    def theirs() -> Tensor:
        lig = captums.LayerIntegratedGradients(forward, layer)
        return lig.attribute(x, low, target=target, internal_batch_size=batch_size)

    def native() -> Tensor:
        lig = ours.LayerIntegratedGradients(forward, layer)
        attribution: Tensor = lig.attribute(x, low, target=target)
        if lig.engine != "native":
            raise RuntimeError(lig.not_native)
        return attribution

    return theirs, native


def by_turns(pair: tuple[Run, Run], rounds: int) -> tuple[list[float], list[float], float]:
    """CPU seconds of both in every round, and how far their answers are apart, relative."""
    seconds: tuple[list[float], list[float]] = ([], [])
    wanted, answer = (run() for run in pair)
    apart = float((answer - wanted).norm() / wanted.norm())
    for k in range(rounds):
        for which in (0, 1) if k % 2 == 0 else (1, 0):
            start = time.process_time()
            pair[which]()
            seconds[which].append(time.process_time() - start)
    return *seconds, apart


def row(name: str, captum: list[float], mine: list[float], apart: float) -> dict[str, Any]:
    """Return the reported figures of one layer."""
    return {
        "layer": name,
        "captum_cpu_seconds": measure.spread(captum),
        "ours_cpu_seconds": measure.spread(mine),
        "times": measure.spread([a / b for a, b in zip(captum, mine, strict=True)]),
        "relative_difference": apart,
    }


def cells(figures: dict[str, Any]) -> list[str]:
    """A row of results as docs/captum.md has it."""
    captum, native = (figures[f"{who}_cpu_seconds"]["median"] for who in ("captum", "ours"))
    times, apart = figures["times"]["median"], figures["relative_difference"]
    return [figures["layer"], f"{captum:.2f} s", f"{native:.2f} s", f"{times:.2f}", f"{apart:.0e}"]


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=FOLDER / "captum.json")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    work = minilm_128()
    batch_size = captum_loop.best_batch_size(work)
    rows, sums = [], ([0.0] * args.rounds, [0.0] * args.rounds)
    for i, layer in enumerate(captum_loop.modules_before(work)):
        captum, native, apart = by_turns(contenders(work, layer, batch_size), args.rounds)
        if not apart <= LIMIT:
            sys.exit(f"input of block {i}: the answers differ by {apart:.1e}, so no time is reported")
        rows.append(row(f"input of block {i}", captum, native, apart))
        for total, seconds in zip(sums, (captum, native), strict=True):
            total[:] = [t + s for t, s in zip(total, seconds, strict=True)]
    rows.append(row("all six, one after another", *sums, max(r["relative_difference"] for r in rows)))
    for r in rows:
        print(" | ".join(cells(r)))
    report = {
        "command": f"python -m benchmarks.bench_captum --threads {args.threads} --rounds {args.rounds}",
        "machine": machine.describe(),
        "work": "MiniLM-L6 fine-tuned on BBC topics, one article of 128 tokens, 50 Gauss-Legendre nodes, reference PAD",
        "internal_batch_size_of_captum": batch_size,
        "rounds": args.rounds,
        "rows": rows,
    }
    record.write(args.out, report)


if __name__ == "__main__":
    main()
