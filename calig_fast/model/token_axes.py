"""Axes of a hidden state: which of them count inputs, tokens and width, in models that do not keep [N,T,D]."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

_CHANNELS_FIRST = (nn.Conv2d, nn.BatchNorm2d, nn.GroupNorm, nn.Conv1d, nn.BatchNorm1d)
_CHANNELS_FIRST_NAMES = {"LayerNorm2d", "RmsNorm2d", "GroupNorm1", "LayerNormChannelFirst"}


@dataclass(frozen=True)
class TokenAxes:
    """How a hidden state is read as [N,T,D] and written back.

    Args:
        order: its axes as inputs, places (one or two axes), width; (0, 1) where inputs and places share an axis.
        places: size of each axis of places; T is their product.
    """

    order: tuple[int, ...] = (0, 1, 2)
    places: tuple[int, ...] = ()

    @property
    def plain(self) -> bool:
        """Return True where the state is [N,T,D] already."""
        return self.order == (0, 1, 2)

    @property
    def rows_axis(self) -> int:
        """The axis that counts inputs."""
        return self.order[0]

    def read(self, state: Tensor) -> Tensor:
        """The state as [N,T,D]."""
        if self.plain:
            return state.view_as(state)
        moved = state.permute(self.order)
        return moved.reshape(-1, math.prod(self.places), moved.shape[-1])

    def write(self, tokens: Tensor) -> Tensor:
        """A copy of [N,T,D] in the state's own axes, which a block may change in place."""
        if self.plain:
            return tokens.clone()
        if len(self.order) == 2:
            return tokens.reshape(-1, tokens.shape[-1]).clone()
        inverse = [self.order.index(axis) for axis in range(len(self.order))]
        return (
            tokens.reshape(-1, *self.places, tokens.shape[-1])
            .permute(inverse)
            .clone(memory_format=torch.contiguous_format)
        )


class AmbiguousAxesError(ValueError):
    """Several readings of a hidden state fit."""


def token_axes(state: Tensor, rows: int, changed: Tensor | None, block: nn.Module) -> TokenAxes:
    """The axes of what a block receives.

    Args:
        state: the hidden state of `rows` inputs; the second half of them are baselines where `changed` is given.
        rows: N.
        changed: [N/2,T] bool, the tokens at which a text's baseline differs from it; None for images and single calls.
        block: the module that receives it.

    Raises:
        AmbiguousAxesError: several readings fit, as all tokens differ from their baselines.
        ValueError: the axes cannot be told, naming the shape.
    """
    tokens_first = any(isinstance(m, nn.MultiheadAttention) and not m.batch_first for m in block.modules())
    candidates = _candidates(state, rows, None if changed is None else changed.shape[1], tokens_first)
    if state.dim() == 3 and changed is None and state.shape[0] == rows and _channels_first(state, block):
        return TokenAxes((0, 2, 1), (state.shape[2],))
    if state.dim() == 4:
        candidates = [c for c in candidates if c.order[-1] == _width_axis(state, block)]
    if changed is not None:
        fitting = [c for c in candidates if _pattern(c.read(state.detach()), changed)]
        if len(fitting) > 1:
            raise AmbiguousAxesError(f"layers: the axes of a hidden state {list(state.shape)} may be read either way")
        usual = [TokenAxes((0, 1, 2), (state.shape[1],))] if state.dim() == 3 and state.shape[0] == rows else []
        candidates = fitting or usual or candidates
    if candidates:
        return candidates[0]
    raise ValueError(
        f"layers: a {type(block).__name__} receives a hidden state {list(state.shape)} for {rows} inputs, and its axes "
        "of inputs, tokens and width cannot be told; name blocks that receive [N,T,D], [T,N,D], [N,H,W,D] or [N,D,H,W]"
    )


