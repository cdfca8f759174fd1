"""Class probabilities of logits."""

from __future__ import annotations

import torch
from torch import Tensor


def probabilities(logits: Tensor, multi_label: bool, returns: str = "") -> Tensor:
    """Of logits [...,C], float64: softmax over the classes; sigmoid of a single logit, or of each of `multi_label`.

    Args:
        logits: what the model returned.
        multi_label: classes are independent of each other.
        returns: "probabilities" where the model returned these, "values" of a regression, which have none (nan).
    """
    wide = logits.double()
    if returns == "values":
        return torch.full_like(wide, torch.nan)
    if returns == "probabilities":
        return wide
    return wide.sigmoid() if multi_label or wide.shape[-1] == 1 else wide.softmax(-1)
