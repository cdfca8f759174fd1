"""A method: which signals it needs, and how it reads scores from them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, get_args

import torch
from torch import Tensor

from .._utils.arguments import choice, flag, function, is_meta, kind, rare_kind, text
from ..model.attention_capture import MapKind
from .fusion import Fusion

Integral = Literal["layer", "input", "none"]
INTEGRALS: tuple[str, ...] = get_args(Integral)
MAPS: tuple[str, ...] = get_args(MapKind)


@dataclass(frozen=True)
class Signals:
    """The signals that the engine computed for one batch.

    Args:
        relevance: r_l [B,L,T] float64, zeros where the method integrates nothing.
        maps: attention maps of the method's kind [B,L,T,U], or None.
        product: gradient times hidden state at the input, sum_d h_l dF/dh_l [B,L,T] float64.
        mask: [B,T] bool, real tokens.
        readout: [B,T] weights of the rows the head reads.
        backend: backend of the fused operations.
        integrand: that of r_l at the input, sum_d (h_l - h'_l) dF/dh_l [B,L,T] float64; None where it is not known.
        content: [B,T] bool, real tokens that are not special; None for all real ones.
        embedding: r of the first layer by the rules of `Fusion.embedding_rules`, [B,T] float64; None without them.
    """

    relevance: Tensor
    maps: Tensor | None
    product: Tensor
    mask: Tensor
    readout: Tensor
    backend: str
    integrand: Tensor | None = None
    content: Tensor | None = None
    embedding: Tensor | None = None


Scores = tuple[Tensor, Tensor]
Changed = Callable[[Signals, Tensor], Tensor]


@dataclass(frozen=True)
class Method:
    """One method.

    Args:
        name: the value of `method=`.
        integral: "layer" the straight path into each block; "input" the path in embedding space; "none".
        maps: which attention maps it reads, None for none.
        read: signals to (scores [B,T], layer scores [B,L,T]).
        first_layer: only the embeddings are looked at.
        fusion: CA-LIG's options, None for the others.
        changed: from signals and others [V,B,L,T], the scores [V,L,B,T] with r_l replaced by each of the V others, one
            layer at a time; None to `read` them one by one.

    Raises:
        TypeError, ValueError: a part of another kind, naming it.
    """

    name: str
    integral: Integral
    maps: MapKind | None
    read: Callable[[Signals], Scores]
    first_layer: bool = False
    fusion: Fusion | None = None
    changed: Changed | None = None

    def __post_init__(self) -> None:
        text("name", self.name, "the name of the method")
        choice("integral", self.integral, INTEGRALS)
        if self.maps is not None:
            choice("maps", self.maps, MAPS, ", or None")
        function("read", self.read, 1, "a function of the signals")
        object.__setattr__(self, "first_layer", flag("first_layer", self.first_layer))
        if self.fusion is not None and not isinstance(self.fusion, Fusion):
            raise TypeError(f"fusion: expected None or a Fusion, got {kind(self.fusion)}")

    def scores(self, signals: Signals) -> Scores:
        """The scores [B,T] and layer scores [B,L,T] of the signals, checked.

        Raises:
            TypeError: `read` returns something else than two tensors of real numbers.
            ValueError: of other shapes.
        """
        reading = self.read(signals)
        pair = isinstance(reading, tuple | list) and len(reading) == 2 and all(isinstance(v, Tensor) for v in reading)
        if not pair or any(v.is_complex() or rare_kind(v) or is_meta(v) for v in reading):
            raise TypeError(
                f'method: the read of "{self.name}" must return two tensors of real numbers, scores [B,T] and layer '
                f"scores [B,L,T]; got {kind(reading)}"
            )
        scores, by_layer = reading
        wanted = signals.product.shape
        if scores.shape != signals.mask.shape or by_layer.shape != wanted:
            raise ValueError(
                f'method: the read of "{self.name}" must return scores {list(signals.mask.shape)} and layer scores '
                f"{list(wanted)}; got {list(scores.shape)} and {list(by_layer.shape)}"
            )
        return scores.detach().double(), by_layer.detach().double()

    def changed_scores(self, signals: Signals, others: Tensor) -> Tensor:
        """The scores with r_l replaced, one layer at a time.

        Args:
            signals: the signals.
            others: what takes the place of r_l, [V,B,L,T] float64.

        Returns:
            [V,L,B,T] float64.
        """
        if self.changed is not None:
            return self.changed(signals, others)

        def read(v: int, layer: int) -> Tensor:
            replaced = signals.relevance.clone()
            replaced[:, layer] = others[v, :, layer]
            return self.scores(replace(signals, relevance=replaced))[0]

        count, _, layers, _ = others.shape
        return torch.stack([torch.stack([read(v, layer) for layer in range(layers)]) for v in range(count)])


def attention_maps(signals: Signals) -> Tensor:
    """The attention maps of the signals, [B,L,T,U].

    Raises:
        RuntimeError: the engine gave none.
    """
    if signals.maps is None:
        raise RuntimeError("the method reads attention maps and was given none")
    return signals.maps


def one_layer(index: int) -> tuple[Callable[[Signals], Scores], Changed]:
    """`read` and `changed` of a method whose scores are r_l of one layer.

    Args:
        index: of the layer among those asked for.
    """

    def read(s: Signals) -> Scores:
        return s.relevance[:, index], s.relevance

    def changed(s: Signals, others: Tensor) -> Tensor:
        scores = s.relevance[:, index].expand(len(others), others.shape[2], *s.mask.shape).clone()
        scores[:, index] = others[:, :, index]
        return scores

    return read, changed
