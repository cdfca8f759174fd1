"""`python -m benchmarks.architectures [words...]` tries all architectures, or those whose names hold a word."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

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
        options.out.write_text(written(known))
    print(summary.table(known))


def written(records: Mapping[str, Any]) -> str:
    """The records as JSON, an architecture a line."""
    lines = ",\n".join(f" {json.dumps(name)}: {json.dumps(short(record))}" for name, record in records.items())
    return f'{{"machine": {json.dumps(machine.describe())},\n"architectures": {{\n{lines}\n}}}}\n'


def short(value: Any) -> Any:
    """The value with four digits of each number."""
    if isinstance(value, float):
        return float(f"{value:.4g}")
    if isinstance(value, dict):
        return {k: short(v) for k, v in value.items()}
    return [short(v) for v in value] if isinstance(value, list) else value


if __name__ == "__main__":
    main()
