"""A batch of path points through the blocks: each joins at its block in the forward pass, and leaves there backward.

Unneeded rows are not computed. With a head that reads the first row alone, the last block computes only that row
(`first_token_block`). In a post-norm block the first projection of a path is linear in a. So the forward pass
interpolates it, and the backward pass skips it.

Nothing here waits for the device: all that depends on values is computed there, and the numbers of rows are known
beforehand. So either pass can be recorded and replayed (`cuda_graphs`): `BatchKey` and the sizes of `PathEndpoints`
determine the kernels; the uploaded table and the endpoints' values are their data.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ... import ops
from ..._utils.host_copies import uploaded
from ...model.attention_capture import MapKind
from ...model.encoder import Block
from ...ops.accumulate_gradients import spec as sum_spec
from ...ops.interpolate_path import spec as path_spec
from ...ops.packing import Packed, Segments
from ..base import PathPoints
from . import block as blocks
from . import compiled
from . import first_token_block as first_row
from .norm import fused
from .recomputed import KeptInput, run_block
from .ruled import attention_vjp

Ints = npt.NDArray[np.int64]
# saved tensors of each block, or its input, or the state of the passes in C++
SavedBlocks = list[blocks.Saved | KeptInput] | torch.ScriptObject


class BatchKey(NamedTuple):
    """The key that determines the kernels of a batch.

    Args:
        layers: of its points, in increasing order.
        lengths: rows of each.
        padded: each has as many rows, those after its input's own are padding.
    """

    layers: tuple[int, ...]
    lengths: tuple[int, ...]
    padded: bool = False

    @classmethod
    def of(cls, points: PathPoints, packed: Packed) -> BatchKey:
        """The key of points in order of their layers."""
        return cls(tuple(points.layer.tolist()), tuple(packed.lengths[row] for row in points.row.tolist()))

    def until(self, layer: int) -> int:
        """Points that have joined by block `layer`."""
        return bisect_right(self.layers, layer)

    def at(self, layer: int) -> slice:
        """Points that join at block `layer`."""
        return slice(bisect_left(self.layers, layer), self.until(layer))

    def rows(self, points: slice) -> int:
        """Rows of some points."""
        return sum(self.lengths[points])


def to_device(points: PathPoints, shape: BatchKey, offsets: Tensor, real: Ints | None = None) -> Tensor:
    """The data of a batch, in one asynchronous transfer to the device of `offsets`: its plan, made once on the host.

    Args:
        points: in order of their layers.
        shape: of the batch.
        offsets: [B+1], the first token of each input.
        real: [n], of a padded batch the rows of each point that are no padding.

    Returns:
        int64, one after another: of the points of each block by themselves, input after input, the first row of each
        with the bits of its node [n,2], and with those of 1 [n,2]; the points' inputs [n], the bits of their nodes [n],
        those of 1 [n], the first row of each point, then of none [n+1], of a padded batch [2n+1] with the first row of
        each point's padding; one number; and for each block with points, the
        place of each input's first point among them, then of none [B+1].
    """
    n, lengths = len(points), np.array(shape.lengths)
    nodes, ones = (np.ascontiguousarray(x, dtype=np.float64).view(np.int64) for x in (points.node, np.ones(n)))
    firsts = np.cumsum(np.concatenate([[0], lengths]))
    _, blocks = np.unique(points.layer, return_index=True)
    rows = firsts[:-1] - np.repeat(firsts[blocks], np.diff([*blocks, n]))
    order = np.lexsort((points.row, points.layer))
    begins = [
        np.searchsorted(points.row[order][first:stop], np.arange(len(offsets)))
        for first, stop in zip(blocks, [*blocks[1:], n], strict=True)
    ]
    steps = [np.stack([rows, values], 1)[order].ravel() for values in (nodes, ones)]
    places = firsts if real is None else np.append(np.stack([firsts[:-1], firsts[:-1] + real], 1).ravel(), firsts[-1])
    made = np.concatenate([*steps, points.row, nodes, ones, places, [0], *begins]).astype(np.int64, copy=False)
    return uploaded(torch.from_numpy(made), offsets.device)


def points_in(table: Tensor, shape: BatchKey) -> tuple[Tensor, Tensor, Segments]:
    """The input and the node of each point, and the points' rows, in a table of `to_device`."""
    n = len(shape.layers)
    nodes = table[5 * n : 6 * n].view(torch.float64)
    offsets = table[7 * n : (9 if shape.padded else 8) * n + 1]
    return table[4 * n : 5 * n], nodes, Segments(offsets, shape.lengths, shape.padded)


