"""The engine that a model's family has for it, and the reason where this is not the native engine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import nn

from ..model import families


@dataclass(frozen=True)
class Recognised:
    """The knowledge of a model before any call.

    Args:
        family: the family that knows it, or None.
        engine: "native", "autograd", or "none" where the model cannot be explained.
        why: reason of an engine other than "native"; empty with "native".
    """

    family: str | None
    engine: Literal["native", "autograd", "none"]
    why: str = ""


def recognised(model: nn.Module) -> Recognised:
    """The engine for a model, from its modules alone; a call may still find that its head needs autograd."""
    try:
        known = families.find(model)
    except ValueError as error:
        return Recognised(None, "none", str(error).removeprefix("model: "))
    encoder = known or families.unnamed(model)
    name = None if known is None else known.family
    try:
        for block in encoder.blocks or ("",):
            encoder.block(model.get_submodule(block))
    except ValueError as error:
        return Recognised(name, "autograd", str(error))
    return Recognised(name, "native")
