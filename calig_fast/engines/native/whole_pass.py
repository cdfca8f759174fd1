"""Passes of whole inputs through the blocks: hidden states up, directional derivatives and attention maps down."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from ...model.attention_capture import MapKind
from ...ops.packing import Packed, Segments
from ..base import EndpointGradients
from . import block as blocks
from . import compiled
from . import first_token_block as first_row
from .attention import attention_map
from .path_batch import BlockRunner, PathEndpoints, SavedBlocks
from .recomputed import KeptInput


class Derivatives(NamedTuple):
    """Directional derivatives of F at the rows of every block's input, and attention maps.

    Args:
        high: <dF/dh, h - h'>, [L,tokens] float64.
        low: the same at the baselines; no rows of it are read where there are none.
        product: <dF/dh, h>, [L,tokens] float64.
        maps: per layer [B,T,U]; none where none were asked for.
    """

    high: Tensor
    low: Tensor
    product: Tensor
    maps: list[Tensor]


@dataclass(frozen=True, kw_only=True)
class WholePass:
    """The passes of B inputs, and of their baselines after them where there are such.

    Args:
        runner: runs the blocks.
        packed: the tokens of the inputs.
        everything: the tokens of the inputs and their baselines.
    """

    runner: BlockRunner
    packed: Packed
    everything: Packed

    @property
    def tokens(self) -> int:
        """Tokens of the inputs."""
        return len(self.packed.positions)

    def up(
        self, first: Tensor, check: Callable[[int, Tensor], None] | None = None
    ) -> tuple[list[Tensor], list[Tensor], SavedBlocks, Tensor]:
        """Block inputs, projections, saved tensors, and the output, of the input of block 0 [N,T,D].

        Args:
            first: the input of block 0.
            check: gets the input of each block and the last one's output, with its number.
        """
        segments, x = self.everything.segments, self.everything.pack(first)
        stack = self.runner.compiled_stack(x)
        if stack is not None:
            hidden, projections, state, out = compiled.whole_forward(stack, x, segments)
            if check is not None:
                for layer, rows in enumerate([*hidden, out]):
                    check(layer, rows)
            return hidden, [self._linear_alone(*one) for one in enumerate(projections)], state, out
        hidden, qkvs, saved = list[Tensor](), list[Tensor](), list[blocks.Saved | KeptInput]()
        for layer in range(len(self.runner.stack)):
            hidden.append(x)
            if check is not None:
                check(layer, x)
            x, kept = self._block_up(layer, x, segments, qkvs)
            saved.append(kept)
        if check is not None:
            check(len(hidden), x)
        return hidden, qkvs, saved, x

    def _block_up(
        self, layer: int, x: Tensor, segments: Segments, qkvs: list[Tensor]
    ) -> tuple[Tensor, blocks.Saved | KeptInput]:
        """The output of block `layer` and what is kept of it; its projection is appended to the others."""
        block, backend = self.runner.stack[layer], self.runner.backend
        if self.runner.is_pooled(layer):
            out, saved = first_row.forward(block, x, segments, backend)
        else:
            qkv, normed = blocks.project(block, x, backend)
            qkvs.append(self._linear_alone(layer, qkv))
            out, saved = blocks.forward(block, x, qkv, normed, segments, backend=backend)
        return out, self.runner.kept(layer, x, segments, saved)

    def down(
        self,
        saved: SavedBlocks,
        value: Tensor,
        g: Tensor,
        ends: PathEndpoints,
        *,
        maps: MapKind | None,
        free: bool,
    ) -> EndpointGradients:
        """Directional derivatives of F at every block input, and attention maps.

        Args:
            saved: from `up`; with `free` the saved tensors of each block are freed after their use.
            value: F of the inputs, and of their baselines after them, [N].
            g: gradient of the last hidden rows.
            ends: both ends of all paths.
            maps: kind of the attention maps, None for none.
            free: see `saved`.
        """
        batch, unpack, tokens = self.packed.shape[0], self.packed.unpack, self.tokens
        reads = (g != 0).any(-1)
        if self.runner.first_only:
            marks = reads.new_zeros(len(self.everything.positions))
            marks[self.everything.segments.firsts] = reads
            reads = marks
        block_derivatives = self.derivatives(saved, g, ends, maps=maps, free=free)
        propagated = len(value) > batch
        return EndpointGradients(
            value=value[:batch],
            baseline_value=value[batch:] if propagated else None,
            high=self._by_layer(block_derivatives.high),
            low=self._by_layer(block_derivatives.low) if propagated else None,
            product=self._by_layer(block_derivatives.product),
            maps=None if maps is None else block_derivatives.maps,
            readout=unpack(reads[:tokens]),
        )

    def derivatives(
        self, saved: SavedBlocks, g: Tensor, ends: PathEndpoints, *, maps: MapKind | None, free: bool
    ) -> Derivatives:
        """The part of `down` that passes through the blocks; the arguments are its own."""
        if not isinstance(saved, list):
            return Derivatives(*compiled.whole_backward(saved, g, ends, self.packed, maps=maps, free=free))
        parts: dict[str, list[Tensor]] = {"high": [], "low": [], "product": [], "maps": []}
        # maps that fall off on the way back
        slopes, tokens = 0 if maps is None or maps == "attention" else self.packed.shape[0], self.tokens
        for layer in range(len(self.runner.stack) - 1, -1, -1):
            state = saved.pop() if free else saved[layer]
            saved_block = state.saved() if isinstance(state, KeptInput) else state
            g, dmixed, gradient_maps = self.runner.back(layer, g, saved_block, slopes, maps or "gradient")
            if maps is not None:
                parts["maps"].append(self._maps(layer, saved_block, dmixed, gradient_maps, maps))
            high_end = ends.high[layer]
            direction = high_end - ends.low[layer]
            parts["high"].append(_along(g[:tokens], direction))
            parts["product"].append(_along(g[:tokens], high_end))
            parts["low"].append(_along(g[tokens:], direction if len(g) > tokens else direction[:0]))
            del state, saved_block, dmixed, gradient_maps, direction  # room for the next block
        high, low, product = (torch.stack(parts[name][::-1]) for name in ("high", "low", "product"))
        return Derivatives(high, low, product, parts["maps"][::-1])

    def ends(self, hidden: list[Tensor], qkvs: list[Tensor]) -> PathEndpoints:
        """Both ends of all paths, from `up`; a zero hidden state where there are no baselines."""
        runner, tokens = self.runner, self.tokens
        propagated = self.everything is not self.packed
        wide = torch.promote_types(runner.dtype, torch.float32)  # paths and sums; the blocks get their own back
        return PathEndpoints(
            self.packed.offsets,
            tuple((h[tokens:] if propagated else torch.zeros_like(h)).to(wide) for h in hidden),
            tuple(h[:tokens].to(wide) for h in hidden),
            tuple(
                (q[tokens:] if propagated or not len(q) else self._projected(layer, torch.zeros_like(h))).to(wide)
                for layer, (q, h) in enumerate(zip(qkvs, hidden, strict=False))  # a pooled block has no projection
            ),
            tuple(q[:tokens].to(wide) for q in qkvs),
        )

    def _projected(self, layer: int, rows: Tensor) -> Tensor:
        return blocks.project(self.runner.stack[layer], rows, self.runner.backend)[0]

    def _linear_alone(self, layer: int, projection: Tensor) -> Tensor:
        """The first projection at block `layer`; no rows where no path is linear in it."""
        return projection if self.runner.is_linear(layer) else projection.new_empty(0, projection.shape[1])

    def _by_layer(self, values: Tensor) -> Tensor:
        """Numbers of the inputs' tokens [L,tokens] as [L,B,T]."""
        return self.packed.unpack(values.T).movedim(2, 0)

    def _maps(
        self, layer: int, saved: blocks.Saved, dmixed: Tensor, gradient_maps: Tensor | None, kind: MapKind
    ) -> Tensor:
        """[B,T,U], zeros at padding."""
        (batch, t), wide = self.packed.shape, torch.promote_types(dmixed.dtype, torch.float32)
        full = len(self.packed.positions) == batch * t
        if gradient_maps is not None and kind != "attention" and full:
            return gradient_maps[:batch].to(wide)
        out = dmixed.new_zeros(batch, t, t, dtype=wide)
        for b, tokens in enumerate(self.packed.lengths):
            real = self.packed.places(b)
            if gradient_maps is None:
                input_map = first_row.attention_map(self.runner.stack[layer], saved, b, dmixed, kind)
            elif kind == "attention":
                input_map = attention_map(saved.attended, b)
            else:
                input_map = gradient_maps[b, :tokens, :tokens]
            out[b, real[:, None], real] = input_map.to(wide)
        return out


def _along(slopes: Tensor, directions: Tensor) -> Tensor:
    """<slope, direction> of every row, float64."""
    return (slopes * directions).sum(-1, dtype=torch.float64)
