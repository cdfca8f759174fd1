"""Verification of the native engine on a model. Block outputs are compared with the model's own. Changing other rows of
the last hidden state shows which rows the head reads."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence

import torch
from torch import Tensor

from ...model.call import Call, has_rows, kind_of
from ...model.encoder import Block, RotaryTable
from ...model.recorded import Record
from ...ops.packing import Packed

Reader = Callable[[Tensor, Tensor], Tensor]
STRANGE = 1e3  # hidden states are of order 1 to 10; finite, so that what is weighed by zero stays zero


class NotTheModelError(ValueError):
    """The native engine's arithmetic is not this model's; the autograd engine's is."""


def kind(call: Call, mask: Tensor | None, blocks: Sequence[Block] = ()) -> Hashable:
    """The traits that calls computed alike have in common.

    Args:
        call: its arguments and their axes; of pictures the sizes too, where attention reads where patches lie.
        mask: [B,T] bool, real tokens, or None: whether anything is padded.
        blocks: the blocks.
    """
    padded = mask is not None and not bool(mask.all())
    placed = any(block.positions is not None or isinstance(block.rotary, RotaryTable) for block in blocks)
    pictures = (v for v in call.values() if placed and has_rows(v) and v.dim() == 4)
    return (padded, *kind_of(call), *sorted(tuple(v.shape[1:]) for v in pictures))


def same_tokens(hidden: Tensor, mask: Tensor) -> None:
    """Raise where the blocks see another number of tokens than the text holds.

    Raises:
        NotTheModelError: naming both.
    """
    if hidden.shape[1] != mask.shape[1]:
        raise NotTheModelError(
            f"model: its blocks see {hidden.shape[1]} tokens where the inputs hold {mask.shape[1]}: it adds its own"
        )


def same_places(blocks: Sequence[Block], call: Call, mask: Tensor) -> None:
    """Raise where the blocks would read other positions than the model's: in terms, rotations and bands.

    Args:
        blocks: the blocks; they count an input's positions from its first real token, and read their differences.
        call: the model's arguments.
        mask: [B,T] bool, real tokens.

    Raises:
        NotTheModelError: padding lies between real tokens, the caller gives positions that the blocks rotate by, or
            the terms or the rotations are of another number of tokens.
    """
    terms = [block.positions for block in blocks if block.positions is not None]
    rotated = any(block.rotary is not None for block in blocks)
    if not terms and not rotated and all(max(block.before, block.after) <= 0 for block in blocks):
        return
    if rotated and "position_ids" in call:
        raise NotTheModelError(
            'model: positions are given (position_ids), and its blocks rotate by them; use engine="autograd"'
        )
    lengths = mask.sum(1)
    if bool(((mask[:, 1:] & mask[:, :-1]).sum(1) != (lengths - 1).clamp_min(0)).any()):
        raise NotTheModelError(
            "model: its attention reads distances between tokens, and padding lies between the tokens of an input; use "
            'engine="autograd"'
        )
    for places in (*terms, *(block.rotary for block in blocks if block.rotary is not None)):
        try:
            places.places(int(lengths.max()))
        except ValueError as error:
            raise NotTheModelError(f"model: {error}") from error


def same_outputs(models: Sequence[Tensor], ours: Sequence[Tensor], packed: Packed, limit: float | None = None) -> None:
    """Hold hidden states against the model's own.

    Args:
        models: [B,T,D], what every block receives, and what the last gives.
        ours: packed rows of the same, or the first row of each input alone.
        packed: where those rows lie.
        limit: the largest relative difference, None for the limit of the dtype.

    Raises:
        NotTheModelError: naming the first block that differs.
    """
    for layer, (theirs, rows) in enumerate(zip(models, ours, strict=True)):
        _same_output(layer, theirs, rows, packed, limit)


class Outputs:
    """The model's own hidden states, each held against ours as soon as there is one, and freed.

    Args:
        record: of the model's own pass; it lets go of them.
        packed: where our rows lie.
    """

    def __init__(self, record: Record, packed: Packed) -> None:
        self._models, self._packed = record.hidden[::-1], packed
        record.hidden.clear()
        record.made.clear()

    def __call__(self, layer: int, rows: Tensor) -> None:
        """Hold the next hidden state against ours.

        Args:
            layer: the block that receives it; they come one after another.
            rows: packed rows, or the first row of each input alone.

        Raises:
            NotTheModelError: they differ.
        """
        _same_output(layer, self._models.pop(), rows, self._packed, None)


