"""Class probabilities of logits."""

from __future__ import annotations

from torch import Tensor


def probabilities(logits: Tensor, multi_label: bool) -> Tensor:
    """Of logits [...,C], float64: softmax over the classes; sigmoid of a single logit, or of each of `multi_label`."""
    wide = logits.double()
    return wide.sigmoid() if multi_label or wide.shape[-1] == 1 else wide.softmax(-1)
