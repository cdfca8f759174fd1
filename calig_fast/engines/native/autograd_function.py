"""The native blocks as one differentiable function of hidden states, for code that runs autograd around them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ...model.encoder import Block
from ...ops.packing import Packed
from ..budget import Budget
from . import block as blocks
from . import first_token_block
from .engine import DEFAULT_BUDGET
from .path_batch import BlockRunner
from .verify import STRANGE, same_outputs


class BlockStack:
    """Blocks that run one after another, with a hand-derived backward pass.

    Args:
        run: the blocks in the order that they are run, in the dtype of the hidden states.
        first_only: the last block computes the first row of each input alone; the others come out as NaN.
        backend: backend of the fused operations.
    """

    def __init__(self, run: Sequence[Block], first_only: bool = False, backend: str = "auto") -> None:
        self.runner = BlockRunner(tuple(run), first_only, False, backend, run[0].qkv.weight.dtype)

    def __len__(self) -> int:
        return len(self.runner.stack)

    @property
    def takes_first_rows(self) -> bool:
        """True if the last block can be computed at the first row of each input alone."""
        return first_token_block.takes(self.runner.stack[-1])

    def of_first_rows(self) -> BlockStack:
        """The same blocks, the last at the first row of each input alone."""
        return BlockStack(self.runner.stack, True, self.runner.backend)

    def __call__(self, hidden: Tensor, mask: Tensor, layers: range) -> Tensor:
        """Some of the blocks, as a function that autograd differentiates once.

        Args:
            hidden: the input of the first of them, [N,T,D].
            mask: [N,T] bool, real tokens, at least one a row; padding is left out.
            layers: which blocks, side by side.

        Returns:
            [N,T,D], the output of the last of them; a large number at padding, to detect a function that reads it.
        """
        out: Tensor = _Through.apply(hidden, Packed.of(mask), self, layers)
        return out

    @torch.no_grad()
    def verify(self, states: Sequence[Tensor], mask: Tensor, limit: float) -> None:
        """Compare the output of every block with the model's own.

        Args:
            states: the input of the first block and the output of each, [N,T,D].
            mask: [N,T] bool, real tokens.
            limit: the largest relative difference.

        Raises:
            NotTheModelError: naming the first block that differs.
        """
        packed = Packed.of(mask)
        rows = [packed.pack(states[0])]
        for layer in range(len(self)):
            rows.append(self.up(layer, rows[-1], packed)[0])
        same_outputs(states, rows, packed, limit)

    def up(self, layer: int, x: Tensor, packed: Packed) -> tuple[Tensor, blocks.Saved]:
        """The output of block `layer` for packed rows, and its saved tensors."""
        return self.runner.run(layer, x, packed.segments)

    def rows_at_once(self, layers: range, device: torch.device, around: int) -> int:
        """Rows of some of the blocks that the default memory budget has room for.

        Args:
            layers: which blocks.
            device: of the hidden states.
            around: bytes a row that the caller's own layers hold.
        """
        row = around + sum(blocks.row_bytes(self.runner.stack[i], self.runner.dtype) for i in layers)
        return Budget.of(None, device, DEFAULT_BUDGET, self.runner.dtype).size // row


class _Through(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, hidden: Tensor, packed: Packed, stack: BlockStack, layers: range) -> Tensor:
        x, ctx.saved = packed.pack(hidden), []
        for layer in layers:
            x, saved = stack.up(layer, x, packed)
            if ctx.needs_input_grad[0]:
                ctx.saved.append(saved)
        ctx.packed, ctx.runner, ctx.layers = packed, stack.runner, layers
        if stack.runner.is_pooled(layers[-1]):
            out = torch.full_like(hidden, torch.nan)
            out[:, 0] = x
            return out
        if len(x) == hidden.shape[0] * hidden.shape[1]:
            return x.view(hidden.shape)
        out = torch.full_like(hidden, STRANGE)
        out.flatten(0, 1)[packed.positions] = x
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, None, None, None]:
        packed: Packed = ctx.packed
        rows = g[:, 0].contiguous() if ctx.runner.is_pooled(ctx.layers[-1]) else packed.pack(g)
        for layer in reversed(ctx.layers):
            rows = ctx.runner.back(layer, rows, ctx.saved[layer - ctx.layers.start])[0]
        return packed.unpack(rows), None, None, None
