"""Hard integrals, and the claimed errors that are wrong.

    python -m benchmarks.torture cases                     every hard case: our claim, Captum's, and the true errors
    python -m benchmarks.torture lies [--pairs N] [--data FILE] [--group NAME ...] [--tolerance X ...]
    python -m benchmarks.torture replay FILE [--integrals MODULE:CLASS]
    python -m benchmarks.torture nodes [--texts 24] [--model NAME ...]

`nodes` counts the nodes that an Explainer takes on natural texts, beside the fewest: benchmarks/results/nodes.json.
`cases` and `lies` write benchmarks/results/torture.json, each its own part, and docs/torture.md; they print the tables.
`lies --data` also writes the recorded paths, on which `replay` tries other estimates without a model.
"""

from __future__ import annotations

import argparse
import importlib
import io
import json
from dataclasses import asdict
from itertools import groupby
from pathlib import Path
from typing import Any

import torch

from benchmarks.torture import cases, lies, nodes, page, replay, report
from benchmarks.torture.groups import GROUPS
from calig_fast.bench import machine, record
from calig_fast.quadrature.adaptive import AdaptiveIntegrals

ROOT = Path(__file__).parents[2]
RESULT = ROOT / "benchmarks/results/torture.json"
NODES = ROOT / "benchmarks/results/nodes.json"
PAGE = ROOT / "docs/torture.md"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    tasks = parser.add_subparsers(dest="task", required=True)
    hard = tasks.add_parser("cases")
    hard.add_argument("words", nargs="*", help="of the cases' names; none for all")
    hard.add_argument("--out", type=Path, default=RESULT)
    hard.set_defaults(run=run_cases)
    counter = tasks.add_parser("lies")
    counter.add_argument("--pairs", type=int, default=10_000, help="marked claims with a truth, after which it stops")
    counter.add_argument("--seconds", type=float, default=1200, help="the most that it takes")
    counter.add_argument("--group", nargs="+", choices=GROUPS, default=list(GROUPS))
    counter.add_argument("--tolerance", nargs="+", type=float, default=list(lies.TOLERANCES))
    counter.add_argument("--data", type=Path, help="where the recorded paths are written")
    counter.add_argument("--record-only", action="store_true", help="no explanations: `replay` makes the claims")
    counter.add_argument("--draw", type=int, default=0, help="another number: other inputs and random models")
    counter.set_defaults(run=run_lies)
    again = tasks.add_parser("replay")
    again.add_argument("file", type=Path, nargs="+")
    again.add_argument("--integrals", default="", help="module:class in the place of AdaptiveIntegrals")
    again.add_argument("--tolerance", nargs="+", type=float, default=list(lies.TOLERANCES))
    again.add_argument("--out", type=Path, help="a JSON file for the figures")
    again.set_defaults(run=run_replay)
    counter.add_argument("--out", type=Path, default=RESULT)
    taken = tasks.add_parser("nodes")
    taken.add_argument("--texts", type=int, default=24, help="of each model")
    taken.add_argument("--model", nargs="+", choices=nodes.WORDS, default=list(nodes.WORDS))
    taken.add_argument("--data", type=Path, help="where the recorded paths are written, or read if it exists")
    taken.add_argument("--out", type=Path, default=NODES)
    taken.set_defaults(run=run_nodes)
    options = parser.parse_args()
    torch.set_num_threads(1)
    options.run(options)


def run_cases(options: argparse.Namespace) -> None:
    """Measure the hard cases; rows of cases that are left out stay as they were."""
    known = record.read(options.out).get("cases", {}).get("rows", [])
    rows = {(row["case"], row["tolerance"]): row for row in known}
    for new_rows in cases.measure(options.words):
        rows.update({(row["case"], row["tolerance"]): row for row in new_rows})
        add(options.out, "cases", {"rows": list(rows.values())})
        print(cases.markdown(new_rows), flush=True)
    print(cases.markdown(list(rows.values())))


def run_lies(options: argparse.Namespace) -> None:
    """Count."""

    def save(entries: list[lies.Entry]) -> None:
        if options.data is not None:
            content = io.BytesIO()
            torch.save([asdict(entry) for entry in entries], content)
            record.write(options.data, content.getvalue())

    explain = not options.record_only
    entries = lies.count(
        options.group, options.pairs, options.seconds, save, options.tolerance, explain=explain, draw=options.draw
    )
    if explain:
        publish([claim for entry in entries for claim in entry.claims], options.out, "explanations")


def run_nodes(options: argparse.Namespace) -> None:
    """Count nodes."""
    if options.data is not None and options.data.exists():
        entries = replay.load(options.data)
    else:
        entries = [entry for name in options.model for entry in nodes.recorded(name, options.texts)]
        if options.data is not None:
            content = io.BytesIO()
            torch.save(entries, content)
            record.write(options.data, content.getvalue())
    for name, texts in groupby(entries, lambda entry: str(entry["group"])):
        counts = nodes.measure(list(texts))
        add(options.out, name, counts)
        print(name, json.dumps(counts, indent=1))


def run_replay(options: argparse.Namespace) -> None:
    """Try a rule on recorded paths."""
    module, _, name = options.integrals.partition(":")
    kind: Any = getattr(importlib.import_module(module), name) if name else AdaptiveIntegrals
    entries = [entry for file in options.file for entry in replay.load(file)]
    publish(list(replay.replay(entries, kind, options.tolerance)), options.out, "recorded paths")


def publish(claims: list[lies.Claim], out: Path | None, judged: str) -> None:
    """Print the tables, and write them where there is a file."""
    if out is not None:
        tables = {
            "judged": judged,
            "all": report.counted(claims),
            "kinds": table(claims, claims="kind", tolerance="tolerance"),
            "groups": table(claims, inputs="group", baseline="baseline", claims="kind"),
            "worst": [asdict(claim) for claim in report.worst(claims)],
        }
        add(out, "lies", tables)
    print(report.page(claims))


def table(claims: list[lies.Claim], /, **keys: str) -> list[dict[str, Any]]:
    """The figures of the claims by some of their fields: the name of each column, and the field."""
    groups = report.by(claims, lambda c: tuple(getattr(c, field) for field in keys.values()))
    return [{**dict(zip(keys, name, strict=True)), **figures} for name, figures in groups.items()]


def add(out: Path, part: str, results: dict[str, Any]) -> None:
    """Write one part beside what the file holds already."""
    known = record.read(out)
    whole = {**known, part: {"machine": machine.describe(), **results}}
    record.write(out, whole)
    if out == RESULT:
        record.write(PAGE, page.written(whole))


if __name__ == "__main__":
    main()
