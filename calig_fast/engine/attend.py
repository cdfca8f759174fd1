"""Self-attention of packed segments, and its gradients, without a map of H x T x U in memory.

Segments of the same length that lie side by side are one call. The fused attention of the CPU is PyTorch's; other
devices take the definition.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .attention import MapKind, over_heads

_aten = torch.ops.aten


@dataclass(frozen=True)
class Run:
    """Segments of one length, side by side.

    Args:
        start: first row.
        count: segments n.
        tokens: rows of each, T.
    """

    start: int
    count: int
    tokens: int

    @property
    def stop(self) -> int:
        """One past the last row."""
        return self.start + self.count * self.tokens


@dataclass(frozen=True)
class Attended:
    """What the way back needs of an attention.

    Args:
        scale: factor of the logits.
        parts: per run (q, k, v, out, lse) of the fused attention, or (q, k, v, probabilities).
    """

    scale: float
    parts: tuple[tuple[Tensor, ...], ...]


def attend(qkv: Tensor, heads: int, scale: float, runs: tuple[Run, ...]) -> tuple[Tensor, Attended]:
    """softmax(scale q k^T) v of every segment.

    Args:
        qkv: [R,3E], queries, keys and values side by side.
        heads: H; each has E/H columns.
        scale: factor of the logits.
        runs: the segments, in order, covering all rows.

    Returns:
        [R,E], and what the way back needs.
    """
    width, own = qkv.shape[1] // 3, qkv.dtype
    qkv = qkv.to(computed_in(own, qkv.device))
    outs: list[Tensor] = []
    parts: list[tuple[Tensor, ...]] = []
    for run in runs:
        q, k, v = _split(qkv, run, heads)
        if qkv.device.type != "cpu":
            p = torch.softmax((q * scale) @ k.transpose(-1, -2), -1)
            out = p @ v
            parts.append((q, k, v, p))
        else:
            out, lse = _aten._scaled_dot_product_flash_attention_for_cpu(q, k, v, 0.0, False, scale=scale)
            parts.append((q, k, v, out, lse))
        outs.append(out.transpose(1, 2).reshape(-1, width).to(own))
    return _joined(outs), Attended(scale, tuple(parts))


def computed_in(dtype: torch.dtype, device: torch.device) -> torch.dtype:
    """The dtype that queries, keys and values of some dtype are computed in, and kept in for the way back."""
    if device.type != "cpu":
        return dtype
    # softmax wants float32, and the way back took 3 times as long in bfloat16 (12 heads of 32, 128 tokens, Zen 4)
    return torch.promote_types(dtype, torch.float32)


def attend_vjp(g: Tensor, attended: Attended) -> Tensor:
    """Gradients of q, k and v.

    Args:
        g: gradient of `attend`'s rows, [R,E].
        attended: what `attend` kept.

    Returns:
        [R,3E], those of q, k and v side by side.
    """
    found, done = g.new_empty(len(g), 3 * g.shape[1]), 0
    for q, *rest in attended.parts:
        n, heads, tokens, dim = q.shape
        rows = slice(done, done + n * tokens)
        done += n * tokens
        mine = g[rows].view(n, tokens, heads, dim).transpose(1, 2).to(q.dtype)
        if len(rest) == 3:
            k, v, p = rest
            dp = mine @ v.transpose(-1, -2)
            ds = p * (dp - (dp * p).sum(-1, keepdim=True)) * attended.scale
            grads = (ds @ k, ds.transpose(-1, -2) @ q, p.transpose(-1, -2) @ mine)
        else:
            k, v, out, lse = rest
            grads = _aten._scaled_dot_product_flash_attention_for_cpu_backward(
                mine, q, k, v, out, lse, 0.0, False, scale=attended.scale
            )
        place = found[rows].view(n, tokens, 3, heads, dim)
        for i, grad in enumerate(grads):
            place[:, :, i] = grad.transpose(1, 2)
    return found


def attention_map(attended: Attended, segment: int, g: Tensor | None, kind: MapKind) -> Tensor:
    """One segment's map, reduced over the heads, from what `attend` kept.

    Args:
        attended: what `attend` kept.
        segment: which.
        g: gradient of `attend`'s rows, or None for kind "attention".
        kind: see `attention.Attention.map`.

    Returns:
        [T,T].
    """
    for q, *rest in attended.parts:
        n, heads, tokens, dim = q.shape
        if segment >= n:
            segment -= n
            g = None if g is None else g[n * tokens :]
            continue
        wide = torch.promote_types(q.dtype, torch.float32)
        p = torch.softmax((q[segment].to(wide) * attended.scale) @ rest[0][segment].to(wide).transpose(-1, -2), -1)
        if kind == "attention":
            return p.mean(0)
        if g is None:
            raise RuntimeError("a gradient map was asked for without the gradient")
        mine = g[segment * tokens : (segment + 1) * tokens].view(tokens, heads, dim).transpose(0, 1).to(wide)
        return over_heads(p * (mine @ rest[1][segment].to(wide).transpose(-1, -2)), kind)
    raise IndexError(f"segment {segment} is outside the attention's segments")


def _split(qkv: Tensor, run: Run, heads: int) -> tuple[Tensor, Tensor, Tensor]:
    rows = qkv[run.start : run.stop].view(run.count, run.tokens, 3, heads, -1)
    q, k, v = rows.permute(2, 0, 3, 1, 4)
    return q, k, v


def _joined(parts: list[Tensor]) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(parts)
