"""The rules of a backward pass: derivatives as they are, or some operations' replaced."""

from __future__ import annotations

import sys
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

from .._utils.arguments import between, choice, flag, kind, shown

NORMS = ("plain", "frozen")
GATES = ("plain", "frozen")
LEAST = 1e-3  # a softmax at less is a maximum, without a gradient in float32


@dataclass(frozen=True, kw_only=True)
class Rules:
    """The gradients that a backward pass takes in place of an operation's own; the forward pass stays as it is.

    F is the same number, but its "gradient" is another vector field, so the relevance of a layer need not sum to
    F(x) - F(x'). `rules="gim"` is Rules(norm="frozen", softmax_temperature=2, halve_products=True), after GIM
    (Edin et al., arXiv 2505.17630).

    Args:
        norm: "frozen": the deviation that a layer, RMS or group norm divides by is a constant; its mean is not. In a
            norm written by hand, the square root of one number for many is the constant.
        softmax_temperature: T; the gradient of an attention's softmax over its keys, g to p = softmax(z), becomes
            p_T (g - <p_T, g>) at z, with p_T = softmax(z / T).
        halve_products: the gradients to both factors of a product of hidden states (queries with keys, attention with
            values, a gate with its branch) are halved. A function of one tensor, as x sigmoid(x), is no product.
        gate: "frozen": of a GELU or SiLU x g(x), g(x) is a constant (the gates of LibraGrad, arXiv 2411.16760).

    Raises:
        ValueError: an option outside its choices.
        TypeError: an option of another type.
    """

    norm: str = "plain"
    softmax_temperature: float = 1.0
    halve_products: bool = False
    gate: str = "plain"

    def __post_init__(self) -> None:
        set_ = partial(object.__setattr__, self)
        set_("norm", choice("norm", self.norm, NORMS))
        set_("gate", choice("gate", self.gate, GATES))
        set_("halve_products", flag("halve_products", self.halve_products))
        most, what = sys.float_info.max, f"a finite number of at least {LEAST}"
        set_("softmax_temperature", between("softmax_temperature", self.softmax_temperature, what, LEAST, most))

    @property
    def plain(self) -> bool:
        """Return True where no gradient is replaced."""
        return self == PRESETS["plain"]

    def record(self) -> dict[str, Any] | None:
        """The rules as plain values, None where no gradient is replaced."""
        return None if self.plain else asdict(self)


PRESETS = {"plain": Rules(), "gim": Rules(norm="frozen", softmax_temperature=2.0, halve_products=True)}


def resolve(given: Any, name: str = "rules") -> Rules:
    """The rules asked for, by name or as they are.

    Args:
        given: a name of `PRESETS`, or `Rules`.
        name: of the argument, for messages.

    Raises:
        ValueError: an unknown name.
        TypeError: neither a name nor `Rules`.
    """
    if isinstance(given, Rules):
        return given
    if not isinstance(given, str):
        raise TypeError(f"{name}: expected one of {sorted(PRESETS)} or Rules(...), got {kind(given)}")
    if given not in PRESETS:
        raise ValueError(f"{name}: {shown(given)} is not one of {sorted(PRESETS)}, nor Rules(...)")
    return PRESETS[given]