def _same_output(layer: int, theirs: Tensor, rows: Tensor, packed: Packed, limit: float | None) -> None:
    wanted = packed.pack(theirs)
    if rows.shape != wanted.shape:
        wanted = wanted[packed.segments.firsts]
    wide = torch.promote_types(rows.dtype, torch.float32)
    size = wanted.to(wide).norm()
    error = (wanted.to(wide) - rows.to(wide)).norm() / size if size > 0 else size
    if not float(error) <= (_agreement(rows.dtype) if limit is None else limit):
        raise NotTheModelError(
            f"model: from {'the embeddings' if not layer else f'the output of block {layer - 1}'} on it computes "
            f'something else than its family says (relative difference {float(error):.1e}); use engine="autograd", '
            "and report the model"
        )


def same_logits(models: Tensor | None, ours: Tensor | None, mask: Tensor, dtype: torch.dtype) -> None:
    """Hold the logits against the model's own: they differ where its head reads what is not here.

    Args:
        models: [N,C] or [N,T,C] of the inputs and their baselines, or None where there are none.
        ours: the same, of the last hidden state alone.
        mask: [B,T] bool, real tokens.
        dtype: what the blocks ran in.

    Raises:
        NotTheModelError: they do.
    """
    if models is None or ours is None:
        return
    if models.dim() > 2 and models.shape[1] == mask.shape[1]:  # of each token: rows of padding are not ours
        real = mask.repeat(len(models) // len(mask), 1).view(*models.shape[:2], *(1 for _ in models.shape[2:]))
        models, ours = (torch.where(real, t, t.new_zeros(())) for t in (models, ours))
    size = models.float().abs().max().clamp_min(1e-6)
    difference = (models.float() - ours.float()).abs().amax(tuple(range(1, models.dim()))) / size
    if bool((difference <= _agreement(dtype)).all()):
        return
    if not bool(mask.all()) and not bool((difference[: len(mask)] <= _agreement(dtype)).all()):
        raise reads_padding()
    raise NotTheModelError(
        "model: its output depends on more than the last block's (hidden states of other blocks, another tower, or the "
        'inputs themselves), which the native engine does not compute; use engine="autograd"'
    )


def reads_first_alone(head: Reader, hidden: Tensor, longest: int = 0) -> bool:
    """Return True if a head depends only on the first row of the last hidden state.

    Args:
        head: maps (hidden [n,T,D], their inputs [n] int64) to the explained scalars.
        hidden: [B,T,D], any hidden state of the right size.
        longest: the input of the most real tokens; a head that reads the last of them is told by it.
    """
    row, state = torch.full((1,), longest, dtype=torch.int64, device=hidden.device), hidden[longest : longest + 1]
    poisoned = state.clone()
    poisoned[:, 1:] = torch.nan
    if hidden.shape[1] > 1 and not bool(torch.isfinite(head(poisoned, row)).all()):
        return False
    return bool(torch.equal(head(state[:, :1], row), head(state, row)))


def heeds_padding(head: Reader, hidden: Tensor, mask: Tensor) -> None:
    """Raise where a head's answer changes with the rows at padding.

    Args:
        head: as in `reads_first_alone`, for all inputs.
        hidden: [B,T,D], the last hidden state, zeros at padding.
        mask: [B,T] bool, real tokens.

    Raises:
        NotTheModelError: it does.
    """
    rows = torch.arange(len(hidden), device=hidden.device)
    as_it_is = head(hidden, rows)
    changed = head(torch.where(mask[..., None], hidden, hidden.new_tensor(STRANGE)), rows)
    size = as_it_is.float().abs().max().clamp_min(1e-6)
    if not float((as_it_is.float() - changed.float()).abs().max() / size) <= _agreement(hidden.dtype):
        raise reads_padding()


def reads_padding() -> NotTheModelError:
    """The error, saying what can be done."""
    return NotTheModelError(
        "model: its head reads rows of padding (left padding, or pooling that does not heed the mask), which the "
        'native engine leaves out; use engine="autograd"'
    )


def _agreement(dtype: torch.dtype) -> float:
    """Largest relative difference between a model's output and ours; models run softmax in float32 at best."""
    return max(1e-6, min(0.1, 100 * torch.finfo(dtype).eps))
