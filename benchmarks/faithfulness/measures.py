"""The measurements of one input: each method's scores, compared with the model."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from benchmarks.faithfulness import choices, methods
from benchmarks.faithfulness.signals import read
from benchmarks.faithfulness.task import Case, Task
from calig_fast import metrics
from calig_fast.inputs.perturbed_outputs import perturbation_runner
from calig_fast.metrics import Naopc

FEW = (0.1, 0.3, 0.5)  # fractions of the ablation
CHOICES = (0.25, 0.5, 0.8, 0.97)
REMOVALS = ("pad", "delete")  # besides the mask token
ALSO = (
    *("lam 0.8", "lam 0.5", "lam 0.97", "ig", "layer_ig_mean"),
    *(f"reference {r}{what}" for r in ("mask", "zero_embedding") for what in ("", ", ig")),
)
SETS = 64
SHARES = (0.1, 0.2, 0.3, 0.5)
ATTAINABLE = 26  # tokens of the longest texts with NAOPC: its beam takes 5 n^2 forward passes
TOP = tuple(range(10, 90, 10))  # words predicted, as in Chefer, Gur and Wolf 2021


def of_case(task: Task, case: Case, split: str) -> list[dict[str, Any]]:
    """A record of every method (held-out split) or variant (tuning split)."""
    begun = time.monotonic()
    if split == "sanity":
        return [randomised(task, case)]
    if split == "choice":
        return choices.of_case(task, case)
    records, by_lam, bounds = [], {}, None
    for name, target, scores in _scored(task, case, split):
        records.append({"method": name, **judge(task, case, target, scores, few=split == "tune")})
        if split == "held" and task.kind == "text" and case.call["input_ids"].shape[1] <= ATTAINABLE:
            bounds = attainable(task, case, target, scores, bounds)
            records[-1] |= {"naopc": _one(bounds), "naopc_sufficiency": float(bounds.sufficiency[0])}
        if split == "tune" and task.kind == "text" and name in ALSO:
            records[-1] |= {f"score_{removal}": erased(task, case, target, scores, removal) for removal in REMOVALS}
        if name in (f"lam {lam:g}" for lam in CHOICES):
            by_lam[name] = scores
    if split == "tune":
        named = {record["method"]: record for record in records}
        searched = max(by_lam, key=lambda name: named[name]["score"])
        tried = tried_on_random_sets(task, case, target, by_lam)
        for name, choice in (("searched", searched), ("by random removals", tried)):
            records.append({**named[choice], "method": f"lam of each input, {name}"})
    print(f"{task.name}, {split}: {time.monotonic() - begun:.0f} s", file=sys.stderr, flush=True)
    return records


def _scored(task: Task, case: Case, split: str) -> Iterator[tuple[str, int, Tensor]]:
    if split == "held":
        yield from methods.compared(task, case)
        return
    signals = read(task, case)
    for part in (methods.cheap(signals), methods.dear(task, case, signals)):
        for name, scores in part:
            yield name, signals.target, scores


def tried_on_random_sets(task: Task, case: Case, target: int, candidates: dict[str, Tensor]) -> str:
    """The candidate with sums over random sets of tokens that correlate best with the effect of removing these sets.

    The logit of the class, 64 sets of 10 to 50 % of the tokens, which become the path's own reference; by correlation.
    """
    any_scores = next(iter(candidates.values()))
    removal = "blur" if task.kind == "image" else "pad"
    p = perturbation_runner(
        task.model,
        case.call,
        any_scores,
        target,
        processor=task.processor,
        removal=removal,
        output="logit",
        batch_size=64,
    )
    places = p.removable[0].nonzero().flatten()
    generator = torch.Generator().manual_seed(0)
    sets = torch.zeros(SETS + 1, p.removable.shape[1], dtype=torch.bool)
    for k in range(SETS):
        size = max(1, round(SHARES[k % len(SHARES)] * len(places)))
        sets[k + 1, places[torch.randperm(len(places), generator=generator)[:size]]] = True
    answers = p.answers(sets[None])[0].double()
    drops = answers[0] - answers[1:]

    def fit(name: str) -> float:
        sums = sets[1:].double() @ candidates[name][0].double()
        return float(torch.corrcoef(torch.stack([sums, drops]))[0, 1].nan_to_num(-1.0))

    return max(candidates, key=fit)


def randomised(task: Task, case: Case) -> dict[str, Any]:
    """Rank correlation of calig's scores with its scores on models with weights made random from the head on."""
    check = metrics.model_randomisation(task.model, case.call, processor=task.processor)
    return {"method": "calig", "stages": list(check.stages), "similarities": check.similarities[0].tolist()}


def attainable(task: Task, case: Case, target: int, scores: Tensor, bounds: Naopc | None) -> Naopc:
    """Comprehensiveness and sufficiency as shares of what is attainable, with the bounds of other scores if given."""
    return metrics.naopc(task.model, case.call, scores, target=target, processor=task.processor, bounds=bounds)


def erased(task: Task, case: Case, target: int, scores: Tensor, removal: str) -> float | None:
    """Comprehensiveness minus sufficiency where removed tokens become something else than the mask token."""
    options: dict[str, Any] = {"target": target, "tokenizer": task.processor, "fractions": FEW}
    return _one(metrics.erasure(task.model, case.call, scores, removal=removal, **options).difference)


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
    e = metrics.erasure(task.model, case.call, scores, target=target, processor=task.processor, **fractions)
    measures = {
        "score": _one(e.difference),
        "comprehensiveness": _one(e.comprehensiveness),
        "sufficiency": _one(e.sufficiency),
        "log_odds": None if e.log_odds is None else _one(e.log_odds),
    }
    if case.rationale and target == case.label:
        words = torch.stack([scores[0, start:end].max() for start, end in case.words])[None]
        marked = torch.tensor([case.rationale])
        measures["token_f1"] = _one(metrics.token_f1(words, marked))
        measures["auprc"] = _one(metrics.auprc(words, marked))
        measures |= {f"token_f1_{k}": _one(metrics.token_f1(words, marked, k=k)) for k in TOP}
    return measures


def _image(task: Task, case: Case, target: int, scores: Tensor, few: bool) -> dict[str, Any]:
    """Blurred patches and the probability; with all fractions also Chefer's own, black patches and the class itself."""
    common: dict[str, Any] = {"target": target, "tokenizer": task.processor}
    kinds = {"": ("blur", "prob")} if few else {"": ("blur", "prob"), "black_": ("black", "accuracy")}
    measures: dict[str, Any] = {}
    for prefix, (removal, output) in kinds.items():
        areas = {
            order: _one(
                metrics.perturbation_auc(
                    task.model, case.call, scores, order=order, removal=removal, output=output, **common
                )
            )
            for order in ("positive", "negative")
        }
        measures |= {f"{prefix}{order}": area for order, area in areas.items()}
        measures[f"{prefix}score"] = areas["negative"] - areas["positive"]
    return measures


def _one(measure: Any) -> float | None:
    value = float(measure.values[0])
    return None if math.isnan(value) else value
