"""Explaining one input (or a batch) in full: Captum's loop, our autograd engine and our native engine, side by side.

    python -m benchmarks.bench_explain [--threads 1] [--work NAME ...] [--rounds 3] [--out FILE] [--without NAME ...]
        [--times-only | --weigh-only]

Writes benchmarks/results/<machine>.json (works measured earlier stay in it) and docs/performance.md. The contenders
take turns in one process. Where an answer is wrong, nothing is written and the exit status is 1.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from benchmarks import measure, memory, page, results, truth
from benchmarks.check import check, errors, say
from benchmarks.contenders import NAMES, OPTIONS, Answer, Contender, Tuning, once, prepare
from benchmarks.works import WORKS, Work
from calig_fast.bench import machine

NO_MEMORY = "captum_padded"  # it would have to run twice
console = Console(width=180)


def bench(work: Work, rounds: int, times_only: bool) -> dict[str, Any]:
    """Check, tune, time and weigh every contender of a work.

    Raises:
        RedGateError: an answer is wrong.
    """
    checked = check(work)
    say("warming up")
    ready = {name: prepare(name, work, checked.tuning) for name in work.contenders}
    errors(work, "native", ready["native"].run(), checked)  # a red gate should not come after an hour
    peaks = measure.product_peaks()
    seconds, answers = take_turns(ready, rounds)
    reached = {name: errors(work, name, answer, checked) for name, answer in answers.items()}
    rows = []
    for name, contender in ready.items():
        row = summary(name, seconds, work.contenders[0])
        row["errors"], row["gradients"] = reached[name], answers[name].gradients
        row["score_error"] = truth.score_error(work, answers[name], checked.exact)
        row["rank_correlation"] = truth.rank_correlation(work, answers[name], checked.exact)
        share(row, contender, peaks)
        if not times_only:
            weigh(row, work, contender, checked.tuning)
        rows.append(row)
    return {
        "title": work.title,
        "layers": list(work.layers),
        "inputs": len(work.calls),
        "inputs_with_truth": len(work.truths),
        "warm": len(work.warm),
        "tokens": work.tokens,
        "machine": machine.describe(),
        "native_against_oracle": checked.same["apart"],
        "rounded": {k: e for k, e in checked.same.items() if k != "apart"},
        "truth": f"corrected trapezoid, {truth.INTERVALS} intervals, {str(work.truth_dtype).removeprefix('torch.')}",
        "captum_at_64_against_truth": checked.cross,
        "internal_batch_size": checked.tuning.batch_size,
        "fewest_nodes": list(checked.tuning.fewest),
        "single_nodes": checked.tuning.single,
        "product_peak_flops": peaks,
        "rows": rows,
    }


def take_turns(
    ready: dict[str, Contender], rounds: int
) -> tuple[dict[str, list[tuple[float, float]]], dict[str, Answer]]:
    """CPU and wall seconds of every round, and the last answers."""
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in ready}
    answers: dict[str, Answer] = {}
    for round_ in range(rounds):
        for name, contender in ready.items():
            if round_ and once(name):
                continue
            answers[name], cpu, wall = measure.timed(contender)
            seconds[name].append((cpu, wall))
            say(f"round {round_ + 1}: {name} {cpu:.2f} s CPU, {wall:.2f} s")
    return seconds, answers


def summary(name: str, seconds: dict[str, list[tuple[float, float]]], base: str) -> dict[str, Any]:
    """Seconds of a contender, and how many times faster than (a) it was in the same round."""
    cpu = [c for c, _ in seconds[name]]

    def ratio(to: str) -> dict[str, float]:
        others = [c for c, _ in seconds[to]]
        others += others[-1:] * (len(cpu) - len(others))  # what runs once is every round's
        return measure.spread([a / c for a, c in zip(others, cpu, strict=False)])

    row = {
        "contender": name,
        "rounds": len(cpu),
        "cpu_seconds": measure.spread(cpu),
        "wall_seconds": measure.spread([w for _, w in seconds[name]]),
        "ratio": ratio(base),
    }
    if "captum_one_by_one" in seconds:
        row["ratio_one_by_one"] = ratio("captum_one_by_one")
    return row


def share(row: dict[str, Any], contender: Contender, peaks: dict[str, float]) -> None:
    """Add the share of peak of ours."""
    name = row["contender"]
    if name in OPTIONS and not name.startswith("bf16"):
        contender.reset()
        row["flops"] = measure.matrix_flops(contender.run)
        row["share_of_peak"] = row["flops"] / row["cpu_seconds"]["median"] / max(peaks.values())


def weigh(row: dict[str, Any], work: Work, contender: Contender, tuning: Tuning) -> None:
    """Add memory and operator calls."""
    name = row["contender"]
    if name != NO_MEMORY:
        row["extra_bytes"] = memory.extra(work.name, name, tuning)
    if not once(name):
        contender.reset()
        row["operator_calls"] = measure.operator_calls(contender.run)
    say(f"weighed {name}")


def weigh_timed(name: str, out: Path | None) -> dict[str, Any]:
    """Add memory and operator calls to the earlier results of a work.

    Raises:
        ValueError: it was not timed.
    """
    timed = results.read(out).get("works", {}).get(name)
    if timed is None:
        raise ValueError(f"--weigh-only: {name} was not timed yet; leave the option out")
    tuning = Tuning(timed["internal_batch_size"], tuple(timed["fewest_nodes"]), timed["single_nodes"])
    work = WORKS[name]()
    for row in timed["rows"]:
        weigh(row, work, prepare(row["contender"], work, tuning), tuning)
    return dict(timed)


def only(work: Work, without: list[str]) -> Work:
    """The work with fewer contenders."""
    return replace(work, contenders=tuple(n for n in work.contenders if n not in without), targets=[])


def show(name: str, result: dict[str, Any]) -> None:
    """The table of one work on the console."""
    table = Table(title=f"{name}: {result['title']}")
    head, *rows = page.table(result["rows"])
    for column in head:
        table.add_column(column, justify="left" if column == "contender" else "right")
    for row in rows:
        table.add_row(*row)
    console.print(table)


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--work", nargs="+", choices=WORKS, default=["minilm_128"])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, help="the JSON; the default is named after the machine")
    parts = parser.add_mutually_exclusive_group()
    parts.add_argument("--times-only", action="store_true", help="no memory and no operator calls")
    parts.add_argument("--weigh-only", action="store_true", help="memory and operator calls of works timed before")
    parser.add_argument("--without", nargs="+", default=[], choices=set(NAMES) - {"captum", "native"}, metavar="NAME")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    for name in args.work:
        try:
            if args.weigh_only:
                figures = weigh_timed(name, args.out)
            else:
                figures = bench(only(WORKS[name](), args.without), args.rounds, args.times_only)
        except (truth.RedGateError, ValueError) as error:
            sys.exit(str(error))
        results.add(args.out, "works", {name: figures})
        show(name, figures)


if __name__ == "__main__":
    main()
