"""Our metrics compared with another library's on the same inputs, where the definitions agree.

    python -m benchmarks.peers.compare_metrics captum        # in the project's own environment
    python -m benchmarks.peers.compare_metrics ferret        # in an environment of its own, see docs/metrics.md
    python -m benchmarks.peers.compare_metrics quantus

Writes both numbers, the versions and the date to benchmarks/results/peers.json; libraries compared earlier stay in it.
Exits with 1 if a number differs by more than 1e-6.
"""

from __future__ import annotations

import argparse
import datetime
import importlib
import importlib.metadata
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

from calig_fast.bench import record

PACKAGES = {"captum": "captum", "ferret": "ferret-xai", "quantus": "quantus"}
TOLERANCE = 1e-6
RESULT = Path(__file__).parent.parent / "results" / "peers.json"


def main() -> int:
    """Compare with one peer."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("peer", choices=sorted(PACKAGES))
    parser.add_argument("--out", type=Path, default=RESULT)
    options = parser.parse_args()
    module = importlib.import_module(f"benchmarks.peers.with_{options.peer}")
    ours, theirs = module.ours(), module.theirs()
    rows = {
        name: {
            "ours": ours[name],
            "theirs": theirs[name],
            "largest_difference": max(abs(a - b) for a, b in zip(ours[name], theirs[name], strict=True)),
        }
        for name in theirs
    }
    known = record.read(options.out)
    known[options.peer] = {
        "command": f"python -m benchmarks.peers.compare_metrics {options.peer}",
        "date": datetime.date.today().isoformat(),
        "versions": {
            name: importlib.metadata.version(name)
            for name in (PACKAGES[options.peer], "torch", "transformers", "numpy")
        },
        "metrics": rows,
    }
    record.write(options.out, known)
    table = Table("metric", "ours (mean)", f"{options.peer} (mean)", "largest difference")
    for name, row in rows.items():
        means = [f"{sum(row[side]) / len(row[side]):.8f}" for side in ("ours", "theirs")]
        table.add_row(name, *means, f"{row['largest_difference']:.1e}")
    Console().print(table)
    return int(any(row["largest_difference"] > TOLERANCE for row in rows.values()))


if __name__ == "__main__":
    sys.exit(main())
