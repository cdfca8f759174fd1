"""The metrics and Captum's signatures, with good values of their arguments and values that nearly are."""

import functools
from typing import Any

import numpy as np
import torch

from calig_fast import explain, metrics
from helpers.fuzz_calls import EXPLANATIONS, NEAR, TEXTS, Pools, Surface, found, text_model
from helpers.fuzz_values import Values, fails, plain
from helpers.tiny_models import ids, pixels

SCORES: Values = {
    "attribution": found,
    "tensor": lambda: torch.arange(12.0).reshape(2, 6),
    "array": lambda: np.arange(12.0).reshape(2, 6),
    "list": lambda: [[3.0, 1, 2, 0, 5, 4], [1, 2, 3, 4, 5, 6]],
}
NEAR_SCORES: Values = {
    "image": lambda: found("image"),
    "single": lambda: found("single"),
    "all": lambda: found("all"),
    "one axis": lambda: torch.arange(6.0),
    "nan": lambda: torch.full((2, 6), torch.nan),
    "narrow": lambda: torch.zeros(2, 5),
    "rows": lambda: torch.zeros(3, 6),
    "empty": lambda: torch.zeros(0, 6),
    "no tokens": lambda: torch.zeros(2, 0),
    "ragged": lambda: [[1.0], [1.0, 2.0]],
    "bools": lambda: torch.ones(2, 6, dtype=torch.bool),
}
MARKS: Values = {
    "bools": lambda: torch.tensor([[True, False, True, False, False, True]] * 2),
    "list": lambda: [[0, 1, 0, 0, 1, 0], [0, 0, 0, 1, 1, 1]],
}
NEAR_MARKS: Values = {
    "narrow": lambda: torch.ones(2, 5),
    "one axis": lambda: torch.ones(6),
    "none": lambda: torch.zeros(2, 6),
    "words": lambda: [["a"] * 6] * 2,
    "ragged": lambda: [[1], [0, 1]],
    "nan": lambda: torch.full((2, 6), torch.nan),
}
MASK = {"mask": {**plain(None), "mask": MARKS["bools"]}}
K = plain(1, 2, 0.5, 1.0, 6)
NEAR_K = plain(0, -1, 1.5, "2", 100, True, [1])
INPUTS = {"inputs": TEXTS | {"one": lambda: ids(6, 4)}, "scores": SCORES}
PERTURB: Pools = {
    **INPUTS,
    "target": plain(None, 0, [1, 2]),
    "fractions": {**plain([0.1, 0.5], [0, 1], (0.2, 0.4)), "array": lambda: np.array([0.1, 0.9])},
    "removal": plain("pad", "zero_embedding", 3, "delete"),
    "output": {**plain("prob", "logit", "log_prob"), "function": lambda: lambda out: out.logits[:, 0]},
    "batch_size": {**plain(1, 64), "np": lambda: np.int64(3)},
}
NEAR_PERTURB: Pools = {
    **NEAR,
    "scores": NEAR_SCORES,
    "fractions": plain([], [1.5], [-0.1], [0.5, 0.1], 0.5, "0.5", ["a"], [[0.1, 0.2]], [None], {0.1, 0.2}, [True]),
    "removal": {
        **plain(None, "burn", "zeros", "mask", 99, -1, 0.5, True, ["pad"], 10**30),
        "pixels": lambda: pixels(1),
        "tensor": lambda: torch.zeros(16),
    },
    "batch_size": plain(0, -1, 2.0, "4", True, None),
    "normalised": plain("yes", None, [], 2),
    "samples": plain(0, -1, 2.0, "4", True, None, 10**12),
    "fraction": plain(0, 2, "0.5", None, [0.5]),
    "seed": plain(-1, 1.5, "0", None, 2**70),
    "removed": {
        **plain("x", [[1]], [], 3),
        "narrow": lambda: torch.ones(2, 2, 5),
        "none": lambda: torch.ones(0, 2, 6),
        "flat": lambda: torch.ones(2, 6),
    },
    "order": plain("up", [], None, 1),
    "radius": plain(0, -1, "0.1", None, [0.1]),
    "mode": plain("upward", [], None),
    "similarity": plain("pearson", [], None, ["spearman"]),
    "absolute": plain("yes", None, []),
    "explainer": {
        **plain("ig", None, 3),
        "fails": lambda: fails,
        "none": lambda: lambda model, inputs, target, processor: None,
        "narrow": lambda: lambda model, inputs, target, processor: torch.zeros(2, 3),
        "no argument": lambda: lambda: 0,
        "words": lambda: lambda model, inputs, target, processor: "words",
    },
}


def _measured(name: str, **arguments: Any) -> Any:
    return getattr(metrics, name)(text_model(), **arguments)


def _perturbing(name: str, weight: int, *left: str, **good: Values) -> Surface:
    pools = {k: v for k, v in PERTURB.items() if k not in left}
    always = tuple(k for k in ("inputs", "scores", "removal") if k in pools)
    return Surface(name, functools.partial(_measured, name), {**pools, **good}, NEAR_PERTURB, always, weight)


def _quick(model: Any, inputs: Any, **options: Any) -> Any:
    return explain(model, inputs, n_steps=1, **options)


EXPLAINERS: Values = {
    "quick": lambda: _quick,
    "gradient": lambda: functools.partial(explain, method="gradient_x_input"),
}
BOOLS = plain(True, False)
SEEDS = {**plain(0, 5), "np": lambda: np.int64(2)}


