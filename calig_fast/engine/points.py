"""What engines are asked and what they answer: points on paths, and the ends of all paths."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor

from ..output import Scalar
from .attention import MapKind
from .tap import Call, Tap


@dataclass(frozen=True)
class Point:
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
class Ends:
    """What one pass of [input; reference] up and down gives for all layers at once.

    Args:
        hidden: h_l [B,T,D] at the input, l = 0..L-1.
        reference: h'_l [B,T,D], or None where no reference was propagated.
        slopes: dF/dh_l [B,T,D] at the input.
        reference_slopes: the same at the reference, or None.
        value: F(x) [B] float64.
        reference_value: F(x') [B] float64, or None.
        maps: per layer [B,T,U], or None.
        readout: [B,T] bool, rows of the last hidden state that F has a gradient at.
        logits: [B,C], or None.
    """

    hidden: list[Tensor]
    reference: list[Tensor] | None
    slopes: list[Tensor]
    reference_slopes: list[Tensor] | None
    value: Tensor
    reference_value: Tensor | None
    maps: list[Tensor] | None
    readout: Tensor
    logits: Tensor | None

    @property
    def layers(self) -> int:
        """L, the number of blocks run."""
        return len(self.hidden)


class Engine(Protocol):
    """What computes gradients: the oracle, or the native sweep.

    Attributes:
        name: "reference" or "native".
        tap: the model's twin, for its embeddings and its head.
        budget: bytes a wave of path points may hold.
        row_bytes: bytes that the last pass held for each of its rows.
    """

    name: str
    tap: Tap
    budget: int
    row_bytes: int

    def ends(
        self,
        call: Call,
        reference: Call | None,
        words: Callable[[Tensor], Tensor] | None,
        resolve: Callable[[Any], Scalar],
        maps: MapKind | None,
        mask: Tensor | None,
    ) -> tuple[Ends, Scalar]:
        """One pass of the inputs, and of their reference with them, up and down.

        Args:
            call: the model's arguments, B rows.
            reference: the same for the reference, or None for none.
            words: what turns the word embeddings of the doubled batch into the reference's, see `Tap.record`.
            resolve: makes F from the logits of the inputs alone.
            maps: which attention maps are wanted, None for none.
            mask: [B,T] bool, real tokens; None where all are real.
        """

    def phi(self, call: Call, scalar: Scalar, ends: Ends, points: Sequence[Point]) -> tuple[Tensor, Tensor]:
        """phi[t] = <dF_l/dh[t], (h_l - h'_l)[t]> at points of the straight paths into the blocks.

        Args:
            call: the model's arguments, B rows.
            scalar: F.
            ends: what `ends` gave.
            points: which.

        Returns:
            phi [n,T] float64, zeros at padding, and F [n] float64, both on the CPU.
        """
