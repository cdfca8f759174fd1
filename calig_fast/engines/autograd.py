"""The autograd engine: autograd through the user's own modules, one layer's path at a time.

Faster engines are compared with it, and it explains models that no family knows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from .. import ops
from ..inputs.target import Target, gradients, logits_of
from ..model.attention_capture import MapKind, Plain
from ..model.call import Call, row_count, rows_of
from ..model.dataflow import bypassed_layers, has_kinks
from ..model.encoder import Encoder
from ..model.instrumented import InstrumentedModel, Record
from .base import EndpointGradients, Endpoints, PathPoint, Problem, tokenwise_dot
from .budget import default_budget
from .entry import check_entry, differs

DEFAULT_BUDGET = 512 * 2**20


class AutogradEngine:
    """The autograd engine over one batch.

    Args:
        model: the user's model; not touched.
        encoder: where its blocks are.
        dtype: dtype to run in, None for the model's own.
        memory_budget: bytes that the graph of one wave of path points may hold, None for
            `default_budget`'s, 512 MiB on a CPU.
        backend: backend of the fused operations.
        hooks: run the forward hooks that the user put on the model.
    """

    name = "autograd"

    def __init__(
        self,
        model: nn.Module,
        encoder: Encoder,
        *,
        dtype: torch.dtype | None,
        memory_budget: int | None,
        backend: str,
        hooks: bool = True,
    ) -> None:
        self.tap = InstrumentedModel(model, encoder, dtype, hooks=hooks)
        device = next(self.tap.model.parameters()).device
        self.budget = default_budget(device, DEFAULT_BUDGET) if memory_budget is None else memory_budget
        self.backend = backend
        self.row_bytes = 0
        self._grouped = any(isinstance(m, nn.Conv2d | nn.Conv1d) and m.groups > 1 for m in self.tap.model.modules())
        self._weights = {
            t.untyped_storage().data_ptr() for t in (*self.tap.model.parameters(), *self.tap.model.buffers())
        }

    def ends(self, problem: Problem) -> Endpoints:
        """See `Engine.ends`; padding is the model's own affair here, so the mask is not needed.

        Raises:
            ValueError: what `InstrumentedModel.record` and `resolve` raise; no gradient reaches the blocks; the model
                entered at a block with its own hidden state gives another answer.
        """
        batch = row_count(problem.call)
        saved: dict[int, int] = {}

        def pack(t: Tensor) -> Tensor:
            storage = t.untyped_storage()
            if storage.data_ptr() not in self._weights:
                saved[storage.data_ptr()] = storage.nbytes()
            return t

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
            both, replacement = problem.both()
            if problem.baseline is None and problem.ids and problem.mask is not None:
                self.tap.learn_axes(problem.call, problem.ids, problem.mask)
            record = self.tap.record(both, problem.maps is not None, replacement, problem.changed)
            z = logits_of(record.output, len(record.hidden[0]))
            z = None if z is None else z[:batch].detach()
            scalars = problem.resolve(z)
            index = torch.arange(batch, device=record.hidden[0].device)
            rows = index if problem.baseline is None else torch.cat([index, index])
            values = [scalar(record.output, rows) for scalar in scalars]
        self.row_bytes = max(1, sum(saved.values()) // max(1, len(rows)))
        hidden = [h[:batch].detach() for h in record.hidden[:-1]]
        low = None if problem.baseline is None else [h[batch:].detach() for h in record.hidden[:-1]]
        bypassed = [bypassed_layers(value, record.hidden[:-1]) for value in values]
        kinked = any(has_kinks(value) for value in values)
        slopes = [
            _slopes(record, value, hidden, low, maps=problem.maps, keep_graph=k < len(values) - 1)
            for k, value in enumerate(values)
        ]
        record = Record(hidden=[], made=record.made, rows=record.rows)
        found = Endpoints(hidden, low, z, scalars, slopes, kinked, record)
        outside = self._outside(problem.call, found)
        everywhere = frozenset(range(len(hidden)))
        marked = [
            replace(one, bypassed=everywhere if past else inside)
            for one, inside, past in zip(slopes, bypassed, outside, strict=True)
        ]
        return replace(found, slopes=marked)

    @torch.no_grad()
    def _outside(self, call: Call, ends: Endpoints) -> list[bool]:
        """For each scalar, True where F entered at block 0 with h'_0 is not F(x'): the blocks do not carry it all.

        Raises:
            ValueError: entered with the input's own hidden state, F is not F(x).
        """
        batch, last = len(ends.hidden[0]), ends.layers - 1
        index = torch.arange(batch, device=ends.hidden[0].device)
        outputs = [(last, self._entered(call, ends, last, index, ends.hidden[last]))] if last else []
        states = [ends.hidden[0], *([] if ends.reference is None else [ends.reference[0]])]
        twice = index.repeat(len(states))
        output = self._entered(call, ends, 0, twice, torch.cat(states))
        found = []
        for scalar, slopes in zip(ends.scalars, ends.slopes, strict=True):
            values = scalar(output, twice).double()
            check_entry(0, values[:batch], slopes.value, self.dtype)
            for layer, entered in outputs:
                check_entry(layer, scalar(entered, index).double(), slopes.value, self.dtype)
            base = slopes.baseline_value
            found.append(base is not None and differs(values[batch:], base, self.dtype))
        return found

    def _entered(self, call: Call, ends: Endpoints, layer: int, index: Tensor, hidden: Tensor) -> Any:
        """The model's output for the inputs `index` [n] when block `layer` receives `hidden` [n,T,D]."""
        if ends.record is None:
            raise RuntimeError("end points without a record of the blocks' outputs")
        return self.tap.run(rows_of(call, index), layer, hidden, (ends.record, index))

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of the model."""
        return self.tap.dtype

    def phi(self, call: Call, ends: Endpoints, points: Sequence[PathPoint]) -> tuple[Tensor, Tensor]:
        """See `Engine.phi`; the points of each layer are run from its block on, a wave at a time."""
        rows = torch.zeros(len(ends.scalars), len(points), ends.hidden[0].shape[1], dtype=torch.float64)
        values = torch.zeros(len(ends.scalars), len(points), dtype=torch.float64)
        for layer in {p.layer for p in points}:
            mine = [i for i, p in enumerate(points) if p.layer == layer]
            share = max(0.1, 1 - layer / self.tap.depth)
            wave = max(1, int(self.budget / (self.row_bytes * share)))
            for start in range(0, len(mine), wave):
                part = mine[start : start + wave]
                phi, value = self._halving(call, ends, layer, [points[i] for i in part])
                rows[:, part], values[:, part] = phi.cpu(), value.cpu()
        return rows, values

    def _halving(self, call: Call, ends: Endpoints, layer: int, points: Sequence[PathPoint]) -> tuple[Tensor, Tensor]:
        """Points of one layer; half as many at a time where the model or the device does not take so many rows."""
        try:
            return self._along_layer(call, ends, layer, points)
        except RuntimeError:  # a cache of a fixed size, or no memory left
            if len(points) == 1:
                raise
        half = len(points) // 2
        parts = [self._halving(call, ends, layer, some) for some in (points[:half], points[half:])]
        return torch.cat([phi for phi, _ in parts], 1), torch.cat([value for _, value in parts], 1)

    def _along_layer(
        self, call: Call, ends: Endpoints, layer: int, points: Sequence[PathPoint]
    ) -> tuple[Tensor, Tensor]:
        """phi [K,n,T] and F [K,n] at points of one layer's paths."""
        high, count = ends.hidden[layer], len(points)
        low = torch.zeros_like(high) if ends.reference is None else ends.reference[layer]
        if high.dtype == torch.float16:  # its range is too small for sums over tokens; the blocks get it back
            low, high = low.float(), high.float()
        tokens, width = high.shape[1:]
        offsets = torch.arange(high.shape[0] + 1, device=high.device) * tokens
        # the backward pass of a grouped convolution over one row alone is wrong in PyTorch 2.14 on a CPU
        points = [*points, *points] if count == 1 and self._grouped else points
        index = torch.tensor([p.row for p in points], device=high.device)
        a = torch.tensor([p.node for p in points], device=high.device, dtype=torch.float64)
        path = ops.interpolate_path(
            low.reshape(-1, width), high.reshape(-1, width), offsets, index, a, backend=self.backend
        )
        leaf = path.view(len(index), tokens, width).to(self.tap.dtype).requires_grad_()
        output = self._entered(call, ends, layer, index, leaf)
        direction = (high - low).reshape(-1, width)
        phis, values = [], []
        for k, scalar in enumerate(ends.scalars):
            value = scalar(output, index)
            found = gradients(value, [leaf], keep_graph=k < len(ends.scalars) - 1)[0]
            slope = found.reshape(-1, width).to(high.dtype)
            phi, _, _ = ops.accumulate_gradients(
                [slope], [direction], offsets, index, torch.ones_like(a), backend=self.backend
            )
            phis.append(phi.view(len(index), tokens).double())
            values.append(value.detach().double())
        return torch.stack(phis)[:, :count], torch.stack(values)[:, :count]

    def along_input(
        self, call: Call, scalar: Target, low: Tensor, high: Tensor, points: Sequence[tuple[int, float]]
    ) -> Tensor:
        """phi of every layer at points of the path in embedding space.

        phi_l[t] = <dF/dh_l[t], dh_l[t]/da>, h_l being what block l receives when block 0 receives h' + a (h - h').

        Args:
            call: the model's arguments, B rows.
            scalar: F.
            low: h'_0 [B,T,D].
            high: h_0 [B,T,D].
            points: (input, a) of each point.

        Returns:
            [L,n,T] float64.
        """
        index = torch.tensor([row for row, _ in points], device=high.device)
        a = torch.tensor([node for _, node in points], device=high.device, dtype=high.dtype)[:, None, None]
        direction = (high - low)[index]
        point = (low[index] + a * direction).requires_grad_()
        picked = rows_of(call, index)
        with Plain():
            record = self.tap.trace(picked, point)
        hidden = record.hidden[:-1]
        slopes = gradients(scalar(record.output, index), hidden, keep_graph=True)
        # the gradient of <sum_l J_l^T v_l, direction> to v_l is J_l direction: derivatives of every h_l along the path
        dummies = [torch.zeros_like(h, requires_grad=True) for h in hidden]
        pulled = torch.autograd.grad(hidden, point, dummies, create_graph=True)[0]
        moved = torch.autograd.grad(pulled, dummies, direction, allow_unused=True)
        return torch.stack(
            [
                (g * 0 if m is None else g.double() * m.double()).double().sum(-1)
                for g, m in zip(slopes, moved, strict=True)
            ]
        )


