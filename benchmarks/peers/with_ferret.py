"""ferret's comprehensiveness, sufficiency, token-F1, token-IOU and AUPRC beside ours, on the same texts and scores."""

from __future__ import annotations

from typing import Any

import numpy as np
from ferret.evaluators.faithfulness_measures import AOPC_Comprehensiveness_Evaluation, AOPC_Sufficiency_Evaluation
from ferret.evaluators.plausibility_measures import (
    AUPRC_PlausibilityEvaluation,
    Tokenf1_PlausibilityEvaluation,
    TokenIOU_PlausibilityEvaluation,
)
from ferret.explainers.explanation import Explanation, ExplanationWithRationale
from torch import Tensor

from benchmarks.peers import inputs
from calig_fast import metrics

# ferret rounds a share of the tokens down and leaves out thresholds that remove the same tokens as the one before:
# of 20 words, these are whole and different numbers
FRACTIONS = (0.05, 0.1, 0.2, 0.3, 0.5)
K = 5


def compare() -> dict[str, tuple[list[float], list[float]]]:
    """(ours, theirs) by metric."""
    tokenizer = inputs.tokenizer()
    model = inputs.text_model(len(tokenizer))
    x = tokenizer(list(inputs.TEXTS), return_tensors="pt")
    # with only_pos=False ferret compares an array to a list, which NumPy 1.25 and later refuse: all scores are positive
    scores = inputs.scores(*x["input_ids"].shape)
    scores = scores - scores.min() + 0.1
    target = model(**x).logits.argmax(1).tolist()
    out = {}
    for removal, deletes in (("mask", False), ("delete", True)):
        ours = metrics.erasure(
            model, x, scores, target=target, tokenizer=tokenizer, fractions=FRACTIONS, removal=removal
        )
        for measure, kind in (
            (ours.comprehensiveness, AOPC_Comprehensiveness_Evaluation),
            (ours.sufficiency, AOPC_Sufficiency_Evaluation),
        ):
            evaluator = kind(model, tokenizer)
            options = {"remove_tokens": deletes, "based_on": "perc", "thresholds": FRACTIONS}
            theirs = [
                evaluator.compute_evaluation(
                    Explanation(text, tokenizer.tokenize(text, add_special_tokens=True), row.numpy(), "", label),
                    target=label,
                    removal_args=options,
                ).score
                for text, row, label in zip(inputs.TEXTS, scores, target, strict=True)
            ]
            out[f"{measure.name}, {removal}"] = (measure.values.tolist(), list(map(float, theirs)))
    return {**out, **_plausibility(model, tokenizer, scores)}


def _plausibility(model: Any, tokenizer: Any, scores: Tensor) -> dict[str, tuple[list[float], list[float]]]:
    marked = inputs.rationales()
    words = scores[:, 1:-1]
    ours = {
        "token F1": (metrics.token_f1(words, marked, k=K), Tokenf1_PlausibilityEvaluation),
        "token IOU": (metrics.token_iou(words, marked, k=K), TokenIOU_PlausibilityEvaluation),
        "AUPRC": (metrics.auprc(words, marked), AUPRC_PlausibilityEvaluation),
    }
    out = {}
    for name, (measure, kind) in ours.items():
        evaluator = kind(model, tokenizer)
        theirs = []
        for text, row, mark in zip(inputs.TEXTS, scores, marked, strict=True):
            tokens = tokenizer.tokenize(text, add_special_tokens=True)
            rationale = np.array([0, *mark.int().tolist(), 0])
            given = ExplanationWithRationale(text, tokens, row.numpy(), "", 0, rationale)
            theirs.append(float(evaluator.compute_evaluation(given, top_k_rationale=K).score))
        out[name] = (measure.values.tolist(), theirs)
    return out
