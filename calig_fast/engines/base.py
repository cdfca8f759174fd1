"""The interface of the engines: a problem, its run, points on paths, and the endpoints of all paths."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from ..inputs.target import Target
from ..model.attention_capture import MapKind
from ..model.call import Call, concatenated
from ..model.instrumented import InstrumentedModel
from ..model.word_lookup import Lookup, Replacement, integers_beside
from ..quadrature.estimate import Floats, Ints
from .budget import Budget

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
        scalar: names the kind of F where it is one of ours, None for a function of the caller's.
        alone: its run takes no turns with others on the same engine, so that its batches may be recorded.
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
    scalar: str | None = None
    alone: bool = True

    def both(self) -> tuple[dict[str, Any], Replacement | None]:
        """The arguments of the inputs with those of their baselines after them, and the words to replace there."""
        call = concatenated(self.call, self.baseline)
        if self.words is None:
            return call, None
        others = None if self.word_ids is None else torch.cat([self.call[self.ids], self.word_ids])
        return call, Replacement(call[self.ids], self.words, others, integers_beside(call, self.ids))


@dataclass(frozen=True, kw_only=True)
class PathPoints:
    """n points of paths: h'_l + a (h_l - h'_l) of some inputs.

    Args:
        layer: l, the block that receives each, [n].
        row: its input, [n].
        node: a, from 0 to 1, [n] float64.
    """

    layer: Ints
    row: Ints
    node: Floats

    def __len__(self) -> int:
        return len(self.layer)

    def take(self, which: Any) -> PathPoints:
        """Some of them, in that order."""
        return PathPoints(layer=self.layer[which], row=self.row[which], node=self.node[which])


@dataclass(frozen=True)
class EndpointGradients:
    """Directional derivatives of one target at both endpoints of every path, summed over the width.

    Args:
        value: F(x) [B] float64.
        baseline_value: F(x') [B] float64 of a whole call, or None where no baseline was propagated; the mean over
            several baselines [L,B], as F of a zero hidden state differs from layer to layer.
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
        first: h_0 [B,T,D] at the input.
        baseline_first: h'_0 [B,T,D], or None where no baseline was propagated.
        logits: [B,C], or None.
        scalars: the explained scalars, K of them.
        slopes: the gradients of each.
        order: which of the encoder's blocks is run, call by call.
        kinked: F has kinks in its hidden states (a ReLU, a maximum), so that its gradient jumps.
        complete: the gradients are those of F, so that r_l sums to F(x) - F(x'); False under other backward rules.
    """

    first: Tensor
    baseline_first: Tensor | None
    logits: Tensor | None
    scalars: Targets
    slopes: list[EndpointGradients]
    order: tuple[int, ...]
    kinked: bool = False
    complete: bool = True

    @property
    def layers(self) -> int:
        """L, the number of blocks run."""
        return len(self.order)

    @property
    def maps(self) -> list[Tensor]:
        """The attention maps of all scalars."""
        return [m for one in self.slopes for m in one.maps or ()]


class Run(Protocol):
    """One problem at work. It owns all that the problem needs; the engine may hold several at once.

    Attributes:
        endpoints: both ends of all paths.
        row_bytes: bytes that the pass of the endpoints held for each of its rows.
        held: both ends of all paths, and the attention maps.
    """

    @property
    def endpoints(self) -> Endpoints: ...

    @property
    def held(self) -> list[Tensor]: ...

    @property
    def row_bytes(self) -> int: ...

    def integrand(self, points: PathPoints) -> tuple[Tensor, Tensor]:
        """phi[t] = <dF_l/dh[t], (h_l - h'_l)[t]> at points of the straight paths into the blocks.

        Returns:
            phi [K,n,T] float64, zeros at padding, and F [K,n] float64.
        """


class Engine(Protocol):
    """The computation of gradients: the autograd engine, or the native engine. It keeps nothing of a problem.

    Attributes:
        name: "autograd" or "native".
        tap: the instrumented clone of the model, for its embeddings and its head.
        dtype: of the blocks.
        budget: of its memory.
        shares_weights: its clone has the model's own weights, not copies in another dtype.
    """

    name: str
    tap: InstrumentedModel
    budget: Budget
    shares_weights: bool

    @property
    def dtype(self) -> torch.dtype: ...

    def row_bytes(self, tokens: int) -> int:
        """Bytes that the pass of the endpoints holds for a row of so many tokens; 0 where only a run can tell."""

    def read(self) -> None:
        """Read the model's weights anew, at the beginning of a call."""

    def start(self, problem: Problem) -> Run:
        """One pass of the inputs, and of their baselines with them, up and down; the run evaluates path points."""


def tokenwise_dot(slopes: Sequence[Tensor], directions: Sequence[Tensor]) -> Tensor:
    """<slope, direction> of every token and layer, [L,B,T] float64, on the device of the first."""
    products = [(s.double() * d.double()).sum(-1) for s, d in zip(slopes, directions, strict=True)]
    return torch.stack([product.to(products[0].device) for product in products])
