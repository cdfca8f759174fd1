"""Llama and the decoders of its blocks: Mistral, Ministral, Qwen2, Qwen3, Gemma, SmolLM3, and others.

RMS norms before attention and MLP, rotary positions, heads of keys that several heads of queries share, a gated MLP.
Some norm every head of queries and keys, Gemma 3 also each branch, EXAONE 4 the branches alone. EuroBERT attends to
both sides, Phi-3 keeps projections side by side, and StarCoder2 has layer norms and a plain MLP.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from torch import nn

from ..encoder import Affine, Block, Encoder, Norm, Rotary
from ._huggingface import text
from ._weights import UnreadableError, activation, affine, fused, norm, rotary, unhooked

TYPES = {
    *("llama", "mistral", "ministral", "qwen2", "qwen3", "gemma", "gemma2", "gemma3_text", "phi3"),
    *("eurobert", "exaone4", "seed_oss", "smollm3", "starcoder2"),
}


def encoder(module: nn.Module, prefix: str) -> Encoder | None:
    """The encoder, if `module` is the backbone of such a model."""
    return text(module, prefix, "llama", TYPES, "layers", read=partial(_block, backbone=module))


def _block(module: nn.Module, backbone: Any) -> Block:
    m: Any = module
    attention = m.self_attn
    unhooked(module)
    if getattr(attention, "attn_logit_softcapping", None) is not None:
        raise UnreadableError("its attention's logits are capped (attn_logit_softcapping)")
    heads = attention.o_proj.in_features // attention.head_dim
    norm1, norm2, post1, post2 = _norms(m)
    up, down, gated = _mlp(m.mlp)
    return Block(
        qkv=_qkv(attention),
        out=affine(attention.o_proj),
        norm1=norm1,
        norm2=norm2,
        up=up,
        down=down,
        activation=activation(getattr(m.mlp, "act_fn", None) or getattr(m.mlp, "activation_fn", None) or m.mlp.act),
        heads=heads,
        scale=float(attention.scaling),
        pre_norm=True,
        gated=gated,
        key_heads=heads // attention.num_key_value_groups,
        norm_q=_optional(attention, "q_norm"),
        norm_k=_optional(attention, "k_norm"),
        rotary=_rotary(attention, backbone),
        before=_window(attention) - 1,
        after=0 if attention.is_causal else -1,
        post1=post1,
        post2=post2,
    )


def _norms(block: Any) -> tuple[Norm | None, Norm | None, Norm | None, Norm | None]:
    """The norms before attention and MLP, and those of their branches."""
    first, second = _optional(block, "input_layernorm"), _optional(block, "pre_feedforward_layernorm")
    middle, last = norm(block.post_attention_layernorm), _optional(block, "post_feedforward_layernorm")
    return (first, middle, None, None) if last is None else (first, second, middle, last)


def _qkv(attention: Any) -> Affine:
    if hasattr(attention, "qkv_proj"):
        return affine(attention.qkv_proj)
    return fused([affine(attention.q_proj), affine(attention.k_proj), affine(attention.v_proj)])


def _mlp(mlp: Any) -> tuple[Affine, Affine, bool]:
    """First and second projection, of a gated one gate and value side by side, and whether it is gated."""
    if hasattr(mlp, "c_fc"):
        return affine(mlp.c_fc), affine(mlp.c_proj), False
    if hasattr(mlp, "gate_up_proj"):
        return affine(mlp.gate_up_proj), affine(mlp.down_proj), True
    return fused([affine(mlp.gate_proj), affine(mlp.up_proj)]), affine(mlp.down_proj), True


def _optional(module: Any, name: str) -> Norm | None:
    """The norm of this name, where there is one."""
    found = getattr(module, name, None)
    return None if found is None else norm(found)


def _rotary(attention: Any, backbone: Any) -> Rotary | None:
    """The rotation, None where a block of SmolLM3 has none; EXAONE 4 rotates near its windows alone."""
    near = getattr(attention, "sliding_window_pattern", None) is None or attention.is_sliding
    near = near or attention.sliding_window is None
    if not getattr(attention, "use_rope", True) or not near:
        return None
    return rotary(backbone.rotary_emb, getattr(attention, "layer_type", None) or "")


def _window(attention: Any) -> int:
    """Tokens that a query attends to, itself among them; 0 for all before it."""
    if getattr(attention, "is_sliding", True) is False:
        return 0
    if hasattr(attention, "sliding_window"):
        return int(attention.sliding_window or 0)
    return int(getattr(attention.config, "sliding_window", None) or 0)
