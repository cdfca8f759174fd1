"""The sections of docs/performance.md on memory and on work that is not done."""

from __future__ import annotations

from collections.abc import Iterable
from statistics import median
from typing import Any

MEMORY = """## Memory

Extra MiB of a first call on one input, in a fresh process. It is the high-water mark minus the memory after one forward
pass of the model. The table has the median of three processes, and the smallest and largest. (a) is Captum without
internal_batch_size: all 50 nodes of a layer in one batch.

`memory_budget` bounds the memory of one batch of path points: its saved tensors, and the temporaries of the current
block. A given budget holds both endpoints and the attention maps, too. A batch has at least one point at any budget.
A call also holds a fixed part, which no budget changes. It has both endpoints of one input, their saved tensors, the
joined weights of q, k and v, attention maps, scores, and libraries. It is measured as the memory of the endpoints
alone in such a process.
The overshoot is the memory of the largest run above budget and fixed part (negative where memory was left).
"""


def memory_section(works: dict[str, dict[str, Any]]) -> str:
    """The memory of every work."""
    head = ("work", "contender", "extra MiB", "of (a)", "budget + fixed MiB", "within", "overshoot MiB")
    lines = [MEMORY, row_of(head), ruler(len(head), 2)]
    for name, work in works.items():
        base = median(work["rows"][0]["extra_bytes"])
        for row in work["rows"]:
            runs, budget = row["extra_bytes"], row["budget"]
            taken = f"{mib(median(runs))} ({mib(min(runs))}-{mib(max(runs))})"
            cells = [name, row["contender"], taken, f"{median(runs) / base:.0%}"]
            if budget is None:
                cells += ["-"] * 3
            else:
                bound = budget + work["fixed_bytes"]
                allowed = f"{mib(budget)} + {mib(work['fixed_bytes'])}"
                cells += [allowed, "yes" if max(runs) <= bound else "no", f"{(max(runs) - bound) / 2**20:+.0f}"]
            lines.append(row_of(cells))
    about = next(iter(works.values()))["machine"]
    return "\n".join([*lines, "", f"{about['processor']} ({about['instruction_set']}), {about['date']}.", ""])


def not_done_section(name: str, found: dict[str, Any]) -> str:
    """The section on the cost of each part of the work that is left out."""
    head = ("switched off", "CPU ms", "with everything on", "times", "largest difference")
    lines = [
        "## Work that is left out",
        "",
        f"{name}, one article, the corrected trapezoid at {found['steps']} intervals in every layer, so that all take "
        f"the same nodes. Median of {found['rounds']} alternating rounds, and the smallest and largest ratio. The "
        "difference is relative, of the scores or of the relevance of any layer, whichever is larger.",
        "",
        row_of(head),
        ruler(len(head)),
    ]
    for row in found["rows"]:
        times = row["times"]
        cells = [
            row["switched_off"],
            milliseconds(row["cpu_seconds"]),
            milliseconds(row["with_everything_on"]),
            f"{times['median']:.2f} ({times['min']:.2f}-{times['max']:.2f})",
            f"{row['difference']:.1e}",
        ]
        lines.append(row_of(cells))
    about = found["machine"]
    return "\n".join([*lines, "", f"{about['processor']} ({about['instruction_set']}), {about['date']}.", ""])


def mib(size: float) -> str:
    """Bytes as MiB."""
    return f"{size / 2**20:.0f}"


def milliseconds(spread: dict[str, float]) -> str:
    """The median of seconds as milliseconds."""
    return f"{1000 * spread['median']:.2f}"


def row_of(parts: Iterable[str]) -> str:
    """A line of a table."""
    return f"| {' | '.join(parts)} |"


def ruler(columns: int, words: int = 1) -> str:
    """The line under a table's head: the first columns hold words, the others figures."""
    return row_of(["---"] * words + ["---:"] * (columns - words))
