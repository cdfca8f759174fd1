"""Error of the scores: the effect of each layer's error, and the error that each layer may have."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor

from .base import Method, Signals

# Over 66 texts on a MiniLM with certified scores, their true error was above the root of the sum of squares 9
# times and above 1.25 of it 4 times, at most 1.6 times the root.
SAFETY = 1.25
ALLOWED = 0.5  # larger errors are past what the estimates can tell
# Over 90 texts on a MiniLM at 2 to 8 intervals, e1^2 was in the median 2 to 3 times the true error: right for a bound.
# Where errors of several layers add up as independent ones do, what counts is the size to be expected.
LIKELY = 0.5
NEGLIGIBLE = 1e-4  # completeness errors, over |r_l|, that rounding alone makes in float32
SPREAD = 2.0  # intervals come in steps, so a layer has less error than allowed: articles cost 4 per cent less than at 1


class _Estimates(Protocol):
    @property
    def coarse(self) -> Tensor: ...

    def column(self, name: str, dtype: torch.dtype) -> Tensor: ...


@dataclass(frozen=True)
class LayerErrors:
    """The errors of r_l, as the integrals estimate them.

    Args:
        coarse: the coarser answers that r_l was judged by, [B,L,T].
        rule: relative error of r_l that its rule tells, [B,L].
        disagreement: |r_l - coarse_l| / |r_l|, [B,L].
        missing: completeness error over |r_l|, [B,L].
        error: estimated relative error of r_l, [B,L].
    """

    coarse: Tensor
    rule: Tensor
    disagreement: Tensor
    missing: Tensor
    error: Tensor

    @classmethod
    def of(cls, found: _Estimates) -> LayerErrors:
        """Those of a relevance."""
        return cls(
            found.coarse, *(found.column(n, torch.float64) for n in ("rule", "disagreement", "missing", "error"))
        )


def score_errors(method: Method, signals: Signals, errors: LayerErrors) -> Tensor:
    """Estimated relative error of the scores that each layer's error makes; `combined` makes the whole of it.

    The larger of two: |s - s with r_l replaced by its coarser answer| / |s|, times how much nearer r_l is than that
    answer, rule_l / disagreement_l (at most 1); and |s - s with r_l replaced by 0| / |s|, times missing_l. The
    second counts where both answers agree and miss the same part. A layer with an error above 1 tells nothing of the
    scores: its part is at least 1.

    Args:
        method: the method.
        signals: its input.
        errors: of r_l.

    Returns:
        [B,L] float64; nan where nothing was integrated.
    """
    rule, disagreement, missing = LIKELY * errors.rule, errors.disagreement, errors.missing
    if method.integral == "none":
        return torch.full(rule.shape, torch.nan, dtype=torch.float64)
    scores = method.scores(signals)[0]
    size = scores.norm(dim=1)

    def share(layer: int, other: Tensor) -> Tensor:
        """[B] relative change of the scores with r_l replaced."""
        replaced = signals.relevance.clone()
        replaced[:, layer] = other
        moved = (scores - method.scores(replace(signals, relevance=replaced))[0]).norm(dim=1)
        return torch.where(size > 0, moved / size, torch.zeros_like(size)).cpu()

    out = torch.zeros(rule.shape, dtype=torch.float64)
    for layer in range(rule.shape[1]):
        known = disagreement[:, layer] > 0
        nearer = torch.where(known, (rule[:, layer] / disagreement[:, layer]).clamp_max(1.0), rule[:, layer])
        coarse = torch.where(known[:, None].to(signals.mask.device), errors.coarse[:, layer] * signals.mask, 0.0)
        part = share(layer, coarse) * nearer
        if not bool((missing[:, layer] <= NEGLIGIBLE).all()):
            part = torch.maximum(part, share(layer, torch.zeros_like(coarse)) * missing[:, layer])
        unknown = ~(errors.error[:, layer] <= 1)
        out[:, layer] = torch.where(unknown, part.nan_to_num(1.0).clamp_min(1.0), part)
    return out


def combined(harm: Tensor) -> Tensor:
    """Estimated relative error of the scores, from the effect of each layer's error on them.

    The layers' errors are as good as independent: SAFETY sqrt(sum of squares), and never more than the plain sum.

    Args:
        harm: [...,L], from `score_errors`.

    Returns:
        [...].
    """
    return torch.minimum(SAFETY * harm.square().sum(-1).sqrt(), harm.sum(-1))


def allowed(harm: Tensor, error: Tensor, tolerance: float, costs: Tensor) -> Tensor:
    """The allowed error of each layer, so that the error of the scores stays within the tolerance.

    Layers with more expensive gradients are allowed more of it.

    Args:
        harm: [B,L], from `score_errors`.
        error: [B,L], the layers' errors.
        tolerance: of the scores.
        costs: [L], of a gradient.

    Returns:
        [B,L], at most ALLOWED.
    """
    share = SPREAD * tolerance / SAFETY * (costs / costs.sum()).sqrt()
    return (share * error / harm.clamp_min(1e-30)).clamp_max(ALLOWED)
