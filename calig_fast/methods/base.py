"""A method: which signals it needs, and how it reads scores from them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from ..model.attention_capture import MapKind
from .fusion import Fusion

Integral = Literal["layer", "input", "none"]


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
    """

    relevance: Tensor
    maps: Tensor | None
    product: Tensor
    mask: Tensor
    readout: Tensor
    backend: str


Scores = tuple[Tensor, Tensor]


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
    """

    name: str
    integral: Integral
    maps: MapKind | None
    read: Callable[[Signals], Scores]
    first_layer: bool = False
    fusion: Fusion | None = None


def attention_maps(signals: Signals) -> Tensor:
    """The attention maps of the signals, [B,L,T,U].

    Raises:
        RuntimeError: the engine gave none.
    """
    if signals.maps is None:
        raise RuntimeError("the method reads attention maps and was given none")
    return signals.maps
