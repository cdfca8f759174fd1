"""The native engine: all layers' path points in one wave, up through the blocks and back down, nothing padded.

Points of layer l join the wave at block l; on the way back each leaves it there. What need not be computed is not: with
a head that reads the first row alone the last block computes that row alone (`first_row`), and in a post-norm block the
first projection of a path is linear in a, so it is interpolated on the way up and never undone on the way down.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from .. import ops
from ..encoder import Block, Encoder
from ..output import Scalar, gradients, logits_of
from . import block as blocks
from . import first_row
from .attend import attend_vjp, attention_map
from .attention import MapKind
from .packed import Packed
from .points import Ends, Point
from .tap import Call, Tap

DEFAULT_BUDGET = 128 * 2**20  # bytes a wave keeps for its way back


class ReadsPaddingError(ValueError):
    """The explained scalar depends on hidden rows at padding."""


class Native:
    """The native engine over one batch.

    Args:
        model: the user's model; not touched.
        encoder: where its blocks are, and how their weights are read.
        dtype: dtype to run in, None for the model's own.
        memory_budget: bytes a wave may keep, None for 128 MiB.
        backend: backend of the fused operations.
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
        prune: bool = True,
        linear: bool = True,
    ) -> None:
        self.tap = Tap(model, encoder, dtype)
        if encoder.read is None:
            raise ValueError(f'the family "{encoder.family}" knows where its blocks are, not their weights')
        self._distinct = [encoder.read(block) for block in self.tap.blocks]
        self.budget = DEFAULT_BUDGET if memory_budget is None else memory_budget
        self.backend = backend
        self.row_bytes = 0
        self._prune, self._linear = prune, linear
        self._blocks: list[Block] = []
        self._first_only = False

    @torch.no_grad()
    def ends(
        self,
        call: Call,
        reference: Call | None,
        words: Callable[[Tensor], Tensor] | None,
        resolve: Callable[[Any], Scalar],
        maps: MapKind | None,
        mask: Tensor | None,
    ) -> tuple[Ends, Scalar]:
        """See `Engine.ends`.

        Raises:
            ValueError: what `Tap.record` and `resolve` raise; the model computes something else than its family says.
        """
        batch = next(iter(call.values())).shape[0]
        both = call if reference is None else {k: torch.cat([v, reference[k]]) for k, v in call.items()}
        record = self.tap.record(both, False, words)
        self._blocks = [self._distinct[i] for i in self.tap.order]
        z = logits_of(record.output)
        scalar = resolve(None if z is None else z[:batch])
        first = record.hidden[0]
        mask = torch.ones(first.shape[:2], dtype=torch.bool, device=first.device)[:batch] if mask is None else mask
        self._packed = Packed.of(mask.to(first.device))
        everything = self._packed if reference is None else self._packed.twice()
        self._first_only = self._prune and maps != "attention" and self._reads_first_alone(call, scalar, first)
        hidden, qkvs, kept, out = self._up(everything, first)
        self._check(record.hidden, [*hidden, out], everything)
        index = torch.arange(batch, device=first.device)
        rows = index if reference is None else torch.cat([index, index])
        value, g = self._head(both, scalar, out, rows, everything, range(len(rows)))
        self._check_head(scalar(record.output, rows), value)
        slopes, found, readout = self._down(everything, kept, g, maps, batch)
        self._keep_ends(hidden, qkvs, reference is not None)
        self.row_bytes = max(1, everything.shape[1] * self._bytes_a_row() * len(self._blocks))
        tokens = len(self._packed.positions)
        halves = [torch.split(h, tokens) for h in hidden], [torch.split(s, tokens) for s in slopes]
        unpack = self._packed.unpack
        ends = Ends(
            hidden=[unpack(h[0]) for h in halves[0]],
            reference=None if reference is None else [unpack(h[1]) for h in halves[0]],
            slopes=[unpack(s[0]) for s in halves[1]],
            reference_slopes=None if reference is None else [unpack(s[1]) for s in halves[1]],
            value=value[:batch].double(),
            reference_value=None if reference is None else value[batch:].double(),
            maps=found,
            readout=readout,
            logits=None if z is None else z[:batch],
        )
        return ends, scalar

    @torch.no_grad()
    def phi(self, call: Call, scalar: Scalar, ends: Ends, points: Sequence[Point]) -> tuple[Tensor, Tensor]:
        """See `Engine.phi`; the points of all layers go in waves that fit the budget."""
        order = sorted(range(len(points)), key=lambda i: (points[i].layer, points[i].row, points[i].node))
        rows = torch.zeros(len(points), self._packed.shape[1], dtype=torch.float64)
        values = torch.zeros(len(points), dtype=torch.float64)
        a_row, wave, held = self._bytes_a_row(), list[int](), 0
        for i in [*order, -1]:
            size = 0 if i < 0 else a_row * self._packed.lengths[points[i].row] * (len(self._blocks) - points[i].layer)
            if wave and (i < 0 or held + size > self.budget):
                rows[wave], values[wave] = self._halving(call, scalar, [points[k] for k in wave])
                wave, held = [], 0
            wave, held = [*wave, i], held + size
        return rows, values

    def _halving(self, call: Call, scalar: Scalar, points: list[Point]) -> tuple[Tensor, Tensor]:
        """A wave; where the device has no memory for it, its halves, and the budget is halved for what comes."""
        try:
            return self._wave(call, scalar, points)
        except (torch.OutOfMemoryError, RuntimeError) as error:
            short = isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)
            if not short or len(points) == 1:
                raise
        self.budget = max(1, self.budget // 2)
        half = len(points) // 2
        parts = self._halving(call, scalar, points[:half]), self._halving(call, scalar, points[half:])
        return torch.cat([p[0] for p in parts]), torch.cat([p[1] for p in parts])

    def _wave(self, call: Call, scalar: Scalar, points: list[Point]) -> tuple[Tensor, Tensor]:
        """phi [n,T] and F [n] of points in order of their layers."""
        lowest, last = points[0].layer, len(self._blocks) - 1
        inputs = [p.row for p in points]
        x, kept = None, []
        for layer in range(lowest, last + 1):
            here = [p for p in points if p.layer == layer]
            active = inputs[: sum(p.layer <= layer for p in points)]
            x, keep = self._climb(layer, x, here, active)
            kept.append(keep)
        if x is None:
            raise RuntimeError("a wave without blocks")
        index = torch.tensor(inputs, device=x.device)
        value, g = self._head(call, scalar, x, index, self._packed, inputs)
        phis: list[Tensor] = []
        for layer in range(last, lowest - 1, -1):
            g, phi = self._leave(layer, g, kept.pop(), [p for p in points if p.layer <= layer])
            phis.append(phi)
        phis.reverse()
        return self._packed.scatter(inputs, torch.cat(phis)).double().cpu(), value.double().cpu()

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
        return found.to(self.tap.dtype)

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
                below = first_row.vjp(block, g, kept)[0]
            else:
                residual, dmixed = blocks.vjp(block, g, kept)
                below = blocks.pull(block, residual, attend_vjp(dmixed, kept.attended), kept)
            phi = self._integrand([below[split:]], [direction], here) if here else below.new_zeros(0)
            return below[:split], phi
        residual, dmixed = blocks.vjp(block, g, kept)
        dqkv = attend_vjp(dmixed, kept.attended)
        below = g.new_zeros(0)
        if on:
            dq, dk, dv = (d[:split] for d in dqkv)
            below = blocks.pull(block, residual[:split], (dq, dk, dv), kept)
        if not here:
            return below, g.new_zeros(0)
        # the projection is not undone: <dqkv W, h - h'> = <dqkv, W (h - h')>, and W (h - h') is known
        projected = self._qkv_high[layer] - self._qkv_low[layer]
        gradients = [residual[split:], torch.cat([d[split:] for d in dqkv], 1)]
        return below, self._integrand(gradients, [direction, projected], here)

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
        self, packed: Packed, kept: list[blocks.Kept], g: Tensor, maps: MapKind | None, batch: int
    ) -> tuple[list[Tensor], list[Tensor] | None, Tensor]:
        """Whole inputs back down: slopes at every block input, attention maps of the inputs, rows the head reads."""
        everyone = range(packed.shape[0])
        slopes: list[Tensor] = []
        found: list[Tensor] = []
        reads = (g != 0).any(-1)
        if self._first_only:
            marks = reads.new_zeros(len(packed.positions))
            marks[packed.firsts(everyone)] = reads
            reads = marks
        readout = packed.unpack(reads)[:batch]
        for layer in range(len(self._blocks) - 1, -1, -1):
            block, keep = self._blocks[layer], kept[layer]
            if self._is_pooled(layer):
                g, dmixed = first_row.vjp(block, g, keep)
            else:
                residual, dmixed = blocks.vjp(block, g, keep)
                g = blocks.pull(block, residual, attend_vjp(dmixed, keep.attended), keep)
            if maps is not None:
                found.append(self._maps(layer, keep, dmixed, maps, batch))
            slopes.append(g)
        return slopes[::-1], found[::-1] if maps is not None else None, readout

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

    def _head(
        self, call: Call, scalar: Scalar, out: Tensor, rows: Tensor, packed: Packed, inputs: Sequence[int]
    ) -> tuple[Tensor, Tensor]:
        """F [S] of segments whose last hidden rows are `out`, and its gradient to those rows."""
        leaf = (out[:, None] if self._first_only else packed.scatter(inputs, out)).detach()
        with torch.enable_grad():
            leaf = leaf.requires_grad_()
            value = scalar(self.tap.head(self._picked(call, rows), leaf), rows)
            g = gradients(value, [leaf])[0]
        if self._first_only:
            return value.detach(), g[:, 0].contiguous()
        lengths = [packed.lengths[b] for b in inputs]
        return value.detach(), _gathered(g, packed, inputs, sum(lengths))

    def _picked(self, call: Call, rows: Tensor) -> dict[str, Tensor]:
        """The arguments of some rows; pixels, which the head never reads, are not copied."""
        one = {k: v[:1].expand(len(rows), *v.shape[1:]) for k, v in call.items() if v.dim() == 4}
        return {**{k: v[rows] for k, v in call.items() if v.dim() != 4}, **one}

    def _reads_first_alone(self, call: Call, scalar: Scalar, hidden: Tensor) -> bool:
        """Whether F depends on the first row of the last hidden state alone: with NaN in the others it is as before."""
        row = torch.zeros(1, dtype=torch.int64, device=hidden.device)
        picked = self._picked(call, row)
        poisoned = hidden[:1].clone()
        poisoned[:, 1:] = torch.nan
        if hidden.shape[1] > 1 and not bool(torch.isfinite(scalar(self.tap.head(picked, poisoned), row)).all()):
            return False
        whole = scalar(self.tap.head(picked, hidden[:1]), row)
        return bool(torch.equal(scalar(self.tap.head(picked, hidden[:1, :1]), row), whole))

    def _check(self, models: list[Tensor], ours: list[Tensor], packed: Packed) -> None:
        """Hold the block outputs against the model's own."""
        for layer, (theirs, mine) in enumerate(zip(models[1:], ours[1:], strict=True)):
            wanted = packed.pack(theirs)
            if mine.shape != wanted.shape:
                wanted = wanted[packed.firsts(range(packed.shape[0]))]
            size = wanted.float().norm()
            error = (wanted.float() - mine.float()).norm() / size if size > 0 else size
            if not float(error) <= _agreement(mine.dtype):
                raise ValueError(
                    f"model: from the output of block {layer} on it computes something else than its family says "
                    f'(relative difference {float(error):.1e}); use engine="reference", and report the model'
                )

    def _check_head(self, models: Tensor, ours: Tensor) -> None:
        """Hold F against the model's own: it differs where the head reads rows of padding, which are not here."""
        size = models.float().abs().max().clamp_min(1e-6)
        if not float((models.float() - ours.float()).abs().max() / size) <= _agreement(ours.dtype):
            raise ReadsPaddingError(
                "model: its head reads rows of padding (left padding, or pooling that does not heed the mask), which "
                'the native engine leaves out; use engine="reference"'
            )

    def _keep_ends(self, hidden: list[Tensor], qkvs: list[Tensor], propagated: bool) -> None:
        tokens = len(self._packed.positions)
        # float16 has too small a range for sums over tokens; the blocks get it back
        wide = torch.float32 if self.tap.dtype == torch.float16 else self.tap.dtype
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
        width, inner = block.qkv.weight.shape[1], block.up.weight.shape[0]
        return (3 * width + inner + 2 * len(block.qkv.weight)) * block.qkv.weight.element_size()


def _agreement(dtype: torch.dtype) -> float:
    """Largest relative difference between a model's output and ours; models run softmax in float32 at best."""
    return max(1e-6, min(0.1, 100 * torch.finfo(dtype).eps))


def _gathered(values: Tensor, packed: Packed, inputs: Sequence[int], rows: int) -> Tensor:
    """The inverse of `Packed.scatter`: [S,T,D] to the segments' own rows [rows,D]."""
    marks = torch.zeros(packed.shape[0], packed.shape[1], dtype=torch.bool, device=values.device)
    marks.view(-1)[packed.positions] = True
    picked = values[marks[list(inputs)]]
    if len(picked) != rows:
        raise RuntimeError("rows and segments disagree")
    return picked
