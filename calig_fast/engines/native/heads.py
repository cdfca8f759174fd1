"""Queries, keys and values as the attention takes them: normed, rotated by their places, shared by groups of heads."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from ...model.encoder import Block, Norm, Rotary, RotaryTable
from ...ops.packing import Segments
from .norm import Parts, norm, norm_vjp

Turn = tuple[Tensor, Tensor]  # cosines and sines [R,1,n] of the rows' angles


@dataclass(frozen=True)
class SavedHeads:
    """The saved tensors of `split` for its backward pass.

    Args:
        turn: the rotation of the rows, or None.
        q: saved by the norm of queries, or None.
        k: the same of keys.
    """

    turn: Turn | None
    q: Parts | None
    k: Parts | None


def split(block: Block, qkv: Tensor, segments: Segments) -> tuple[Tensor, SavedHeads | None]:
    """Queries, keys and values by head.

    Args:
        block: the block.
        qkv: [R,(H + 2G)E], its projection.
        segments: the row ranges of the segments; a row's place is counted from the first of its segment.

    Returns:
        [R,3,H,E], and the saved tensors for the backward pass, None where the projection is used as it is.
    """
    rows, heads, groups, size = len(qkv), block.heads, block.groups, block.head_size
    if block.rotary is None and block.norm_q is None and block.norm_k is None and groups == heads:
        return qkv.view(rows, 3, heads, size), None
    q, k, v = torch.split(qkv.view(rows, heads + 2 * groups, size), [heads, groups, groups], 1)
    turn = None if block.rotary is None else _turn(block.rotary, segments)
    if turn is not None and block.rotated_first:
        q, k = rotated(q, *turn), rotated(k, *turn)
    q, saved_q = _normed(block.norm_q, q)
    k, saved_k = _normed(block.norm_k, k)
    if turn is not None and not block.rotated_first:
        q, k = rotated(q, *turn), rotated(k, *turn)
    out = qkv.new_empty(rows, 3, heads, size)
    out[:, 0] = q
    for place, shared in ((1, k), (2, v)):
        out[:, place].view(rows, groups, -1, size).copy_(shared[:, :, None])
    return out, SavedHeads(turn, saved_q, saved_k)


def joined(block: Block, gradient: Tensor, saved: SavedHeads | None, backend: str) -> Tensor:
    """The gradient of the projection's rows [R,(H + 2G)E], from that of `split`'s [R,3,H,E]."""
    if saved is None:
        return gradient.flatten(1)
    rows, size = len(gradient), gradient.shape[-1]
    q = gradient[:, 0]
    k, v = (gradient[:, place].reshape(rows, block.groups, -1, size).sum(2) for place in (1, 2))
    if not block.rotated_first:
        q, k = _turned_back(q, saved.turn), _turned_back(k, saved.turn)
    q, k = _norm_vjp(block.norm_q, q, saved.q, backend), _norm_vjp(block.norm_k, k, saved.k, backend)
    if block.rotated_first:
        q, k = _turned_back(q, saved.turn), _turned_back(k, saved.turn)
    return torch.cat([q, k, v], 1).flatten(1)


def rotated(x: Tensor, cosines: Tensor, sines: Tensor) -> Tensor:
    """The columns (i, i + n) of x [R,H,E] turned by the angles of the rows, computed in float32 at least."""
    n = cosines.shape[-1]
    first, second, rest = torch.split(x, [n, n, x.shape[-1] - 2 * n], -1)
    turned = first * cosines - second * sines, second * cosines + first * sines
    return torch.cat([*(t.to(x.dtype) for t in turned), rest], -1)


def _turned_back(g: Tensor, turn: Turn | None) -> Tensor:
    """The gradient of columns before their rotation."""
    return g if turn is None else rotated(g, turn[0], -turn[1])


def _turn(rotary: Rotary | RotaryTable, segments: Segments) -> Turn:
    if isinstance(rotary, RotaryTable):
        wide = torch.promote_types(rotary.cosines.dtype, torch.float32)
        cosines, sines = (table.to(wide)[segments.places, None] for table in (rotary.cosines, rotary.sines))
        return cosines, sines
    cosines, sines = _tables(rotary, 1 << segments.longest.bit_length(), segments.offsets.device)
    return cosines[segments.places, None], sines[segments.places, None]


@lru_cache(maxsize=16)
def _tables(rotary: Rotary, places: int, device: torch.device) -> Turn:
    """Cosines and sines [places,n] of the angles in float32, as models compute them."""
    with torch.inference_mode(False):
        frequencies = torch.tensor(rotary.frequencies, dtype=torch.float32, device=device)
        angles = torch.arange(places, dtype=torch.float32, device=device)[:, None] * frequencies
        return angles.cos() * rotary.factor, angles.sin() * rotary.factor


def _normed(n: Norm | None, x: Tensor) -> tuple[Tensor, Parts | None]:
    """The norm of every head of x [R,H,E], or of all heads together."""
    if n is None:
        return x, None
    out, saved = norm(n, x.reshape(-1, _columns(n, x)))
    return out.view(x.shape), saved


def _norm_vjp(n: Norm | None, g: Tensor, saved: Parts | None, backend: str) -> Tensor:
    if saved is None:
        return g
    return norm_vjp(n, g.reshape(saved[0].shape), saved, None, backend).view(g.shape)


def _columns(n: Norm, x: Tensor) -> int:
    """Columns that a norm of x [R,H,E] is over."""
    return x.shape[-1] if n.weight is None else len(n.weight)
