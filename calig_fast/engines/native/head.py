"""The head of the model for packed rows: its output, the gradient of a leaf as rows, and which rows it reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..._utils.host_copies import followed
from ...inputs.target import Target, logits_of
from ...model.call import Call, picked
from ...model.instrumented import InstrumentedModel, Seen
from ...ops.packing import Packed
from . import verify
from .head_replay import HeadReplay


@dataclass(frozen=True, kw_only=True)
class Head:
    """The model after its last block, for one call.

    Args:
        tap: the instrumented model.
        seen: what it learned of the call.
        call: the model's arguments, B rows.
        first_only: the last block's first rows alone are given.
        packed: the inputs' tokens.
        dtype: of the rows.
        replay: repeats the head where it can, or None.
    """

    tap: InstrumentedModel
    seen: Seen
    call: Call
    first_only: bool
    packed: Packed
    dtype: torch.dtype
    replay: HeadReplay | None = None

    def __call__(self, out: Tensor, rows: Tensor, where: Tensor) -> tuple[Any, Tensor]:
        """The model's output for segments with the last hidden rows `out`, and the leaf tensor of its graph.

        Args:
            out: the rows, or the first row of each segment alone.
            rows: [S] int64, the input that each segment is of.
            where: the places of the rows in [S,T].
        """
        hidden = out[:, None] if self.first_only else self.packed.spread(out, where, len(rows))
        leaf = hidden.detach().to(self.tap.dtype)
        with torch.enable_grad(), self.tap.held(self.seen), followed():
            leaf.requires_grad_()
            if self.replay is not None:
                return self.replay(self.tap.head, self.call, rows, leaf), leaf
            return self.tap.head(picked(self.call, rows), leaf), leaf

    def rows_of(self, g: Tensor, where: Tensor) -> Tensor:
        """The gradient of a leaf as the segments' own rows."""
        return (g[:, 0] if self.first_only else g.flatten(0, 1)[where]).to(self.dtype).contiguous()


def reader(tap: InstrumentedModel, seen: Seen, call: Call, scalars: Sequence[Target]) -> verify.Reader:
    """The explained scalars, as a function of the last hidden state and of the inputs that its rows are of."""

    def reads(hidden: Tensor, rows: Tensor) -> Tensor:
        with tap.held(seen):
            output = tap.head(picked(call, rows), hidden)
        return torch.stack([scalar(output, rows) for scalar in scalars])

    return reads


def first_logits(output: Any, batch: int, rows: int) -> Tensor | None:
    """The logits of the first of all rows, or None where the model returned none."""
    z = logits_of(output, rows)
    return None if z is None else z[:batch].detach()
