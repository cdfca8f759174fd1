"""The error of an explanation in words, and the reason why a layer did not converge."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from .._utils.ends import ENDS

if TYPE_CHECKING:
    from .attribution import Attribution

INCOMPLETE = "incomplete"
INCOMPLETE_RULES = (
    "The backward rules replace gradients, so the layer scores need not sum to the change of the output; the error is "
    "that of the integral."
)
LIMIT, NONFINITE = "limit", "nonfinite"
ADVICE = {
    "limit": "Raise n_steps or tolerance.",
    "spike": "The integrand has a spike: raise n_steps, or take another baseline.",
    "rounding": "Rounding is more than the tolerance: raise it, or take a wider dtype.",
    "memory": "The memory was short: free some, or lower memory_budget.",
    "nonfinite": "The model's numbers overflow or are not numbers: take a wider dtype or another baseline.",
}


def incomplete(bypass: Tensor, tolerance: float | None) -> Tensor:
    """[B,L] bool, layers past which more of the change reaches the output than the tolerance allows."""
    return (
        torch.zeros_like(bypass, dtype=torch.bool) if tolerance is None else ~(bypass.abs().nan_to_num(0) <= tolerance)
    )


def reasons(a: Attribution) -> tuple[tuple[str, ...], ...]:
    """For every input and layer the reason why it did not converge, "" where it did; see `Attribution.reasons`."""
    past = incomplete(a.bypass_or_zero, a.settings.tolerance).tolist()
    ends = torch.full_like(a.n_steps, ENDS.index(LIMIT)) if a.ends is None else a.ends

    def one(ok: bool, passes: bool, end: int) -> str:
        why = ENDS[end] if 0 <= end < len(ENDS) else LIMIT
        return "" if ok else why if why == NONFINITE else INCOMPLETE if passes else why or LIMIT

    return tuple(
        tuple(one(*each) for each in zip(*row, strict=True))
        for row in zip(a.layer_converged.tolist(), past, ends.tolist(), strict=True)
    )


def statement(a: Attribution, index: int) -> str:
    """The error of one input in one to four plain sentences."""
    windows = 1 if a.texts is None else a.texts[index].windows
    rules = "" if a.settings.rules is None else f" {INCOMPLETE_RULES}"
    return (
        _error(a, index)
        + rules
        + (f" The scores are the mean of {windows} windows of the text." if windows > 1 else "")
    )


def _error(a: Attribution, index: int) -> str:
    tolerance, error = a.settings.tolerance, a.error[index]
    if torch.isnan(error).all():
        return f"{a.method} integrates nothing, so no completeness error applies."
    within = "" if tolerance is None else f", tolerance {tolerance:g}"
    worst = int(torch.nan_to_num(error, nan=-1.0).argmax())
    used = int(a.n_steps[index].sum())
    text = f"estimated error of the layer scores at most {float(error[worst]):.1e} (layer {a.block(worst)})"
    text = f"{text}, {used} gradients"
    by_scores = a.settings.certify in {"scores", "top-k"}
    if by_scores:
        text = f"estimated error of the scores {float(a.score_error[index]):.1e}; {text}"
    past = _missing(a, index)
    if bool(a.converged[index]):
        return f"Converged: {text}{within}."
    whys = reasons(a)[index]
    late = [i for i, why in enumerate(whys) if why and why != INCOMPLETE]
    if by_scores:
        late = [] if float(a.score_error[index]) <= (tolerance or 0.0) else late
    if not late and past:
        return f"NOT converged: {past} The integral itself: {text}{within}."
    advice = " ".join(ADVICE[why] for why in ADVICE if why in {whys[i] for i in late}) or ADVICE[LIMIT]
    where = "" if by_scores or not late else f" at layer {', '.join(str(a.block(i)) for i in late)}"
    return f"NOT converged{where}: {text}{within}. {advice}{f' {past}' if past else ''}"


def _missing(a: Attribution, index: int) -> str:
    """The share of the decision that the explained blocks do not carry, in a sentence; "" where they carry it."""
    bypass = a.bypass_or_zero[index]
    marks = incomplete(bypass[None], a.settings.tolerance)[0]
    if not bool(marks.any()):
        return ""
    worst = int(torch.where(marks, bypass.abs(), -1.0).argmax())
    share, where = float(bypass[worst]), a.block(worst)
    layers = ", ".join(str(a.block(i)) for i in marks.nonzero().flatten().tolist())
    return (
        f"{100 * share:.0f} % of the change of the output does not pass the hidden state of block {where}, so these "
        f"scores do not cover the whole decision (layers {layers}): the model reads its input, or earlier hidden "
        "states, by another way too."
    )
