"""Blocks that keep their input alone on the way up, and run again on the way back: for texts too long to keep more.

A block of ModernBERT base keeps 27 KiB a row in float32, its input has 3: a text of 4,096 tokens and its baseline take
4.6 GiB in all 22 blocks, or 0.5. The products of such a pass are three in place of two.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ..._utils import heap
from ...model.encoder import Block
from ...ops.packing import Segments
from ..budget import Budget
from . import block as blocks
from . import first_token_block as first_row

MOST_KEPT = 2**30  # bytes of a whole pass: the inputs and their baselines, all blocks


def too_much(size: int, budget: Budget) -> bool:
    """Return True if a whole pass would keep so many bytes that its blocks run again.

    Args:
        size: of the saved tensors of all blocks.
        budget: of the engine.
    """
    return budget.ends * size > budget.tensors - budget.waiting if budget.stated else size > max(MOST_KEPT, budget.size)


def row_bytes(block: Block, dtype: torch.dtype, depth: int) -> int:
    """Bytes of one row in a whole pass of such blocks: their inputs, both ends of the paths, and a block at work.

    In float32 the inputs are the ends.
    """
    wide = torch.promote_types(dtype, torch.float32)
    a_number = wide.itemsize if wide == dtype else wide.itemsize + dtype.itemsize
    return depth * block.qkv.weight.shape[1] * a_number + blocks.row_bytes(block, dtype)


@dataclass(frozen=True)
class KeptInput:
    """A block's input in place of its saved tensors.

    Args:
        run: x [R,D] and its segments to the output and the saved tensors.
        rows: x.
        segments: the row ranges of the segments.
    """

    run: Callable[[Tensor, Segments], tuple[Tensor, blocks.Saved]]
    rows: Tensor
    segments: Segments

    def saved(self) -> blocks.Saved:
        """The saved tensors, made anew; before that, the memory of the block that ran last is given back."""
        give_back(self.rows.device)
        return self.run(self.rows, self.segments)[1]


def give_back(device: torch.device) -> None:
    """Return freed memory to the system: the tensors of such texts are a large part of all there is."""
    if device.type == "cpu":
        heap.give_back()


def run_block(
    block: Block, x: Tensor, segments: Segments, *, pooled: bool, backend: str
) -> tuple[Tensor, blocks.Saved]:
    """A block's output, and its saved tensors.

    Args:
        block: the block.
        x: [R,D], its input.
        segments: the row ranges of the segments.
        pooled: first rows alone are computed.
        backend: backend of the fused operations.
    """
    if pooled:
        return first_row.forward(block, x, segments, backend)
    qkv, normed = blocks.project(block, x, backend)
    return blocks.forward(block, x, qkv, normed, segments, backend=backend)
