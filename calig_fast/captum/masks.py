"""The arguments of a block beside its hidden state, if they carry no more than a padding mask."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from .watch import NotNativeError

MASKED = -1e4  # exp() of a logit that this was added to is 0, in float64 too
_IGNORED = {"position_ids", "cache_position", "use_cache"}  # the blocks of the families have no positions, no cache


def key_mask(args: Sequence[Any], kwargs: Mapping[str, Any], hidden: Tensor) -> Tensor:
    """Real tokens, from the arguments of a block.

    Args:
        args: its positional arguments after the hidden state.
        kwargs: its named ones.
        hidden: the hidden state [N,T,D].

    Returns:
        [N,T] bool.

    Raises:
        NotNativeError: it has other arguments too.
    """
    arguments = [*args, *(v for k, v in kwargs.items() if k not in _IGNORED)]
    tensors = [v for v in arguments if isinstance(v, Tensor)]
    if len(tensors) > 1 or any(v for v in arguments if not isinstance(v, Tensor)):
        raise NotNativeError("the blocks are told more than a hidden state and a mask")
    shape = hidden.shape[:2]
    if not tensors:
        return torch.ones(shape, dtype=torch.bool, device=hidden.device)
    real = _keys(_allowed(tensors[0])).expand(shape)
    if not bool(real.any(1).all()):
        raise NotNativeError("a row of the mask is all padding")
    return real


def _allowed(mask: Tensor) -> Tensor:
    """The keys that a query may attend to, bool."""
    if mask.dtype == torch.bool:
        return mask
    binary = (mask == 0) | (mask == 1)
    if mask.dim() == 2 and bool(binary.all()):
        return mask == 1
    if not mask.is_floating_point() or not bool(((mask == 0) | (mask <= MASKED)).all()):
        raise NotNativeError("the attention mask is more than a mask of padding")
    return mask == 0


def _keys(allowed: Tensor) -> Tensor:
    """[N,T] of a mask [N,T] or [N,1,1 or T,T] in which every real token attends to the same keys."""
    if allowed.dim() == 2:
        return allowed
    if allowed.dim() != 4 or allowed.shape[1] != 1:
        raise NotNativeError("the attention mask is of an unknown shape")
    rows = allowed[:, 0]
    keys = rows.all(1)
    if rows.shape[1] > 1 and not bool(((rows == keys[:, None]) | ~keys[:, :, None]).all()):
        raise NotNativeError("the attention mask differs from token to token")
    return keys
