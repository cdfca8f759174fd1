"""Self-attention of packed segments, and its gradients, without a map of H x T x U in memory."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ... import ops
from ...model.attention_capture import MapKind
from ...ops.attention_backward import OPERATION as BACKWARD
from ...ops.attention_gradient import OPERATION as MAPS
from ...ops.packing import Segments


@dataclass(frozen=True)
class SavedAttention:
    """The saved tensors of an attention for its backward pass.

    Args:
        scale: factor of the logits.
        qkv: [R,3,H,E/H].
        out: [R,H,E/H].
        lse: [H,R], log-sums of the logits' exponentials.
        segments: the row ranges of the segments.
    """

    scale: float
    qkv: Tensor
    out: Tensor
    lse: Tensor
    segments: Segments


def attend(
    qkv: Tensor, heads: int, scale: float, segments: Segments, backend: str = "auto"
) -> tuple[Tensor, SavedAttention]:
    """softmax(scale q k^T) v of every segment.

    Args:
        qkv: [R,3E], queries, keys and values side by side.
        heads: H; each has E/H columns.
        scale: factor of the logits.
        segments: the segments, covering all rows.
        backend: backend of the fused operations.

    Returns:
        [R,E], and the saved tensors for the backward pass.
    """
    packed = qkv.view(len(qkv), 3, heads, -1)
    where = segments.offsets, segments.longest
    out, lse = ops.attention_forward(packed, *where, scale, backend=_taken(packed, backend))
    return out.flatten(1), SavedAttention(scale, packed, out, lse, segments)


def attention_backward_rows(
    g: Tensor, attended: SavedAttention, backend: str = "auto", maps: int = 0, kind: MapKind = "gradient"
) -> tuple[Tensor, Tensor]:
    """Gradients of q, k and v, and the requested attention maps.

    Args:
        g: gradient of `attend`'s rows, [R,E].
        attended: the saved tensors of `attend`.
        backend: backend of the fused operations.
        maps: M, the number of segments, from the first, with a requested map.
        kind: "gradient" or "positive_gradient", see `attention_capture.Attention.map`.

    Returns:
        [R,3E], the gradients side by side, and [M,T,T] with T rows of the longest segment, zeros outside of a
        segment's own.
    """
    a, positive, backend = attended, kind == "positive_gradient", _taken(g, backend)
    gradient = g.view(a.out.shape)
    apart = maps > 0 and _maps_apart(gradient, a, backend)
    found, saved = ops.attention_backward(
        gradient,
        a.qkv,
        a.out,
        a.lse,
        a.segments.offsets,
        a.segments.longest,
        a.scale,
        0 if apart else maps,
        positive,
        backend=backend,
    )
    if apart:
        saved = _gradient_maps(gradient, a, maps, positive, backend)
    return found.flatten(1), saved


def _maps_apart(gradient: Tensor, a: SavedAttention, backend: str) -> bool:
    """Return True if the backend has a kernel of the maps alone, and the backward pass uses another."""
    tensors = gradient, a.qkv, a.lse, a.segments.offsets
    return MAPS.resolve(backend, tensors) != BACKWARD.resolve(backend, (*tensors, a.out))


def _gradient_maps(gradient: Tensor, a: SavedAttention, maps: int, positive: bool, backend: str) -> Tensor:
    """The maps [M,T,T] of the first segments, by themselves."""
    first = a.segments.until(maps)
    rows, longest = slice(first.rows), a.segments.longest
    return ops.attention_gradient(
        gradient[rows], a.qkv[rows], a.lse[:, rows], first.offsets, longest, a.scale, positive, backend=backend
    )


def attention_map(attended: SavedAttention, segment: int) -> Tensor:
    """mean_h A of one segment, [T,T] in float32 at least, from the saved tensors of `attend`."""
    a = attended
    first = sum(a.segments.lengths[:segment])
    here = slice(first, first + a.segments.lengths[segment])
    q, k = a.qkv[here, :2].to(a.lse.dtype).permute(1, 2, 0, 3)
    found: Tensor = ((q * a.scale) @ k.mT - a.lse[:, here, None]).exp().mean(0)
    return found


def _taken(rows: Tensor, backend: str) -> str:
    """The backend for such rows: of float16 on a CPU PyTorch takes care, whatever the backend."""
    return "torch" if rows.dtype == torch.float16 and rows.device.type == "cpu" else backend
