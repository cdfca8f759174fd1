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

from ..._utils.host_copies import note, uploaded
from ...inputs.target import gradients
from ...ops.packing import Packed
from ..base import Endpoints, PathPoints
from ..budget import is_out_of_memory
from . import block as blocks
from .head import Head
from .path_batch import BatchKey, BlockRunner, ForwardState, points_in, to_device
from .workspace import Lease, Workspace

# What the memory of a wave takes in pages: counted in tensors alone, a ViT-S/14 of 65 tokens grew 5 MiB above the
# budget, and a MiniLM at 128 MiB 12 (malloc of glibc 2.36, products by MKL, which has buffers of its own).
PAGES = 1.1


class _Engine(Protocol):
    budget: int
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
    ) -> None:
        self._engine, self._head, self._runner, self._order = engine, head, runner, order
        self._lease, self.endpoints = lease, endpoints
        self._packed: Packed = head.packed
        self._bytes_a_row = blocks.row_bytes(runner.stack[0], runner.dtype)

    @property
    def row_bytes(self) -> int:
        """Bytes that one input's pass holds in all blocks."""
        return max(1, self._packed.shape[1] * self._bytes_a_row * len(self._runner.stack))

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
        sizes = np.rint(PAGES * self._bytes_a_row * lengths * passed).astype(np.int64)
        found, start, held = list[Tensor](), 0, 0
        for i, size in enumerate(sizes.tolist()):
            if i > start and held + size > self._engine.budget:
                found.append(self._halving(points.take(slice(start, i))))
                start, held = i, 0
            held += size
        found.append(self._halving(points.take(slice(start, len(points)))))
        rows = found[0] if len(found) == 1 else torch.cat(found, 1)
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
        self._engine.budget = max(1, self._engine.budget // 2)
        self._engine.workspace.clear()
        half = len(points) // 2
        return torch.cat([self._halving(points.take(part)) for part in (slice(half), slice(half, None))], 1)

    def _wave(self, points: PathPoints) -> Tensor:
        """phi and F of points in order of their layers, [K,n,T+1]: once up, and down for each scalar."""
        runner, lines, workspace = self._runner, self._lease.lines, self._engine.workspace
        shape = BatchKey.of(points, self._packed)
        table = to_device(points, shape, lines.offsets)
        key = (shape, lines.sizes, self._order, runner.first_only)
        scalars = self.endpoints.scalars
        with workspace.exclusive():
            forward = workspace.forward_graphs(key, lambda table: runner.up(shape, table, lines), (table,), lines)
            state: ForwardState = forward.saved
            index = state.inputs
            note(index, torch.from_numpy(points.row))
            where = self._packed.where(index, points_in(table, shape)[2])
            output, leaf = self._head(forward.out, index, where)
            found = []
            for k, scalar in enumerate(scalars):
                last = k == len(scalars) - 1
                with torch.enable_grad():
                    value = scalar(output, index)
                    g = self._head.rows_of(gradients(value, [leaf], keep_graph=not last)[0], where)
                if forward.fixed:
                    phi = workspace.backward_graphs(
                        key, lambda g: (runner.down(g, state, free=False), None), (g,), state
                    ).out
                else:
                    phi = runner.down(g, state, free=last)
                phi = self._packed.spread(phi.double(), where, len(points))
                found.append(torch.cat([phi, value.detach().double()[:, None]], 1))
        return torch.stack(found)
