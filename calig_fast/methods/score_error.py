"""Error of the scores: the effect of each layer's error, and the error that each layer may have."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from .._utils.host_copies import fetched, uploaded
from .base import Method, Signals

# The layers' errors are not quite independent. `benchmarks.torture replay` counts the scores that are wrong.
SAFETY = 1.25
ALLOWED = 0.5  # larger errors are past what the estimates can tell
NEGLIGIBLE = 1e-4  # completeness errors, over |r_l|, that rounding alone makes in float32
SPREAD = 2.0  # intervals come in steps, so a layer has less error than allowed: articles cost 4 per cent less than at 1


Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
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
    rule: Floats
    disagreement: Floats
    missing: Floats
    error: Floats


@torch.no_grad()
def score_errors(method: Method, signals: Signals, errors: LayerErrors, scores: Tensor) -> Floats:
    """Estimated relative error of the scores that each layer's error makes; `combined` makes the whole of it.

    The larger of two: |s - s with r_l replaced by its coarser answer| / |s|, times how much nearer r_l is than that
    answer, rule_l / disagreement_l (at most 1); and |s - s with r_l replaced by 0| / |s|, times missing_l. The
    second counts where both answers agree and miss the same part. So it counts where the rule states more than they
    differ by, as over a jump: then all of rule_l may be missing. A layer with an error above 1 tells nothing of the
    scores: its part is at least 1.

    Args:
        method: the method.
        signals: its input.
        errors: of r_l.
        scores: that the method makes of the signals, [B,T] float64.

    Returns:
        [B,L]; nan where nothing was integrated.
    """
    rule, disagreement, missing = errors.rule, errors.disagreement, errors.missing
    if method.integral == "none":
        return np.full(rule.shape, np.nan)
    missing = np.where(rule > disagreement, np.maximum(rule, missing), missing)
    known = disagreement > 0
    judged = uploaded(torch.from_numpy(known), signals.mask.device)[..., None] & signals.mask[:, None]
    coarse = torch.where(judged, errors.coarse.to(judged.device), 0.0)
    incomplete = not bool((missing <= NEGLIGIBLE).all())
    others = torch.stack([coarse, torch.zeros_like(coarse)] if incomplete else [coarse])
    size, moved = scores.norm(dim=-1), (method.changed_scores(signals, others) - scores).norm(dim=-1)
    moves = torch.where(size > 0, moved / size, torch.zeros_like(size)).transpose(1, 2)
    shares: Floats = fetched(moves)[0].numpy()
    with np.errstate(invalid="ignore"):
        nearer = np.where(known, np.minimum(np.divide(rule, disagreement, out=rule.copy(), where=known), 1.0), rule)
        part = shares[0] * nearer
        if incomplete:
            part = np.where(missing > NEGLIGIBLE, np.maximum(part, shares[1] * missing), part)
        unknown = ~(errors.error <= 1)
        harm: Floats = np.where(unknown, np.maximum(np.nan_to_num(part, nan=1.0), 1.0), part)
    return harm


def combined(harm: Floats) -> Floats:
    """Estimated relative error of the scores, from the effect of each layer's error on them.

    The layers' errors are as good as independent: SAFETY sqrt(sum of squares), and never more than the plain sum.

    Args:
        harm: [...,L], from `score_errors`.

    Returns:
        [...].
    """
    error: Floats = np.minimum(SAFETY * np.sqrt(np.square(harm).sum(-1)), harm.sum(-1))
    return error


def allowed(harm: Floats, error: Floats, tolerance: float, costs: Floats) -> Floats:
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
    share = SPREAD * tolerance / SAFETY * np.sqrt(costs / costs.sum())
    layer_errors: Floats = np.minimum(share * error / np.maximum(harm, 1e-30), ALLOWED)
    return layer_errors
