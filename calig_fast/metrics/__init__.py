"""Metrics of faithfulness, one value for each input, with intervals and paired tests."""

from __future__ import annotations

from typing import Any

from .._utils.warn import renamed
from .agreement import Agreement, agreement, kendall, spearman, top_k_overlap
from .curves import deletion_auc, insertion_auc, perturbation_auc
from .erasure import Erasure, comprehensiveness, erasure, log_odds, sufficiency
from .measure import Curve, Measure
from .naopc import Naopc, naopc
from .randomisation import Randomisation, model_randomisation
from .rationales import F1, auprc, average_precision, average_ratio, iou_f1, span_scores, token_f1, token_iou
from .saco import saco
from .sensitivity import infidelity, max_sensitivity
from .smoothing import Smoothed, smoothed
from .statistics import Interval, PairedDifference, interval, paired_test

__all__ = [
    "F1",
    "Agreement",
    "Curve",
    "Erasure",
    "Interval",
    "Measure",
    "Naopc",
    "PairedDifference",
    "Randomisation",
    "Smoothed",
    "agreement",
    "auprc",
    "average_precision",
    "average_ratio",
    "comprehensiveness",
    "deletion_auc",
    "erasure",
    "infidelity",
    "insertion_auc",
    "interval",
    "iou_f1",
    "kendall",
    "log_odds",
    "max_sensitivity",
    "model_randomisation",
    "naopc",
    "paired_test",
    "perturbation_auc",
    "saco",
    "smoothed",
    "span_scores",
    "spearman",
    "sufficiency",
    "token_f1",
    "token_iou",
    "top_k_overlap",
]

_OLD_NAMES = {"compare": "paired_test", "Comparison": "PairedDifference"}


def __getattr__(name: str) -> Any:
    if name not in _OLD_NAMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return globals()[renamed(__name__, name, _OLD_NAMES)]
