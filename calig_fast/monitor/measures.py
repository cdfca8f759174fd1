"""The numbers of one look at one probe."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from .. import Attribution
from .._utils.ranks import rank_correlation

Floats = NDArray[np.float64]
TOP = 5
# what a TensorBoard draws; the rest of a Look is no number
SCALARS = ("probability", "drift", "drift_from_first", "entropy", "top5", "special", "depth", "delta")


@dataclass(frozen=True)
class Look:
    """One probe at one step. s are its scores, c its tokens that are not special (or its patches), p = |s| / sum_c |s|.

    Args:
        step: of the training.
        probe: its name.
        label: name of the explained class.
        probability: of that class, nan for a contrast or an output function.
        predicted: name of the likeliest class now, or None where there are no classes.
        drift: 1 - Spearman's rank correlation of s_c with the last look's: 0 the same order, 1 unrelated, 2 reversed;
            nan at the first look, and where all scores are equal.
        drift_from_first: the same against the first look.
        entropy: -sum_c p ln p / ln |c|: 1 where all tokens count alike, 0 where one counts alone.
        top5: sum of the five largest p.
        special: sum of |s| over special tokens / over all tokens.
        layers: [L] sum_c |r_l| of every block / over all blocks.
        depth: sum_l l layers[l] / (L - 1): 0 where the first block's input carries all, 1 where the last one's does.
        delta: |sum_t r_l - (F(x) - F(x'))| of the worst block, unit: the scalar's; nan where nothing was integrated.
        gap: F(x) - F(x') there.
        score_error: estimated relative error of s; large without `certify`, since the endpoints alone are inaccurate.
        converged: True if the tolerance was met; None unless it was requested.
        scores: s of every real token.
    """

    step: int
    probe: str
    label: str
    probability: float
    predicted: str | None
    drift: float
    drift_from_first: float
    entropy: float
    top5: float
    special: float
    layers: tuple[float, ...]
    depth: float
    delta: float
    gap: float
    score_error: float
    converged: bool | None
    scores: tuple[float, ...]

    def record(self) -> dict[str, Any]:
        """The look as plain values that JSON can hold: None for values that are not numbers."""
        return {name: _plain(value) for name, value in asdict(self).items()}


def measure(
    step: int, probe: str, a: Attribution, *, certified: bool, first: Floats | None, last: Floats | None
) -> tuple[Look, Floats]:
    """The numbers of an attribution of one input.

    Args:
        step: of the training.
        probe: its name.
        a: of one input.
        certified: True if the tolerance was requested.
        first: scores of the tokens that are not special at the first look, None where this is it.
        last: the same at the last look.

    Returns:
        the look, and the scores that the next one is compared with.
    """
    real = a.mask[0].numpy()
    special = a.special[0].numpy() & real
    plain = real & ~special
    scores = a.scores[0].double().numpy()
    content = scores[plain]
    p = _shares(np.abs(content))
    layers = _shares(np.abs(a.layer_scores[0].double().numpy()[:, plain]).sum(1))
    delta, gap = np.abs(a.convergence_delta[0].numpy()), a.gap[0].numpy()
    worst = int(np.nan_to_num(delta, nan=-1.0).argmax())
    chances = a.probabilities[0].numpy()
    target = None if a.target is None or a.target.dim() > 1 else int(a.target[0])
    look = Look(
        step=step,
        probe=probe,
        label=a.label(),
        probability=float(chances[target]) if target is not None and target < len(chances) else math.nan,
        predicted=_class(a, int(chances.argmax())) if len(chances) > 1 else None,
        drift=_drift(content, last),
        drift_from_first=_drift(content, first),
        entropy=_entropy(p),
        top5=float(np.sort(p)[::-1][:TOP].sum()),
        special=float(_shares(np.abs(scores[real]))[special[real]].sum()),
        layers=tuple(layers.tolist()),
        depth=float((layers * np.arange(len(layers))).sum() / max(1, len(layers) - 1)),
        delta=float(delta[worst]),
        gap=float(gap[worst]),
        score_error=float(a.score_error[0]),
        converged=bool(a.converged[0]) if certified and not bool(a.error[0].isnan().all()) else None,
        scores=tuple(scores[real].tolist()),
    )
    return look, content


def _drift(now: Floats, before: Floats | None) -> float:
    """1 - Spearman's rho; nan where one is missing or does not vary."""
    if before is None:
        return math.nan
    return 1 - rank_correlation(torch.from_numpy(now), torch.from_numpy(before))


def _shares(sizes: Floats) -> Floats:
    total = sizes.sum()
    return np.asarray(sizes / total if total > 0 else np.full(sizes.shape, np.nan))


def _entropy(p: Floats) -> float:
    if len(p) < 2:
        return 0.0
    return float(-(p * np.log(np.where(p == 0, 1.0, p))).sum() / math.log(len(p)))


def _class(a: Attribution, index: int) -> str:
    return a.labels[index] if a.labels and index < len(a.labels) else str(index)


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(v) for v in value]
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    return value


def numbers_of(record: dict[str, Any], probe: str) -> dict[str, float]:
    """The numbers of a record, calig/<probe>/<number> and calig/<probe>/layers/<l>; values that are none are left out.

    Args:
        record: of a look.
        probe: name in the names.
    """
    scalars = {f"calig/{probe}/{name}": record[name] for name in SCALARS}
    scalars |= {f"calig/{probe}/layers/{layer}": share for layer, share in enumerate(record["layers"])}
    return {name: value for name, value in scalars.items() if value is not None}
