"""A run of the native engine: one problem's path points in batches through the blocks.

On a GPU the host runs ahead: each batch of a round is one asynchronous transfer to the device. Between the first and
the last the host waits for no value: it reads no tensor, selects no rows by a mask, and makes no index. The model's
head and the explained scalar are the user's, and may wait, and so do the operations of the backend "torch".
The parts before and after the head are recorded and replayed for batches of the same shape (`cuda_graphs`).
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from ..._utils.host_copies import fetched, note, uploaded
from ...inputs.target import gradients
from ...ops.packing import Packed
from ..base import Endpoints, PathPoints
from ..budget import Budget, is_out_of_memory
from . import block as blocks
from . import recomputed
from .buckets import Need, Slots, Wave, ranges
from .head import Head
from .path_batch import BatchKey, BlockRunner, ForwardState, PathEndpoints, points_in, to_device
from .workspace import Graphs, Lease, Workspace

Key = tuple[BatchKey, tuple[int, int], tuple[int, ...], bool]


class _Engine(Protocol):
    budget: Budget
    workspace: Workspace


class NativeRun:
    """One problem of the native engine; see `Run`.

    Args:
        engine: the engine.
        head: the model after its last block.
        runner: the model's blocks.
        order: which of the distinct blocks each of them is.
        lease: both ends of all paths.
        endpoints: of the paths, as all engines give them.
        recorded: its batches may be recorded.
    """

    def __init__(
        self,
        engine: _Engine,
        head: Head,
        runner: BlockRunner,
        *,
        order: tuple[int, ...],
        lease: Lease,
        endpoints: Endpoints,
        recorded: bool = True,
    ) -> None:
        self._recorded = recorded
        self._engine, self._head, self._runner, self._order = engine, head, runner, order
        self._lease, self.endpoints = lease, endpoints
        self._padded_leases: dict[int, Lease] = {}
        self._packed: Packed = head.packed
        self._bytes_a_row, self._bytes_again = blocks.row_bytes(runner.stack[0], runner.dtype), 0
        if runner.again:  # of a row the input of each block, and all of one
            width = runner.stack[0].qkv.weight.shape[1]
            self._bytes_a_row, self._bytes_again = width * runner.dtype.itemsize, self._bytes_a_row

    @property
    def held(self) -> list[Tensor]:
        """Both ends of all paths, and the attention maps."""
        return [*self._lease.lines.tensors, *self.endpoints.maps]

    @property
    def row_bytes(self) -> int:
        """Bytes that one input's pass holds in all blocks."""
        runner, depth = self._runner, len(self._runner.stack)
        a_row = (
            recomputed.row_bytes(runner.stack[0], runner.dtype, depth) if runner.again else depth * self._bytes_a_row
        )
        return max(1, self._packed.shape[1] * a_row)

    @torch.no_grad()
    def integrand(self, points: PathPoints) -> tuple[Tensor, Tensor]:
        """See `Run.integrand`; the points of all layers go in waves that fit the budget."""
        if not len(points):
            rows = self._packed.offsets.new_zeros(
                len(self.endpoints.scalars), 0, self._packed.shape[1] + 1, dtype=torch.float64
            )
            return rows[..., :-1], rows[..., -1]
        order = np.lexsort((points.node, points.row, points.layer))
        points = points.take(order)
        lengths = np.array(self._packed.lengths)[points.row]
        # one block more, for what the block at work takes and lets go of
        passed = len(self._runner.stack) - points.layer + 1
        sizes = lengths * (self._bytes_a_row * passed + self._bytes_again)
        ends, waves, start = np.cumsum(sizes), list[Tensor](), 0
        while start < len(points):
            before = int(ends[start] - sizes[start])
            room = self._engine.budget.for_wave(self.held, int(ends[-1]) - before)
            stop = max(start + 1, int(np.searchsorted(ends, before + room, "right")))
            waves.append(self._halving(points.take(slice(start, stop))))
            start = stop
        rows = waves[0] if len(waves) == 1 else torch.cat(waves, 1)
        if (order[1:] < order[:-1]).any():
            rows = rows[:, uploaded(torch.from_numpy(np.argsort(order)), rows.device)]
        return rows[..., :-1], rows[..., -1]

    def _halving(self, points: PathPoints) -> Tensor:
        """One batch; if the device lacks the memory, its two halves, and the budget is halved for later batches."""
        try:
            return self._wave(points)
        except RuntimeError as error:
            if not is_out_of_memory(error) or len(points) == 1:
                raise
        self._engine.budget.halve()
        self._engine.workspace.clear()
        half = len(points) // 2
        return torch.cat([self._halving(points.take(part)) for part in (slice(half), slice(half, None))], 1)

    def _wave(self, points: PathPoints) -> Tensor:
        """phi and F of points in order of their layers, [K,n,T+1]: once up, and down for each scalar."""
        runner, workspace = self._runner, self._engine.workspace
        scalars = self.endpoints.scalars
        with workspace.exclusive():
            wave = self._padded(points) or self._as_it_is(points)
            shape, lines, index, where = wave.shape, wave.lines, wave.index, wave.where
            graphs = workspace.padded_graphs if shape.padded else workspace.graphs
            graphs = graphs if self._recorded else Graphs()
            key = self._key(shape, lines)
            forward = graphs.forward(
                key, lambda table: runner.up(shape, table, lines), (wave.table,), lines, now=shape.padded
            )
            state: ForwardState = forward.saved
            note(index, torch.from_numpy(points.row))
            output, leaf = self._head(wave.own(forward.out, wave.outputs), index, where)
            per_scalar = []
            for k, scalar in enumerate(scalars):
                last = k == len(scalars) - 1
                with torch.enable_grad():
                    value = scalar(output, index)
                    g = self._head.rows_of(gradients(value, [leaf], keep_graph=not last)[0], where)
                g = wave.among_all(g, forward.out)
                if forward.fixed:
                    phi = graphs.backward(
                        key, lambda g: (runner.down(g, state, free=False), None), (g,), state, now=shape.padded
                    ).out
                else:
                    phi = runner.down(g, state, free=last)
                phi = self._packed.spread(wave.own(phi, wave.rows).double(), where, len(points))
                per_scalar.append(torch.cat([phi, value.detach().double()[:, None]], 1))
        return torch.stack(per_scalar)

    def _key(self, shape: BatchKey, lines: PathEndpoints) -> Key:
        return shape, lines.sizes, self._order, self._runner.first_only

    def _as_it_is(self, points: PathPoints) -> Wave:
        """The batch of the points, and of nothing else."""
        lines = self._lease.lines
        shape = BatchKey.of(points, self._packed)
        table = to_device(points, shape, lines.offsets)
        index, _, segments = points_in(table, shape)
        return Wave(shape, table, lines, index, self._packed.where(index, segments))

    def _padded(self, points: PathPoints) -> Wave | None:
        """The batch with points and rows added, where a recording serves it so, or is to be made."""
        workspace, first_only, packed = self._engine.workspace, self._runner.first_only, self._packed
        graphs = workspace.padded_graphs.forward
        if graphs.recorder is None or not self._recorded:
            return None
        if workspace.graphs.forward.serves(self._key(BatchKey.of(points, packed), self._lease.lines)):
            return None
        every = np.array(packed.lengths)
        lengths, depth, inputs = every[points.row], len(self._runner.stack), len(every)
        recorded = [key[0] for key in graphs.keys if key[1][0] == inputs and key[2:] == (self._order, first_only)]
        shape, old = workspace.buckets.shape(Need.of(points, lengths, depth), recorded, graphs.has_room)
        if shape is None:
            return None
        if old is not None:
            workspace.padded_graphs.drop((old, (inputs, inputs * old.lengths[0]), self._order, first_only))
        lines, slots = self._padded_lines(shape.lengths[0]), Slots.of(points, lengths, shape)
        table = to_device(slots.points, shape, lines.offsets, slots.real)
        tokens = fetched(packed.positions)[0].numpy()[ranges((np.cumsum(every) - every)[points.row], lengths)]
        where = tokens + np.repeat((np.arange(len(points)) - points.row) * packed.shape[1], lengths)
        rows = ranges(slots.own * shape.lengths[0], lengths)
        parts = [points.row, where, rows, slots.own]
        made = torch.split(uploaded(torch.from_numpy(np.concatenate(parts)), table.device), [len(p) for p in parts])
        return Wave(shape, table, lines, made[0], made[1], rows=made[2], outputs=made[3] if first_only else made[2])

    def _padded_lines(self, length: int) -> PathEndpoints:
        """The endpoints with as many rows of each input."""
        lines, lengths = self._lease.lines, np.array(self._packed.lengths)
        if (lengths == length).all():
            return lines
        if length not in self._padded_leases:
            rows = ranges(np.arange(len(lengths)) * length, lengths)
            padded = lines.padded(uploaded(torch.from_numpy(rows), lines.offsets.device), length)
            self._padded_leases[length] = self._engine.workspace.lease(padded)
        return self._padded_leases[length].lines