@dataclass(frozen=True)
class PathEndpoints:
    """Both ends of all paths, packed, in float32 at least.

    Args:
        offsets: [B+1] int64, the first token of each input.
        low: h'_l [tokens,D] of every block.
        high: h_l, likewise.
        qkv_low: their first projections [tokens,3E], of every block that is not pooled; no rows where no path is
            linear in them.
        qkv_high: likewise.
    """

    offsets: Tensor
    low: tuple[Tensor, ...]
    high: tuple[Tensor, ...]
    qkv_low: tuple[Tensor, ...]
    qkv_high: tuple[Tensor, ...]

    def refilled(self, new: PathEndpoints) -> bool:
        """Take over the values of other lines, each in its place; False where they are of other sizes."""
        own_tensors, theirs = self.tensors, new.tensors
        if [(t.shape, t.dtype, t.device) for t in own_tensors] != [(t.shape, t.dtype, t.device) for t in theirs]:
            return False
        torch._foreach_copy_(own_tensors, theirs)
        return True

    def padded(self, rows: Tensor, length: int) -> PathEndpoints:
        """The same with as many rows of each input, zeros after its own.

        Args:
            rows: [tokens] int64, the place of each token.
            length: rows of each input.
        """
        inputs = len(self.offsets) - 1

        def wider(t: Tensor) -> Tensor:  # the projections of block 0 may be left out
            return t if not len(t) else t.new_zeros(inputs * length, t.shape[1]).index_copy_(0, rows, t)

        offsets = torch.arange(inputs + 1, device=self.offsets.device) * length
        return PathEndpoints(
            offsets, *(tuple(map(wider, ends)) for ends in (self.low, self.high, self.qkv_low, self.qkv_high))
        )

    @property
    def sizes(self) -> tuple[int, int]:
        """Inputs, and tokens of all of them."""
        return len(self.offsets) - 1, len(self.high[0])

    @property
    def tensors(self) -> list[Tensor]:
        """All of them."""
        return [self.offsets, *self.low, *self.high, *self.qkv_low, *self.qkv_high]


@dataclass(frozen=True)
class ForwardState:
    """The state that a forward pass leaves for its backward pass.

    Args:
        shape: of the batch.
        inputs: [n] int64, the input of each point.
        lines: the endpoints of the paths.
        saved: the saved tensors of each block, from the first on, or the state of the passes in C++; the backward pass
            may free them.
    """

    shape: BatchKey
    inputs: Tensor
    lines: PathEndpoints
    saved: SavedBlocks


