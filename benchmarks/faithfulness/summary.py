"""From records to numbers: means with intervals, and paired differences."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from benchmarks.faithfulness import choices, run
from benchmarks.faithfulness.measures import ALSO, REMOVALS, TOP
from benchmarks.faithfulness.methods import METHODS
from calig_fast import metrics
from calig_fast.bench import machine

RIVALS = ("ig", "captum_ig", "layer_ig_mean", "chefer", "attcat", "rollout")
START = "lam 0.8"
PARTS = {
    "text": (
        "score",
        "comprehensiveness",
        "sufficiency",
        "log_odds",
        "token_f1",
        "auprc",
        "naopc",
        "naopc_sufficiency",
    ),
    "image": ("score", "positive", "negative", "black_score", "black_positive", "black_negative"),
}


def summarise(folder: Path, names: list[str], missing: dict[str, str]) -> dict[str, Any]:
    """Everything that the page says.

    Args:
        folder: where the records are.
        names: tasks.
        missing: of each task that could not run, why.
    """
    tasks = {}
    for name in names:
        if name in missing:
            tasks[name] = {"missing": missing[name]}
            continue
        facts = json.loads((folder / f"{name}.facts.json").read_text())
        held = _by_method(run.records(folder, name, "held"))
        tune = _by_method(run.records(folder, name, "tune"))
        tasks[name] = {
            **facts,
            "sizes": {"tune": len(tune.get(START, ())), "held": len(held.get("calig", ()))},
            "methods": {m: _means(held[m], PARTS[facts["kind"]]) for m in METHODS if m in held},
            "token_f1": {m: f1 for m in METHODS if m in held and (f1 := _token_f1(held[m]))},
            "against": {m: _paired(held["calig"], held[m]) for m in held if m != "calig"},
            "ablation": {m: {"mean": _mean(tune[m], "score"), **_paired(tune[m], tune[START])} for m in tune},
            "choices": _choices(_by_method(run.records(folder, name, "choice")), facts["kind"]),
            "removals": _removals(tune) if facts["kind"] == "text" else {},
            "randomised": _randomised(run.records(folder, name, "sanity")),
        }
    return {"machine": machine.describe(), "tasks": tasks}


def joined(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """A summary with the tasks and parts that a later run measured in the place of the older ones.

    Args:
        old, new: from `summarise`.
    """
    tasks = dict(old["tasks"])
    for name, task in new["tasks"].items():
        before = {} if "missing" in tasks.get(name, {}) else tasks.get(name, {})
        if "missing" in task:
            tasks[name] = before or task
            continue
        sizes = {split: count or before.get("sizes", {}).get(split, 0) for split, count in task["sizes"].items()}
        tasks[name] = {**before, **{part: value for part, value in task.items() if value != {}}, "sizes": sizes}
    return {**old, **new, "tasks": tasks}


def _by_method(records: list[dict[str, Any]]) -> dict[str, dict[int, dict[str, Any]]]:
    """Records by method and input; of an input measured twice the later."""
    by_method: dict[str, dict[int, dict[str, Any]]] = {}
    for record in records:
        by_method.setdefault(record["method"], {})[record["case"]] = record
    return by_method


def _values(cases: dict[int, dict[str, Any]], part: str) -> list[float]:
    return [cases[k][part] for k in sorted(cases) if cases[k].get(part) is not None]


def _mean(cases: dict[int, dict[str, Any]], part: str) -> float:
    values = _values(cases, part)
    return sum(values) / len(values)


def _means(cases: dict[int, dict[str, Any]], parts: tuple[str, ...]) -> dict[str, dict[str, float]]:
    """Mean and bootstrap interval of every part that was measured."""
    means = {}
    for part in parts:
        if len(values := _values(cases, part)) > 1:
            i = metrics.interval(torch.tensor(values, dtype=torch.float64))
            means[part] = {"mean": i.estimate, "low": i.low, "high": i.high}
    return means


def holm(p: list[float]) -> list[float]:
    """p values corrected for their number: the smallest p that Holm's step-down test rejects each at (Holm 1979).

    Args:
        p: of several tests, each from 0 to 1.
    """
    order = sorted(range(len(p)), key=lambda i: p[i])
    corrected, least = [0.0] * len(p), 0.0
    for place, i in enumerate(order):
        least = max(least, min(1.0, (len(p) - place) * p[i]))
        corrected[i] = least
    return corrected


def _token_f1(cases: dict[int, dict[str, Any]]) -> dict[str, float]:
    """Mean token-F1 by the number of words predicted."""
    return {str(k): _mean(cases, f"token_f1_{k}") for k in TOP if _values(cases, f"token_f1_{k}")}


def _removals(tune: dict[str, dict[int, dict[str, Any]]]) -> dict[str, dict[str, dict[str, float]]]:
    """Variants against the starting point by every kind of removal."""
    parts = {"mask": "score", **{removal: f"score_{removal}" for removal in REMOVALS}}
    by_variant = {}
    for name in (m for m in ALSO if m in tune and START in tune):
        by_variant[name] = {
            removal: {"mean": _mean(tune[name], part), **_paired(tune[name], tune[START], part)}
            for removal, part in parts.items()
            if _values(tune[name], part)
        }
    return by_variant


def _choices(records: dict[str, dict[int, dict[str, Any]]], kind: str) -> dict[str, dict[str, Any]]:
    """Of every candidate and filler the mean, and the differences to the reconstruction and to IG."""
    parts = {filler: f"score_{filler}" for filler in choices.FILLERS[kind]}
    return {
        name: {
            filler: {
                "mean": _mean(cases, part),
                "start": _paired(cases, records[choices.START], part),
                "ig": _paired(cases, records["IG"], part),
            }
            for filler, part in parts.items()
        }
        for name, cases in records.items()
    }


def _randomised(records: list[dict[str, Any]]) -> dict[str, float]:
    """Mean rank correlation with the model as it is: once its head is random, half of its parts, and all of them."""
    if not records:
        return {}
    table = torch.tensor([r["similarities"] for r in records], dtype=torch.float64)
    head, half, everything = table[:, (0, table.shape[1] // 2, -1)].nanmean(0).tolist()
    return {"inputs": len(table), "head": head, "half": half, "everything": everything}


def _paired(one: dict[int, dict[str, Any]], other: dict[int, dict[str, Any]], part: str = "score") -> dict[str, float]:
    """Mean difference of a measure over the inputs that both have, its interval, and the sign-flip p."""
    both = sorted(set(one) & set(other))
    a, b = (torch.tensor([x[k][part] for k in both], dtype=torch.float64) for x in (one, other))
    if len(both) < 2 or torch.equal(a, b):
        return {"difference": 0.0, "low": 0.0, "high": 0.0, "p": 1.0}
    c = metrics.paired_test(a, b)
    return {"difference": c.difference, "low": c.low, "high": c.high, "p": c.p_value}