def _pair(name: str, weight: int, **good: Values) -> Surface:
    pools = {"a": SCORES, "b": SCORES, "absolute": BOOLS, **MASK, **good}
    near = {"a": NEAR_SCORES, "b": NEAR_SCORES, "mask": NEAR_MARKS, "k": NEAR_K, "absolute": NEAR_PERTURB["absolute"]}
    return Surface(name, getattr(metrics, name), pools, near, ("a", "b"), weight)


def _marked(name: str, weight: int, **good: Values) -> Surface:
    pools = {"scores": SCORES, "rationales": MARKS, **MASK, **good}
    near = {
        "scores": NEAR_SCORES,
        "rationales": NEAR_MARKS,
        "mask": NEAR_MARKS,
        "k": NEAR_K,
        "threshold": plain(0, 2, "a"),
    }
    return Surface(name, getattr(metrics, name), pools, near, ("scores", "rationales"), weight)


STATISTICS: Pools = {
    "level": plain(0.95, 0.5),
    "resamples": {**plain(100, 1), "np": lambda: np.int64(50)},
    "seed": SEEDS,
}
NEAR_STATISTICS: Pools = {
    "values": plain([], [1.0], [1, None], "ab", [float("nan")] * 3, [[1.0, 2.0]], [float("inf"), 1.0], {1: 2}),
    "a": plain([1.0], [], "ab", [float("inf"), 1.0, 2.0]),
    "b": plain([1.0], [], "ab", [float("inf"), 1.0, 2.0]),
    "level": plain(95, 0, 1, "0.9", None, [0.9]),
    "resamples": plain(0, -1, 2.5, "100", None, True, 10**12),
    "method": plain("t", [], None),
    "seed": NEAR_PERTURB["seed"],
}
NUMBERS: Values = {**plain([1.0, 2.0, 4.0], (3, 1, 2)), "tensor": lambda: torch.tensor([0.5, 1.0, 3.0])}
METRICS = [
    _perturbing("erasure", 8, normalised=BOOLS),
    _perturbing("comprehensiveness", 2),
    _perturbing("log_odds", 2, "output"),
    _perturbing("deletion_auc", 3),
    _perturbing("perturbation_auc", 3, order=plain("positive", "negative")),
    _perturbing(
        "infidelity",
        4,
        "fractions",
        samples=plain(3, 10),
        fraction=plain(0.1, 1),
        normalised=BOOLS,
        seed=SEEDS,
        removed={**plain(None), "sets": lambda: torch.ones(2, 2, 6, dtype=torch.bool)},
    ),
    _perturbing(
        "max_sensitivity",
        3,
        "scores",
        "fractions",
        "removal",
        "output",
        explainer=EXPLAINERS,
        radius=plain(0.02, 1),
        samples=plain(2, 3),
        seed=SEEDS,
    ),
    _perturbing(
        "smoothed",
        2,
        "scores",
        "fractions",
        "removal",
        "output",
        explainer=EXPLAINERS,
        level=plain(0.1, 1),
        samples=plain(2, 3),
        seed=SEEDS,
    ),
    _perturbing(
        "model_randomisation",
        3,
        "scores",
        "fractions",
        "removal",
        "output",
        "batch_size",
        explainer=EXPLAINERS,
        mode=plain("cascading", "independent"),
        similarity=plain("spearman", "kendall", "top_k"),
        absolute=BOOLS,
        layers=plain(None, "bert.encoder.layer"),
        seed=SEEDS,
    ),
    _pair("spearman", 4),
    _pair("kendall", 3),
    _pair("top_k_overlap", 4, k=K),
    _marked("token_f1", 4, k={**K, **plain(None)}),
    _marked("token_iou", 2, k=K),
    _marked("iou_f1", 4, k=K, threshold=plain(0.5, 1)),
    _marked("auprc", 3),
    _marked("average_precision", 3),
    Surface(
        "average_ratio",
        metrics.average_ratio,
        {"rationales": MARKS, **MASK},
        {"rationales": NEAR_MARKS, "mask": NEAR_MARKS},
        ("rationales",),
        3,
    ),
    Surface(
        "agreement",
        metrics.agreement,
        {
            "explanations": {"two": lambda: {"a": found(), "b": SCORES["tensor"]()}},
            "by": plain("spearman", "kendall", "top_k"),
        },
        {
            "explanations": {**plain({}, [], {"a": 1}), "one": found, "list": lambda: [found()]},
            "by": plain("pearson", [], None),
        },
        ("explanations",),
        3,
    ),
    Surface(
        "span_scores",
        metrics.span_scores,
        {
            "attribution": {"words": EXPLANATIONS["words"]},
            "spans": plain([[(0, 3)], [(0, 3), (4, 9)]], [[], []]),
            "pool": plain("max", "sum", "mean"),
        },
        {
            "attribution": EXPLANATIONS,
            "spans": plain(
                [],
                [[(0, 3)]],
                [[0], [1]],
                [[(0,)], []],
                [["ab"], []],
                [None, None],
                [[(5, 2)], []],
                [[(-3, 10**30)], []],
            ),
            "pool": plain("min", [], None),
        },
        ("attribution", "spans"),
        4,
    ),
    Surface(
        "interval",
        metrics.interval,
        {"values": NUMBERS, "method": plain("bca", "percentile"), **STATISTICS},
        NEAR_STATISTICS,
        ("values",),
        4,
    ),
    Surface(
        "paired_test", metrics.paired_test, {"a": NUMBERS, "b": NUMBERS, **STATISTICS}, NEAR_STATISTICS, ("a", "b"), 4
    ),
]
