"""Comprehensiveness, sufficiency, token-F1, token-IOU and AUPRC, ours and ferret's, on the same texts and scores."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from benchmarks.peers import inputs
from calig_fast import metrics

# ferret rounds a share of the tokens down and leaves out thresholds that remove the same tokens as the one before:
# of 20 words, these are whole and different numbers
FRACTIONS = (0.05, 0.1, 0.2, 0.3, 0.5)
K = 5


def scores() -> Tensor:
    """[4,22], all positive: only_pos=False makes ferret compare an array to a list, which NumPy 1.25 refuses."""
    signed = inputs.scores(len(inputs.TEXTS), 22)
    return signed - signed.min() + 0.1


def ours() -> dict[str, list[float]]:
    """Values by metric."""
    tokenizer = inputs.tokenizer()
    model, x = inputs.text_model(len(tokenizer)), inputs.texts(tokenizer)
    measures = {}
    for removal in ("mask", "delete"):
        e = metrics.erasure(model, x, scores(), processor=tokenizer, fractions=FRACTIONS, removal=removal)
        measures[f"comprehensiveness, {removal}"], measures[f"sufficiency, {removal}"] = (
            e.comprehensiveness,
            e.sufficiency,
        )
    words, marked = scores()[:, 1:-1], inputs.rationales()
    measures["token F1"] = metrics.token_f1(words, marked, k=K)
    measures["token IOU"] = metrics.token_iou(words, marked, k=K)
    measures["AUPRC"] = metrics.auprc(words, marked)
    return {name: measure.values.tolist() for name, measure in measures.items()}


def theirs() -> dict[str, list[float]]:
    """ferret's values by metric."""
    from ferret.evaluators import faithfulness_measures as faithful
    from ferret.evaluators import plausibility_measures as plausible

    values = {}
    for removal in ("mask", "delete"):
        options = {"remove_tokens": removal == "delete", "based_on": "perc", "thresholds": FRACTIONS}
        for name, kind in (
            ("comprehensiveness", faithful.AOPC_Comprehensiveness_Evaluation),
            ("sufficiency", faithful.AOPC_Sufficiency_Evaluation),
        ):
            values[f"{name}, {removal}"] = _evaluated(kind, removal_args=options)
    values["token F1"] = _evaluated(plausible.Tokenf1_PlausibilityEvaluation, top_k_rationale=K)
    values["token IOU"] = _evaluated(plausible.TokenIOU_PlausibilityEvaluation, top_k_rationale=K)
    values["AUPRC"] = _evaluated(plausible.AUPRC_PlausibilityEvaluation)
    return values


def _evaluated(kind: Any, **options: Any) -> list[float]:
    """One of ferret's evaluators on every text."""
    import numpy as np
    from ferret.explainers.explanation import ExplanationWithRationale

    tokenizer = inputs.tokenizer()
    model = inputs.text_model(len(tokenizer))
    target = model(**inputs.texts(tokenizer)).logits.argmax(1).tolist()
    evaluator = kind(model, tokenizer)
    out = []
    for text, row, label, mark in zip(inputs.TEXTS, scores(), target, inputs.rationales(), strict=True):
        tokens = tokenizer.tokenize(text, add_special_tokens=True)
        rationale = np.array([0, *mark.int().tolist(), 0])
        given = ExplanationWithRationale(text, tokens, row.numpy(), "", label, rationale)
        out.append(float(evaluator.compute_evaluation(given, target=label, **options).score))
    return out
