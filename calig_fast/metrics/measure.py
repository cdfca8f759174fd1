"""The result of a metric: one value for each input, and its curve."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from . import statistics
from .statistics import Interval


@dataclass(frozen=True, eq=False)
class Measure:
    """A metric of every input.

    Args:
        name: of the metric.
        values: [B] float64, one an input; NaN where the metric is not defined.
        higher_is_better: True if a larger value means a better explanation.
    """

    name: str
    values: Tensor
    higher_is_better: bool

    def __repr__(self) -> str:
        count = int(self.values.isfinite().sum())
        better = "higher" if self.higher_is_better else "lower"
        return f"{type(self).__name__}({self.name}, mean={self.mean():.4g}, inputs={count}, {better} is better)"

    def __len__(self) -> int:
        return len(self.values)

    def mean(self) -> float:
        """Mean over the inputs where the metric is defined; NaN where it is defined for none."""
        return float(torch.nanmean(self.values))

    def interval(self, level: float = 0.95, resamples: int = 10_000, method: str = "bca", seed: int = 0) -> Interval:
        """Bootstrap confidence interval of the mean; see `interval`.

        Raises:
            ValueError: fewer than two defined values, or an option outside its choices.
        """
        return statistics.interval(self.values, level=level, resamples=resamples, method=method, seed=seed)


@dataclass(frozen=True, eq=False, repr=False)
class Curve(Measure):
    """A metric read from a curve over the share of the input that was taken out.

    Args:
        fractions: [K] float64, shares of the removable tokens.
        curve: [B,K] float64, summarised by `values`: drops for comprehensiveness and sufficiency, log-ratios for
            log-odds, the output itself for the areas under curves.
        original: [B] float64, the output at the whole input.
    """

    fractions: Tensor
    curve: Tensor
    original: Tensor
