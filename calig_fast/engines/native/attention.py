"""Self-attention of packed segments, and its gradients, without a map of H x T x U in memory."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ... import ops
from ...model.attention_capture import MapKind
from ...model.encoder import Block
from ...model.position_terms import RelativeTerms, Slopes
from ...ops.attention_backward import OPERATION as BACKWARD
from ...ops.attention_forward.pytorch import logits
from ...ops.attention_gradient import OPERATION as MAPS
from ...ops.packing import Segments
from .heads import SavedHeads, joined, split


@dataclass(frozen=True)
class SavedAttention:
    """The saved tensors of an attention for its backward pass.

    Args:
        block: the block.
        qkv: [R,3,H,E].
        heads: saved where they were made of the projection.
        out: [R,H,E].
        lse: [H,R], log-sums of the logits' exponentials.
        segments: the row ranges of the segments.
    """

    block: Block
    qkv: Tensor
    heads: SavedHeads | None
    out: Tensor
    lse: Tensor
    segments: Segments


def attend(block: Block, qkv: Tensor, segments: Segments, backend: str = "auto") -> tuple[Tensor, SavedAttention]:
    """softmax(scale q k^T + terms of positions) v of every segment, within the block's band.

    Args:
        block: the block.
        qkv: [R,(H + 2G)E], its projection: queries, keys and values side by side.
        segments: the segments, covering all rows.
        backend: backend of the fused operations.

    Returns:
        [R,HE], and the saved tensors for the backward pass.
    """
    packed, heads = split(block, qkv, segments)
    where = segments.offsets, segments.longest, block.scale
    band, terms = (block.before, block.after), terms_of(block, segments.longest, packed)
    out, lse = ops.attention_forward(packed, *where, *terms, *band, backend=_taken(packed, backend))
    return out.flatten(1), SavedAttention(block, packed, heads, out, lse, segments)


def terms_of(block: Block, tokens: int, rows: Tensor) -> tuple[Tensor | None, Tensor | None]:
    """The terms of positions in a block's logits, for segments of up to T tokens.

    Args:
        block: the block.
        tokens: T.
        rows: of the dtype and on the device of the attention's rows.

    Returns:
        `bias` [H,T,T] and `relative` [2,H,2T-1,E] of the attention's operations, None each where there is none.
    """
    positions = block.positions
    if positions is None:
        return None, None
    places, wide = positions.places(max(tokens, 1)).to(rows.device), torch.promote_types(rows.dtype, torch.float32)
    if isinstance(positions, RelativeTerms):
        return None, positions.tables[:, :, places]
    if isinstance(positions, Slopes):
        return -torch.tensor(positions.slopes, dtype=wide, device=rows.device)[:, None, None] * places, None
    return positions.weights.to(wide)[:, places], None


def attention_backward_rows(
    g: Tensor, attended: SavedAttention, backend: str = "auto", maps: int = 0, kind: MapKind = "gradient"
) -> tuple[Tensor, Tensor]:
    """Gradients of the projection's rows, and the requested attention maps.

    Args:
        g: gradient of `attend`'s rows, [R,HE].
        attended: the saved tensors of `attend`.
        backend: backend of the fused operations.
        maps: M, the number of segments, from the first, with a requested map.
        kind: "gradient" or "positive_gradient", see `attention_capture.Attention.map`.

    Returns:
        [R,(H + 2G)E], gradients of q, k and v side by side, and [M,T,T] with T rows of the longest segment, zeros
        outside of a segment's own.
    """
    a, positive, backend = attended, kind == "positive_gradient", _taken(g, backend)
    gradient, terms = g.view(a.out.shape), terms_of(a.block, a.segments.longest, a.qkv)
    apart = maps > 0 and terms[1] is None and _maps_apart(gradient, a, backend)
    dqkv, saved = ops.attention_backward(
        gradient,
        a.qkv,
        a.out,
        a.lse,
        a.segments.offsets,
        a.segments.longest,
        a.block.scale,
        0 if apart else maps,
        positive,
        *terms,
        before=a.block.before,
        after=a.block.after,
        backend=backend,
    )
    if apart:
        saved = _gradient_maps(gradient, a, maps, positive, terms=terms, backend=backend)
    return joined(a.block, dqkv, a.heads, backend), saved


def _maps_apart(gradient: Tensor, a: SavedAttention, backend: str) -> bool:
    """Return True if the backend has a kernel of the maps alone, and the backward pass uses another."""
    tensors = gradient, a.qkv, a.lse, a.segments.offsets
    return MAPS.resolve(backend, tensors) != BACKWARD.resolve(backend, (*tensors, a.out))


def _gradient_maps(
    gradient: Tensor,
    a: SavedAttention,
    maps: int,
    positive: bool,
    *,
    terms: tuple[Tensor | None, Tensor | None],
    backend: str,
) -> Tensor:
    """The maps [M,T,T] of the first segments, by themselves."""
    first = a.segments.until(maps)
    rows, where = slice(first.rows), (first.offsets, a.segments.longest, a.block.scale)
    bias, relative = terms
    return ops.attention_gradient(
        gradient[rows],
        a.qkv[rows],
        a.lse[:, rows],
        *where,
        positive,
        bias=bias,
        relative=relative,
        before=a.block.before,
        after=a.block.after,
        backend=backend,
    )


def attention_map(attended: SavedAttention, segment: int) -> Tensor:
    """mean_h A of one segment, [T,T] in float32 at least, from the saved tensors of `attend`."""
    a = attended
    first = sum(a.segments.lengths[:segment])
    here = slice(first, first + a.segments.lengths[segment])
    q, k = a.qkv[here, :2].to(a.lse.dtype).permute(1, 2, 0, 3)
    terms = terms_of(a.block, a.segments.lengths[segment], a.qkv)
    z = logits(q, k, a.block.scale, *terms, (a.block.before, a.block.after))
    return (z - a.lse[:, here, None]).exp().mean(0)


def _taken(rows: Tensor, backend: str) -> str:
    """The backend for such rows: of float16 on a CPU PyTorch takes care, whatever the backend."""
    return "torch" if rows.dtype == torch.float16 and rows.device.type == "cpu" else backend
