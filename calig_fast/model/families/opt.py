"""OPT and BioGPT: blocks with attention to the past alone, positions in the embeddings; OPT-350m has norms after."""

from __future__ import annotations

from typing import Any

from torch import nn

from ..encoder import Block, Encoder
from ._huggingface import text
from ._rotated import output, projections
from ._weights import activation, affine, norm, unhooked


def encoder(module: nn.Module, prefix: str) -> Encoder | None:
    """The encoder, if `module` is the decoder of an OPTModel, or a BioGptModel."""
    return text(module, prefix, "opt", {"biogpt", "opt"}, "layers", read=_block)


def _block(module: nn.Module) -> Block:
    m: Any = module
    attention = m.self_attn
    unhooked(module)
    qkv, heads, _ = projections(attention, attention.head_dim)
    return Block(
        qkv=qkv,
        out=output(attention),
        norm1=norm(m.self_attn_layer_norm),
        norm2=norm(m.final_layer_norm),
        up=affine(m.fc1),
        down=affine(m.fc2),
        activation=activation(m.activation_fn),
        heads=heads,
        scale=float(attention.scaling),
        pre_norm=bool(getattr(m, "do_layer_norm_before", True)),
        after=0,
    )
