"""GPT, the first: norms after attention and MLP, attention to the past alone, positions in the embeddings."""

from __future__ import annotations

from typing import Any

from torch import nn

from ..encoder import Block, Encoder
from ._huggingface import text
from ._weights import activation, affine, norm, unhooked


def encoder(module: nn.Module, prefix: str) -> Encoder | None:
    """The encoder, if `module` is an OpenAIGPTModel."""
    return text(module, prefix, "openai_gpt", {"openai-gpt"}, "h", read=_block)


def _block(module: nn.Module) -> Block:
    m: Any = module
    attention = m.attn
    unhooked(module)
    out = affine(attention.c_proj)
    size = out.weight.shape[1] // attention.n_head
    return Block(
        qkv=affine(attention.c_attn),
        out=out,
        norm1=norm(m.ln_1),
        norm2=norm(m.ln_2),
        up=affine(m.mlp.c_fc),
        down=affine(m.mlp.c_proj),
        activation=activation(m.mlp.act),
        heads=attention.n_head,
        scale=float(size**-0.5) if attention.scale else 1.0,
        after=0,
    )
