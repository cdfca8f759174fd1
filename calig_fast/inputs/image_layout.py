"""The places of a picture's tokens: its patches are changed, and the tokens that move are watched."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from .._utils.host_copies import uploaded
from ..model.call import Call, called, has_rows, rows_of
from ..model.checks import compute_dtype
from ..model.clone import share_weights
from ..model.encoder import Encoder
from ..results.tokens import Grid
from .image_patches import PatchConvolution, grid

_UNMOVED = 1e-5  # of the largest change: a token that moves less is not made of pixels


class _ReachedError(Exception):
    """The first block was called; it carries the hidden state."""

    def __init__(self, hidden: Tensor | None) -> None:
        super().__init__()
        self.hidden = hidden


def seen_grid(
    model: nn.Module, encoder: Encoder, call: Call, name: str, convolution: PatchConvolution | None
) -> Grid | None:
    """The grid of patches in the tokens that the first block receives; no block is run.

    Noise is added to the first picture: tokens that stay are no patches. Where no family tells the size of a patch, or
    tokens follow the patches, the patches of two corners are changed too, each of which has to move its own token.

    Args:
        model: the module that computes; not touched.
        encoder: where its blocks are.
        call: its arguments, tensors [B,...] and options.
        name: of the pixels [B,C,H,W] among them.
        convolution: that makes the patches, or None.

    Returns:
        the grid, one row where the tokens lie in no grid; None where the model fails or its first block receives no
        [N,T,D].
    """
    twin, first, pixels, noise = _probe(model, encoder, call, name)
    try:
        hidden = _hidden(twin, first, name, torch.cat([pixels, pixels + noise]))
        if hidden is None:
            return None
        layout = grid(pixels, encoder, hidden.shape[1], convolution)
        if not _patches_alone_move(hidden, layout):
            layout = _before_others(pixels, encoder, hidden, convolution)
        known = encoder.patch is not None and not layout.suffix
        if known or layout.height is None or layout.width is None:
            return layout
        corners = [(0, layout.columns - 1), (layout.rows - 1, 0)]
        changed = [pixels + noise * _patch(pixels, layout, *corner) for corner in corners]
        hidden = _hidden(twin, first, name, torch.cat([pixels, *changed]))
    except (ValueError, TypeError, RuntimeError, AssertionError, LookupError, AttributeError):
        return None  # the model's own call tells why it fails
    places = [layout.prefix + row * layout.columns + column for row, column in corners]
    if hidden is not None and _moves_there(hidden, places):
        return layout
    return Grid(1, layout.tokens, 0)


def seen_in_order(model: nn.Module, encoder: Encoder, call: Call, name: str, told: Grid) -> Grid | None:
    """The grid of patches that are arguments already, where the first block receives them in their order.

    Args:
        model: the module that computes; not touched.
        encoder: where its blocks are.
        call: its arguments, tensors [B,...] and options.
        name: of the patches [B,N,P] among them.
        told: their grid.

    Returns:
        the grid; None where the first and the last patch of a row do not move their own tokens, or the model fails.
    """
    twin, first, pixels, noise = _probe(model, encoder, call, name)
    places = [told.columns - 1, (told.rows - 1) * told.columns]
    changed = torch.cat([pixels, pixels, pixels])
    for row, place in enumerate(places):
        changed[row + 1, place] += noise[0, place]
    try:
        hidden = _hidden(twin, first, name, changed)
    except (ValueError, TypeError, RuntimeError, AssertionError, LookupError, AttributeError):
        return None  # the model's own call tells why it fails
    fits = hidden is not None and hidden.shape[1] == told.tokens and _moves_there(hidden, places)
    return told if fits else None


def _probe(model: nn.Module, encoder: Encoder, call: Call, name: str) -> tuple[nn.Module, Call, Tensor, Tensor]:
    """A twin that stops at its first block, the first input's arguments, its pixels, and noise of their size."""
    twin = share_weights(model, compute_dtype(None, model))
    for block in encoder.blocks:
        twin.get_submodule(block).forward = _stop
    first = rows_of(call, slice(0, 1))
    pixels = first[name].to(next(twin.parameters()).dtype)
    drawn = torch.randn(pixels.shape, generator=torch.Generator().manual_seed(0)).to(pixels.dtype)
    noise = uploaded(drawn, pixels.device)
    return twin, first, pixels, noise * pixels.std(correction=0).clamp_min(1e-2)


def _stop(*args: Any, **kwargs: Any) -> Any:
    raise _ReachedError(next((v for v in (*args, *kwargs.values()) if isinstance(v, Tensor)), None))


def _hidden(twin: nn.Module, call: Call, name: str, pixels: Tensor) -> Tensor | None:
    """The hidden state [N,T,D] that the first block receives of pixels [N,C,H,W]; None where it has another shape."""
    count = len(pixels)
    rows = {k: v.expand(count, *v.shape[1:]) if has_rows(v) else v for k, v in call.items()} | {name: pixels}
    try:
        with torch.no_grad():
            called(twin, rows)
    except _ReachedError as reached:
        hidden = reached.hidden
        return hidden if hidden is not None and hidden.dim() == 3 and len(hidden) == count else None
    return None


def _before_others(pixels: Tensor, encoder: Encoder, hidden: Tensor, convolution: PatchConvolution | None) -> Grid:
    """The grid of the tokens that noise moves, where others stand after them; one row where these fill no grid."""
    places = _moved(hidden).nonzero().flatten().tolist()
    tokens = hidden.shape[1]
    none = Grid(1, tokens, 0)
    if not places or places != list(range(places[0], places[-1] + 1)):
        return none
    layout = grid(pixels, encoder, places[-1] + 1, convolution)
    fits = layout.prefix == places[0] and layout.rows * layout.columns == len(places)
    return replace(layout, suffix=tokens - layout.tokens) if fits and layout.height is not None else none


def _moved(hidden: Tensor) -> Tensor:
    """[T] bool, the tokens that noise on all pixels moves."""
    change: Tensor = (hidden[1] - hidden[0]).float().norm(dim=-1)
    return change > _UNMOVED * change.max()


def _patches_alone_move(hidden: Tensor, grid: Grid) -> bool:
    """Return True if noise on all pixels moves the grid's tokens and none before it, or all, as deeper blocks see."""
    moved = _moved(hidden)
    return bool(moved.all() | (moved[grid.prefix :].all() & ~moved[: grid.prefix].any()))


def _moves_there(hidden: Tensor, places: list[int]) -> bool:
    """Return True if the change of one patch moves its own token, at least half as far as any other."""
    change = (hidden[1:] - hidden[:1]).float().norm(dim=-1)
    own = change[torch.arange(len(places)), places]
    return bool((own > 0.5 * change.amax(1)).all())


def _patch(pixels: Tensor, grid: Grid, row: int, column: int) -> Tensor:
    """1 on the pixels of one patch, 0 elsewhere, [H,W]."""
    height, width = grid.height or 0, grid.width or 0
    mask = torch.zeros_like(pixels[0, 0])
    mask[row * height : (row + 1) * height, column * width : (column + 1) * width] = 1
    return mask
