"""Several explanations as one, their token axes filled up to the longest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn.functional import pad

if TYPE_CHECKING:
    from .attribution import Attribution

_TOKEN_AXES = {"scores": 1, "layer_scores": 1, "mask": 1, "special": 1, "maps": 2}  # the last ones of each tensor


def concatenate(parts: Sequence[Attribution]) -> Attribution:
    """One attribution of the inputs of several, which were made with the same options.

    Args:
        parts: at least one; shorter ones are filled up as padding is: scores 0, mask False.
    """
    first, longest = parts[0], max(part.mask.shape[1] for part in parts)
    names = [f.name for f in fields(first) if isinstance(getattr(first, f.name), Tensor)]
    merged: dict[str, Any] = {n: torch.cat([_filled(n, getattr(p, n), longest) for p in parts]) for n in names}
    if first.texts is not None:
        merged["texts"] = tuple(text for p in parts for text in p.texts or ())
    return replace(first, **merged, single=False)


def _filled(name: str, value: Tensor, length: int) -> Tensor:
    axes = _TOKEN_AXES.get(name, 0)
    more = length - value.shape[-1] if axes else 0
    return pad(value, (0, more) * axes) if more else value
