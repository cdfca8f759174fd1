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

ROOT = Path(__file__).parents[2]
RESULT = ROOT / "benchmarks" / "results" / "architectures.json"
PAGE, TRIED = ROOT / "docs" / "models.md", ROOT / "calig_fast" / "cli" / "models.json"
KINDS = {"text": "Texts, in transformers", "image": "Images, in transformers", "timm": "Images, in timm"}
HEAD = """# Models

`calig models` prints this table, `calig models bert` a part of it, and `calig doctor --model DIR` tells the engine of a
saved model. The native engine runs the blocks of families that it knows, and autograd runs any other. Both give the
same numbers.

Each architecture was made at small size with random weights, from {packages}.
Its explanation was compared with plain hooks (`make architectures`). {counts}.

The reason of autograd names the parts of the blocks that the native engine has not. A checkpoint has the engine of its
architecture, unless its options differ: `a.settings.not_native` is the reason of one call.
[Families of models](how_to/families.md) tells what each family is.
"""


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
    n = Counter(one["engine"] for one in rows)
    counts = (
        f"Of {len(rows)} architectures, {n['native']} run natively and {n['autograd']} by autograd. "
        f"Refused in words: {n['refused']}. Not tried: {n['not tried']}"
    )
    versions = " and ".join(f"{name} {version}" for name, version in packages.items())
    parts = [HEAD.format(packages=versions, counts=counts)]
    for kind, title in KINDS.items():
        table = [line(one) for one in rows if one["name"].startswith(f"{kind}/")]
        parts.append("\n".join([f"\n## {title}\n", "| model | engine | |", "|---|---|---|", *table, ""]))
    return "".join(parts)


def line(one: Mapping[str, str]) -> str:
    """One architecture as a row of a table."""
    why = one["why"].removeprefix("no family reads it; it has ") or f"family `{one['family']}`"
    return f"| {one['name'].partition('/')[2]} | {one['engine']} | {why} |"


if __name__ == "__main__":
    main()
