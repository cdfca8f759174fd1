"""The last block where the head reads the first row alone: one query a segment, and no key or value is ever projected.

q.k_u = (Wk^T q).x_u and sum_u p_u v_u = Wv (sum_u p_u x_u) + bv: with one query it is the query and the mixture that go
through the projections, not every row. The key's bias adds the same to every logit, which softmax does not see.
`first_row_terms` has the terms of positions.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import linear

from ...model.attention_capture import MapKind, over_heads
from ...model.encoder import Block
from ...ops.packing import Segments
from . import block as blocks
from .first_row_terms import FirstRowTerms
from .norm import norm, norm_vjp
from .ruled import share, softer


@dataclass(frozen=True)
class SavedFirstRows:
    """The saved tensors of the first row's attention for its backward pass.

    Args:
        firsts: [S] the first row of each segment.
        parts: per run (rows [n,T,D], absorbed query [n,H,D], probabilities [n,H,T]).
        terms: of positions.
    """

    firsts: Tensor
    parts: tuple[tuple[Tensor, Tensor, Tensor], ...]
    terms: FirstRowTerms


def takes(block: Block) -> bool:
    """Return True if the first row of a block can be computed so: logits are q.k alone, over all rows."""
    plain = block.norm_q is None and block.norm_k is None and block.rotary is None and block.groups == block.heads
    return plain and (block.before, block.after) == (-1, -1)


def forward(block: Block, x: Tensor, segments: Segments, backend: str = "auto") -> tuple[Tensor, blocks.Saved]:
    """The block's output at the first row of each segment.

    Args:
        block: the block.
        x: [R,D], its input.
        segments: the row ranges of the segments.
        backend: backend of the fused operations.

    Returns:
        [S,D], and the saved tensors for the backward pass.
    """
    normed, source, firsts = None, x, segments.firsts
    if block.pre_norm:
        source, normed = norm(block.norm1, x)
    wq, wk, wv = _weights(block)
    bq, bv = _bias(block, 0), _bias(block, 2)
    q = linear(source[firsts], wq.flatten(0, 1), None if bq is None else bq.flatten())
    q = q.view(len(firsts), *wq.shape[:2]) * block.scale
    absorbed = torch.einsum("shd,hdw->shw", q, wk)
    terms = FirstRowTerms.of(block, segments.longest, source, wk, _bias(block, 1))
    mixed, parts, done = [], [], 0
    padding = segments.padding()[:, None] if segments.padded else None
    for run in segments.runs:
        rows = source[run.start : run.stop].view(run.count, run.tokens, -1)
        here = slice(done, done + run.count)
        absorbed_here, done = absorbed[here], here.stop
        logits = terms.logits(absorbed_here @ rows.transpose(1, 2), q[here], rows)
        p = torch.softmax(logits if padding is None else logits.masked_fill(padding, -torch.inf), -1)
        parts.append((rows, absorbed_here, p))
        mixed.append(p @ rows)
    out = torch.einsum("shw,hdw->shd", _joined(mixed), wv)
    out = (out if bv is None else out + bv).flatten(1)
    return blocks.finish(block, out, x[firsts], normed, SavedFirstRows(firsts, tuple(parts), terms), backend=backend)


def vjp(block: Block, g: Tensor, saved: blocks.Saved, backend: str = "auto") -> tuple[Tensor, Tensor]:
    """The gradient of the block's input rows.

    Args:
        block: the block.
        g: [S,D], gradient of the output.
        saved: the saved tensors of `forward`.
        backend: backend of the fused operations.

    Returns:
        [R,D], and the gradient of the attention's rows [S,E], for the maps.
    """
    pooled: SavedFirstRows = saved.attended
    residual, dmixed = blocks.vjp(block, g, saved, backend)
    wq, wk, wv = _weights(block)
    through_v = torch.einsum("shd,hdw->shw", dmixed.view(len(dmixed), *wv.shape[:2]), wv)
    terms, part = pooled.terms, share(block.rules)
    row_gradients, queries, slopes, done = [], [], [], 0
    for rows, absorbed, p in pooled.parts:
        dm = through_v[done : done + len(rows)] * part
        done += len(rows)
        dp = dm @ rows.transpose(1, 2)
        soft = softer(block.rules, p, absorbed, rows)
        ds = torch._softmax_backward_data(dp, soft, -1, soft.dtype) * part
        row_gradient = (p.transpose(1, 2) @ dm).baddbmm_(ds.transpose(1, 2), absorbed)
        row_gradients.append(terms.row_grad(row_gradient, ds).flatten(0, 1))
        queries.append(ds @ rows)
        slopes.append(ds)
    dq = terms.query_grad(torch.einsum("shw,hdw->shd", _joined(queries), wk), slopes).flatten(1)
    out, into = _joined(row_gradients), wq.flatten(0, 1)
    if not block.pre_norm:
        first = residual.addmm_(dq, into, alpha=block.scale)
        return out.index_add_(0, pooled.firsts, first), dmixed * part
    out.index_add_(0, pooled.firsts, dq @ into, alpha=block.scale)
    out = norm_vjp(block.norm1, out, saved.first, None, backend)
    return out.index_add_(0, pooled.firsts, residual), dmixed * part


def attention_map(block: Block, saved: blocks.Saved, segment: int, dmixed: Tensor, kind: MapKind) -> Tensor:
    """One segment's map of gradients [T,T]: its first row, zeros elsewhere, where the gradients are zero.

    Args:
        block: the block.
        saved: the saved tensors of `forward`.
        segment: which.
        dmixed: gradient of the attention's rows [S,E], from `vjp`.
        kind: "gradient" or "positive_gradient", see `attention_capture.Attention.map`.
    """
    _, _, wv = _weights(block)
    gradient = dmixed[segment].view(*wv.shape[:2])
    for rows, _, p in saved.attended.parts:
        if segment >= len(rows):
            segment -= len(rows)
            continue
        dp = torch.einsum("hd,hdw->hw", gradient, wv) @ rows[segment].T
        bias = _bias(block, 2)
        if bias is not None:
            dp = dp + (gradient * bias).sum(1, keepdim=True)
        out: Tensor = dp.new_zeros(rows.shape[1], rows.shape[1])
        out[0] = over_heads(p[segment] * dp, kind)
        return out
    raise IndexError(f"segment {segment} is outside the attention's segments")


def _joined(parts: list[Tensor]) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(parts)


def _weights(block: Block) -> tuple[Tensor, Tensor, Tensor]:
    """Wq, Wk and Wv by head, [H,E/H,D] each."""
    q, k, v = block.qkv.weight.view(3, block.heads, -1, block.qkv.weight.shape[1])
    return q, k, v


def _bias(block: Block, which: int) -> Tensor | None:
    """The bias of queries (0), keys (1) or values (2) by head, [H,E/H]."""
    return None if block.qkv.bias is None else block.qkv.bias.view(3, block.heads, -1)[which]
