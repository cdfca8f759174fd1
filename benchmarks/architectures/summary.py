"""How many architectures are explained rightly, and which are not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

GROUPS = ("text", "image", "timm")
Records = Mapping[str, Mapping[str, Any]]


def table(records: Records) -> str:
    """Counts by verdict and group, then a line for each architecture that is not right."""
    groups = {name: [r for n, r in records.items() if n.startswith(f"{name}/")] for name in GROUPS}
    verdicts = sorted({r["verdict"] for r in records.values()}, key=lambda v: (v != "right", v))
    rows = [_row(v, {g: sum(r["verdict"] == v for r in members) for g, members in groups.items()}) for v in verdicts]
    rows += [
        _row(what, {g: sum(map(predicate, members)) for g, members in groups.items()})
        for what, predicate in ASKED.items()
    ]
    head = ["| |" + "|".join((*GROUPS, "all")) + "|", "|---|" + "---|" * (len(GROUPS) + 1)]
    others = [f"- {n}: {r['verdict']}: {reason(r)}" for n, r in sorted(records.items()) if r["verdict"] != "right"]
    return "\n".join([*head, *rows, "", *others])


def reason(record: Mapping[str, Any]) -> str:
    """Why an architecture is not right, in a line."""
    if record["verdict"] == "not_tried":
        return str(record["not_tried"]).strip().splitlines()[-1]
    for step in ("build", "check", "auto", "default", "bare", "named"):
        judgement = record.get(step, {})
        if judgement.get("verdict") == record["verdict"]:
            off = max((one["off"] or 0.0 for one in judgement["layers"]), default=0.0)
            return f"{step}: {'; '.join(judgement['why'][:2]) or f'r_l off by up to {off:.2g}, none marked converged'}"
    return ""


def _row(what: str, counts: Mapping[str, int]) -> str:
    return f"|{what}|" + "|".join(str(counts[g]) for g in GROUPS) + f"|{sum(counts.values())}|"


def _is(step: str, record: Mapping[str, Any]) -> bool:
    return bool(record.get(step, {}).get("verdict") == "right")


ASKED = {
    "right without `layers=`": lambda r: _is("auto", r),
    "right without `layers=`, default method": lambda r: _is("default", r),
    "`explain(model, x)` answers": lambda r: _is("bare", r),
    "right natively": lambda r: _is("auto", r) and r["auto"]["engine"] == "native",
    "some layer marked converged": lambda r: any(
        one["converged"] for step in ("auto", "named") for one in r.get(step, {}).get("layers", [])
    ),
    "the blocks found are those of the measure": lambda r: _is("auto", r) and same_blocks(r),
}


def same_blocks(record: Mapping[str, Any]) -> bool:
    """Return True if the blocks that the package chose are the measure's."""
    chosen, right = record["auto"]["blocks"], record.get("blocks") or []
    return chosen == right or (len(right) == 1 and all(name.rpartition(".")[0] == right[0] for name in chosen))
