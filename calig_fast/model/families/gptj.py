"""GPT-J: attention and MLP side by side after one norm, neighbouring columns rotated together."""

from __future__ import annotations

from typing import Any

from torch import nn

from ..encoder import Block, Encoder, RotaryTable
from ._huggingface import text
from ._rotated import by_halves, mlp, mlp_activation, output, projections
from ._weights import norm, unhooked


def encoder(module: nn.Module, prefix: str) -> Encoder | None:
    """The encoder, if `module` is a GPTJModel."""
    return text(module, prefix, "gptj", {"gptj"}, "h", read=_block)


def _block(module: nn.Module) -> Block:
    m: Any = module
    attention = m.attn
    unhooked(module)
    size = attention.head_dim
    sines, cosines = attention.embed_positions.chunk(2, -1)
    qkv, heads, _ = projections(attention, size)
    up, down, _ = mlp(m.mlp)
    first = norm(m.ln_1)
    return Block(
        qkv=by_halves(qkv, 2 * heads, size, cosines.shape[1]),
        out=output(attention),
        norm1=first,
        norm2=first,
        up=up,
        down=down,
        activation=mlp_activation(m.mlp),
        heads=heads,
        scale=float(size**-0.5),
        pre_norm=True,
        rotary=RotaryTable(cosines, sines),
        after=0,
        parallel=True,
    )
