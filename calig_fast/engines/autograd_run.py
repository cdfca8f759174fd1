"""A run of the autograd engine: the model entered again at its blocks, one layer's path points at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import torch
from torch import Tensor

from .. import ops
from ..inputs.target import gradients
from ..model.attention_capture import Plain
from ..model.call import Call, ModelFailsError, rows_of
from ..model.instrumented import InstrumentedModel, Record, Seen
from .base import Endpoints, PathPoints
from .budget import Budget
from .entry import check_entry, differs


class _Engine(Protocol):
    tap: InstrumentedModel
    budget: Budget
    backend: str
    grouped: bool

    @property
    def dtype(self) -> torch.dtype: ...


@dataclass(frozen=True)
class Entered:
    """The recorded pass of a model that is entered again at its blocks.

    Args:
        record: what each block returned.
        seen: what the twin learned of the call.
        hidden: h_l [B,T,D] at the input, l = 0..L-1.
        low: h'_l [B,T,D], or None where no baseline was propagated.
    """

    record: Record
    seen: Seen
    hidden: list[Tensor]
    low: list[Tensor] | None


class AutogradRun:
    """One problem of the autograd engine; see `Run`.

    Args:
        engine: the engine.
        call: the model's arguments, B rows.
        endpoints: both ends of all paths.
        entered: the recorded pass.
        row_bytes: bytes that the pass held for each of its rows.
    """

    def __init__(self, engine: _Engine, call: Call, endpoints: Endpoints, *, entered: Entered, row_bytes: int) -> None:
        self._engine, self._call, self._entered = engine, call, entered
        self.endpoints, self.row_bytes = endpoints, row_bytes

    @property
    def held(self) -> list[Tensor]:
        """Both ends of all paths, and the attention maps."""
        return [*self._entered.hidden, *(self._entered.low or ()), *self.endpoints.maps]

    def with_bypass(self, inside: Sequence[frozenset[int]]) -> AutogradRun:
        """The same run, the layers marked past which something reaches F.

        Args:
            inside: for each scalar the layers that its graph bypasses.

        Raises:
            ValueError: the model entered at a block with its own hidden state gives another answer.
        """
        everywhere, ends = frozenset(range(self.endpoints.layers)), self.endpoints
        marked = [
            replace(one, bypassed=everywhere if past else graph)
            for one, graph, past in zip(ends.slopes, inside, self._outside(), strict=True)
        ]
        return AutogradRun(
            self._engine,
            self._call,
            replace(ends, slopes=marked),
            entered=self._entered,
            row_bytes=self.row_bytes,
        )

    def integrand(self, points: PathPoints) -> tuple[Tensor, Tensor]:
        """See `Run.integrand`; the points of each layer are run from its block on, a wave at a time."""
        ends = self.endpoints
        like = ends.slopes[0].high
        rows = like.new_zeros(len(ends.scalars), len(points), ends.first.shape[1])
        values = like.new_zeros(len(ends.scalars), len(points))
        for layer in sorted(set(points.layer.tolist())):
            indices = (points.layer == layer).nonzero()[0]
            share = max(0.1, 1 - layer / ends.layers)
            each, start = self.row_bytes * share, 0
            while start < len(indices):
                room = self._engine.budget.for_wave(self.held, int(each * (len(indices) - start)))
                part = indices[start : start + max(1, int(room / each))]
                start += len(part)
                phi, value = self._halving(layer, points.take(part))
                where = torch.from_numpy(part).to(rows.device)
                rows[:, where], values[:, where] = phi.to(rows), value.to(values)
        return rows, values

    def along_input(self, k: int, points: Sequence[tuple[int, float]]) -> Tensor:
        """phi of every layer at points of the path in embedding space.

        phi_l[t] = <dF_l/dh_l[t], dh_l[t]/da>, h_l being what block l receives when block 0 receives h' + a (h - h').

        Args:
            k: the number of F among the scalars.
            points: (input, a) of each point.

        Returns:
            [L,n,T] float64.
        """
        ends, scalar = self.endpoints, self.endpoints.scalars[k]
        high, low = ends.first, ends.baseline_first
        if low is None:
            raise RuntimeError("a path in embedding space without a baseline there")
        index = torch.tensor([row for row, _ in points], device=high.device)
        a = torch.tensor([node for _, node in points], device=high.device, dtype=high.dtype)[:, None, None]
        direction = (high - low)[index]
        point = (low[index] + a * direction).requires_grad_()
        with self._engine.tap.held(self._entered.seen):
            with Plain():
                record = self._engine.tap.trace(rows_of(self._call, index), point)
            return _along(record, scalar(record.output, index), point, direction)

    @torch.no_grad()
    def _outside(self) -> list[bool]:
        """For each scalar, True where F entered at block 0 with h'_0 is not F(x'): the blocks do not carry it all.

        Raises:
            ValueError: entered with the input's own hidden state, F is not F(x).
        """
        ends, dtype = self.endpoints, self._engine.dtype
        batch, last = len(ends.first), ends.layers - 1
        index = torch.arange(batch, device=ends.first.device)
        outputs = [(last, self._output(last, index, self._entered.hidden[last]))] if last else []
        states = [ends.first, *([] if ends.baseline_first is None else [ends.baseline_first])]
        twice = index.repeat(len(states))
        output = self._output(0, twice, torch.cat(states))
        outside = []
        for scalar, slopes in zip(ends.scalars, ends.slopes, strict=True):
            values = scalar(output, twice).double().to(slopes.value.device)
            check_entry(0, values[:batch], slopes.value, dtype)
            for layer, entered in outputs:
                check_entry(layer, scalar(entered, index).double(), slopes.value, dtype)
            base = slopes.baseline_value
            outside.append(base is not None and differs(values[batch:], base, dtype))
        return outside

    def _output(self, layer: int, index: Tensor, hidden: Tensor) -> Any:
        """The model's output for the inputs `index` [n] when block `layer` receives `hidden` [n,T,D]."""
        index = index.to(self.endpoints.first.device)  # where the call is; the block may be elsewhere
        with self._engine.tap.held(self._entered.seen):
            return self._engine.tap.run(rows_of(self._call, index), layer, hidden, (self._entered.record, index))

    def _halving(self, layer: int, points: PathPoints) -> tuple[Tensor, Tensor]:
        """Points of one layer; half as many at a time where the model or the device does not take so many rows."""
        try:
            return self._along_layer(layer, points)
        except (RuntimeError, ModelFailsError):  # a cache of a fixed size, or no memory left
            if len(points) == 1:
                raise
        half = len(points) // 2
        parts = [self._halving(layer, points.take(some)) for some in (slice(half), slice(half, None))]
        return torch.cat([phi for phi, _ in parts], 1), torch.cat([value for _, value in parts], 1)

    def _along_layer(self, layer: int, points: PathPoints) -> tuple[Tensor, Tensor]:
        """phi [K,n,T] and F [K,n] at points of one layer's paths."""
        ends, backend = self.endpoints, self._engine.backend
        high, count = self._entered.hidden[layer], len(points)
        low = torch.zeros_like(high) if self._entered.low is None else self._entered.low[layer]
        if high.dtype == torch.float16:  # its range is too small for sums over tokens; the blocks get it back
            low, high = low.float(), high.float()
        tokens, width = high.shape[1:]
        offsets = torch.arange(high.shape[0] + 1, device=high.device) * tokens
        # the backward pass of a grouped convolution over one row alone is wrong in PyTorch 2.14 on a CPU
        points = points.take([0, 0]) if count == 1 and self._engine.grouped else points
        index = torch.from_numpy(points.row).to(high.device)
        a = torch.from_numpy(points.node).to(high.device)
        path = ops.interpolate_path(low.reshape(-1, width), high.reshape(-1, width), offsets, index, a, backend=backend)
        leaf = path.view(len(index), tokens, width).to(self._engine.tap.dtype).requires_grad_()
        direction = (high - low).reshape(-1, width)
        with self._engine.tap.held(self._entered.seen):  # a checkpoint runs blocks again in the backward pass
            output = self._output(layer, index, leaf)
            every = [scalar(output, index) for scalar in ends.scalars]
            slopes = [gradients(value, [leaf], keep_graph=k < len(every) - 1)[0] for k, value in enumerate(every)]
        phis, values = [], []
        for value, gradient in zip(every, slopes, strict=True):
            slope = gradient.reshape(-1, width).to(high.dtype)
            phi, _, _ = ops.accumulate_gradients(
                [slope], [direction], offsets, index, torch.ones_like(a), backend=backend
            )
            phis.append(phi.view(len(index), tokens).double())
            values.append(value.detach().double())
        return torch.stack(phis)[:, :count], torch.stack(values)[:, :count]


def _along(record: Record, value: Tensor, point: Tensor, direction: Tensor) -> Tensor:
    """phi of every layer [L,n,T] for a pass from `point`, which moves along `direction`."""
    hidden = record.hidden[:-1]
    slopes = gradients(value, hidden, keep_graph=True)
    # the gradient of <sum_l J_l^T v_l, direction> to v_l is J_l direction: derivatives of every h_l along the path
    dummies = [torch.zeros_like(h, requires_grad=True) for h in hidden]
    pulled = torch.autograd.grad(hidden, point, dummies, create_graph=True)[0]
    moved = torch.autograd.grad(pulled, dummies, direction, allow_unused=True)
    return torch.stack(
        [(g * 0 if m is None else g.double() * m.double()).double().sum(-1) for g, m in zip(slopes, moved, strict=True)]
    )
