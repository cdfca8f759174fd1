"""Rankings of scores that have an error: the error at which the largest are decided."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def deciding_error(scores: Tensor, content: Tensor, k: int) -> Tensor:
    """The relative error of the scores at which the k largest in magnitude, and their signs, are decided.

    An error e moves the difference of two scores by at most sqrt(2) e |s|, and one score by e |s|. So
    e = min((|s|_k - |s|_{k+1}) / sqrt(2), |s|_k) / |s|, where |s|_k is the k-th largest magnitude.

    Args:
        scores: [B,T].
        content: [B,T] bool, tokens that are ranked.
        k: how many are wanted.

    Returns:
        [B]; 0 where a tie is never decided.
    """
    size, count = scores.norm(dim=1), content.sum(1)
    ordered = torch.where(content, scores.abs(), 0.0).sort(dim=1, descending=True).values
    ordered = torch.cat([ordered, ordered.new_zeros(len(ordered), 1)], 1)
    last = count.clamp(1, k)[:, None]
    kth, after = ordered.gather(1, last - 1)[:, 0], ordered.gather(1, last)[:, 0]
    apart = torch.where(count > k, (kth - after) / math.sqrt(2), math.inf)
    return torch.where(size > 0, torch.minimum(apart, kth) / size, 0.0)
