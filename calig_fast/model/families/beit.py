"""BEiT, BEiTv2 and data2vec's image model: ViT's blocks with weights of the pairs of patches, a table a block."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

from torch import Tensor, nn

from ..encoder import Block, Encoder
from ._distances import pair_weights
from ._huggingface import image
from ._weights import activation, affine, fused, norm, unhooked


def encoder(module: nn.Module, prefix: str) -> Encoder | None:
    """The encoder, if `module` is a BeitModel or a Data2VecVisionModel."""
    found = image(module, prefix, "beit", {"beit", "data2vec-vision"}, "encoder.layer", "layers")
    if found is None:
        return None
    model: Any = module
    shared = getattr(model, "shared_position_bias", None) or getattr(
        getattr(model, "encoder", None), "relative_position_bias", None
    )
    # the embeddings of data2vec, and of BEiT before transformers 5, return more than hidden states
    stem = found.stem if hasattr(model, "layers") else None
    return replace(found, read=partial(_block, shared), stem=stem)


def _block(shared: nn.Module | None, module: nn.Module) -> Block:
    m: Any = module
    unhooked(module)
    if shared is not None:
        unhooked(shared)
    new = hasattr(m.attention, "q_proj")
    inner = m.attention if new else m.attention.attention
    names = ("q_proj", "k_proj", "v_proj") if new else ("query", "key", "value")
    qkv = fused([affine(getattr(inner, name)) for name in names])
    heads = inner.num_attention_heads
    own = getattr(m if new else inner, "relative_position_bias", None)
    return Block(
        qkv=qkv,
        out=affine(m.attention.o_proj if new else m.attention.output.dense),
        norm1=norm(m.layernorm_before),
        norm2=norm(m.layernorm_after),
        up=affine(m.mlp.fc1 if new else m.intermediate.dense),
        down=affine(m.mlp.fc2 if new else m.output.dense),
        activation=activation(m.mlp.activation_fn if new else m.intermediate.intermediate_act_fn),
        heads=heads,
        scale=(len(qkv.weight) // 3 // heads) ** -0.5,
        pre_norm=True,
        scale1=_scale(m.lambda_1),
        scale2=_scale(m.lambda_2),
        positions=pair_weights(own, shared),
    )


def _scale(given: Any) -> Tensor | None:
    """The factors of a branch; the model keeps 1.0 or None where it has none."""
    return given if isinstance(given, Tensor) else None
