"""The page docs/torture.md: how the claims are judged, the hard cases, and the counter of lies."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.torture import cases, report
from calig_fast.bench import markdown

TEMPLATE = Path(__file__).with_name("torture.md.j2")


def written(results: dict[str, Any]) -> str:
    """The page of the results."""
    return markdown.page(
        TEMPLATE, cases=results.get("cases"), lies=results.get("lies"), hard=cases.markdown, claims=_claims
    )


def _claims(rows: Sequence[dict[str, Any]], keys: Sequence[str]) -> str:
    return report.markdown({tuple(row[key] for key in keys): row for row in rows}, keys)
