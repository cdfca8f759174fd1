"""`python -m benchmarks.architectures [words...]` tries all architectures, or those whose names hold a word."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from benchmarks.architectures import run, summary
from benchmarks.architectures.cases import CASES
from calig_fast.bench import machine

RESULT = Path(__file__).parents[1] / "results" / "architectures.json"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="words", help="none for all")
    parser.add_argument("--out", type=Path, default=RESULT)
    parser.add_argument("--limit", type=float, default=run.LIMIT, help="seconds an explanation may take")
    options = parser.parse_args()
    chosen = [name for name in CASES if not options.names or any(word in name for word in options.names)]
    known = json.loads(options.out.read_text())["architectures"] if options.names and options.out.exists() else {}
    for record in run.run(chosen, options.limit):
        known[record["name"]] = record
        print(f"{record['verdict']:10}{record['name']}  {record['seconds']} s", file=sys.stderr, flush=True)
        options.out.write_text(json.dumps({"machine": machine.describe(), "architectures": known}, indent=1) + "\n")
    print(summary.table(known))


if __name__ == "__main__":
    main()
