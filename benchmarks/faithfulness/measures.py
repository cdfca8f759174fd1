"""What is measured of one input: each method's scores, held against the model."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from benchmarks.faithfulness import methods
from benchmarks.faithfulness.signals import read
from benchmarks.faithfulness.task import Case, Task
from calig_fast import metrics

FEW = (0.1, 0.3, 0.5)  # fractions of the ablation
CHOICES = (0.25, 0.5, 0.75, 0.97)


def of_case(task: Task, case: Case, split: str) -> list[dict[str, Any]]:
    """A record of every method (held-out split) or variant (tuning split)."""
    begun = time.monotonic()
    found = [
        {"method": name, **judge(task, case, target, scores, few=split == "tune")}
        for name, target, scores in _scored(task, case, split)
    ]
    if split == "tune":
        found.append({"method": "lam searched for each input", **_searched(found)})
    print(f"{task.name}, {split}: {time.monotonic() - begun:.0f} s", file=sys.stderr, flush=True)
    return found


def _scored(task: Task, case: Case, split: str) -> Iterator[tuple[str, int, Tensor]]:
    if split == "held":
        yield from methods.compared(task, case)
        return
    signals = read(task, case)
    for part in (methods.cheap(signals), methods.dear(task, case, signals)):
        for name, scores in part:
            yield name, signals.target, scores
    yield "ig", signals.target, methods.explainer(task, method="ig")(case.call, target=signals.target).scores


def _searched(found: list[dict[str, Any]]) -> dict[str, Any]:
    """The best of four lams by the measure itself: what an oracle for lam would reach."""
    named = {record["method"]: record for record in found}
    best = max((named[f"lam {lam:g}"] for lam in CHOICES), key=lambda record: record["score"])
    return {key: value for key, value in best.items() if key != "method"}


def judge(task: Task, case: Case, target: int, scores: Tensor, few: bool = False) -> dict[str, Any]:
    """The measures of one method's scores.

    Args:
        task, case: the model and its input.
        target: the class explained.
        scores: [1,T].
        few: fewer fractions, for the ablation.

    Returns:
        `score`, the one that methods are ranked by (higher is better), and its parts.
    """
    if task.kind == "image":
        return _image(task, case, target, scores, few)
    fractions = {"fractions": FEW} if few else {}
    e = metrics.erasure(task.model, case.call, scores, target=target, tokenizer=task.processor, **fractions)
    found = {
        "score": _one(e.difference),
        "comprehensiveness": _one(e.comprehensiveness),
        "sufficiency": _one(e.sufficiency),
        "log_odds": None if e.log_odds is None else _one(e.log_odds),
    }
    if case.rationale and target == case.label:
        words = torch.stack([scores[0, start:end].max() for start, end in case.words])[None]
        marked = torch.tensor([case.rationale])
        found["token_f1"] = _one(metrics.token_f1(words, marked))
        found["auprc"] = _one(metrics.auprc(words, marked))
    return found


def _image(task: Task, case: Case, target: int, scores: Tensor, few: bool) -> dict[str, Any]:
    """Blurred patches and the probability; with all fractions also Chefer's own, black patches and the class itself."""
    common: dict[str, Any] = {"target": target, "tokenizer": task.processor}
    kinds = {"": ("blur", "prob")} if few else {"": ("blur", "prob"), "black_": ("black", "accuracy")}
    found: dict[str, Any] = {}
    for prefix, (removal, output) in kinds.items():
        areas = {
            order: _one(
                metrics.perturbation_auc(
                    task.model, case.call, scores, order=order, removal=removal, output=output, **common
                )
            )
            for order in ("positive", "negative")
        }
        found |= {f"{prefix}{order}": area for order, area in areas.items()}
        found[f"{prefix}score"] = areas["negative"] - areas["positive"]
    return found


def _one(measure: Any) -> float | None:
    value = float(measure.values[0])
    return None if math.isnan(value) else value