def _candidates(state: Tensor, rows: int, tokens: int | None, tokens_first: bool) -> list[TokenAxes]:
    """Every reading that the sizes allow, the usual one first.

    Without the number of tokens, [T,N,D] may as well be windows [B*W,T,D]; the block's attention has to say so.
    """
    shape = state.shape
    if state.dim() == 2:
        places = shape[0] // rows if rows and shape[0] % rows == 0 else 0
        fits = places > 1 and tokens in {None, places}
        return [TokenAxes((0, 1), (places,))] if fits else []
    if state.dim() == 4:
        pairs = [((0, 1, 2, 3), shape[1:3]), ((0, 2, 3, 1), shape[2:4])] if shape[0] == rows else []
        return [TokenAxes(order, tuple(places)) for order, places in pairs]
    if state.dim() != 3:
        return []
    orders = [(0, 1, 2), (1, 0, 2), (0, 2, 1)]
    readings = [TokenAxes(order, (shape[order[1]],)) for order in orders if shape[order[0]] == rows]
    exact = [c for c in readings if c.places == (tokens,)]
    return exact or [c for c in readings if c.plain or (tokens is None and tokens_first and c.rows_axis == 1)][:1]


def _pattern(tokens: Tensor, changed: Tensor) -> bool:
    """Return True where input and baseline differ at the changed tokens and nowhere else."""
    half = len(tokens) // 2
    if tokens.shape[0] != 2 * half or tokens.shape[:2] != (2 * len(changed), changed.shape[1]):
        return False
    return torch.equal((tokens[:half] != tokens[half:]).any(-1), changed.to(tokens.device))


def _channels_first(state: Tensor, block: nn.Module) -> bool:
    """Return True where a block's first norm or convolution has the width of the second axis of [N,.,.] alone.

    Linear layers say nothing: those of a mixer run over the tokens.
    """
    for module in block.modules():
        width = module.normalized_shape[-1] if isinstance(module, nn.LayerNorm) else None
        if isinstance(module, _CHANNELS_FIRST):
            width = next(
                getattr(module, a) for a in ("in_channels", "num_features", "num_channels") if hasattr(module, a)
            )
        if width is not None:
            return bool(state.shape[1] == width != state.shape[2])
    return False


def _channels(module: nn.Module) -> int | None:
    """The width that a convolution or a norm of channels takes, None for another module."""
    return next(
        (getattr(module, a) for a in ("in_channels", "num_features", "num_channels") if hasattr(module, a)), None
    )


def _width_axis(state: Tensor, block: nn.Module) -> int:
    """The axis of width of a state [N,.,.,.], as the block's first layer reads it.

    Raises:
        ValueError: no layer of the block tells it.
    """
    for module in block.modules():
        first, last = state.shape[1], state.shape[3]
        name = type(module).__name__
        channels = _channels(module)
        if isinstance(module, _CHANNELS_FIRST) and channels == first:
            return 1
        if isinstance(module, nn.LayerNorm):
            width = module.normalized_shape[-1]
            if name in _CHANNELS_FIRST_NAMES and width == first:
                return 1
            if name not in _CHANNELS_FIRST_NAMES and width == last:
                return 3
        if isinstance(module, nn.Linear) and module.in_features == last:
            return 3
    raise ValueError(
        f"layers: the axis of width of a hidden state {list(state.shape)} cannot be told from a {type(block).__name__};"
        " name blocks that begin with a norm, a linear layer or a convolution"
    )


def aligned(changed: Tensor, hidden: Tensor, baseline: Tensor) -> int | None:
    """The number of tokens that a model puts before a text, from the rows where input and baseline differ.

    Args:
        changed: [B,T] bool, the tokens of the text at which they differ.
        hidden: [B,S,D] what block 0 receives at the input, S > T.
        baseline: the same at the baseline.

    Returns:
        the number of tokens before the text, or None where no place fits.
    """
    moved = (hidden != baseline).any(-1)
    extra = hidden.shape[1] - changed.shape[1]
    for before in _starts(extra):
        inside = moved[:, before : before + changed.shape[1]]
        if torch.equal(inside, changed.to(moved.device)) and int(moved.sum()) == int(inside.sum()):
            return before
    return None


def _starts(extra: int) -> Sequence[int]:
    """Before the text first, then after it, then in between."""
    return [extra, *range(extra)] if extra > 0 else []
