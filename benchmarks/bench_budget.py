"""Memory above the model and its inputs at several budgets: `python -m benchmarks.bench_budget`.

Each case is the first explanation of a fresh process: MiniLM-L6, twelve texts of about 100 tokens, one thread. Memory
is that which the system cannot take back, above a process in which the model has read one of the inputs. A budget that
is refused counts as kept. Writes benchmarks/results/budget.json.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

import torch

from benchmarks.bench_estimate import DTYPES, WORDS
from calig_fast import Explainer, demo
from calig_fast.bench import machine, record
from calig_fast.corpus import memory
from calig_fast.corpus.work import weights

RESULT = Path(__file__).parent / "results" / "budget.json"
BUDGETS = (32, 64, 128, 256, 512, 1024)  # MiB
INPUTS, WORDS_EACH = 12, 90
ALLOWED = 16 * 2**20  # bytes above the budget, for what a call loads and makes at first


def measured(budget: int, dtype: str) -> int:
    """Bytes of a first call in this process."""
    shown = demo.load("sentiment", 1)
    words = WORDS.split(" ")
    texts = [" ".join([str(i), *(words[(i + j * j) % len(words)] for j in range(WORDS_EACH))]) for i in range(INPUTS)]
    explainer = Explainer(shown.model, shown.processor, dtype=DTYPES[dtype], memory_budget=budget << 20)
    weights(shown.model)  # reads the weights, which are mapped
    with torch.no_grad():
        shown.model(**shown.processor(texts[:1], return_tensors="pt"))  # the libraries of the model's own products
    memory.bound_code()
    with memory.above() as peak:
        try:
            explainer(texts)
        except ValueError as error:
            if not str(error).startswith("memory_budget"):
                raise
            print(error)
            return 0
    return peak[0]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure all cases, or one."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", nargs=2, metavar=("MIB", "DTYPE"), help="one case, in this process")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    if options.case:
        print(measured(int(options.case[0]), options.case[1]))
        return
    rows: list[dict[str, Any]] = []
    for dtype, budget in product(DTYPES, BUDGETS):
        command = [sys.executable, "-m", "benchmarks.bench_budget", "--case", str(budget), dtype]
        *said, last = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
        peak, refused = int(last), "; ".join(line for line in said if line.startswith("memory_budget"))
        row = {"dtype": dtype, "budget": budget, "peak": round(peak / 2**20, 1), "refused": refused}
        rows.append({**row, "within": peak <= (budget << 20) + ALLOWED})
        print(rows[-1], flush=True)
        record.write(RESULT, {**machine.describe(), "unit": "MiB", "cases": rows})


if __name__ == "__main__":
    main()
