"""Error of the scores: the effect of each layer's error, and the error that each layer may have."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from .base import Method, Signals

# Over 66 texts on a MiniLM with certified scores, their true error was above the root of the sum of squares 9
# times and above 1.25 of it 4 times, at most 1.6 times the root.
SAFETY = 1.25
ALLOWED = 0.5  # larger errors are past what the estimates can tell
SPREAD = 2.0  # intervals come in steps, so a layer has less error than allowed: articles cost 4 per cent less than at 1


def score_errors(method: Method, signals: Signals, coarse: Tensor, likely: Tensor, disagreement: Tensor) -> Tensor:
    """Estimated relative error of the scores that each layer's error makes; `combined` makes the whole of it.

    |s - s with r_l replaced by its coarser answer| / |s|, times how much nearer r_l is than that answer,
    likely_l / disagreement_l (at most 1). Where there is no coarser answer, r_l is replaced by 0, which is wrong by 1.

    Args:
        method: the method.
        signals: its input.
        coarse: the coarser answers that r_l was judged by [B,L,T].
        likely: relative error of r_l to be expected, [B,L].
        disagreement: |r_l - coarse_l| / |r_l|, [B,L].

    Returns:
        [B,L] float64; nan where nothing was integrated.
    """
    if method.integral == "none":
        return torch.full(likely.shape, torch.nan, dtype=torch.float64)
    scores = method.read(signals)[0]
    size = scores.norm(dim=1)
    out = torch.zeros(likely.shape, dtype=torch.float64)
    for layer in range(likely.shape[1]):
        known = disagreement[:, layer] > 0
        other = signals.relevance.clone()
        other[:, layer] = torch.where(known[:, None], coarse[:, layer] * signals.mask, 0.0)
        moved = (scores - method.read(replace(signals, relevance=other))[0]).norm(dim=1)
        share = torch.where(size > 0, moved / size, torch.zeros_like(size)).cpu()
        nearer = torch.where(known, (likely[:, layer] / disagreement[:, layer]).clamp_max(1.0), likely[:, layer])
        out[:, layer] = share * nearer
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
