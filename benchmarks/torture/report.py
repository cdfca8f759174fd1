"""Tables of claims: counts of lies by group, and the worst of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from benchmarks.torture.lies import Claim

LIE, GROSS = 2.0, 4.0  # true errors over the tolerance
COLUMNS = ("marked", "with truth", "> tolerance", "> 2x", "> 4x", "worst", "at", "unmarked", "worst beside rounding")


def counted(claims: Iterable[Claim]) -> dict[str, Any]:
    """The figures of some claims.

    Returns:
        marked claims, those with a truth, and how many of these are off by more than 1, 2 and 4 tolerances; the worst
        true error over the tolerance, and the tolerance there; the claims that are not marked; the worst true error
        relative to the integral that the dtype itself computes, over the tolerance, where it is known.
    """
    given = list(claims)
    marked = [c for c in given if c.marked]
    known = [c for c in marked if c.known]
    worst = max(known, key=lambda c: c.ratio, default=None)
    rounded = [c.rounded / c.tolerance for c in marked if c.rounded is not None]
    return {
        "marked": len(marked),
        "with truth": len(known),
        "> tolerance": sum(c.ratio > 1 for c in known),
        "> 2x": sum(c.ratio > LIE for c in known),
        "> 4x": sum(c.ratio > GROSS for c in known),
        "worst": None if worst is None else round(worst.ratio, 3),
        "at": None if worst is None else worst.tolerance,
        "unmarked": len(given) - len(marked),
        "worst beside rounding": max(rounded, default=None),
    }


def by(claims: Sequence[Claim], key: Callable[[Claim], tuple[Any, ...]]) -> dict[tuple[Any, ...], dict[str, Any]]:
    """The figures of the claims with the same key, in the order of their first."""
    groups: dict[tuple[Any, ...], list[Claim]] = {}
    for claim in claims:
        groups.setdefault(key(claim), []).append(claim)
    return {name: counted(group) for name, group in groups.items()}


def markdown(rows: dict[tuple[Any, ...], dict[str, Any]], names: Sequence[str]) -> str:
    """A table; `names` are the parts of its keys."""
    lines = [f"| {' | '.join((*names, *COLUMNS))} |", "|" + "---|" * (len(names) + len(COLUMNS))]
    lines += [
        f"| {' | '.join([*map(shown, name), *(shown(figures[column]) for column in COLUMNS)])} |"
        for name, figures in rows.items()
    ]
    return "\n".join(lines)


def shown(value: Any) -> str:
    """A cell of a table."""
    return "-" if value is None else f"{value:.3g}" if isinstance(value, float) else str(value)


def worst(claims: Iterable[Claim], count: int = 20) -> list[Claim]:
    """The marked claims with the largest errors over their tolerance, one of each path and kind."""
    best: dict[tuple[Any, ...], Claim] = {}
    for c in claims:
        if c.marked and c.known and c.ratio > LIE:
            key = (c.group, c.baseline, c.kind, c.index, c.layer)
            if key not in best or best[key].ratio < c.ratio:
                best[key] = c
    return sorted(best.values(), key=lambda c: -c.ratio)[:count]


def page(claims: Sequence[Claim]) -> str:
    """All tables in Markdown."""
    parts = [
        markdown(by(claims, lambda c: (c.kind,)), ["claims"]),
        markdown(by(claims, lambda c: (c.kind, c.tolerance)), ["claims", "tolerance"]),
        markdown(by(claims, lambda c: (c.group, c.baseline, c.kind)), ["inputs", "baseline", "claims"]),
        "\n".join(
            [
                "| worst lies | baseline | claims | tolerance | input | layer | claimed | true | ratio | gradients |",
                "|" + "---|" * 10,
                *(
                    f"| {c.group} | {c.baseline} | {c.kind} | {c.tolerance:g} | {c.index} "
                    f"| {'-' if c.layer < 0 else c.layer} | {c.claimed:.2g} | {c.true:.2g} | {c.ratio:.2f} "
                    f"| {c.nodes} |"
                    for c in worst(claims)
                ),
            ]
        ),
    ]
    return "\n\n".join(parts) + "\n"
