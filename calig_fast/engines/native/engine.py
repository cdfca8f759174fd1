"""The native engine: path points of all layers in batches, forward and backward through the blocks, without padding.

Points of layer l join the batch at block l of the forward pass, and leave it there in the backward pass (`path_batch`).

On a GPU the host runs ahead: each batch of a round is one asynchronous transfer to the device. One copy brings phi and
F of all batches back. Between the two the host waits for no value: it reads no tensor, selects no rows by a mask, and
makes no index. The model's head and the explained scalar are the
user's, and may wait, and so do the operations of the backend "torch". `ends` reads a few numbers, once a batch.
The parts before and after the head are recorded and replayed for batches of the same shape (`cuda_graphs`).

The blocks run in the requested dtype. Products of float32 are cuBLAS's on a GPU, and exact unless the caller allows
TF32, which keeps 10 bits of each factor (torch.backends.cuda.matmul.allow_tf32, or
torch.set_float32_matmul_precision). The attention's kernels stay exact. Products of bfloat16 and float16 run on the
tensor cores. Paths and the sums over them are always float32 at least, phi and F float64.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ...inputs.target import gradients, logits_of
from ...model.attention_capture import MapKind
from ...model.call import Call, has_rows, row_count
from ...model.dataflow import has_kinks
from ...model.encoder import Encoder
from ...model.instrumented import InstrumentedModel, Layout, Record
from ...ops.dispatch import requested_backend
from ...ops.packing import Packed, Segments
from ..base import EndpointGradients, Endpoints, PathPoint, Problem, Targets
from ..budget import default_budget
from . import block as blocks
from . import first_token_block as first_row
from . import verify
from .attention import attention_map
from .cuda_graphs import recorder_for
from .path_batch import BatchKey, BlockRunner, ForwardState, PathEndpoints, to_device
from .workspace import Workspace

# Bytes a wave takes on a CPU. A ViT-S/14 of 65 tokens takes 10 % more time at 32 MiB than at 64, as each wave reads all
# weights again, and 3 % less at 96 (Zen 5, 1 thread).
DEFAULT_BUDGET = 56 * 2**20
# What the memory of a wave takes in pages: counted in tensors alone, a ViT-S/14 of 65 tokens grew 5 MiB above the
# budget, and a MiniLM at 128 MiB 12 (malloc of glibc 2.36, products by MKL, which has buffers of its own).
PAGES = 1.1


class NativeEngine:
    """The native engine over one batch.

    Args:
        model: the user's model; not touched.
        encoder: where its blocks are, and how their weights are read.
        dtype: dtype of the blocks, None for the model's own; embeddings and head keep the model's where that is wider.
        memory_budget: bytes a wave may keep, None for `default_budget`'s, 56 MiB on a CPU.
        backend: backend of the fused operations.
        known: kinds of calls that were compared with the model's own forward pass; this one adds to it.
        workspace: of an earlier call; not used where the blocks run in a wider dtype than the model's, a copy of all.
        prune: compute the last block for the first row alone where the head reads no other.
        linear: interpolate the first projection of a path where it is linear.
        hooks: run the forward hooks that the user put on the model.

    Raises:
        ValueError: the family cannot read the blocks' weights; the message says why.
    """

    name = "native"

    def __init__(
        self,
        model: nn.Module,
        encoder: Encoder,
        *,
        dtype: torch.dtype | None,
        memory_budget: int | None,
        backend: str,
        known: dict[Hashable, Layout] | None = None,
        workspace: Workspace | None = None,
        prune: bool = True,
        linear: bool = True,
        hooks: bool = True,
    ) -> None:
        own = next(model.parameters()).dtype
        self.dtype = own if dtype is None else dtype
        wider = torch.promote_types(own, self.dtype)
        self.tap = InstrumentedModel(model, encoder, None if wider == own else wider, hooks=hooks)
        self._workspace = Workspace() if workspace is None or wider != own else workspace
        self._distinct = self._workspace.blocks(map(encoder.block, self.tap.blocks), self.dtype, model)
        self.backend = backend
        self.row_bytes = 0
        self._known = {} if known is None else known
        self._prune, self._linear = prune, linear
        one = self._distinct[0]
        device, head = one.qkv.weight.device, len(one.qkv.weight) // (3 * one.heads)
        self.budget = default_budget(device, DEFAULT_BUDGET) if memory_budget is None else memory_budget
        recorder = recorder_for(device, self.dtype, backend, head)
        self._workspace.begin((requested_backend(backend), prune, linear), recorder)
        self._path_ends = PathEndpoints(torch.zeros(1, dtype=torch.int64), (), (), (), ())

    @torch.no_grad()
    def ends(self, problem: Problem) -> Endpoints:
        """See `Engine.ends`.

        The model's own forward is run where a call is the first of its kind, for the inputs and their baselines, and
        the blocks and the head are held against it.

        Raises:
            ValueError: what `InstrumentedModel.record` and `resolve` raise.
            NotTheModelError: the model computes something else than its family says, or what the blocks do not carry.
        """
        call, baseline, resolve, maps = problem.call, problem.baseline, problem.resolve, problem.maps
        batch = row_count(call)
        kind = verify.kind(call, problem.mask)
        both, replacement = problem.both()
        record = None
        if kind not in self._known:
            record = self.tap.record(both, False, replacement, problem.changed)
            if not self.tap.plain:
                raise verify.NotTheModelError("model: its blocks keep their hidden states otherwise than as [N,T,D]")
        layout = self._known.get(kind) or self.tap.layout
        first, guess = self.tap.embed(both, layout, replacement)
        mask = first.new_ones(first.shape[:2], dtype=torch.bool)[:batch] if problem.mask is None else problem.mask
        mask = mask.to(first.device)
        verify.same_tokens(first, mask)
        self._packed = Packed.of(mask)
        everything = self._packed if baseline is None else self._packed.twice()
        # which rows the head reads can be told from any hidden state, so before anything is run
        reads = self._reader(call, resolve(_first(guess, batch, len(first))))
        first_only = self._prune and maps != "attention" and verify.reads_first_alone(reads, first[:1])
        run = tuple(self._distinct[i] for i in layout.order)
        self._order = layout.order
        self._runner = BlockRunner(run, first_only, self._linear, self.backend, self.dtype)
        hidden, qkvs, saved, out = self._up(everything, first.to(self.dtype))
        self._check(record, [*hidden, out], everything, mask, reads)
        index = torch.arange(batch, device=first.device)
        rows = index if baseline is None else torch.cat([index, index])
        output, leaf = self._head(call, out, rows, everything.positions)
        z = _first(output, batch, len(rows))
        scalars = resolve(z)
        if record is not None:
            verify.same_logits(logits_of(record.output, len(rows)), logits_of(output, len(rows)), mask, self.dtype)
        self._keep_ends(hidden, qkvs, baseline is not None)
        self.row_bytes = max(1, everything.shape[1] * self._bytes_a_row() * len(run))
        slopes, kinked = [], False
        for k, scalar in enumerate(scalars):
            last = k == len(scalars) - 1
            with torch.enable_grad():
                value = scalar(output, rows)
                kinked = kinked or has_kinks(value)
                g = self._rows_of(gradients(value, [leaf], keep_graph=not last)[0], everything.positions)
            slopes.append(self._down(everything, saved, value.detach().double(), g, maps=maps, free=last))
        self._known[kind] = layout
        unpack, tokens = self._packed.unpack, len(self._packed.positions)
        return Endpoints(
            hidden=[unpack(h[:tokens]) for h in hidden],
            reference=None if baseline is None else [unpack(h[tokens:]) for h in hidden],
            logits=z,
            scalars=scalars,
            slopes=slopes,
            kinked=kinked or any(block.activation == "relu" for block in run),
        )

    @torch.no_grad()
    def phi(self, call: Call, ends: Endpoints, points: Sequence[PathPoint]) -> tuple[Tensor, Tensor]:
        """See `Engine.phi`; the points of all layers go in waves that fit the budget."""
        order = sorted(range(len(points)), key=lambda i: (points[i].layer, points[i].row, points[i].node))
        a_row, wave, held, found = self._bytes_a_row(), list[PathPoint](), 0, list[Tensor]()
        for i in [*order, -1]:
            # one block more, for what the block at work takes and lets go of
            passed = 0 if i < 0 else len(self._runner.stack) - points[i].layer + 1
            size = 0 if i < 0 else round(PAGES * a_row * self._packed.lengths[points[i].row] * passed)
            if wave and (i < 0 or held + size > self.budget):
                found.append(self._halving(call, ends.scalars, wave))
                wave, held = [], 0
            wave, held = [*wave, points[i]], held + size
        if not found:
            return torch.zeros(len(ends.scalars), 0, self._packed.shape[1]).double(), torch.zeros(len(ends.scalars), 0)
        back = torch.empty(len(points), dtype=torch.int64)
        back[order] = torch.arange(len(points))
        rows = torch.cat(found, 1).cpu()[:, back]  # the one place that waits for the device
        return rows[..., :-1], rows[..., -1]

    def _halving(self, call: Call, scalars: Targets, points: list[PathPoint]) -> Tensor:
        """One batch; if the device lacks the memory, its two halves, and the budget is halved for later batches."""
        try:
            return self._wave(call, scalars, points)
        except (torch.OutOfMemoryError, RuntimeError) as error:
            short = isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)
            if not short or len(points) == 1:
                raise
        self.budget = max(1, self.budget // 2)
        self._workspace.clear()
        half = len(points) // 2
        return torch.cat([self._halving(call, scalars, part) for part in (points[:half], points[half:])], 1)

    def _wave(self, call: Call, scalars: Targets, points: list[PathPoint]) -> Tensor:
        """phi and F of points in order of their layers, [K,n,T+1]: once up, and down for each scalar."""
        shape = BatchKey.of(points, self._packed)
        table = to_device(points, shape, self._path_ends.offsets.device)
        runner, path_ends = self._runner, self._path_ends
        key = (shape, path_ends.sizes, self._order, runner.first_only)
        forward = self._workspace.forward_graphs(
            key, lambda table: runner.up(shape, table, path_ends), (table,), path_ends
        )
        state: ForwardState = forward.saved
        index = state.inputs
        where = self._packed.where(index, Segments(table[2].long(), shape.lengths))
        output, leaf = self._head(call, forward.out, index, where)
        found = []
        for k, scalar in enumerate(scalars):
            last = k == len(scalars) - 1
            with torch.enable_grad():
                value = scalar(output, index)
                g = self._rows_of(gradients(value, [leaf], keep_graph=not last)[0], where)
            if forward.fixed:
                phi = self._workspace.backward_graphs(
                    key, lambda g: (runner.down(g, state, free=False), None), (g,), state
                ).out
            else:
                phi = runner.down(g, state, free=last)
            phi = self._packed.spread(phi.double(), where, len(points))
            found.append(torch.cat([phi, value.detach().double()[:, None]], 1))
        return torch.stack(found)

    def _up(self, packed: Packed, first: Tensor) -> tuple[list[Tensor], list[Tensor], list[blocks.Saved], Tensor]:
        """The forward pass of whole inputs: block inputs, projections, saved tensors, and the output."""
        segments, x = packed.segments, packed.pack(first)
        hidden, qkvs, saved = [], [], []
        for layer, block in enumerate(self._runner.stack):
            hidden.append(x)
            if self._runner.is_pooled(layer):
                x, saved_block = first_row.forward(block, x, segments, self.backend)
            else:
                qkv, normed = blocks.project(block, x, self.backend)
                qkvs.append(qkv)
                x, saved_block = blocks.forward(block, x, qkv, normed, segments, backend=self.backend)
            saved.append(saved_block)
        return hidden, qkvs, saved, x

    def _down(
        self, packed: Packed, saved: list[blocks.Saved], value: Tensor, g: Tensor, *, maps: MapKind | None, free: bool
    ) -> EndpointGradients:
        """The backward pass of whole inputs: directional derivatives at every block input, and attention maps."""
        batch, tokens, unpack = self._packed.shape[0], len(self._packed.positions), self._packed.unpack
        reads = (g != 0).any(-1)
        if self._runner.first_only:
            marks = reads.new_zeros(len(packed.positions))
            marks[packed.segments.firsts] = reads
            reads = marks
        found: dict[str, list[Tensor]] = {"high": [], "low": [], "product": [], "maps": []}
        slopes = 0 if maps is None or maps == "attention" else batch  # maps that fall off on the way back
        for layer in range(len(self._runner.stack) - 1, -1, -1):
            saved_block = saved.pop() if free else saved[layer]
            g, dmixed, gradient_maps = self._runner.back(layer, g, saved_block, slopes, maps or "gradient")
            if maps is not None:
                found["maps"].append(self._maps(layer, saved_block, dmixed, gradient_maps, maps))
            high_end = self._path_ends.high[layer]
            direction = high_end - self._path_ends.low[layer]
            found["high"].append(unpack(_along(g[:tokens], direction)))
            found["low"].append(unpack(_along(g[tokens:], direction)) if len(g) > tokens else direction.new_zeros(0))
            found["product"].append(unpack(_along(g[:tokens], high_end)))
        high, low, product = (torch.stack(found[name][::-1]).cpu() for name in ("high", "low", "product"))
        propagated = len(value) > batch
        return EndpointGradients(
            value=value[:batch],
            baseline_value=value[batch:] if propagated else None,
            high=high,
            low=low if propagated else None,
            product=product,
            maps=None if maps is None else found["maps"][::-1],
            readout=unpack(reads[:tokens]),
        )

    def _maps(self, layer: int, saved: blocks.Saved, dmixed: Tensor, found: Tensor | None, kind: MapKind) -> Tensor:
        """[B,T,U], zeros at padding."""
        (batch, t), wide = self._packed.shape, torch.promote_types(dmixed.dtype, torch.float32)
        out = dmixed.new_zeros(batch, t, t, dtype=wide)
        for b, tokens in enumerate(self._packed.lengths):
            real = self._packed.places(b)
            if found is None:
                mine = first_row.attention_map(self._runner.stack[layer], saved, b, dmixed, kind)
            elif kind == "attention":
                mine = attention_map(saved.attended, b)
            else:
                mine = found[b, :tokens, :tokens]
            out[b, real[:, None], real] = mine.to(wide)
        return out

    def _head(self, call: Call, out: Tensor, rows: Tensor, where: Tensor) -> tuple[Any, Tensor]:
        """The model's output for segments with the last hidden rows `out`, and the leaf tensor of its graph.

        Args:
            call: the model's arguments.
            out: the rows, or the first row of each segment alone.
            rows: [S] int64, the input that each segment is of.
            where: the places of the rows in [S,T].
        """
        hidden = out[:, None] if self._runner.first_only else self._packed.spread(out, where, len(rows))
        leaf = hidden.detach().to(self.tap.dtype)
        with torch.enable_grad():
            return self.tap.head(_picked(call, rows), leaf.requires_grad_()), leaf

    def _rows_of(self, g: Tensor, where: Tensor) -> Tensor:
        """The gradient of a leaf as the segments' own rows."""
        return (g[:, 0] if self._runner.first_only else g.flatten(0, 1)[where]).to(self.dtype).contiguous()

    def _reader(self, call: Call, scalars: Targets) -> verify.Head:
        """The explained scalars, as a function of the last hidden state."""

        def reads(hidden: Tensor, rows: Tensor) -> Tensor:
            output = self.tap.head(_picked(call, rows), hidden)
            return torch.stack([scalar(output, rows) for scalar in scalars])

        return reads

    def _check(
        self, record: Record | None, ours: list[Tensor], everything: Packed, mask: Tensor, reads: verify.Head
    ) -> None:
        """Hold a first call of its kind against the model's own forward, and every padded one against itself."""
        packed, tokens = self._packed, len(self._packed.positions)
        if record is not None:
            verify.same_outputs(record.hidden, ours, everything)
        if bool(mask.all()):
            return
        if self._runner.first_only and not bool(mask[:, 0].all()):
            raise verify.reads_padding()
        if not self._runner.first_only:
            verify.heeds_padding(reads, packed.unpack(ours[-1][:tokens]).to(self.tap.dtype), mask)

    def _keep_ends(self, hidden: list[Tensor], qkvs: list[Tensor], propagated: bool) -> None:
        tokens = len(self._packed.positions)
        wide = torch.promote_types(self.dtype, torch.float32)  # paths and their sums; the blocks get their own back
        path_ends = PathEndpoints(
            self._packed.offsets,
            tuple((h[tokens:] if propagated else torch.zeros_like(h)).to(wide) for h in hidden),
            tuple(h[:tokens].to(wide) for h in hidden),
            tuple(
                (q[tokens:] if propagated else blocks.project(block, torch.zeros_like(h), self.backend)[0]).to(wide)
                for q, block, h in zip(
                    qkvs, self._runner.stack, hidden, strict=False
                )  # a pooled block has no projection
            ),
            tuple(q[:tokens].to(wide) for q in qkvs),
        )
        self._path_ends = self._workspace.lines(path_ends)

    def _bytes_a_row(self) -> int:
        """Bytes of the saved tensors of one row in one block."""
        return blocks.row_bytes(self._runner.stack[0], self.dtype)


def _first(output: Any, batch: int, rows: int) -> Tensor | None:
    """The logits of the first of all rows, or None where the model returned none."""
    z = logits_of(output, rows)
    return None if z is None else z[:batch].detach()


def _along(slopes: Tensor, directions: Tensor) -> Tensor:
    """<slope, direction> of every row, float64."""
    return (slopes * directions).sum(-1, dtype=torch.float64)


def _picked(call: Call, rows: Tensor) -> dict[str, Any]:
    """The arguments of some rows; pixels, which the head never reads, are not copied."""
    return {
        k: v if not has_rows(v) else v[:1].expand(len(rows), *v.shape[1:]) if v.dim() == 4 else v[rows]
        for k, v in call.items()
    }
