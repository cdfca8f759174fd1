"""The blocks of a model: do they carry gradients, and does the model entered at one give its own answer?"""

from __future__ import annotations

import torch
from torch import Tensor

ROUNDINGS = 64  # units in the last place by which two passes may differ: batches of other sizes sum otherwise
ENTRY = 2e-3  # a small F, left over from large terms, moved by 2e-4 of itself in a Segformer of float32


def check_gradients(last: Tensor) -> None:
    """Raise where a recorded model ran its blocks without gradients.

    Args:
        last: the last block's output; the first block's input requires grad.

    Raises:
        ValueError: they were run without.
    """
    if not last.requires_grad:
        raise ValueError(
            "layers: the model runs these blocks without gradients (under torch.no_grad(), with .detach(), or as "
            "reversible layers, Reformer's for instance), so their relevance cannot be computed; take a model that "
            "runs them with gradients, or name other blocks in layers="
        )


def differs(answer: Tensor, wanted: Tensor, dtype: torch.dtype) -> bool:
    """Return True where two values of F [B] differ by more than rounding."""
    return bool((answer - wanted).abs().max() > rounding(wanted, dtype)) if wanted.numel() else False


def rounding(values: Tensor, dtype: torch.dtype) -> float:
    """Size of a difference of F [B] that rounding explains."""
    return ROUNDINGS * torch.finfo(dtype).eps * float(values.abs().max()) if values.numel() else 0.0


def check_entry(layer: int, answer: Tensor, wanted: Tensor, dtype: torch.dtype) -> None:
    """Raise where F entered at a block with the input's own hidden state is not F(x).

    Raises:
        ValueError: naming the block and both values.
    """
    wanted = wanted.to(answer.device)
    limit = max(8 * rounding(wanted, dtype), ENTRY * float(wanted.abs().max()))
    if not bool((answer - wanted).abs().max() <= limit):
        worst = int((answer - wanted).abs().argmax())
        raise ValueError(
            f"model: entered at block {layer} with its own hidden state it gives {float(answer[worst]):.6g} where a "
            f"whole call gives {float(wanted[worst]):.6g}; it draws random numbers, keeps a state from call to call, "
            "or hands on from block to block what cannot be repeated, so it cannot be explained layer by layer"
        )
