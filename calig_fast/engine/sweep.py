"""The native engine: all layers' path points in one wave, up through the blocks and back down, nothing padded.

Points of layer l join the wave at block l; on the way back each leaves it there. What need not be computed is not: with
a head that reads the first row alone the last block computes that row alone (`first_row`), and in a post-norm block the
first projection of a path is linear in a, so it is interpolated on the way up and never undone on the way down.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from .. import ops
from ..encoder import Block, Encoder, in_dtype
from ..output import gradients, logits_of
from . import block as blocks
from . import first_row, verify
from .attend import attend_vjp, attention_map, computed_in
from .attention import MapKind
from .packed import Packed
from .points import Ends, Point, Resolve, Scalars, Slopes, joined
from .tap import Call, Layout, Record, Tap

# Bytes a wave takes. Half of it costs a ViT-S/14 of 65 tokens 15 % more time, as each wave reads all weights again;
# twice as much gains 2 % (Zen 4, 1 thread).
DEFAULT_BUDGET = 56 * 2**20


class Native:
    """The native engine over one batch.

    Args:
        model: the user's model; not touched.
        encoder: where its blocks are, and how their weights are read.
        dtype: dtype of the blocks, None for the model's own; embeddings and head keep the model's where that is wider.
        memory_budget: bytes a wave may keep, None for 56 MiB.
        backend: backend of the fused operations.
        known: kinds of calls that were held against the model's own forward; this one adds to it.
        prune: compute the last block for the first row alone where the head reads no other.
        linear: interpolate the first projection of a path where it is linear.

    Raises:
        ValueError: the family cannot read the blocks' weights; the message says why.
    """

    name = "native"

    def __init__(
        self,
        model: nn.Module,
        encoder: Encoder,
        dtype: torch.dtype | None,
        memory_budget: int | None,
        backend: str,
        known: dict[Hashable, Layout] | None = None,
        prune: bool = True,
        linear: bool = True,
    ) -> None:
        own = next(model.parameters()).dtype
        self.dtype = own if dtype is None else dtype
        wider = torch.promote_types(own, self.dtype)
        self.tap = Tap(model, encoder, None if wider == own else wider)
        if encoder.read is None:
            raise ValueError(f'the family "{encoder.family}" knows where its blocks are, not their weights')
        self._distinct = [in_dtype(encoder.read(block), self.dtype) for block in self.tap.blocks]
        self.budget = DEFAULT_BUDGET if memory_budget is None else memory_budget
        self.backend = backend
        self.row_bytes = 0
        self._known = {} if known is None else known
        self._prune, self._linear = prune, linear
        self._blocks: list[Block] = []
        self._first_only = False

    @torch.no_grad()
    def ends(
        self,
        call: Call,
        reference: Call | None,
        words: Callable[[Tensor], Tensor] | None,
        resolve: Resolve,
        maps: MapKind | None,
        mask: Tensor | None,
    ) -> Ends:
        """See `Engine.ends`.

        The model's own forward is run where a call is the first of its kind, and the blocks held against it.

        Raises:
            ValueError: what `Tap.record` and `resolve` raise; the model computes something else than its family says.
        """
        batch = next(iter(call.values())).shape[0]
        kind = verify.kind(call, mask)
        record = None if kind in self._known else self.tap.record(call, False)
        layout = self._known.get(kind) or self.tap.layout
        first, guess = self.tap.embed(joined(call, reference), layout, words)
        self._blocks = [self._distinct[i] for i in layout.order]
        mask = first.new_ones(first.shape[:2], dtype=torch.bool)[:batch] if mask is None else mask.to(first.device)
        self._packed = Packed.of(mask)
        everything = self._packed if reference is None else self._packed.twice()
        # which rows the head reads can be told from any hidden state, so before anything is run
        reads = self._reader(call, resolve(_first(guess, batch)))
        self._first_only = self._prune and maps != "attention" and verify.reads_first_alone(reads, first[:1])
        hidden, qkvs, kept, out = self._up(everything, first.to(self.dtype))
        self._check(record, [*hidden[1:], out], mask, reads)
        index = torch.arange(batch, device=first.device)
        rows = index if reference is None else torch.cat([index, index])
        output, leaf = self._head(call, out, rows, everything, range(len(rows)))
        z = _first(output, batch)
        if record is not None:
            verify.same_logits(_first(record.output, batch), z, self.dtype)
        scalars = resolve(z)
        self._keep_ends(hidden, qkvs, reference is not None)
        self.row_bytes = max(1, everything.shape[1] * self._bytes_a_row() * len(self._blocks))
        slopes = []
        for k, scalar in enumerate(scalars):
            last = k == len(scalars) - 1
            with torch.enable_grad():
                value = scalar(output, rows)
                g = self._rows_of(gradients(value, [leaf], keep_graph=not last)[0], everything, range(len(rows)))
            slopes.append(self._down(everything, kept, value.detach().double(), g, maps, free=last))
        self._known[kind] = layout
        unpack, tokens = self._packed.unpack, len(self._packed.positions)
        return Ends(
            hidden=[unpack(h[:tokens]) for h in hidden],
            reference=None if reference is None else [unpack(h[tokens:]) for h in hidden],
            logits=z,
            scalars=scalars,
            slopes=slopes,
        )

    @torch.no_grad()
    def phi(self, call: Call, ends: Ends, points: Sequence[Point]) -> tuple[Tensor, Tensor]:
        """See `Engine.phi`; the points of all layers go in waves that fit the budget."""
        order = sorted(range(len(points)), key=lambda i: (points[i].layer, points[i].row, points[i].node))
        rows = torch.zeros(len(ends.scalars), len(points), self._packed.shape[1], dtype=torch.float64)
        values = torch.zeros(len(ends.scalars), len(points), dtype=torch.float64)
        a_row, wave, held = self._bytes_a_row(), list[int](), 0
        for i in [*order, -1]:
            # one block more, for what the block at work takes and lets go of
            passed = 0 if i < 0 else len(self._blocks) - points[i].layer + 1
            size = 0 if i < 0 else a_row * self._packed.lengths[points[i].row] * passed
            if wave and (i < 0 or held + size > self.budget):
                rows[:, wave], values[:, wave] = self._halving(call, ends.scalars, [points[k] for k in wave])
                wave, held = [], 0
            wave, held = [*wave, i], held + size
        return rows, values

    def _halving(self, call: Call, scalars: Scalars, points: list[Point]) -> tuple[Tensor, Tensor]:
        """A wave; where the device has no memory for it, its halves, and the budget is halved for what comes."""
        try:
            return self._wave(call, scalars, points)
        except (torch.OutOfMemoryError, RuntimeError) as error:
            short = isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)
            if not short or len(points) == 1:
                raise
        self.budget = max(1, self.budget // 2)
        half = len(points) // 2
        parts = self._halving(call, scalars, points[:half]), self._halving(call, scalars, points[half:])
        return torch.cat([p[0] for p in parts], 1), torch.cat([p[1] for p in parts], 1)

    def _wave(self, call: Call, scalars: Scalars, points: list[Point]) -> tuple[Tensor, Tensor]:
        """phi [K,n,T] and F [K,n] of points in order of their layers: once up, and down for each scalar."""
        lowest, top = points[0].layer, len(self._blocks) - 1
        inputs = [p.row for p in points]
        x, kept = None, list[blocks.Kept]()
        for layer in range(lowest, top + 1):
            here = [p for p in points if p.layer == layer]
            active = inputs[: sum(p.layer <= layer for p in points)]
            x, keep = self._climb(layer, x, here, active)
            kept.append(keep)
        if x is None:
            raise RuntimeError("a wave without blocks")
        index = torch.tensor(inputs, device=x.device)
        output, leaf = self._head(call, x, index, self._packed, inputs)
        phis, values = [], []
        for k, scalar in enumerate(scalars):
            last = k == len(scalars) - 1
            with torch.enable_grad():
                value = scalar(output, index)
                g = self._rows_of(gradients(value, [leaf], keep_graph=not last)[0], self._packed, inputs)
            found: list[Tensor] = []
            for layer in range(top, lowest - 1, -1):
                keep = kept.pop() if last else kept[layer - lowest]
                g, phi = self._leave(layer, g, keep, [p for p in points if p.layer <= layer])
                found.append(phi)
            phis.append(self._packed.scatter(inputs, torch.cat(found[::-1])).double().cpu())
            values.append(value.detach().double().cpu())
        return torch.stack(phis), torch.stack(values)

    def _climb(
        self, layer: int, x: Tensor | None, here: list[Point], active: Sequence[int]
    ) -> tuple[Tensor, blocks.Kept]:
        """Through block `layer`: the rows from below with the new points, of the inputs `active` in all."""
        block, runs = self._blocks[layer], self._packed.runs(active)
        new = [self._path(self._low[layer], self._high[layer], here)] if here else []
        rows = torch.cat([*([] if x is None else [x]), *new]) if x is None or new else x
        if self._is_pooled(layer):
            return first_row.forward(block, rows, runs, self._packed.firsts(active))
        if block.pre_norm or not self._linear or not here:
            qkv, normed = blocks.project(block, rows)
            return blocks.forward(block, rows, qkv, normed, runs)
        qkv = self._path(self._qkv_low[layer], self._qkv_high[layer], here)
        if x is not None:
            qkv = torch.cat([blocks.project(block, x)[0], qkv])
        return blocks.forward(block, rows, qkv, None, runs)

    def _is_pooled(self, layer: int) -> bool:
        return self._first_only and layer == len(self._blocks) - 1

    def _path(self, low: Tensor, high: Tensor, points: list[Point]) -> Tensor:
        index, nodes = self._places(points, high.device)
        found = ops.interpolate_path(low, high, self._packed.offsets, index, nodes, backend=self.backend)
        return found.to(self.dtype)

    def _integrand(self, gradients: list[Tensor], directions: list[Tensor], points: list[Point]) -> Tensor:
        """phi of the rows of some points: gradients times directions, summed over the width."""
        index, nodes = self._places(points, directions[0].device)
        wide = [g.to(d.dtype) for g, d in zip(gradients, directions, strict=True)]
        return ops.accumulate_gradients(
            wide, directions, self._packed.offsets, index, torch.ones_like(nodes), backend=self.backend
        )[0]

    def _leave(self, layer: int, g: Tensor, kept: blocks.Kept, points: list[Point]) -> tuple[Tensor, Tensor]:
        """Down through block `layer`: the gradient for those that go on, and phi of the points that end here."""
        block = self._blocks[layer]
        here = [p for p in points if p.layer == layer]
        on = len(points) - len(here)
        split = sum(self._packed.lengths[p.row] for p in points[:on])
        direction = self._high[layer] - self._low[layer]
        if self._is_pooled(layer) or block.pre_norm or not self._linear:
            if self._is_pooled(layer):
                below = first_row.vjp(block, g, kept, self.backend)[0]
            else:
                residual, dmixed = blocks.vjp(block, g, kept, self.backend)
                below = blocks.pull(block, residual, attend_vjp(dmixed, kept.attended), kept, self.backend)
            phi = self._integrand([below[split:]], [direction], here) if here else below.new_zeros(0)
            return below[:split], phi
        residual, dmixed = blocks.vjp(block, g, kept, self.backend)
        dqkv = attend_vjp(dmixed, kept.attended)
        below = g.new_zeros(0)
        if on:
            below = blocks.pull(block, residual[:split], dqkv[:split], kept, self.backend)
        if not here:
            return below, g.new_zeros(0)
        # the projection is not undone: <dqkv W, h - h'> = <dqkv, W (h - h')>, and W (h - h') is known
        projected = self._qkv_high[layer] - self._qkv_low[layer]
        return below, self._integrand([residual[split:], dqkv[split:]], [direction, projected], here)

    def _places(self, points: list[Point], device: torch.device) -> tuple[Tensor, Tensor]:
        index = torch.tensor([p.row for p in points], dtype=torch.int64, device=device)
        return index, torch.tensor([p.node for p in points], dtype=torch.float64, device=device)

    def _up(self, packed: Packed, first: Tensor) -> tuple[list[Tensor], list[Tensor], list[blocks.Kept], Tensor]:
        """Whole inputs up through all blocks: block inputs, projections, what the way back needs, and the output."""
        everyone = range(packed.shape[0])
        runs, x = packed.runs(everyone), packed.pack(first)
        hidden, qkvs, kept = [], [], []
        for layer, block in enumerate(self._blocks):
            hidden.append(x)
            if self._is_pooled(layer):
                x, keep = first_row.forward(block, x, runs, packed.firsts(everyone))
            else:
                qkv, normed = blocks.project(block, x)
                qkvs.append(qkv)
                x, keep = blocks.forward(block, x, qkv, normed, runs)
            kept.append(keep)
        return hidden, qkvs, kept, x

    def _down(
        self, packed: Packed, kept: list[blocks.Kept], value: Tensor, g: Tensor, maps: MapKind | None, free: bool
    ) -> Slopes:
        """Whole inputs back down: what the slopes at every block input say, and the attention maps of the inputs."""
        batch, tokens, unpack = self._packed.shape[0], len(self._packed.positions), self._packed.unpack
        reads = (g != 0).any(-1)
        if self._first_only:
            marks = reads.new_zeros(len(packed.positions))
            marks[packed.firsts(range(packed.shape[0]))] = reads
            reads = marks
        found: dict[str, list[Tensor]] = {"high": [], "low": [], "product": [], "maps": []}
        for layer in range(len(self._blocks) - 1, -1, -1):
            block, keep = self._blocks[layer], kept.pop() if free else kept[layer]
            if self._is_pooled(layer):
                g, dmixed = first_row.vjp(block, g, keep, self.backend)
            else:
                residual, dmixed = blocks.vjp(block, g, keep, self.backend)
                g = blocks.pull(block, residual, attend_vjp(dmixed, keep.attended), keep, self.backend)
            if maps is not None:
                found["maps"].append(self._maps(layer, keep, dmixed, maps, batch))
            direction = self._high[layer] - self._low[layer]
            found["high"].append(unpack(_along(g[:tokens], direction)))
            found["low"].append(unpack(_along(g[tokens:], direction)) if len(g) > tokens else direction.new_zeros(0))
            found["product"].append(unpack(_along(g[:tokens], self._high[layer])))
        high, low, product = (torch.stack(found[name][::-1]).cpu() for name in ("high", "low", "product"))
        propagated = len(value) > batch
        return Slopes(
            value=value[:batch],
            low_value=value[batch:] if propagated else None,
            high=high,
            low=low if propagated else None,
            product=product,
            maps=None if maps is None else found["maps"][::-1],
            readout=unpack(reads[:tokens]),
        )

    def _maps(self, layer: int, kept: blocks.Kept, dmixed: Tensor, kind: MapKind, batch: int) -> Tensor:
        """[B,T,U], zeros at padding."""
        t = self._packed.shape[1]
        out = dmixed.new_zeros(batch, t, t, dtype=torch.promote_types(dmixed.dtype, torch.float32))
        for b in range(batch):
            real = self._packed.places(b)
            if self._is_pooled(layer):
                found = first_row.attention_map(self._blocks[layer], kept, b, dmixed, kind)
            else:
                found = attention_map(kept.attended, b, dmixed, kind)
            out[b, real[:, None], real] = found.to(out.dtype)
        return out

    def _head(self, call: Call, out: Tensor, rows: Tensor, packed: Packed, inputs: Sequence[int]) -> tuple[Any, Tensor]:
        """What the model makes of segments whose last hidden rows are `out`, and the leaf it was made from."""
        leaf = (out[:, None] if self._first_only else packed.scatter(inputs, out)).detach().to(self.tap.dtype)
        with torch.enable_grad():
            return self.tap.head(_picked(call, rows), leaf.requires_grad_()), leaf

    def _rows_of(self, g: Tensor, packed: Packed, inputs: Sequence[int]) -> Tensor:
        """The gradient of a leaf as the segments' own rows."""
        if self._first_only:
            return g[:, 0].to(self.dtype).contiguous()
        marks = torch.zeros(packed.shape, dtype=torch.bool, device=g.device)
        marks.view(-1)[packed.positions] = True
        return g[marks[list(inputs)]].to(self.dtype)

    def _reader(self, call: Call, scalars: Scalars) -> verify.Head:
        """What is explained, as a function of the last hidden state."""

        def reads(hidden: Tensor, rows: Tensor) -> Tensor:
            output = self.tap.head(_picked(call, rows), hidden)
            return torch.stack([scalar(output, rows) for scalar in scalars])

        return reads

    def _check(self, record: Record | None, ours: list[Tensor], mask: Tensor, reads: verify.Head) -> None:
        """Hold a first call of its kind against the model's own forward, and every padded one against itself."""
        packed, tokens = self._packed, len(self._packed.positions)
        first = ours[-1][: packed.shape[0]] if self._first_only else ours[-1][:tokens]
        if record is not None:
            verify.same_outputs(record.hidden[1:], [*(h[:tokens] for h in ours[:-1]), first], packed)
        if bool(mask.all()):
            return
        if self._first_only and not bool(mask[:, 0].all()):
            raise verify.reads_padding()
        if not self._first_only:
            verify.heeds_padding(reads, packed.unpack(first).to(self.tap.dtype), mask)

    def _keep_ends(self, hidden: list[Tensor], qkvs: list[Tensor], propagated: bool) -> None:
        tokens = len(self._packed.positions)
        wide = torch.promote_types(self.dtype, torch.float32)  # paths and their sums; the blocks get their own back
        self._high = [h[:tokens].to(wide) for h in hidden]
        self._low = [h[tokens:].to(wide) if propagated else torch.zeros_like(h).to(wide) for h in hidden]
        self._qkv_high = [q[:tokens].to(wide) for q in qkvs]
        self._qkv_low = [
            q[tokens:].to(wide) if propagated else blocks.project(block, torch.zeros_like(h))[0].to(wide)
            for q, block, h in zip(qkvs, self._blocks, hidden, strict=False)  # a pooled last block has no projection
        ]

    def _bytes_a_row(self) -> int:
        """Bytes that one row leaves in one block for its way back."""
        block = self._blocks[0]
        weight, inner = block.qkv.weight, block.up.weight.shape[0]
        attended = computed_in(self.dtype, weight.device).itemsize * len(weight) * 4 // 3  # q, k, v and what they made
        return (2 * weight.shape[1] + inner) * self.dtype.itemsize + attended


def _first(output: Any, batch: int) -> Tensor | None:
    """The logits of the first rows, or None where the model returned none."""
    z = logits_of(output)
    return None if z is None else z[:batch].detach()


def _along(slopes: Tensor, directions: Tensor) -> Tensor:
    """<slope, direction> of every row, float64."""
    return (slopes * directions).sum(-1, dtype=torch.float64)


def _picked(call: Call, rows: Tensor) -> dict[str, Tensor]:
    """The arguments of some rows; pixels, which the head never reads, are not copied."""
    one = {k: v[:1].expand(len(rows), *v.shape[1:]) for k, v in call.items() if v.dim() == 4}
    return {**{k: v[rows] for k, v in call.items() if v.dim() != 4}, **one}
