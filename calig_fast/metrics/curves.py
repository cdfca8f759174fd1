"""Areas under the output as tokens or patches are removed: deletion, insertion, perturbation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from .._utils.arguments import choice
from .._utils.warn import renamed_argument
from ..inputs import rankings
from ..inputs.perturbed_outputs import PerturbationRunner, perturbation_runner
from ..inputs.target import Output
from .measure import Curve

WHOLE = tuple(i / 10 for i in range(11))
CHEFER = tuple(i / 10 for i in range(1, 10))


@renamed_argument("tokenizer", "processor")
def deletion_auc(
    model: nn.Module,
    inputs: Any,
    scores: Any,
    *,
    target: Any = None,
    processor: Any = None,
    fractions: Sequence[float] | Tensor = WHOLE,
    removal: Any = None,
    output: Output = "prob",
    batch_size: int = 64,
) -> Curve:
    """Area under the output as tokens (patches) are removed, the highest scores first; lower is better.

    AUC = trapezoid of f -> F(x without top_f), over the span of the fractions, so that it is a mean of F. Petsiuk et
    al. 2018 (RISE), tokens and patches in the place of pixels.

    Args:
        fractions: [K] shares in increasing order, two or more; 0 to 1 in tenths by default.
        model, inputs, scores, target, processor, removal, output, batch_size: see `erasure`.

    Returns:
        the curve [B,K] of the output, and its area.

    Raises:
        ValueError, TypeError: see `erasure`.
    """
    shares = rankings.fractions_of(fractions, rising=True)
    p = perturbation_runner(
        model, inputs, scores, target, processor=processor, removal=removal, output=output, batch_size=batch_size
    )
    return _area("deletion AUC", p, p.top(shares), shares, higher=False)


@renamed_argument("tokenizer", "processor")
def insertion_auc(
    model: nn.Module,
    inputs: Any,
    scores: Any,
    *,
    target: Any = None,
    processor: Any = None,
    fractions: Sequence[float] | Tensor = WHOLE,
    removal: Any = None,
    output: Output = "prob",
    batch_size: int = 64,
) -> Curve:
    """Area under the output as tokens (patches) are put into the emptied input, the highest scores first.

    AUC = trapezoid of f -> F(top_f alone), over the span of the fractions; higher is better. Petsiuk et al. 2018
    (RISE), tokens and patches in the place of pixels.

    Args:
        fractions: [K] shares in increasing order, two or more; 0 to 1 in tenths by default.
        model, inputs, scores, target, processor, removal, output, batch_size: see `erasure`.

    Returns:
        the curve [B,K] of the output, and its area.

    Raises:
        ValueError, TypeError: see `erasure`.
    """
    shares = rankings.fractions_of(fractions, rising=True)
    p = perturbation_runner(
        model, inputs, scores, target, processor=processor, removal=removal, output=output, batch_size=batch_size
    )
    return _area("insertion AUC", p, p.removable[:, None] & ~p.top(shares), shares, higher=True)


@renamed_argument("tokenizer", "processor")
def perturbation_auc(
    model: nn.Module,
    inputs: Any,
    scores: Any,
    *,
    order: str = "positive",
    target: Any = None,
    processor: Any = None,
    fractions: Sequence[float] | Tensor = CHEFER,
    removal: Any = None,
    output: Output = "accuracy",
    batch_size: int = 64,
) -> Curve:
    """Area under the accuracy as patches are replaced, most relevant first (positive) or last (negative).

    AUC = trapezoid of f -> [model still decides for the target], 10 to 90 % of the patches, over the span of the
    fractions. Positive: lower is better. Negative: higher is better. Chefer, Gur and Wolf 2021, patches in the place of
    pixels; they put black pixels in, which is removal="black".

    Args:
        order: "positive", most relevant first, or "negative", least relevant first.
        target: see `erasure`; the true classes for the accuracy on labels.
        fractions: [K] shares in increasing order, two or more; 0.1 to 0.9 in tenths by default.
        output: "accuracy" (default), or another output of `erasure`, which needs fewer images to tell methods apart.
        model, inputs, scores, processor, removal, batch_size: see `erasure`.

    Returns:
        the curve [B,K] of the output, and its area.

    Raises:
        ValueError, TypeError: an unknown order; see `erasure`.
    """
    order = choice("order", order, ("positive", "negative"))
    shares = rankings.fractions_of(fractions, rising=True)
    p = perturbation_runner(
        model, inputs, scores, target, processor=processor, removal=removal, output=output, batch_size=batch_size
    )
    positive = order == "positive"
    return _area(f"{order} perturbation AUC", p, p.top(shares, largest=positive), shares, higher=not positive)


def _area(name: str, p: PerturbationRunner, removed: Tensor, fractions: Tensor, higher: bool) -> Curve:
    none = torch.zeros_like(p.removable)[:, None]
    outputs = p.answers(torch.cat([none, removed], 1))
    curve = outputs[:, 1:]
    area = torch.trapezoid(curve, fractions, dim=1) / (fractions[-1] - fractions[0])
    return Curve(name, area, higher, fractions=fractions, curve=curve, original=outputs[:, 0])
