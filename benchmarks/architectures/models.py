"""`python -m benchmarks.architectures.models` writes docs/models.md and the list of `calig models` from the results."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.architectures.cases import CASES
from benchmarks.architectures.summary import reason
from calig_fast.bench import markdown

ROOT = Path(__file__).parents[2]
RESULT = ROOT / "benchmarks" / "results" / "architectures.json"
PAGE, TRIED = ROOT / "docs" / "models.md", ROOT / "calig_fast" / "cli" / "models.json"
TEMPLATE = Path(__file__).with_name("models.md.j2")
KINDS = {"text": "Texts, in transformers", "image": "Images, in transformers", "timm": "Images, in timm"}


def main() -> None:
    results = json.loads(RESULT.read_text(encoding="utf-8"))
    rows = [row(name, results["architectures"][name]) for name in CASES if name in results["architectures"]]
    packages = {name: results["machine"][name] for name in ("transformers", "timm")}
    lines = ",\n".join(f"  {json.dumps(one)}" for one in rows)
    TRIED.write_text(f'{{"packages": {json.dumps(packages)}, "models": [\n{lines}\n]}}\n', encoding="utf-8")
    PAGE.write_text(page(rows, packages), encoding="utf-8")
    print(f"wrote {TRIED} and {PAGE}", file=sys.stderr)


def row(name: str, record: Mapping[str, Any]) -> dict[str, str]:
    """The name, engine, family and reason of one architecture."""
    if record["verdict"] == "not_tried":
        return {"name": name, "engine": "not tried", "family": "", "why": reason(record)}
    engine = record["auto"]["engine"]
    if not engine:
        return {"name": name, "engine": "refused", "family": "", "why": record["auto"]["why"][0].split(": ", 2)[-1]}
    family = record["auto"]["family"]
    return {"name": name, "engine": engine, "family": family, "why": record["auto"].get("not_native", "")}


def page(rows: list[dict[str, str]], packages: Mapping[str, str]) -> str:
    """The page as Markdown."""
    versions = " and ".join(f"{name} {version}" for name, version in packages.items())
    count = Counter(one["engine"] for one in rows)
    return markdown.page(TEMPLATE, rows=rows, packages=versions, count=count, kinds=KINDS)


if __name__ == "__main__":
    main()
