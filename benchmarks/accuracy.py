"""How right explanations are on real models and data: completeness, and estimated errors against true ones.

    python -m benchmarks.accuracy [--documents 50] [--images 50] [--truths 6] [--threads 2]

Writes benchmarks/results/accuracy.json and prints the table. `--truths` inputs of each kind are computed again to a
tolerance of 1e-3, and the estimated errors are held against the true ones.
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

from benchmarks import machine
from calig_fast import Explainer
from calig_fast.demo import load

EXACT = 1e-3  # tolerance of what estimates are held against: a twentieth of the default
WORDS = 200
RESULT = Path(__file__).parent / "results" / "accuracy.json"


def completeness(name: str, count: int, truths: int, words: int | None = None, **options: Any) -> dict[str, Any]:
    """Explain the demonstration's samples at default settings; the first `truths` again, nearly exactly.

    Args:
        name: the demonstration.
        count: samples.
        truths: how many of them are held against an exact answer.
        words: words of a text that are read, None for as many as the model takes.
        **options: of the Explainer.
    """
    demo = load(name, count=count)
    explainer = Explainer(demo.model, demo.processor, **options)
    started = time.perf_counter()
    rows = []
    for i, sample in enumerate(demo.samples):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # articles longer than the model are cut
            given = " ".join(sample.input.split()[:words]) if words else sample.input
            a = explainer(given)
            exact = explainer(given, target=a.target, tolerance=EXACT, n_steps=512) if i < truths else None
        relative = a.convergence_delta.abs() / a.gap.abs()
        row = {
            "tokens": int(a.mask.sum()),
            "gradients": int(a.n_steps.sum()),
            "delta": relative[0].tolist(),
            "error": a.error[0].tolist(),
            "converged": a.layer_converged[0].tolist(),
        }
        if exact is not None:
            true = (a.layer_scores - exact.layer_scores).norm(dim=2) / exact.layer_scores.norm(dim=2)
            row["true"] = true[0].tolist()
            row["true_score"] = float((a.scores - exact.scores).norm() / exact.scores.norm())
            row["score_error"] = float(a.score_error)
        rows.append(row)
    return {
        "inputs": name,
        "words": words,
        "options": {k: str(v) for k, v in options.items()},
        "rows": rows,
        **_summary(rows),
        "seconds": round(time.perf_counter() - started, 1),
    }


def _summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    pairs = [(d, c) for row in rows for d, c in zip(row["delta"], row["converged"], strict=True)]
    kept = [d for d, c in pairs if c]
    known = [
        (t, e, c) for r in rows if "true" in r for t, e, c in zip(r["true"], r["error"], r["converged"], strict=True)
    ]
    return {
        "count": len(rows),
        "paths": len(pairs),
        "converged": len(kept),
        "worst_delta_of_converged": max(kept, default=None),
        "median_delta": float(torch.tensor([d for d, _ in pairs]).median()),
        "mean_gradients": sum(r["gradients"] for r in rows) / len(rows),
        "paths_with_truth": len(known),
        "worst_true_error_of_converged": max((t for t, _, c in known if c), default=None),
        "true_above_twice_the_estimate": sum(t > 2 * e + 1e-4 for t, e, c in known if c),
    }


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, default=50)
    parser.add_argument("--images", type=int, default=50)
    parser.add_argument("--truths", type=int, default=6)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    results = [
        completeness("topics", args.documents, 0, words=WORDS),
        completeness("topics", args.truths, args.truths, words=80),
        completeness("topics", args.truths, args.truths, words=80, baselines="zeros"),
        completeness("sentiment", args.documents, args.truths),
        completeness("fashion", args.images, args.truths),
        completeness("fashion", args.images, args.truths, baselines="mean"),
        completeness("fashion", args.truths, args.truths, baselines="zeros"),
    ]
    table = Table(title="completeness and error at default settings (tolerance 2e-2)")
    for column in ("inputs", "reference", "paths", "converged", "worst delta", "worst true error", "gradients"):
        table.add_column(column, justify="left" if column in {"inputs", "reference"} else "right")
    for r in results:
        table.add_row(
            f"{r['count']} {r['inputs']}" + (f", {r['words']} words" if r["words"] else ""),
            r["options"].get("baselines", "default"),
            str(r["paths"]),
            str(r["converged"]),
            f"{r['worst_delta_of_converged']:.1e}",
            "-" if r["worst_true_error_of_converged"] is None else f"{r['worst_true_error_of_converged']:.1e}",
            f"{r['mean_gradients']:.0f}",
        )
    Console(width=110).print(table)
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps({"machine": machine.describe(), "results": results}, indent=1) + "\n")
    print(f"wrote {RESULT.relative_to(Path.cwd()) if RESULT.is_relative_to(Path.cwd()) else RESULT}")


if __name__ == "__main__":
    main()
