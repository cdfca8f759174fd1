"""GPT-Neo: GPT-2's blocks with logits that are not scaled, and attention to near tokens alone in every other block."""

from __future__ import annotations

from typing import Any

from torch import nn

from ..encoder import Block, Encoder
from ._huggingface import text
from ._rotated import mlp, mlp_activation, output, projections
from ._weights import norm, unhooked


def encoder(module: nn.Module, prefix: str) -> Encoder | None:
    """The encoder, if `module` is a GPTNeoModel."""
    return text(module, prefix, "gpt_neo", {"gpt_neo"}, "h", read=_block)


def _block(module: nn.Module) -> Block:
    m: Any = module
    attention = m.attn.attention
    unhooked(module)
    qkv, heads, _ = projections(attention, attention.head_dim)
    up, down, _ = mlp(m.mlp)
    return Block(
        qkv=qkv,
        out=output(attention),
        norm1=norm(m.ln_1),
        norm2=norm(m.ln_2),
        up=up,
        down=down,
        activation=mlp_activation(m.mlp),
        heads=heads,
        scale=1.0,
        pre_norm=True,
        before=attention.config.window_size - 1 if attention.attention_type == "local" else -1,
        after=0,
    )
