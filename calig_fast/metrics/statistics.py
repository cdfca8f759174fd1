"""Confidence intervals of means over inputs, and paired tests of two methods on the same inputs."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .._utils.arguments import as_tensor, between, choice, integer, whole_seed

MOST = 10_000_000  # draws
EXACT = 12  # up to so many pairs, every choice of signs is tried instead of a sample of them
_AT_ONCE = 10_000_000  # numbers drawn at a time


@dataclass(frozen=True)
class Interval:
    """A mean and its bootstrap confidence interval.

    Args:
        estimate: the mean.
        low: lower end.
        high: upper end.
        level: confidence, 0 to 1.
        count: values that went into it.
    """

    estimate: float
    low: float
    high: float
    level: float
    count: int


@dataclass(frozen=True)
class PairedDifference:
    """The mean difference of two measures of the same inputs.

    Args:
        difference: mean(a - b).
        low: lower end of its paired bootstrap interval.
        high: upper end.
        level: confidence of the interval, 0 to 1.
        p_value: of the two-sided sign-flip permutation test of mean(a - b) = 0.
        count: pairs that went into it.
    """

    difference: float
    low: float
    high: float
    level: float
    p_value: float
    count: int

    @property
    def excludes_zero(self) -> bool:
        """True if zero is outside the interval."""
        return self.low > 0 or self.high < 0


def interval(
    values: Any, *, level: float = 0.95, resamples: int = 10_000, method: str = "bca", seed: int = 0
) -> Interval:
    """Bootstrap confidence interval of a mean: inputs are drawn again with replacement, `resamples` times.

    Args:
        values: [B] one value an input (a tensor, a sequence or a `Measure`); NaN counts as undefined and is left out.
        level: confidence, between 0 and 1.
        resamples: number of draws.
        method: "bca", bias-corrected and accelerated (Efron 1987), or "percentile".
        seed: of the draws.

    Returns:
        the interval.

    Raises:
        ValueError: fewer than two defined values, or an option outside its choices.
        TypeError: values or options of another type.
    """
    level, resamples, seed = _checked(level, resamples, seed)
    method = choice("method", method, ("bca", "percentile"))
    x = _defined(_values(values, "values"))
    means = torch.cat(list(_resampled(x, resamples, seed)))
    low, high = _shares(x, means, level) if method == "bca" else ((1 - level) / 2, (1 + level) / 2)
    ends = torch.quantile(means, torch.tensor([low, high], dtype=torch.float64))
    return Interval(float(x.mean()), float(ends[0]), float(ends[1]), level, len(x))


def paired_test(a: Any, b: Any, *, level: float = 0.95, resamples: int = 10_000, seed: int = 0) -> PairedDifference:
    """The difference of `a` and `b` on the same inputs: BCa bootstrap of the paired differences, and a sign-flip test.

    p = share of the sign choices s in {-1, 1}^B with |mean s (a - b)| >= |mean (a - b)|: every choice up to 12 pairs,
    else `resamples` drawn ones, the real one counted with them.

    Args:
        a: [B] values of one method, or its `Measure`; NaN counts as undefined and drops the pair.
        b: [B] values of the other on the same inputs.
        level: confidence of the interval, between 0 and 1.
        resamples: draws of each.
        seed: of the draws.

    Returns:
        mean difference, interval and p.

    Raises:
        ValueError: as many values in `a` as not in `b`, fewer than two pairs defined, or an option outside its range.
        TypeError: values or options of another type.
    """
    level, resamples, seed = _checked(level, resamples, seed)
    left, right = _values(a, "a"), _values(b, "b")
    if left.shape != right.shape:
        raise ValueError(
            f"b: expected the same inputs as in a, {len(left)} values, got {len(right)}; paired tests need both "
            "methods measured on the same inputs in the same order"
        )
    bootstrap = interval(left - right, level=level, resamples=resamples, seed=seed)
    p = _sign_flip(_defined(left - right), resamples, seed)
    return PairedDifference(
        bootstrap.estimate, bootstrap.low, bootstrap.high, level=level, p_value=p, count=bootstrap.count
    )


def _checked(level: float, resamples: int, seed: int) -> tuple[float, int, int]:
    share = between("level", level, "a confidence between 0 and 1", 0, 1, open_low=True, open_high=True)
    return share, integer("resamples", resamples, 1, MOST), whole_seed("seed", seed)


def _values(given: Any, name: str) -> Tensor:
    held = getattr(given, "values", given) if not isinstance(given, Tensor | Mapping) else given
    numbers = as_tensor(name, held, "numbers, one an input").detach().double().cpu().reshape(-1)
    if bool(torch.isinf(numbers).any()):
        raise ValueError(f"{name}: expected finite numbers, or NaN where one is not defined; got infinity")
    return numbers


def _defined(x: Tensor) -> Tensor:
    x = x[~torch.isnan(x)]
    if len(x) < 2:
        raise ValueError(f"values: expected at least two defined values, got {len(x)}; measure more inputs")
    return x


def _chunks(resamples: int, count: int) -> Iterator[int]:
    size = max(1, _AT_ONCE // count)
    for first in range(0, resamples, size):
        yield min(size, resamples - first)


def _resampled(x: Tensor, resamples: int, seed: int) -> Iterator[Tensor]:
    """Means of x drawn again with replacement."""
    generator = torch.Generator().manual_seed(seed)
    for size in _chunks(resamples, len(x)):
        yield x[torch.randint(len(x), (size, len(x)), generator=generator)].mean(1)


def _shares(x: Tensor, means: Tensor, level: float) -> tuple[float, float]:
    """The quantiles of the resampled means that are the ends of the BCa interval."""
    n = len(x)
    below = float(((means < x.mean()).double() + (means <= x.mean()).double()).mean()) / 2
    left_out = x.mean() - (x.sum() - x) / (n - 1)  # the jackknife's differences
    spread = float((left_out**2).sum())
    # one value repeated, or all resampled means on one side of it: nothing to correct with
    if spread == 0 or not 0 < below < 1:
        return (1 - level) / 2, (1 + level) / 2
    acceleration = float((left_out**3).sum()) / (6 * spread**1.5)
    bias = _normal_quantile(below)

    def share(z: float) -> float:
        moved = bias + z
        return 0.5 * math.erfc(-(bias + moved / (1 - acceleration * moved)) / math.sqrt(2))

    z = _normal_quantile((1 + level) / 2)
    return share(-z), share(z)


def _normal_quantile(share: float) -> float:
    return float(torch.special.ndtri(torch.tensor(share, dtype=torch.float64)))


def _sign_flip(x: Tensor, resamples: int, seed: int) -> float:
    real = abs(float(x.mean())) * (1 - 1e-12)  # sums in another order are the same value
    if len(x) <= EXACT:
        bits = torch.arange(2 ** len(x))[:, None] >> torch.arange(len(x)) & 1
        return float(((x * (1 - 2 * bits)).mean(1).abs() >= real).double().mean())
    generator = torch.Generator().manual_seed(seed)
    extreme = 1
    for size in _chunks(resamples, len(x)):
        signs = 1 - 2 * torch.randint(2, (size, len(x)), generator=generator)
        extreme += int(((x * signs).mean(1).abs() >= real).sum())
    return extreme / (resamples + 1)
