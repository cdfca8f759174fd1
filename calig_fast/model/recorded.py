"""The records of a pass through an instrumented model: hidden states, outputs, layout, and the axes of its states."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from .altered_backward import AlteredBackward
from .block_attention import BlockAttention
from .block_state import Others
from .token_axes import TokenAxes


@dataclass
class Record:
    """The record of one pass through the model.

    Args:
        hidden: block inputs h_0 .. h_{L-1} [N,T,D], then the last block's output, all in the graph of `output`.
        attention: one per block, where asked for.
        output: what the model returned.
        made: what each block returned, detached.
        rows: N.
    """

    hidden: list[Tensor] = field(default_factory=list)
    attention: list[BlockAttention] = field(default_factory=list)
    output: Any = None
    made: list[Any] = field(default_factory=list)
    rows: int = 0


@dataclass(frozen=True)
class Layout:
    """The order in which a model runs its blocks.

    Args:
        order: which of the blocks is run, call by call.
        others: the other results of each call beside the hidden state, None where it returned a bare tensor.
        lookups: how often modules look up the ids, where the model makes numbers of them in no other way; else None.
    """

    order: tuple[int, ...]
    others: tuple[Others, ...]
    lookups: int | None = None


@dataclass(frozen=True, kw_only=True)
class Seen:
    """The knowledge of one call that an instrumented model needs to enter the same call again.

    Args:
        layout: the order of its blocks.
        axes: those of each block's state.
        first_shape: shape of the first block's state.
        tokens: T.
        stem_shape: shape of the patch embedding's output.
    """

    layout: Layout
    axes: tuple[TokenAxes, ...]
    first_shape: torch.Size | None
    tokens: int
    stem_shape: torch.Size | None


def check_record(record: Record, attention: bool, altered: AlteredBackward | None = None) -> None:
    """Raise where a record lacks what was asked for.

    Raises:
        ValueError: no block was run, hidden states of several shapes, blocks without the one map of token by token, or
            a backward rule that met no operation.
    """
    if not record.hidden:
        raise ValueError("layers: the named blocks were not run by the model; name the blocks its forward calls")
    if len(shapes := {tuple(h.shape) for h in record.hidden[:-1]}) > 1:
        raise ValueError(
            f"model: expected blocks that all take hidden states of one shape, got {sorted(shapes)}; a model that "
            "merges patches between its stages is explained a stage at a time: name the blocks of one"
        )
    if attention and len(record.attention) != len(record.hidden) - 1:
        raise ValueError(
            f"method: {len(record.attention)} attention maps of token by token can be read in {len(record.hidden) - 1} "
            "blocks, and the method needs one self-attention a block, through scaled_dot_product_attention or softmax "
            "(of windows and with sinks too; not over channels, pooled or learned keys, nor beside other mixing). Take "
            'a method that needs no maps, such as method="layer_ig"'
        )
    if altered is not None and torch.is_grad_enabled():
        altered.check()
