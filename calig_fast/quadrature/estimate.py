"""Error estimates of integrals, for many paths at once: what their rules tell, and their completeness."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from .._utils.host_copies import fetched

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

# `benchmarks.torture replay` counts how often the estimate is wrong, `benchmarks.torture nodes` what it costs: 1.26 to
# 1.30 times the fewest nodes on texts, if each path begins at the rule that it accepts first.
GAP_SAFETY = 1.3
# Without the gap the square of the difference is no safe estimate. Over 174 paths of ten models under GIM's rules and
# tolerances of 1e-1 to 1e-3, the first rule accepted as the intervals double from 4 was off by more than twice the
# tolerance 38 times of 1,028 by `rule_error`, 10 by a third of the difference, never by a half, which took 1.4 times
# the nodes.
ALONE = 0.5
CANCELLED = 8  # a gap of fewer roundings than this is a difference that cancelled, and no measure of anything


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """Numbers of the finer answer r and of the coarser one, of P paths.

    Args:
        total: sum of r over the tokens, [P].
        coarse_total: the same of the coarser answer.
        norm: |r|.
        magnitude: sum of the tokens' magnitudes in r.
        difference: |r - coarse|.
    """

    total: Floats
    coarse_total: Floats
    norm: Floats
    magnitude: Floats
    difference: Floats

    @classmethod
    def of(cls, table: Floats) -> Sizes:
        """Those of `measured`'s columns."""
        return cls(**dict(zip(("total", "coarse_total", "norm", "magnitude", "difference"), table[:5], strict=True)))


def measured(r: Tensor, coarse: Tensor) -> list[Tensor]:
    """The numbers of `Sizes`, [...] each, of answers [...,T]."""
    return [r.sum(-1), coarse.sum(-1), r.norm(dim=-1), r.abs().sum(-1), (r - coarse).norm(dim=-1)]


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """The errors of P paths.

    Args:
        error: estimated relative error, seldom passed, [P].
        rule: the part of `error` that the rule itself tells.
        disagreement: |r - coarse| / |r|, the unsquared difference.
        delta: sum of r minus the gap.
        unbalanced: the part of `error` from the gap.
        missing: the part of r that both answers may miss: the completeness error over |r| as far as rounding does not
            explain it, or what `error` says of the gap if that is more.
    """

    error: Floats
    rule: Floats
    disagreement: Floats
    delta: Floats
    unbalanced: Floats
    missing: Floats

    def take(self, paths: Any) -> Judgement:
        """Those of some paths."""
        return Judgement(**{name: column[paths] for name, column in vars(self).items()})


def judged(sizes: Sizes, rule: Floats, gap: Floats, noise: Floats) -> Judgement:
    """The rule's own estimate and the completeness error relative to the gap, together.

    Up to `noise` of the completeness error can be rounding of the scalars; more nodes cannot remove it. That part is
    relative to the sum of the tokens' magnitudes, since the gap may be small by cancellation.

    Args:
        sizes: of the answers.
        rule: relative error as the rule estimates it, [P].
        gap: the exact sum over the tokens, [P].
        noise: rounding of the scalars that the gap is taken from, [P].
    """
    with np.errstate(invalid="ignore", over="ignore"):  # values that are not finite never converge
        return _judged(sizes, rule, gap, noise)


def _judged(sizes: Sizes, rule: Floats, gap: Floats, noise: Floats) -> Judgement:
    delta = sizes.total - gap
    rounding = np.minimum(np.abs(delta), noise)
    missed, scale = np.abs(delta) - rounding, np.maximum(np.abs(gap), CANCELLED * noise)
    unbalanced = over(missed, scale) + over(rounding, sizes.magnitude)
    nothing = (sizes.norm == 0) & (missed > 0)
    missing = np.maximum(np.where(nothing, 1.0, over(missed, sizes.norm)), GAP_SAFETY * unbalanced)
    return Judgement(
        error=np.maximum(rule, GAP_SAFETY * unbalanced),
        rule=rule,
        disagreement=over(sizes.difference, sizes.norm),
        delta=delta,
        unbalanced=unbalanced,
        missing=missing,
    )


def judged_alone(sizes: Sizes, rule: Floats, gap: Floats) -> Judgement:
    """The error of integrals that need not sum to a gap: half the difference of the rules, or what the rule tells.

    Args:
        sizes: of the answers.
        rule: relative error as the rule estimates it, [P].
        gap: F(x) - F(x'), [P]; where it is not finite, no answer converges.
    """
    nothing = np.zeros_like(rule)
    with np.errstate(invalid="ignore", over="ignore"):
        e1 = over(sizes.difference, sizes.norm)
        rule = np.maximum(rule, ALONE * e1)
        return Judgement(
            error=np.where(np.isfinite(gap), rule, np.nan),
            rule=rule,
            disagreement=e1,
            delta=sizes.total - gap,
            unbalanced=nothing,
            missing=nothing,
        )


def rule_error(e1: Floats, intervals: Ints | int) -> Floats:
    """The finer rule's error, from its difference e1 to the coarser one: max(e1^2, e1 / 7), where that is a gain.

    Convergence is close to geometric at first, which squares the error. In the end the corrected trapezoid is of order
    3, as its ends are corrected by first differences alone. Halving leaves an eighth: a seventh of the difference.
    Two intervals have seen one inner value, and max(4 e1^2, e1 / 3) is taken: of 4,702 such answers within tolerances
    of 1e-3 to 5e-2, 19 were off by more than twice of it by the estimate of finer rules, by up to 5.6 times.

    Args:
        e1: relative difference of the rules.
        intervals: of the finer one, of the shape of `e1` or one for all.
    """
    square, part = np.where(np.asarray(intervals) == 2, 4.0, 1.0), np.where(np.asarray(intervals) == 2, 3.0, 7.0)
    return np.minimum(e1, np.maximum(square * e1 * e1, e1 / part))


def over(part: Floats, whole: Floats) -> Floats:
    """part / whole, 0 where the whole is 0."""
    ratio: Floats = np.divide(part, whole, out=np.zeros_like(part), where=whole != 0)
    return ratio


def on_host(columns: list[Tensor]) -> Floats:
    """Columns of equal shape as one array on the host, in one transfer."""
    array: Floats = fetched(torch.stack(columns))[0].numpy()
    return array
