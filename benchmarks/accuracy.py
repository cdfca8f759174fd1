"""Accuracy of explanations on real models and data: completeness, and estimated errors against true ones.

    python -m benchmarks.accuracy [--documents 200] [--images 100] [--threads 1] [--part NAME ...]

Writes benchmarks/results/accuracy.json (parts measured earlier stay in it) and prints the table. Every input is
computed again to a far finer tolerance, and the estimated errors are compared with the true ones. A path that is marked
converged and is off by more than twice the tolerance counts as a false convergence report (`lied`).
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from calig_fast import Explainer
from calig_fast.bench import machine, record
from calig_fast.demo import load

TOLERANCE = 2e-2
EXACT = 1e-3  # tolerance of the results that estimates are compared with
EXACT_ZEROS = 4e-3  # the same for a zero hidden state, where each digit costs ten times as much
MOST = 1024  # intervals that an exact answer may take
RESULT = Path(__file__).parent / "results" / "accuracy.json"
# name: demonstration, words read, options
PARTS: dict[str, tuple[str, int | None, dict[str, Any]]] = {
    "documents": ("topics", 60, {}),
    "documents, zero hidden state": ("topics", 30, {"baselines": "zeros"}),
    "sentences": ("sentiment", None, {}),
    "images": ("fashion", None, {}),
    "images, mean": ("fashion", None, {"baselines": "mean"}),
    "images, zero hidden state": ("fashion", None, {"baselines": "zeros"}),
}


def completeness(name: str, count: int, words: int | None, options: dict[str, Any]) -> dict[str, Any]:
    """Explain the demonstration's samples at default settings, and again nearly exactly.

    Args:
        name: the demonstration.
        count: samples.
        words: words of a text that are read, None for as many as the model takes.
        options: of the Explainer.
    """
    demo = load(name, count=count)
    explainer = Explainer(demo.model, demo.processor, **options)
    exactly = Explainer(demo.model, demo.processor, **options)
    exact_to = EXACT_ZEROS if options.get("baselines") == "zeros" else EXACT
    started = time.perf_counter()
    rows = []
    for sample in demo.samples:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # articles longer than the model are cut
            given = " ".join(sample.input.split()[:words]) if words else sample.input
            a = explainer(given)
            exact = exactly(given, target=a.target, tolerance=exact_to, n_steps=MOST)
        true = (a.layer_scores - exact.layer_scores).norm(dim=2) / exact.layer_scores.norm(dim=2)
        row = {
            "tokens": int(a.mask.sum()),
            "gradients": int(a.n_steps.sum()),
            "delta": (a.convergence_delta.abs() / a.gap.abs())[0].tolist(),
            "error": a.error[0].tolist(),
            "converged": a.layer_converged[0].tolist(),
            "true": true[0].tolist(),
            "exact": exact.layer_converged[0].tolist(),
            "true_score": float((a.scores - exact.scores).norm() / exact.scores.norm()),
            "score_error": float(a.score_error),
        }
        rows.append(row)
    return {
        "inputs": name,
        "words": words,
        "options": {k: str(v) for k, v in options.items()},
        "exact_to": exact_to,
        "rows": [{k: [float(f"{x:.3g}") for x in v] if isinstance(v, list) else v for k, v in r.items()} for r in rows],
        **summary(rows),
        "seconds": round(time.perf_counter() - started, 1),
    }


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the figures of the rows; only paths with a converged exact result are compared with it."""
    columns = ("delta", "error", "converged", "true", "exact")
    paths = [dict(zip(columns, each, strict=True)) for r in rows for each in zip(*(r[c] for c in columns), strict=True)]
    converged = [p for p in paths if p["converged"]]
    known = [p for p in converged if p["exact"]]
    return {
        "count": len(rows),
        "paths": len(paths),
        "converged": len(converged),
        "worst_delta_of_converged": max((p["delta"] for p in converged), default=None),
        "median_delta": float(torch.tensor([p["delta"] for p in paths]).median()),
        "mean_gradients": sum(r["gradients"] for r in rows) / len(rows),
        "paths_with_truth": len(known),
        "worst_true_error_of_converged": max((p["true"] for p in known), default=None),
        "off_by_more_than_the_tolerance": sum(p["true"] > TOLERANCE for p in known),
        "lied": sum(p["true"] > 2 * TOLERANCE for p in known),
        "worst_true_error_of_scores": max(r["true_score"] for r in rows),
        "true_score_above_its_estimate": sum(r["true_score"] > r["score_error"] for r in rows),
    }


def show(results: dict[str, dict[str, Any]]) -> None:
    """The table on the console."""
    table = Table(title="error at default settings (tolerance 2e-2), against answers far finer")
    names = ("inputs", "paths", "converged", "with truth", "true > 2e-2", "lied (> 4e-2)", "worst true", "gradients")
    for column in names:
        table.add_column(column, justify="left" if column == "inputs" else "right")
    for part, r in results.items():
        worst = r["worst_true_error_of_converged"]
        table.add_row(
            f"{r['count']} {part}" + (f", {r['words']} words" if r["words"] else ""),
            str(r["paths"]),
            str(r["converged"]),
            str(r["paths_with_truth"]),
            str(r["off_by_more_than_the_tolerance"]),
            str(r["lied"]),
            "-" if worst is None else f"{worst:.1e}",
            f"{r['mean_gradients']:.0f}",
        )
    Console(width=120).print(table)


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, default=200, help="texts of each kind")
    parser.add_argument("--images", type=int, default=100)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--part", nargs="+", choices=PARTS, default=list(PARTS))
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    for part in args.part:
        name, words, options = PARTS[part]
        figures = completeness(name, args.images if name == "fashion" else args.documents, words, options)
        figures["machine"] = machine.describe()
        known = record.read(RESULT).get("parts", {})
        parts = {p: r for p in PARTS for r in [figures if p == part else known.get(p)] if r is not None}
        RESULT.parent.mkdir(exist_ok=True)
        record.write(RESULT, json.dumps({"parts": parts}, separators=(",", ":")) + "\n")
        show({part: figures})
    show(json.loads(RESULT.read_text())["parts"])


if __name__ == "__main__":
    main()
