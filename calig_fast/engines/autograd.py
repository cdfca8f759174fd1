"""The autograd engine: autograd through the user's own modules, one layer's path at a time.

Faster engines are compared with it, and it explains models that no family knows.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..inputs.target import gradients, logits_of
from ..model.attention_capture import MapKind
from ..model.backward_rules import Rules
from ..model.call import row_count
from ..model.clone import shares_all, storages
from ..model.dataflow import bypassed_layers, has_kinks
from ..model.encoder import Encoder
from ..model.instrumented import InstrumentedModel, Record
from ..model.quantised import pieces
from .autograd_run import AutogradRun, Entered
from .base import EndpointGradients, Endpoints, Problem, tokenwise_dot
from .budget import Budget
from .entry import check_gradients

DEFAULT_BUDGET = 512 * 2**20


class AutogradEngine:
    """The autograd engine over one batch.

    Args:
        model: the user's model; not touched.
        encoder: where its blocks are.
        dtype: dtype to run in, None for the model's own.
        memory_budget: bytes of a call; None for waves of path points with graphs of 512 MiB, on a GPU of a part of its
            memory.
        backend: backend of the fused operations.
        hooks: run the forward hooks that the user put on the model.
        rules: the gradients of the model's operations, None for their own.
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
        rules: Rules | None = None,
    ) -> None:
        self.tap = InstrumentedModel(model, encoder, dtype, hooks=hooks, rules=rules)
        self._complete = rules is None or rules.plain
        self.backend, self.shares_weights = backend, shares_all(model, self.tap.model)
        self.grouped = any(isinstance(m, nn.Conv2d | nn.Conv1d) and m.groups > 1 for m in self.tap.model.modules())
        self._weights = storages(self.tap.model)
        theirs = storages(model)
        self._copies = sum(size for place, size in self._weights.items() if place not in theirs)
        self._asked = memory_budget
        self.read()

    def row_bytes(self, tokens: int) -> int:
        """See `Engine.row_bytes`; the graph of the model's own modules is not known before."""
        return 0

    def read(self) -> None:
        """See `Engine.read`; the twin's weights are the model's."""
        device = next(self.tap.model.parameters()).device
        self.budget = Budget.of(self._asked, device, DEFAULT_BUDGET, self.tap.dtype)
        self.budget.copies += self._copies

    def start(self, problem: Problem) -> AutogradRun:
        """See `Engine.start`; padding is the model's own affair here, so the mask is not needed.

        Raises:
            ValueError: what `InstrumentedModel.record` and `resolve` raise; no gradient reaches the blocks; the model
                entered at a block with its own hidden state gives another answer.
        """
        batch = row_count(problem.call)
        saved: dict[int, int] = {}

        def pack(t: Tensor) -> Tensor:
            for piece in pieces(t):
                storage = piece.untyped_storage()
                if storage.data_ptr() not in self._weights:
                    saved[storage.data_ptr()] = storage.nbytes()
            return t

        with self.tap.held():
            with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
                both, replacement = problem.both()
                if problem.baseline is None and problem.ids and problem.mask is not None:
                    self.tap.learn_axes(problem.call, problem.ids, problem.mask)
                record = self.tap.record(both, problem.maps is not None, replacement, problem.changed)
                check_gradients(record.hidden[-1])
                z = logits_of(record.output, len(record.hidden[0]))
                z = None if z is None else z[:batch].detach()
                scalars = problem.resolve(z)
                index = torch.arange(batch, device=record.hidden[0].device)
                rows = index if problem.baseline is None else torch.cat([index, index])
                values = [scalar(record.output, rows) for scalar in scalars]
            hidden = [h[:batch].detach() for h in record.hidden[:-1]]
            low = None if problem.baseline is None else [h[batch:].detach() for h in record.hidden[:-1]]
            bypassed = [bypassed_layers(value, record.hidden[:-1]) for value in values]
            kinked = any(has_kinks(value) for value in values)
            slopes = [
                _slopes(record, value, hidden, low, maps=problem.maps, keep_graph=k < len(values) - 1)
                for k, value in enumerate(values)
            ]
            entered = Entered(Record([], made=record.made, rows=record.rows), self.tap.seen, hidden, low)
        run = AutogradRun(
            self,
            problem.call,
            Endpoints(
                first=hidden[0],
                baseline_first=None if low is None else low[0],
                logits=z,
                scalars=scalars,
                slopes=slopes,
                order=entered.seen.layout.order,
                kinked=kinked,
                complete=self._complete,
            ),
            entered=entered,
            row_bytes=max(1, sum(saved.values()) // max(1, len(rows))),
        )
        if batch == 1:
            self.budget.check(2 * run.row_bytes, hidden[0].shape[1])
        return run.with_bypass(bypassed)

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of the model."""
        return self.tap.dtype


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
    watched = [t for a in record.attention for t in a.watched] if maps in {"gradient", "positive_gradient"} else []
    grads, home = gradients(value, [*record.hidden, *watched], keep_graph), hidden[0].device
    layers, batch = len(hidden), len(hidden[0])
    slopes, last, of_maps = grads[:layers], grads[layers], grads[layers + 1 :]
    directions = hidden if low is None else [h.double() - r.double() for h, r in zip(hidden, low, strict=True)]
    value = value.detach().double().to(home)
    return EndpointGradients(
        value=value[:batch],
        baseline_value=None if low is None else value[batch:],
        high=tokenwise_dot([g[:batch] for g in slopes], directions),
        low=None if low is None else tokenwise_dot([g[batch:] for g in slopes], directions),
        product=tokenwise_dot([g[:batch] for g in slopes], hidden),
        maps=_maps(record, of_maps, batch, maps, home),
        readout=(last[:batch] != 0).any(-1).to(home),
    )


def _maps(
    record: Record, map_gradients: list[Tensor], batch: int, kind: MapKind | None, home: torch.device
) -> list[Tensor] | None:
    if kind is None:
        return None
    slopes = iter(map_gradients)
    of_blocks = [[next(slopes) for _ in attention.watched] if map_gradients else None for attention in record.attention]
    return [
        torch.stack([attention.map(row, of_block, kind) for row in range(batch)]).to(home)
        for attention, of_block in zip(record.attention, of_blocks, strict=True)
    ]
