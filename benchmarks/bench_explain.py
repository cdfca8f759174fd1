"""Explaining one input (or a batch) in full: Captum's loop, our oracle and our native engine, side by side.

    python -m benchmarks.bench_explain [--threads 1] [--work NAME ...] [--rounds 3] [--out FILE] [--times-only]
        [--without NAME ...]

Writes benchmarks/results/<machine>.json (works measured earlier stay in it) and docs/performance.md. The contenders
take turns in one process. Where an answer is wrong, nothing is written and the exit status is 1.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from benchmarks import captum_loop, machine, measure, page, truth
from benchmarks.contenders import NAMES, ONCE, Answer, Tuning, prepare
from benchmarks.works import WORKS, Work

RESULTS = Path(__file__).parent / "results"
console = Console(width=150)


def bench(work: Work, rounds: int, times_only: bool) -> dict[str, Any]:
    """Check, tune, time and weigh every contender of a work.

    Raises:
        RedGateError: an answer is wrong.
    """
    say(f"{work.name}: equal nodes")
    same = truth.equal_nodes(work)
    truth.gate(f"{work.name}, native against the oracle at equal nodes", same, truth.SAME)
    say("converged reference")
    exact = truth.converged(work)
    size = captum_loop.best_batch_size(work)
    single = captum_loop.seconds_padded_and_single(work, size) if len(work.calls) > 1 else None
    say(f"internal_batch_size {size}; Captum as one padded batch and one by one: {single}; cross-check")
    cross = truth.captum_at_64(work, exact, size)
    truth.gate(f"{work.name}, the converged reference against Captum at 64 nodes", max(cross), truth.TOLERANCE)
    tuning = Tuning(size, truth.fewest_nodes(work, exact) if "captum_min" in work.contenders else ())
    say(f"{tuning}; warming up")
    runs = {name: prepare(name, work, tuning) for name in work.contenders}
    peak = measure.product_peak()
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in runs}
    answers: dict[str, Answer] = {}
    for round_ in range(rounds):
        for name, run in runs.items():
            if round_ and name in ONCE:
                continue
            answers[name], *took = measure.timed(run)
            seconds[name].append((took[0], took[1]))
            say(f"round {round_ + 1}: {name} {took[0]:.2f} s CPU, {took[1]:.2f} s")
    reached = {name: truth.errors(truth.of_truths(work, found), exact.layers) for name, found in answers.items()}
    truth.gate(f"{work.name}, ours against the converged reference", max(reached["native"]), 2 * truth.TOLERANCE)
    rows = []
    for name, run in runs.items():
        cpu = [c for c, _ in seconds[name]]
        row: dict[str, Any] = {
            "contender": name,
            "rounds": len(cpu),
            "cpu_seconds": measure.spread(cpu),
            "wall_seconds": measure.spread([w for _, w in seconds[name]]),
            "ratio": measure.spread([a / c for (a, _), c in zip(seconds["captum"], cpu, strict=False)]),
            "errors": reached[name],
            "gradients": answers[name].gradients,
            "rank_correlation": truth.rank_correlation(work, answers[name], exact),
        }
        if not times_only:
            if name in {"native", "ends"}:
                row["flops"] = measure.matrix_flops(run)
                row["share_of_peak"] = row["flops"] / row["cpu_seconds"]["median"] / peak
            row["extra_bytes"] = measure.extra_memory(work.name, name, tuning)
            if name not in ONCE:
                row["operator_calls"] = measure.operator_calls(run)
            say(f"weighed {name}")
        rows.append(row)
    return {
        "title": work.title,
        "layers": list(work.layers),
        "inputs": len(work.calls),
        "inputs_with_truth": len(work.truths),
        "tokens": work.tokens,
        "machine": machine.describe(),
        "native_against_oracle": same,
        "truth": f"corrected trapezoid, {truth.INTERVALS} intervals, {str(work.truth_dtype).removeprefix('torch.')}",
        "captum_at_64_against_truth": cross,
        "internal_batch_size": size,
        "captum_padded_and_single_seconds": single,
        "fewest_nodes": list(tuning.fewest),
        "product_peak_flops": peak,
        "rows": rows,
    }


def only(work: Work, without: list[str]) -> Work:
    """The work with fewer contenders."""
    return replace(work, contenders=tuple(n for n in work.contenders if n not in without), targets=[])


def say(text: str) -> None:
    """Progress, on the error stream."""
    print(text, file=sys.stderr, flush=True)


def show(name: str, result: dict[str, Any]) -> None:
    """The table of one work on the console."""
    table = Table(title=f"{name}: {result['title']}")
    for column in page.COLUMNS:
        table.add_column(column, justify="left" if column == "contender" else "right")
    for row in result["rows"]:
        table.add_row(*page.cells(row))
    console.print(table)


def default_path() -> Path:
    """The file of this machine and number of threads."""
    about = machine.describe()
    words = re.sub(r"[^a-z0-9]+", "-", f"{about['processor']} {about['instruction_set']}".lower()).strip("-")
    return RESULTS / f"{words}-{about['threads']}-thread{'s' if about['threads'] > 1 else ''}.json"


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--work", nargs="+", choices=WORKS, default=["minilm_128"])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, help="the JSON; the default is named after the machine")
    parser.add_argument("--times-only", action="store_true", help="no memory, operator calls or share of peak")
    parser.add_argument("--without", nargs="+", default=[], choices=set(NAMES) - {"captum", "native"}, metavar="NAME")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    try:
        results = {name: bench(only(WORKS[name](), args.without), args.rounds, args.times_only) for name in args.work}
    except truth.RedGateError as error:
        sys.exit(str(error))
    path: Path = args.out or default_path()
    known = json.loads(path.read_text())["works"] if path.exists() else {}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"names": NAMES, "works": {**known, **results}}, indent=1) + "\n")
    for name, result in results.items():
        show(name, result)
    if args.out is None:
        page.write(RESULTS)
    say(f"wrote {path.name}")


if __name__ == "__main__":
    main()
