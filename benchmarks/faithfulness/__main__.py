"""`python -m benchmarks.faithfulness` runs the tasks without a record, then writes the page."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from benchmarks.faithfulness import geometry, page, run, summary
from calig_fast.bench import record

ROOT = Path(__file__).parents[2]
RESULT = ROOT / "benchmarks/results/faithfulness.json"
WORDS = Path(__file__).parent / "words.md"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", nargs="+", choices=list(run.TASKS), default=list(run.TASKS))
    parser.add_argument("--splits", nargs="+", choices=run.SPLITS, default=run.SPLITS)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared/data", help="data that is not shipped")
    parser.add_argument("--cache", type=Path, default=ROOT / ".faithfulness", help="trained weights and records")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--page-only", action="store_true", help="write the page from the committed numbers")
    options = parser.parse_args()
    if not options.page_only:
        missing = run.run(options.tasks, options.splits, options.data, options.cache, options.jobs)
        numbers = summary.summarise(options.cache, options.tasks, missing)
        if RESULT.exists():
            numbers = summary.joined(json.loads(RESULT.read_text()), numbers)
        if set(options.tasks) == set(run.TASKS):
            numbers["geometry"] = geometry.measure()
        record.write(RESULT, numbers)
    page.write(json.loads(RESULT.read_text()), WORDS.read_text(), ROOT / "docs/faithfulness.md", ROOT / "docs/images")


if __name__ == "__main__":
    main()
