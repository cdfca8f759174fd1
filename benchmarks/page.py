"""docs/performance.md, made from the committed results."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.contenders import NAMES
from benchmarks.truth import BF16_TOLERANCE, TOLERANCE
from calig_fast.bench import markdown, record

PAGE = Path(__file__).parents[1] / "docs" / "performance.md"
TEMPLATE = Path(__file__).with_name("performance.md.j2")
BASES = ("captum", "captum_padded", "captum_one_by_one")
COLUMNS = (
    "contender",
    "true error",
    "error of scores",
    "CPU s",
    "wall s",
    "times faster than (a)",
    "than (a) one at a time",
    "gradients",
    "extra MiB",
    "operator calls",
    "rho of scores",
    "of peak",
)


def write(results: Path, path: Path = PAGE) -> None:
    """Write the page of every result file in a folder."""
    record.write(path, text([json.loads(f.read_text()) for f in sorted(results.glob("*.json"))]))


def text(files: list[dict[str, Any]]) -> str:
    """The page; files without works are other benchmarks' and are left out."""
    return markdown.page(
        TEMPLATE,
        names=NAMES,
        works=[_work(name, work) for file in files for name, work in file.get("works", {}).items()],
        memory=[_memory(file["memory"]) for file in files if "memory" in file],
        not_done=[part for file in files for part in file.get("not_done", {}).items()],
    )


def cells(row: dict[str, Any]) -> list[str]:
    """One contender as the cells of `COLUMNS`; "-" where there is no such figure."""
    rounds = row["rounds"]
    rho, share, scores = row["rank_correlation"], row.get("share_of_peak"), row.get("score_error")
    extra, calls = row.get("extra_bytes"), row.get("operator_calls")
    return [
        NAMES[row["contender"]],
        f"{max(row['errors']):.1e}",
        "-" if scores is None else f"{scores:.1e}",
        _spread(row["cpu_seconds"], rounds),
        _spread(row["wall_seconds"], rounds),
        _spread(row["ratio"], rounds),
        _spread(row["ratio_one_by_one"], rounds) if "ratio_one_by_one" in row else "-",
        str(row["gradients"]),
        "-" if extra is None else f"{extra / 2**20:.0f}",
        "-" if calls is None else str(calls),
        "-" if rho is None else f"{rho:.4f}",
        "-" if share is None else f"{share:.0%}",
    ]


def table(rows: list[dict[str, Any]]) -> list[list[str]]:
    """Head and rows of a work, without the columns in which no contender has a figure."""
    body = [cells(row) for row in rows]
    columns = [i for i in range(len(COLUMNS)) if any(line[i] != "-" for line in body)]
    return [[line[i] for i in columns] for line in ([*COLUMNS], *body)]


def _work(name: str, work: dict[str, Any]) -> dict[str, Any]:
    """A work as the template shows it."""
    rows = work["rows"]
    rounds = max(row["rounds"] for row in rows)
    measured = {row["contender"] for row in rows}
    if measured & {"captum_padded", "captum_one_by_one"}:
        measured.add("captum")
    else:
        measured |= {"captum_padded", "captum_one_by_one"}  # of batches alone
    return {
        **work,
        "name": name,
        "summary": _summary(name, work),
        "table": table(rows),
        "rounded": work.get("rounded"),
        "rounds": rounds,
        "once": [NAMES[row["contender"]] for row in rows if row["rounds"] == 1] if rounds > 1 else [],
        "misses": _misses(rows),
        "missing": [NAMES[contender] for contender in NAMES if contender not in measured],
    }


def _summary(name: str, work: dict[str, Any]) -> list[str]:
    """How much faster than (a) and than (c) the default settings are."""
    rows = {row["contender"]: row for row in work["rows"]}
    base = next(rows[contender] for contender in BASES if contender in rows)
    fair, own = rows.get("captum_single_n"), rows["native"]
    cpu = [row["cpu_seconds"]["median"] for row in (base, own)]
    return [
        name,
        work["machine"]["processor"],
        str(work["machine"]["threads"]),
        *(f"{seconds:.2f}" for seconds in cpu),
        f"{own['ratio']['median']:.1f}",
        "-" if fair is None else f"{fair['cpu_seconds']['median'] / cpu[1]:.1f}",
        f"{max(own['errors']):.1e}",
        *(f"{rows[n]['ratio']['median']:.1f}" if n in rows else "-" for n in ("scores", "ends", "bf16")),
    ]


def _misses(rows: Sequence[dict[str, Any]]) -> list[str]:
    """The rows that did not reach their stated accuracy."""
    out = []
    for row in rows:
        name, worst, scores = NAMES[row["contender"]], max(row["errors"]), row.get("score_error")
        if row["contender"] == "bf16" and not worst <= 2 * BF16_TOLERANCE:
            out.append(f"{name} misses twice {BF16_TOLERANCE:g}: {worst:.1e}.")
        if row["contender"] == "scores" and not scores <= TOLERANCE:
            out.append(f"{name} misses {TOLERANCE:g} in the scores: {scores:.1e}.")
        if row["contender"] == "bf16_scores" and not scores <= 2 * BF16_TOLERANCE:
            out.append(f"{name} misses twice {BF16_TOLERANCE:g} in the scores: {scores:.1e}.")
        if row["contender"] == "native" and worst > TOLERANCE:
            out.append(f"{name} miss {TOLERANCE:g}: {worst:.1e}.")
    return out


def _memory(works: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The memory of every work: its machine, and the cells of the table."""
    rows = []
    for name, work in works.items():
        base = median(work["rows"][0]["extra_bytes"])
        for row in work["rows"]:
            runs, budget = row["extra_bytes"], row["budget"]
            taken = f"{_mib(median(runs))} ({_mib(min(runs))}-{_mib(max(runs))})"
            bounded = ["-"] * 3
            if budget is not None:
                over = max(runs) - budget - work["fixed_bytes"]
                allowed = f"{_mib(budget)} + {_mib(work['fixed_bytes'])}"
                bounded = [allowed, "yes" if over <= 0 else "no", f"{over / 2**20:+.0f}"]
            rows.append([name, row["contender"], taken, f"{median(runs) / base:.0%}", *bounded])
    return {"machine": next(iter(works.values()))["machine"], "rows": rows}


def _mib(size: float) -> str:
    return f"{size / 2**20:.0f}"


def _spread(spread: dict[str, float], rounds: int) -> str:
    middle = f"{spread['median']:.2f}"
    return middle if rounds == 1 else f"{middle} ({spread['min']:.2f}-{spread['max']:.2f})"
