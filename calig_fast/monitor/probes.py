"""The inputs that are explained repeatedly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from numbers import Integral
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .._utils.arguments import as_tensor, kind, scalar
from ..inputs.image_picture import is_image
from ..inputs.rows import OWNERS

MOST = 10_000  # inputs that are watched
DEEPEST = 8  # lists in lists
Target = int | tuple[int, int] | None


@dataclass(frozen=True, eq=False)
class Probe:
    """One input to watch.

    Args:
        inputs: one input as `explain` takes it: a text or a pair of texts (with a tokenizer), a mapping of tensors of
            one row, ids [T] or [1,T], pixels [C,H,W] or [1,C,H,W], a picture (with a processor).
        target: class to explain, a pair with output="contrast"; None for the class predicted at the first look, which
            is kept from then on.
        name: its name in logs and page; None for its first words or its number.

    Raises:
        TypeError: a target that is neither None, an int, nor a pair of ints; a name that is no text.
    """

    inputs: Any
    target: Target = None
    name: str | None = None

    def __post_init__(self) -> None:
        pair = self.target if isinstance(self.target, tuple) and len(self.target) == 2 else (self.target,)
        classes = tuple(map(scalar, pair))
        if self.target is not None and any(isinstance(c, bool) or not isinstance(c, Integral) for c in classes):
            raise TypeError(f"target: a probe's is None, an int or a pair of ints, got {kind(self.target)}")
        if self.target is not None:
            whole = tuple(int(c) for c in classes)
            object.__setattr__(self, "target", whole if isinstance(self.target, tuple) else whole[0])
        if self.name is not None and not isinstance(self.name, str):
            raise TypeError(f"name: expected a text or None, got {kind(self.name)}")

    @property
    def is_text(self) -> bool:
        """True if a tokenizer reads the input, so that it may share a call with other texts."""
        return isinstance(self.inputs, str | tuple)

    def on(self, device: torch.device) -> Any:
        """The input, its tensors on `device`."""
        if isinstance(self.inputs, Tensor):
            return self.inputs.to(device)
        if isinstance(self.inputs, Mapping):
            return {k: v.to(device) if isinstance(v, Tensor) else v for k, v in self.inputs.items()}
        return self.inputs


def probes(given: Any) -> tuple[Probe, ...]:
    """Convert the user's `probes` to one `Probe` for each input, each with a unique name.

    Args:
        given: an input or a `Probe`, a list of them, or a batch: a mapping of tensors [B,...], ids [B,T], pixels
            [B,C,H,W].

    Raises:
        ValueError: there are none, one holds several inputs, or two have one name.
    """
    listed = list(given) if isinstance(given, list) else [given]
    singles = [p for one in listed for p in ([_single(one)] if isinstance(one, Probe) else map(Probe, _rows(one)))]
    if not singles:
        raise ValueError("probes: expected at least one input to watch, got none")
    named = [replace(p, name=p.name or _name(p.inputs, i)) for i, p in enumerate(singles)]
    names = [p.name for p in named]
    twice = sorted({str(n) for n in names if names.count(n) > 1})
    if twice:
        raise ValueError(f"probes: {twice} stand for more than one; give each a name: Probe(inputs, name=...)")
    return tuple(named)


def _single(probe: Probe) -> Probe:
    rows = _rows(probe.inputs)
    if len(rows) != 1:
        raise ValueError(f"probes: a Probe holds one input, got {len(rows)}; make one Probe of each")
    return replace(probe, inputs=rows[0])


def _rows(inputs: Any, depth: int = 0) -> list[Any]:
    """A batch as inputs of one row; copies, so that a buffer that the caller fills again changes nothing."""
    if isinstance(inputs, np.ndarray | Tensor) and inputs.dtype in (np.uint8, torch.uint8):
        return [inputs]  # a picture
    if isinstance(inputs, np.ndarray):
        inputs = as_tensor("probes", inputs, "an array of ids or pixels")
    if isinstance(inputs, Tensor):
        if inputs.dim() == 0:
            raise TypeError(f"probes: expected ids [T] or [B,T], or pixels [C,H,W] or [B,C,H,W]; got {kind(inputs)}")
        alone = inputs.dim() == 1 if not inputs.is_floating_point() else inputs.dim() == 3
        return [row[None].detach().clone() for row in (inputs[None] if alone else inputs)]
    data = getattr(inputs, "data", inputs)  # a tokenizer's BatchEncoding keeps its mapping there
    if isinstance(data, Mapping):
        named = {k: v for k, v in data.items() if v is not None and k != OWNERS}  # each window is watched on its own
        tensors = {k: as_tensor("probes", v, "a mapping of tensors") for k, v in named.items()}
        if numbers := [k for k, v in tensors.items() if not v.dim()]:
            raise TypeError(f"probes: expected a mapping of tensors with a row each, got one number under {numbers}")
        tensors = {k: v[None] if v.dim() == 1 else v for k, v in tensors.items()}
        count = max((len(v) for v in tensors.values()), default=0)
        return [{k: v[i : i + 1].detach().clone() for k, v in tensors.items()} for i in range(count)]
    if isinstance(inputs, Sequence) and not isinstance(inputs, str | tuple) and not is_image(inputs):
        if len(inputs) > MOST:
            raise ValueError(f"probes: expected at most {MOST} inputs to watch, got {len(inputs)}")
        if depth > DEEPEST:
            raise TypeError(f"probes: expected lists of inputs, got lists nested more than {DEEPEST} deep")
        return [row for one in inputs for row in _rows(one, depth + 1)]
    return [inputs]


def _name(inputs: Any, index: int) -> str:
    if not isinstance(inputs, str | tuple):
        return f"probe {index}"
    text = " ".join((inputs if isinstance(inputs, str) else " / ".join(map(str, inputs))).split())
    return text if len(text) <= 60 else text[:59] + "…"