def _slopes(
    record: Record,
    value: Tensor,
    hidden: list[Tensor],
    low: list[Tensor] | None,
    *,
    maps: MapKind | None,
    keep_graph: bool,
) -> EndpointGradients:
    """Directional derivatives of one target at both endpoints of every path."""
    watched = [a.watched for a in record.attention] if maps in {"gradient", "positive_gradient"} else []
    grads = gradients(value, [*record.hidden, *watched], keep_graph)
    layers, batch = len(hidden), len(hidden[0])
    slopes, last, of_maps = grads[:layers], grads[layers], grads[layers + 1 :]
    directions = hidden if low is None else [h.double() - r.double() for h, r in zip(hidden, low, strict=True)]
    value = value.detach().double()
    return EndpointGradients(
        value=value[:batch],
        baseline_value=None if low is None else value[batch:],
        high=tokenwise_dot([g[:batch] for g in slopes], directions),
        low=None if low is None else tokenwise_dot([g[batch:] for g in slopes], directions),
        product=tokenwise_dot([g[:batch] for g in slopes], hidden),
        maps=_maps(record, of_maps, batch, maps),
        readout=(last[:batch] != 0).any(-1),
    )


def _maps(record: Record, found: list[Tensor], batch: int, kind: MapKind | None) -> list[Tensor] | None:
    if kind is None:
        return None
    slopes: list[Tensor | None] = list(found) if found else [None] * len(record.attention)
    return [
        torch.stack([attention.map(row, slope, kind) for row in range(batch)])
        for attention, slope in zip(record.attention, slopes, strict=True)
    ]
