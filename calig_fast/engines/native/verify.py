"""Is the native engine's arithmetic this model's? Block outputs are held against the model's own, and which rows of the
last hidden state its head reads is found out by changing the others."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence

import torch
from torch import Tensor

from ...model.instrumented import Call
from ...ops.packing import Packed

Head = Callable[[Tensor, Tensor], Tensor]
STRANGE = 1e3  # hidden states are of order 1 to 10; finite, so that what is weighed by zero stays zero


class ReadsPaddingError(ValueError):
    """The explained scalar depends on hidden rows at padding."""


def kind(call: Call, mask: Tensor | None) -> Hashable:
    """What calls must have in common to be computed alike: the arguments, their axes, whether anything is padded."""
    padded = mask is not None and not bool(mask.all())
    return (padded, *sorted((name, value.dim()) for name, value in call.items()))


def same_outputs(models: Sequence[Tensor], ours: Sequence[Tensor], packed: Packed, limit: float | None = None) -> None:
    """Hold block outputs against the model's own.

    Args:
        models: [B,T,D] of every block.
        ours: packed rows of every block, or the first row of each input alone.
        packed: where those rows lie.
        limit: the largest relative difference, None for that of the dtype.

    Raises:
        ValueError: naming the first block that differs.
    """
    for layer, (theirs, mine) in enumerate(zip(models, ours, strict=True)):
        wanted = packed.pack(theirs)
        if mine.shape != wanted.shape:
            wanted = wanted[packed.segments.firsts]
        wide = torch.promote_types(mine.dtype, torch.float32)
        size = wanted.to(wide).norm()
        error = (wanted.to(wide) - mine.to(wide)).norm() / size if size > 0 else size
        if not float(error) <= (_agreement(mine.dtype) if limit is None else limit):
            raise ValueError(
                f"model: from the output of block {layer} on it computes something else than its family says "
                f'(relative difference {float(error):.1e}); use engine="autograd", and report the model'
            )


def same_logits(models: Tensor | None, ours: Tensor | None, dtype: torch.dtype) -> None:
    """Hold the logits against the model's own: they differ where its head reads rows that are not here.

    Args:
        models: [B,C], or None where there are none.
        ours: the same.
        dtype: what the blocks ran in.

    Raises:
        ReadsPaddingError: they do.
    """
    if models is None or ours is None:
        return
    size = models.float().abs().max().clamp_min(1e-6)
    if not float((models.float() - ours.float()).abs().max() / size) <= _agreement(dtype):
        raise reads_padding()


def reads_first_alone(head: Head, hidden: Tensor) -> bool:
    """Whether a head depends on the first row of the last hidden state alone.

    Args:
        head: (hidden [n,T,D], which inputs [n] int64) to what is explained of them.
        hidden: [B,T,D], any hidden state of the right size.
    """
    row = torch.zeros(1, dtype=torch.int64, device=hidden.device)
    poisoned = hidden[:1].clone()
    poisoned[:, 1:] = torch.nan
    if hidden.shape[1] > 1 and not bool(torch.isfinite(head(poisoned, row)).all()):
        return False
    return bool(torch.equal(head(hidden[:1, :1], row), head(hidden[:1], row)))


def heeds_padding(head: Head, hidden: Tensor, mask: Tensor) -> None:
    """Raise where a head's answer changes with the rows at padding.

    Args:
        head: as in `reads_first_alone`, for all inputs.
        hidden: [B,T,D], the last hidden state, zeros at padding.
        mask: [B,T] bool, real tokens.

    Raises:
        ReadsPaddingError: it does.
    """
    rows = torch.arange(len(hidden), device=hidden.device)
    as_it_is = head(hidden, rows)
    changed = head(torch.where(mask[..., None], hidden, hidden.new_tensor(STRANGE)), rows)
    size = as_it_is.float().abs().max().clamp_min(1e-6)
    if not float((as_it_is.float() - changed.float()).abs().max() / size) <= _agreement(hidden.dtype):
        raise reads_padding()


def reads_padding() -> ReadsPaddingError:
    """The error, saying what can be done."""
    return ReadsPaddingError(
        "model: its head reads rows of padding (left padding, or pooling that does not heed the mask), which the "
        'native engine leaves out; use engine="autograd"'
    )


def _agreement(dtype: torch.dtype) -> float:
    """Largest relative difference between a model's output and ours; models run softmax in float32 at best."""
    return max(1e-6, min(0.1, 100 * torch.finfo(dtype).eps))
