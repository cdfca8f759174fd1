"""The choice of a default on the tuning inputs: a few candidates, each measured with three fillers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from benchmarks.faithfulness.signals import explainer
from benchmarks.faithfulness.task import Case, Task
from calig_fast import Fusion, Method, metrics
from calig_fast.methods.base import Scores, Signals
from calig_fast.methods.calig import calig
from calig_fast.methods.candidates import MEAN, MIXED
from calig_fast.methods.ig import METHOD as IG

FILLERS = {"text": ("mask", "pad", "delete"), "image": ("blur", "mean", "noisy_linear")}
PAPER = {"text": Fusion(lam=0.8), "image": Fusion(lam=0.97)}
START = "calig-paper"  # that the others are compared with
SHARES = (0.3, 0.5, 0.7)
FEW = (0.1, 0.3, 0.5)


def of_case(task: Task, case: Case) -> list[dict[str, Any]]:
    """A record of every candidate: comprehensiveness minus sufficiency, or the area between curves, by the filler."""
    target, plain = _signals(task, case, "plain")
    _, gim = _signals(task, case, "gim")
    return [
        {
            "method": name,
            **{f"score_{filler}": _score(task, case, target, scores, filler) for filler in FILLERS[task.kind]},
        }
        for name, scores in candidates(task.kind, plain, gim).items()
    ]


def candidates(kind: str, plain: Signals, gim: Signals) -> dict[str, Tensor]:
    """The scores [1,T] of every candidate by name, from the signals by plain gradients and by GIM's rules."""
    paper = PAPER[kind]
    scores = {START: calig(paper).read(plain)[0], "IG": IG.read(plain)[0], "mean of layers": MEAN.read(plain)[0]}
    both = replace(plain, embedding=gim.relevance[:, 0])
    for share in SHARES:
        scores[f"{share:g} IG"] = calig(replace(paper, embedding_share=share)).read(plain)[0]
        ruled = replace(paper, embedding_share=share, embedding_rules="gim")
        scores[f"{share:g} IG by GIM's rules"] = calig(ruled).read(both)[0]
    scores |= {"GIM: IG": IG.read(gim)[0], "GIM: calig-paper": calig(paper).read(gim)[0]}
    return scores | {"GIM: mixture": MIXED.read(gim)[0]}


def _signals(task: Task, case: Case, rules: str) -> tuple[int, Signals]:
    """The target, and the engine's signals under some rules."""
    seen: list[Signals] = []

    def read(s: Signals) -> Scores:
        seen.append(s)
        return s.relevance.sum(1), s.relevance

    def changed(s: Signals, others: Tensor) -> Tensor:
        return s.relevance.sum(1) + (others - s.relevance).transpose(1, 2)

    a = explainer(task)(case.call, method=Method("signals", "layer", "gradient", read, changed=changed), rules=rules)
    return int(torch.as_tensor(a.target)), seen[-1]


def _score(task: Task, case: Case, target: int, scores: Tensor, filler: str) -> float:
    options: dict[str, Any] = {"target": target, "processor": task.processor, "removal": filler}
    if task.kind == "text":
        erasure = metrics.erasure(task.model, case.call, scores, fractions=FEW, **options)
        return float(erasure.difference.values[0])
    areas = [
        metrics.perturbation_auc(task.model, case.call, scores, order=order, output="prob", **options)
        for order in ("negative", "positive")
    ]
    return float(areas[0].values[0] - areas[1].values[0])
