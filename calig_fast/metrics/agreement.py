"""Rank agreement of two explanations of the same inputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from .._utils.arguments import flag, kind, shown
from .._utils.ranks import rank_correlation
from ..inputs import rankings
from .measure import Measure


class Agreement(NamedTuple):
    """Rank agreement of every two methods.

    Args:
        names: of the methods.
        matrix: [M,M] float64, means over the inputs.
    """

    names: tuple[str, ...]
    matrix: Tensor


def spearman(a: Any, b: Any, *, mask: Any = None, absolute: bool = False) -> Measure:
    """Spearman's rank correlation of the scores of each input.

    rho = correlation of the ranks, equal scores sharing the mean of theirs. Special tokens and padding are left out.

    Args:
        a: an Attribution, or [B,T] scores.
        b: the other explanation of the same inputs.
        mask: [B,T] bool, the tokens ranked; None for the content tokens of the Attributions, all of two tensors.
        absolute: rank by absolute value.

    Returns:
        [B], NaN where all scores of an input are equal.

    Raises:
        ValueError: scores of different shapes, NaN, a mask of another shape.
        TypeError: scores that are no numbers.
    """
    return _each("spearman", rank_correlation, a, b, mask, absolute=absolute)


def kendall(a: Any, b: Any, *, mask: Any = None, absolute: bool = False) -> Measure:
    """Kendall's tau-b of the scores of each input.

    tau_b = (concordant - discordant) / sqrt((n0 - ties in a) (n0 - ties in b)), n0 = n (n - 1) / 2 pairs.

    Args:
        a, b, mask, absolute: see `spearman`.

    Returns:
        [B], NaN where all scores of an input are equal.

    Raises:
        ValueError, TypeError: see `spearman`.
    """
    return _each("kendall", _kendall, a, b, mask, absolute=absolute)


def top_k_overlap(a: Any, b: Any, *, k: int | float = 0.2, mask: Any = None, absolute: bool = False) -> Measure:
    """Share of the k highest scores that both explanations have: |top_k(a) & top_k(b)| / k.

    Args:
        k: how many, or as a float the share of the ranked tokens, rounded half up, at least one.
        a, b, mask, absolute: see `spearman`.

    Returns:
        [B]; of two random rankings of n tokens k / n is expected.

    Raises:
        ValueError, TypeError: see `spearman`; k that is not positive, or a share above 1.
    """

    def overlap(x: Tensor, y: Tensor) -> float:
        every = torch.ones(1, len(x), dtype=torch.bool)
        size = rankings.size(k, every)
        both = (rankings.places(x[None], every) < size[:, None]) & (rankings.places(y[None], every) < size[:, None])
        return float(both.sum() / size)

    return _each("top-k overlap", overlap, a, b, mask, absolute=absolute)


SIMILARITIES: dict[str, Callable[..., Measure]] = {"spearman": spearman, "kendall": kendall, "top_k": top_k_overlap}


def agreement(explanations: Mapping[str, Any], by: str = "spearman", **options: Any) -> Agreement:
    """Rank agreement between methods, every two of them.

    Args:
        explanations: name to Attribution or [B,T] scores, all of the same inputs.
        by: "spearman", "kendall" or "top_k".
        **options: of the function of that name (`top_k_overlap` for "top_k").

    Returns:
        the names and the matrix of means over the inputs.

    Raises:
        ValueError: an unknown `by`, no explanation at all.
        ValueError, TypeError: see `spearman`.
    """
    similarity = similarity_of(by, "by")
    if not isinstance(explanations, Mapping):
        raise TypeError(f"explanations: expected a dict of scores by name, got {kind(explanations)}")
    names = tuple(explanations)
    if not names:
        raise ValueError("explanations: expected at least one method's scores, got none")
    for name in names:
        rankings.table(explanations[name], f"explanations[{name!r}]")
    rows = [[similarity(explanations[a], explanations[b], **options).mean() for b in names] for a in names]
    return Agreement(names, torch.tensor(rows, dtype=torch.float64))


def similarity_of(name: str, argument: str) -> Callable[..., Measure]:
    """The function of a similarity's name.

    Raises:
        ValueError: an unknown name.
    """
    if not isinstance(name, str) or name not in SIMILARITIES:
        raise ValueError(f"{argument}: {shown(name)} is no similarity; expected one of {tuple(SIMILARITIES)}")
    return SIMILARITIES[name]


def _each(name: str, of: Callable[[Tensor, Tensor], float], a: Any, b: Any, mask: Any, *, absolute: bool) -> Measure:
    absolute = flag("absolute", absolute)
    left, right = rankings.table(a, "a"), rankings.table(b, "b")
    if left.shape != right.shape:
        raise ValueError(
            f"b: expected scores {list(left.shape)} as in a, got {list(right.shape)}; both must explain the same inputs"
        )
    ranked = rankings.content(a, mask, left.shape) & rankings.content(b, mask, left.shape)
    if absolute:
        left, right = left.abs(), right.abs()
    values = [of(x[r], y[r]) for x, y, r in zip(left, right, ranked, strict=True)]
    return Measure(name, torch.tensor(values, dtype=torch.float64), higher_is_better=True)


def _kendall(x: Tensor, y: Tensor) -> float:
    a, b = (x[:, None] - x).sign(), (y[:, None] - y).sign()
    return float((a * b).sum() / ((a**2).sum() * (b**2).sum()).sqrt())