@dataclass(frozen=True)
class BlockRunner:
    """Forward and backward passes of rows through the blocks.

    Args:
        stack: the blocks in the order of execution.
        first_only: the last block computes the first row of each segment alone.
        linear: interpolate the first projection of a path where it is linear.
        backend: backend of the fused operations.
        dtype: of the rows.
        again: keep the blocks' inputs alone, and run them again on the way back.
    """

    stack: tuple[Block, ...]
    first_only: bool
    linear: bool
    backend: str
    dtype: torch.dtype
    again: bool = False

    def is_pooled(self, layer: int) -> bool:
        """Return True if block `layer` computes only first rows."""
        return self.first_only and layer == len(self.stack) - 1

    def compiled_stack(self, rows: Tensor) -> torch.ScriptObject | None:
        """The blocks as the passes in C++ take them, or None where such rows pass through them in Python."""
        return self._stack if compiled.takes(rows) and not self.again else None

    def is_linear(self, layer: int) -> bool:
        """Return True if the first projection of a path at block `layer` is interpolated, not computed."""
        return self.linear and not self.stack[layer].pre_norm and not self.is_pooled(layer)

    def run(self, layer: int, rows: Tensor, segments: Segments) -> tuple[Tensor, blocks.Saved]:
        """The output of block `layer` for rows [R,D], and its saved tensors."""
        return run_block(self.stack[layer], rows, segments, pooled=self.is_pooled(layer), backend=self.backend)

    def kept(self, layer: int, rows: Tensor, segments: Segments, saved: blocks.Saved) -> blocks.Saved | KeptInput:
        """The tensors that a pass keeps of a block for its way back."""
        return KeptInput(partial(self.run, layer), rows, segments) if self.again else saved

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_stack"}  # C++ keeps it to itself

    @cached_property
    def _stack(self) -> torch.ScriptObject | None:
        return compiled.stack_of(self)

    def up(self, shape: BatchKey, table: Tensor, lines: PathEndpoints) -> tuple[Tensor, ForwardState]:
        """The last hidden rows of all points [rows,D], or their first rows [n,D], and the state for the backward pass.

        Args:
            shape: of the batch.
            table: from `to_device`.
            lines: the endpoints of the paths.
        """
        stack = None if shape.padded else self.compiled_stack(table)
        if stack is not None:
            out, inputs, compiled_state = compiled.path_forward(stack, table, shape, lines)
            return out, ForwardState(shape, inputs, lines, compiled_state)
        inputs, nodes, segments = points_in(table, shape)
        x, saved = None, list[blocks.Saved | KeptInput]()
        for layer in range(shape.layers[0], len(self.stack)):
            x, saved_block = self._forward_block(
                layer, x, shape, segments.until(shape.until(layer)), where=(inputs, nodes), lines=lines
            )
            saved.append(saved_block)
        if x is None:
            raise RuntimeError("a wave without blocks")
        return x, ForwardState(shape, inputs, lines, saved)

    def down(self, g: Tensor, state: ForwardState, free: bool) -> Tensor:
        """phi of all points' rows, [rows].

        Args:
            g: gradient of the last hidden rows.
            state: from the forward pass.
            free: free the saved tensors of each block after their use.
        """
        shape, saved, phis = state.shape, state.saved, list[Tensor]()
        if not isinstance(saved, list):
            return compiled.path_backward(saved, g, free)
        for layer in range(len(self.stack) - 1, shape.layers[0] - 1, -1):
            saved_block = saved.pop() if free else saved[layer - shape.layers[0]]
            g, phi = self._backward_block(layer, g, saved_block, state)
            phis.append(phi)
        return torch.cat(phis[::-1])

    def _forward_block(
        self,
        layer: int,
        x: Tensor | None,
        shape: BatchKey,
        segments: Segments,
        *,
        where: tuple[Tensor, Tensor],
        lines: PathEndpoints,
    ) -> tuple[Tensor, blocks.Saved | KeptInput]:
        """The output of block `layer`: the rows of the block before, with the points that join here."""
        block, here = self.stack[layer], shape.at(layer)
        joins = here.start < here.stop

        def path(low: Tensor, high: Tensor, before: Tensor | None) -> Tensor:
            """Points between two ends, after the rows that are there already."""
            first = low.new_empty((0, low.shape[1]), dtype=self.dtype) if before is None else before
            ends, (inputs, nodes) = (low, high, lines.offsets), (t[here] for t in where)
            more: dict[str, Any] = {"rows": shape.rows(here), "backend": self.backend}
            if fused(first, path_spec.DTYPES):
                return ops.interpolate_path(*ends, inputs, nodes, before=first, **more)
            return torch.cat([first, ops.interpolate_path(*ends, inputs, nodes, **more).to(self.dtype)])

        rows = path(lines.low[layer], lines.high[layer], x) if x is None or joins else x
        if not self.is_linear(layer) or not joins:
            out, saved = self.run(layer, rows, segments)
            return out, self.kept(layer, rows, segments, saved)
        before = None if x is None else blocks.project(block, x, self.backend)[0]
        qkv = path(lines.qkv_low[layer], lines.qkv_high[layer], before)
        out, saved = blocks.forward(block, rows, qkv, None, segments, backend=self.backend)
        return out, self.kept(layer, rows, segments, saved)

    def back(
        self, layer: int, g: Tensor, saved: blocks.Saved, maps: int = 0, kind: MapKind = "gradient"
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """The whole backward pass of block `layer`.

        Args:
            layer: the block.
            g: gradient of its output.
            saved: the saved tensors of its forward pass.
            maps: the number of segments, from the first, with a requested map of gradients.
            kind: of those maps.

        Returns:
            the gradients of its input and of the attention's rows, and the maps as `attention_backward_rows` gives
            them, None where the block is pooled.
        """
        block = self.stack[layer]
        if self.is_pooled(layer):
            return *first_row.vjp(block, g, saved, self.backend), None
        residual, dmixed = blocks.vjp(block, g, saved, self.backend)
        dqkv, gradient_maps = attention_vjp(block, dmixed, saved.attended, self.backend, maps=maps, kind=kind)
        return blocks.input_grad(block, residual, dqkv, saved, self.backend), dmixed, gradient_maps

    def _backward_block(
        self, layer: int, g: Tensor, saved: blocks.Saved | KeptInput, state: ForwardState
    ) -> tuple[Tensor, Tensor]:
        """Down through block `layer`: the gradient for those that go on, and phi of the points that end here."""
        saved = saved.saved() if isinstance(saved, KeptInput) else saved
        block, lines, shape = self.stack[layer], state.lines, state.shape
        here = shape.at(layer)
        split = shape.rows(slice(0, here.start))
        if here.start == here.stop:
            return self.back(layer, g, saved)[0], g.new_zeros(0)
        if not self.is_linear(layer):
            below = self.back(layer, g, saved)[0]
            return below[:split], self._integrand(
                [below[split:]], (lines.low[layer],), (lines.high[layer],), points=(state, here)
            )
        residual, dmixed = blocks.vjp(block, g, saved, self.backend)
        dqkv, _ = attention_vjp(block, dmixed, saved.attended, self.backend)
        below = g.new_zeros(0)
        if split:
            below = blocks.input_grad(block, residual[:split], dqkv[:split], saved, self.backend)
        # the projection is not undone: <dqkv W, h - h'> = <dqkv, W (h - h')>, and W (h - h') is known
        low, high = (lines.low[layer], lines.qkv_low[layer]), (lines.high[layer], lines.qkv_high[layer])
        return below, self._integrand([residual[split:], dqkv[split:]], low, high, points=(state, here))

    def _integrand(
        self,
        gradients: list[Tensor],
        low: tuple[Tensor, ...],
        high: tuple[Tensor, ...],
        *,
        points: tuple[ForwardState, slice],
    ) -> Tensor:
        """phi of the rows of some points: gradients times the ways between two ends, summed over the width."""
        state, here = points
        inputs = state.inputs[here]
        taken = [g if fused(g, sum_spec.DTYPES) else g.float() for g in gradients]
        ones = torch.ones_like(inputs, dtype=torch.float64)
        where = state.lines.offsets, inputs, ones
        return ops.accumulate_gradients(taken, high, *where, starts=low, backend=self.backend)[0]
