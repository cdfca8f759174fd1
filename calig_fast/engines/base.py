"""The interface of the engines: points on paths, and the endpoints of all paths."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from ..inputs.target import Target
from ..model.attention_capture import MapKind
from ..model.call import Call, concatenated
from ..model.instrumented import InstrumentedModel, Record
from ..model.word_lookup import Lookup, Replacement, integers_beside

Targets = Sequence[Target]
Resolve = Callable[[Tensor | None], Targets]


@dataclass(frozen=True, kw_only=True)
class Problem:
    """A few inputs and their baselines, and what is asked of them.

    Args:
        call: the model's arguments, B rows.
        baseline: the same for the baselines, or None where a zero hidden state stands at every layer.
        ids: name of the argument that carries token ids, where `words` is given.
        words: baselines of words, put where the ids' embeddings are looked up; None where `baseline` says all.
        word_ids: [B,T] the baseline as ids, where `words` is given and made of ids, or None.
        changed: [B,T] bool, tokens of a text that its baseline changes, or None.
        resolve: makes the explained scalars from the logits of the inputs alone.
        maps: attention maps wanted, None for none.
        mask: [B,T] bool, real tokens; None where all are real.
    """

    call: Call
    baseline: Call | None
    ids: str
    words: Callable[[Tensor, Lookup], Tensor] | None
    word_ids: Tensor | None = None
    changed: Tensor | None
    resolve: Resolve
    maps: MapKind | None
    mask: Tensor | None

    def both(self) -> tuple[dict[str, Any], Replacement | None]:
        """The arguments of the inputs with those of their baselines after them, and the words to replace there."""
        call = concatenated(self.call, self.baseline)
        if self.words is None:
            return call, None
        others = None if self.word_ids is None else torch.cat([self.call[self.ids], self.word_ids])
        return call, Replacement(call[self.ids], self.words, others, integers_beside(call, self.ids))


@dataclass(frozen=True)
class PathPoint:
    """One point of one path: h'_l + a (h_l - h'_l) of one input.

    Args:
        layer: l, the block that receives it.
        row: the input.
        node: a, from 0 to 1.
    """

    layer: int
    row: int
    node: float


@dataclass(frozen=True)
class EndpointGradients:
    """Directional derivatives of one target at both endpoints of every path, summed over the width.

    Args:
        value: F(x) [B] float64.
        baseline_value: F(x') [B] float64 of a whole call, or None where no baseline was propagated.
        high: <dF/dh_l, h_l - h'_l> at the input, token by token, [L,B,T] float64.
        low: the same at the baseline, or None.
        product: <dF/dh_l, h_l> at the input, [L,B,T] float64.
        maps: per layer [B,T,U], or None.
        readout: [B,T] bool, rows of the last hidden state that F has a gradient at.
        bypassed: layers past which something reaches F that is not in their hidden state, so that F entered there
            with h'_l is not F(x'), nor its gradient that of `low`.
    """

    value: Tensor
    baseline_value: Tensor | None
    high: Tensor
    low: Tensor | None
    product: Tensor
    maps: list[Tensor] | None
    readout: Tensor
    bypassed: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Endpoints:
    """The results of one forward pass of [input; baseline], and one backward pass for each target, for all layers.

    Args:
        hidden: h_l [B,T,D] at the input, l = 0..L-1.
        reference: h'_l [B,T,D], or None where no baseline was propagated.
        logits: [B,C], or None.
        scalars: the explained scalars, K of them.
        slopes: the gradients of each.
        kinked: F has kinks in its hidden states (a ReLU, a maximum), so that its gradient jumps.
        record: the pass itself, for an engine that enters the model again.
    """

    hidden: list[Tensor]
    reference: list[Tensor] | None
    logits: Tensor | None
    scalars: Targets
    slopes: list[EndpointGradients]
    kinked: bool = False
    record: Record | None = None

    @property
    def layers(self) -> int:
        """L, the number of blocks run."""
        return len(self.hidden)


class Engine(Protocol):
    """The computation of gradients: the autograd engine, or the native engine.

    Attributes:
        name: "autograd" or "native".
        tap: the instrumented clone of the model, for its embeddings and its head.
        dtype: of the blocks.
        budget: bytes a batch of path points may hold.
        row_bytes: bytes that the last pass held for each of its rows.
    """

    name: str
    tap: InstrumentedModel
    budget: int
    row_bytes: int

    @property
    def dtype(self) -> torch.dtype: ...

    def ends(self, problem: Problem) -> Endpoints:
        """One pass of the inputs, and of their baselines with them, up and down."""

    def phi(self, call: Call, ends: Endpoints, points: Sequence[PathPoint]) -> tuple[Tensor, Tensor]:
        """phi[t] = <dF_l/dh[t], (h_l - h'_l)[t]> at points of the straight paths into the blocks.

        Args:
            call: the model's arguments, B rows.
            ends: from `ends`.
            points: which.

        Returns:
            phi [K,n,T] float64, zeros at padding, and F [K,n] float64, both on the CPU.
        """


def tokenwise_dot(slopes: Sequence[Tensor], directions: Sequence[Tensor]) -> Tensor:
    """<slope, direction> of every token and layer, [L,B,T] float64 on the CPU."""
    return torch.stack([(s.double() * d.double()).sum(-1).cpu() for s, d in zip(slopes, directions, strict=True)])
