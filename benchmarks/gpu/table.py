"""The results of a run, short enough for the end of a terminal; failures come last."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Row = dict[str, Any]
COLUMNS = ("ms", "ms_an_input", "error", "score_error", "gpu_ms", "kernels")
FAULTS = 25


def lines(path: Path) -> list[Row]:
    """The lines of a file, without one that was cut off."""
    rows = []
    for line in path.read_text().splitlines() if path.exists() else []:
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:
            rows.append({"part": "results", "name": "line", "fault": f"cut off: {line[:60]}"})
    return rows


def table(rows: list[Row]) -> str:
    """The page of some lines."""
    return "\n".join([*_ceilings(rows), "", *_explanations(rows), "", *_operations(rows), "", *_states(rows), ""])


def state(r: Row) -> str:
    """The state of a step: fine, wrong, failed or left out."""
    if "fault" in r or "left_out" in r:
        return "failed" if "fault" in r else "left out"
    if r["name"] == "whole":
        return "fine" if r["rc"] == 0 else "left out" if r["rc"] is None else "failed"
    return "wrong" if r.get("ok") is False else "fine"


def choices(rows: list[Row]) -> dict[str, Any]:
    """The fastest backend by card, operation and dtype, in the format of calig_fast/ops/choice.json.

    The sum over the layouts of the time as a replayed graph decides; a backend with a wrong answer or without a time at
    a layout is not chosen.
    """
    card = next((r["gpu"] for r in rows if r["part"] == "ceilings" and r.get("gpu")), "")
    sums: dict[tuple[str, str], dict[str, list[float]]] = {}
    for r in rows:
        if r["part"] == "ops" and r.get("who") not in (None, "pytorch"):
            times = sums.setdefault((r["operation"], r["dtype"]), {}).setdefault(r["who"], [])
            times.append(r.get("us", float("inf")) if r["ok"] else float("inf"))
    best: dict[str, dict[str, str]] = {}
    for (op, dtype), by_whom in sums.items():
        most = max(map(len, by_whom.values()))
        whole = {who: sum(t) for who, t in by_whom.items() if len(t) == most and sum(t) < float("inf")}
        if whole:
            best.setdefault(op, {})[dtype] = min(whole, key=lambda who: whole[who])
    return {card: best}


def _ceilings(rows: list[Row]) -> Iterator[str]:
    for r in rows:
        if r["part"] == "ceilings" and "us" in r:
            rate = f"{r['gb_s']:.0f} GB/s" if "gb_s" in r else f"{r['tflop_s']:.0f} TFLOP/s" if "tflop_s" in r else ""
            yield f"ceiling {r['name']}: {r['us']:.1f} us {rate}"


def _explanations(rows: list[Row]) -> Iterator[str]:
    yield "explain: ms, ms an input, error, error of scores, GPU ms, kernels, captures/failed/replays, nodes"
    for r in rows:
        if r["part"] == "explain" and "ms" in r:
            shown = " ".join(9 * " " if r.get(k) is None else f"{r[k]:9.3g}" for k in COLUMNS)
            graphs = "/".join(str(r.get(k, "")) for k in ("captures", "failed_captures", "replays"))
            yield f"{r['name']:42} {shown} {graphs:>9} {r.get('nodes', '')!s:.4}"


def _operations(rows: list[Row]) -> Iterator[str]:
    yield "operations: us replayed (share of the ceiling) [eager us], of each backend"
    by_call: dict[str, list[str]] = {}
    for r in rows:
        if r["part"] == "ops" and "us" in r:
            share = f" {100 * r['share']:.0f}%" if "share" in r else ""
            words = f"{r['who']} {r['us']:.1f}{share} [{r['eager_us']:.0f}]"
            by_call.setdefault(f"{r['op']} {r['dtype']} {r['layout'].split(',')[0]}", []).append(words)
    for name, words in by_call.items():
        yield f"{name:44} {'; '.join(words)}"


def _states(rows: list[Row]) -> Iterator[str]:
    for part in dict.fromkeys(r["part"] for r in rows):
        states = Counter(state(r) for r in rows if r["part"] == part)
        yield f"{part}: " + ", ".join(f"{n} {which}" for which, n in states.items())
    for r in [r for r in rows if state(r) in ("failed", "wrong")][:FAULTS]:
        keys = ("rc", "case", "off", "error_of_largest", "allowed")
        said = r.get("fault") or {k: r[k] for k in keys if k in r}
        yield f"{state(r).upper()} {r['part']} {r['name']}: {said!s:.160}"


def write(results: Path) -> None:
    """Write the page and the choices of a file of lines beside it, and print the page."""
    rows = lines(results)
    results.with_name("table.txt").write_text(table(rows))
    results.with_name("choice.json").write_text(json.dumps(choices(rows), indent=1) + "\n")
    print(table(rows))
