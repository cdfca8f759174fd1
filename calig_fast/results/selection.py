"""The inputs that an index stands for."""

from __future__ import annotations

from numbers import Integral
from typing import Any

import torch

from .._utils.arguments import as_tensor, kind, position, scalar, shown


def rows(index: Any, n: int) -> list[int]:
    """The positions among n inputs that ints, bools or a slice stand for.

    Raises:
        IndexError: an index outside the inputs, bools that are not n, or something else.
    """
    wanted = f"an int, a slice, several ints or {n} bools, as this attribution holds {n} inputs"
    if isinstance(index, slice):
        try:
            return list(range(n))[index]
        except (TypeError, ValueError) as error:
            raise IndexError(f"index: expected a slice of ints, got {shown(index)}") from error
    if isinstance(scalar(index), Integral) and not isinstance(scalar(index), bool):
        return [position("index", index, n)]
    try:
        given = as_tensor("index", index, wanted).detach().cpu()
    except TypeError as error:
        raise IndexError(str(error)) from error
    if given.dtype == torch.bool:
        if given.shape != (n,):
            raise IndexError(f"index: expected {n} bools, one for each input, got {list(given.shape)}")
        given = given.nonzero()
    elif given.dim() != 1 or (given.is_floating_point() and given.numel()):
        raise IndexError(f"index: expected {wanted}, got {kind(index)}")
    return [position("index", i, n) for i in given.reshape(-1).tolist()]
