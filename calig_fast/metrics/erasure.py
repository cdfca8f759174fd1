"""Erasure of the highest ranked tokens, or of all others: comprehensiveness, sufficiency, log-odds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from .._utils.arguments import flag
from .._utils.warn import renamed_argument
from ..inputs import rankings
from ..inputs.perturbed_outputs import perturbation_runner
from ..inputs.target import Output
from .measure import Curve, Measure

FRACTIONS = (0.05, 0.1, 0.2, 0.3, 0.5)


@dataclass(frozen=True, eq=False)
class Erasure:
    """The erasure metrics from one set of forward passes.

    Args:
        comprehensiveness: F(x) - F(x without the top), higher is better.
        sufficiency: F(x) - F(the top alone), lower is better.
        difference: comprehensiveness - sufficiency, higher is better.
        log_odds: log p(x without the top) - log p(x), lower is better; None unless output is "prob" or "log_prob".
    """

    comprehensiveness: Curve
    sufficiency: Curve
    difference: Measure
    log_odds: Curve | None


@renamed_argument("tokenizer", "processor")
def erasure(
    model: nn.Module,
    inputs: Any,
    scores: Any,
    *,
    target: Any = None,
    processor: Any = None,
    fractions: Sequence[float] | Tensor = FRACTIONS,
    removal: Any = None,
    output: Output = "prob",
    normalised: bool = False,
    batch_size: int = 64,
) -> Erasure:
    """Comprehensiveness, sufficiency and log-odds of an explanation.

    With top_f the fraction f of the removable tokens (patches) that score highest, p the output, and AOPC the mean over
    the fractions:

        comprehensiveness = mean_f p(x) - p(x without top_f)         sufficiency = mean_f p(x) - p(top_f alone)
        log-odds = mean_f log p(x without top_f) - log p(x)

    Comprehensiveness and sufficiency: DeYoung et al. 2020 (ERASER), without their empty first bin. Log-odds: Sanyal and
    Ren 2021. Special tokens, prefix tokens and padding are never removed; of equal scores the earlier token goes first;
    a fraction of n tokens is f n rounded half up, at least one. The model runs in evaluation mode and is not changed.

    Args:
        model: a classifier, also of no family that `explain` knows.
        inputs: as for `explain`.
        scores: an Attribution, or [B,T] numbers for all tokens, special tokens and padding counted. Of an Attribution
            with several targets an input, each row is measured.
        target: class that was explained: None (the Attribution's own; of a tensor the predicted one), an int, B ints.
        processor: tokenizer or image processor, or None.
        fractions: [K] shares of the removable tokens, 0 to 1.
        removal: the replacement of removed parts. Text: "mask" (default), "pad", "unk", "zero_embedding", an id,
            at the token's position and attended to; or "delete", which closes the gap and puts padding on the right.
            Images: "blur" (default), "mean", "black", "noisy_linear" (of ROAD), a number or pixels [C,H,W] or
            [B,C,H,W].
        output: "prob" (default), "logit", "log_prob", "accuracy" (1 where the model decides for the target),
            "contrast", or a function of the model's output that returns one scalar a row.
        normalised: divide every drop by p(x) - p(x with everything removed) and clip it to 0..1, as Carton et al. 2020
            do (their normalised sufficiency is 1 minus ours); NaN where that is not positive.
        batch_size: perturbed inputs in one forward pass.

    Returns:
        the three, and the difference of the first two.

    Raises:
        ValueError, TypeError: a wrong argument; the message has its name, the expected value and the remedy.
    """
    shares, normalised = rankings.fractions_of(fractions), flag("normalised", normalised)
    logs = isinstance(output, str) and output == "prob"  # a probability is read off its logarithm, which log-odds need
    p = perturbation_runner(
        model,
        inputs,
        scores,
        target,
        processor=processor,
        removal=removal,
        output="log_prob" if logs else output,
        batch_size=batch_size,
    )
    top, k = p.top(shares), len(shares)
    ends = torch.stack([torch.zeros_like(p.removable), p.removable], 1)
    raw = p.answers(torch.cat([ends[:, : 1 + normalised], top, p.removable[:, None] & ~top], 1))
    outputs = raw.exp() if logs else raw
    original = outputs[:, 0]
    drops = original[:, None] - outputs[:, 1 + normalised :]
    if normalised:
        room = original - outputs[:, 1]
        room = torch.where(room > 0, room, torch.nan)
        drops = (drops / room[:, None]).clamp(0, 1)
    comprehensiveness = _aopc("comprehensiveness", drops[:, :k], True, shares, original)
    sufficiency = _aopc("sufficiency", drops[:, k:], False, shares, original)
    difference = Measure(
        "comprehensiveness - sufficiency", comprehensiveness.values - sufficiency.values, higher_is_better=True
    )
    log_odds = None
    if logs or (isinstance(output, str) and output == "log_prob"):
        without = raw[:, 1 + normalised : 1 + normalised + k]
        log_odds = _aopc("log-odds", without - raw[:, :1], False, shares, raw[:, 0])
    return Erasure(comprehensiveness, sufficiency, difference, log_odds)


def comprehensiveness(model: nn.Module, inputs: Any, scores: Any, **options: Any) -> Curve:
    """Decrease of the output when the highest scores are removed, mean_f p(x) - p(x without top_f); higher is better.

    DeYoung et al. 2020. `erasure` gives it together with sufficiency, in fewer forward passes.

    Args:
        model, inputs, scores, **options: see `erasure`.

    Returns:
        the curve [B,K] over the fractions, and its mean.

    Raises:
        ValueError, TypeError: see `erasure`.
    """
    return erasure(model, inputs, scores, **options).comprehensiveness


def sufficiency(model: nn.Module, inputs: Any, scores: Any, **options: Any) -> Curve:
    """Decrease of the output when only the highest scores stay, mean_f p(x) - p(top_f alone); lower is better.

    DeYoung et al. 2020. `erasure` gives it together with comprehensiveness, in fewer forward passes.

    Args:
        model, inputs, scores, **options: see `erasure`.

    Returns:
        the curve [B,K] over the fractions, and its mean.

    Raises:
        ValueError, TypeError: see `erasure`.
    """
    return erasure(model, inputs, scores, **options).sufficiency


def log_odds(model: nn.Module, inputs: Any, scores: Any, **options: Any) -> Curve:
    """Decrease of the log-probability when the highest scores are removed; lower (more negative) is better.

    mean_f log p(x without top_f) - log p(x). Sanyal and Ren 2021, after Shrikumar et al. 2017.

    Args:
        model, inputs, scores, **options: see `erasure`; output and normalised have no place here.

    Returns:
        the curve [B,K] over the fractions, and its mean.

    Raises:
        ValueError, TypeError: see `erasure`.
    """
    refused = sorted({"output", "normalised"} & set(options))
    if refused:
        raise TypeError(f"log_odds: takes no {refused}; it is a ratio of probabilities as it stands")
    curve = erasure(model, inputs, scores, **options).log_odds
    if curve is None:
        raise RuntimeError("erasure of probabilities gave no log-odds")
    return curve


def _aopc(name: str, curve: Tensor, higher: bool, fractions: Tensor, original: Tensor) -> Curve:
    return Curve(name, curve.mean(1), higher, fractions=fractions, curve=curve, original=original)
