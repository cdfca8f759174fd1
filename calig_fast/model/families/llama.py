"""Llama and the decoders of its blocks: Mistral, Ministral, Qwen2, Qwen3, Gemma, SmolLM3, and others.

RMS norms before attention and MLP, rotary positions, heads of keys that several heads of queries share, a gated MLP.
Some norm every head of queries and keys, Gemma 3 also each branch, EXAONE 4 and OLMo 2 the branches alone. EuroBERT and
UltraBERT attend to both sides, Phi-3 keeps projections side by side, and StarCoder2 has layer norms and a plain MLP.
OLMo's norms have no weights, Arcee and Nemotron square their ReLU, and HunYuan norms queries and keys that are rotated.
Ministral 3 scales queries beyond its first texts' length, which runs by autograd.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

from torch import nn

from ..encoder import Block, Encoder, Rotary
from ._huggingface import text
from ._rotated import Norms, optional_norm, rotated_block
from ._weights import UnreadableError, norm

TYPES = {
    *("llama", "mistral", "ministral", "qwen2", "qwen3", "gemma", "gemma2", "gemma3_text", "phi3"),
    *("eurobert", "exaone4", "seed_oss", "smollm3", "starcoder2", "arcee", "olmo", "olmo2", "olmo3"),
    *("hunyuan_v1_dense", "ministral3", "nemotron", "ultrabert"),
}


def encoder(module: nn.Module, prefix: str) -> Encoder | None:
    """The encoder, if `module` is the backbone of such a model."""
    return text(module, prefix, "llama", TYPES, "layers", read=partial(_block, backbone=module))


def _block(module: nn.Module, backbone: Any) -> Block:
    attention: Any = module.self_attn
    if getattr(attention, "attn_logit_softcapping", None) is not None:
        raise UnreadableError("its attention's logits are capped (attn_logit_softcapping)")
    if getattr(attention.config, "clip_qkv", None) is not None:
        raise UnreadableError("its queries, keys and values are clipped (clip_qkv)")
    block = rotated_block(module, backbone, _norms(module), kind=_kind(attention))
    if not _rotates(attention):
        return replace(block, rotary=None)
    if hasattr(attention, "query_layernorm"):
        norms = norm(attention.query_layernorm), norm(attention.key_layernorm)
        block = replace(block, norm_q=norms[0], norm_k=norms[1], rotated_first=True)
    rope = getattr(attention.config, "rope_parameters", None) or {}
    if "llama_4_scaling_beta" in rope and isinstance(block.rotary, Rotary):
        block = replace(block, rotary=replace(block.rotary, most=rope["original_max_position_embeddings"]))
    return block


def _norms(block: Any) -> Norms:
    """The norms before attention and MLP, and those of their branches."""
    first, second = optional_norm(block, "input_layernorm"), optional_norm(block, "pre_feedforward_layernorm")
    middle, last = norm(block.post_attention_layernorm), optional_norm(block, "post_feedforward_layernorm")
    return (first, middle, None, None) if last is None else (first, second, middle, last)


def _kind(attention: Any) -> str:
    """The kind of a block's attention, where kinds differ in their rotation."""
    kinds = getattr(attention.config, "layer_types", None)
    return kinds[attention.layer_idx] if kinds else ""


def _rotates(attention: Any) -> bool:
    """Return False where a block of SmolLM3 does not; EXAONE 4 rotates near its windows alone."""
    near = getattr(attention, "sliding_window_pattern", None) is None or attention.is_sliding
    near = near or attention.sliding_window is None
    return bool(getattr(attention, "use_rope", True) and near)
