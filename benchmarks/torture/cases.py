"""The hard cases: integrands by themselves, and real models; our claims and Captum's beside the true errors."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from benchmarks.torture import captum_side
from benchmarks.torture.claims import Found, doubled, of_integrand
from benchmarks.torture.groups import GROUPS, Group
from benchmarks.torture.integrands import INTEGRANDS
from benchmarks.torture.lies import GOAL, KNOWN, MOST, relative
from benchmarks.torture.record import Record, record
from calig_fast import Explainer

TOLERANCES = (1e-3, 1e-2, 5e-2)
INPUTS = 1  # of a case
CAPTUM_LAYERS = 3  # of an input, spread over the blocks: Captum takes as long as all else together


@dataclass(frozen=True)
class Case:
    """One hard case of a model.

    Args:
        name: for the table.
        group: of `GROUPS`.
        baseline: a name or an id.
        dtype: that the model runs in.
        least_gap: the inputs with the smallest |F(x) - F(x')| of the group, in place of the first.
    """

    name: str
    group: str
    baseline: Any
    dtype: torch.dtype = torch.float32
    least_gap: bool = False


CASES = (
    Case("film sentences", "sentiment", "pad"),
    Case("film sentences, zero hidden state", "sentiment", "zeros"),
    Case("film sentences, bfloat16", "sentiment", "pad", torch.bfloat16),
    Case("film sentences, float16", "sentiment", "pad", torch.float16),
    Case("images of clothes", "clothes", "blur"),
    Case("images of clothes, zero hidden state", "clothes", "zeros"),
    Case("images of clothes, bfloat16", "clothes", "black", torch.bfloat16),
    Case("constant image", "constant", "black"),
    Case("constant image, zero hidden state", "constant", "zeros"),
    Case("constant image, its own mean as baseline (no path)", "constant", "mean"),
    Case("2 blocks", "bert2", 0),
    Case("12 blocks", "bert12", 0),
    Case("24 blocks", "bert24", 0),
    Case("24 blocks, bfloat16", "bert24", 0, torch.bfloat16),
    Case("12 blocks, zero hidden state", "bert12", "zeros"),
    Case("kinks (ReLU)", "bert2relu", 0),
    Case("saturated softmax", "bert2sharp", 0),
    Case("planted spikes", "bert2spiked", 0),
    Case("tiny gap", "bert12", 0, least_gap=True),
)


def measure(words: Sequence[str] = ()) -> Iterator[list[dict[str, Any]]]:
    """The rows of each case, at every tolerance.

    Args:
        words: only cases whose names hold one of them; none for all.
    """

    def chosen(name: str) -> bool:
        return not words or any(word in name for word in words)

    for integrand in INTEGRANDS:
        if chosen(integrand.name):
            yield [summed(row) for row in of_integrand(integrand, TOLERANCES)]
    for case in CASES:
        if chosen(case.name):
            yield of_model(case)


def of_model(case: Case) -> list[dict[str, Any]]:
    """The rows of one case of a model."""
    group = GROUPS[case.group](0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # what does not converge is counted
        inputs, truths = _chosen(group, case)
        rows = []
        for tolerance in TOLERANCES:
            ours = [f for x, t in zip(inputs, truths, strict=True) for f in _ours(group, case, tolerance, x, t)]
            theirs = [f for x, t in zip(inputs, truths, strict=True) for f in _captum(group, case, tolerance, x, t)]
            known = max(own for truth in truths for own in truth.own)
            rows.append(
                {
                    "case": case.name,
                    "kind": "model",
                    "tolerance": tolerance,
                    "truth": known,
                    "ours": _summary(ours, tolerance),
                    "captum": _summary(theirs, tolerance) if theirs else None,
                }
            )
    return rows


def _chosen(group: Group, case: Case) -> tuple[list[Any], list[Record]]:
    """The inputs of a case, and their truths."""
    exact = Explainer(group.model, group.processor, baselines=case.baseline, dtype=torch.float64)
    inputs = list(group.inputs[:INPUTS])
    if case.least_gap:
        ends = Explainer(group.model, group.processor, baselines=case.baseline, dtype=torch.float64, n_steps=1)
        inputs = sorted(group.inputs, key=lambda x: float(ends(x).gap[0, 0].abs()))[:INPUTS]
    return inputs, [record(exact, x, goal=GOAL, most=MOST)[0] for x in inputs]


def _ours(group: Group, case: Case, tolerance: float, given: Any, truth: Record) -> Iterator[Found]:
    explainer = Explainer(group.model, group.processor, baselines=case.baseline, dtype=case.dtype, tolerance=tolerance)
    a = explainer(given, target=truth.target)
    here = a.mask[0]
    for layer in range(truth.depth):
        if truth.own[layer] <= KNOWN * tolerance:
            off = relative(a.layer_scores[0, layer, here], truth.layer_scores[layer])
            claimed, marked = float(a.error[0, layer]), bool(a.layer_converged[0, layer])
            yield Found(claimed, marked, off, int(a.n_steps[0, layer]))


def _captum(group: Group, case: Case, tolerance: float, given: Any, truth: Record) -> Iterator[Found]:
    """Captum's claims; none where a zero hidden state is the baseline, which it does not offer."""
    if case.baseline == "zeros" or truth.target is None:
        return
    loops = captum_side.layers(group, given, case.baseline, case.dtype, truth.target)
    for layer in sorted({round(i * (truth.depth - 1) / (CAPTUM_LAYERS - 1)) for i in range(CAPTUM_LAYERS)}):
        if truth.own[layer] <= KNOWN * tolerance:
            yield doubled(loops[layer], truth.gap[layer], tolerance, truth.layer_scores[layer])


def summed(row: dict[str, Any]) -> dict[str, Any]:
    """A row of one integral in the form of those of many."""
    tolerance = row["tolerance"]
    return {**row, **{who: _summary([Found(**row[who])], tolerance) for who in ("ours", "captum")}}


def _summary(findings: Sequence[Found], tolerance: float) -> dict[str, Any]:
    """Integrals, those marked, those of them off by more than twice the tolerance; the worst; the gradients of one."""
    marked = [f for f in findings if f.marked]
    worst = max(marked, key=lambda f: f.true, default=None)
    return {
        "integrals": len(findings),
        "marked": len(marked),
        "lies": sum(f.true > 2 * tolerance for f in marked),
        "claimed": None if worst is None else worst.claimed,
        "true": None if worst is None else worst.true,
        "gradients": round(sum(f.nodes for f in findings) / len(findings)) if findings else 0,
    }


def markdown(rows: Sequence[dict[str, Any]]) -> str:
    """The table: of each library the marked integrals, the lies, the worst marked one's claim and truth, its cost."""
    head = "| case | tolerance | ours: marked | lies | claimed | true | gradients "
    lines = [head + "| Captum: marked | lies | claimed | true | gradients |", "|" + "---|" * 12]
    for row in rows:
        cells = [row["case"], f"{row['tolerance']:g}"]
        for who in ("ours", "captum"):
            summary = row[who]
            cells += ["-"] * 5 if summary is None else _cells(summary)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _cells(figures: dict[str, Any]) -> list[str]:
    claimed, true = ("-" if figures[k] is None else f"{figures[k]:.1e}" for k in ("claimed", "true"))
    lies = f"**{figures['lies']}**" if figures["lies"] else "0"
    return [f"{figures['marked']} of {figures['integrals']}", lies, claimed, true, str(figures["gradients"])]
