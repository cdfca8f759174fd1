"""MPT: pre-norm blocks with attention to the past alone, and slopes over distances (ALiBi) in place of positions."""

from __future__ import annotations

from functools import partial
from typing import Any

from torch import nn

from ..encoder import Block, Encoder
from ..position_terms import Slopes
from ._distances import mpt_slopes
from ._huggingface import blocks, join
from ._weights import UnreadableError, activation, affine, norm, unhooked


def encoder(module: nn.Module, prefix: str) -> Encoder | None:
    """The encoder, if `module` is an MptModel."""
    names = blocks(module, prefix, {"mpt"}, "blocks")
    if not names:
        return None
    config: Any = module.config
    read, words = partial(_block, config=config), join(prefix, "wte")
    return Encoder("mpt", "text", names, embedding=words, max_length=config.max_seq_len, read=read)


def _block(module: nn.Module, config: Any) -> Block:
    m: Any = module
    attention = m.attn
    unhooked(module)
    if attention.clip_qkv:
        raise UnreadableError("its queries, keys and values are clipped (clip_qkv)")
    return Block(
        qkv=affine(attention.Wqkv),
        out=affine(attention.out_proj),
        norm1=norm(m.norm_1),
        norm2=norm(m.norm_2),
        up=affine(m.ffn.up_proj),
        down=affine(m.ffn.down_proj),
        activation=activation(m.ffn.act),
        heads=attention.n_heads,
        scale=float(attention.softmax_scale),
        pre_norm=True,
        positions=Slopes(mpt_slopes(attention.n_heads)),
        after=0,
    )
