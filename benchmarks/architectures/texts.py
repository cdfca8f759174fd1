"""Every sequence classifier of transformers, small."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import transformers
from torch import nn
from transformers import CONFIG_MAPPING
from transformers.models.auto.modeling_auto import MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES as NAMES

from benchmarks.architectures.tiny import BOS, CLASSES, EOS, PAD, VOCABULARY, Call, Case, shrink, text_call

DEPTH, WIDTH, HEADS, INNER = 3, 32, 4, 48
SMALL: dict[str, Any] = {
    **dict.fromkeys(("hidden_size", "d_model", "n_embd", "dim", "emb_dim", "embedding_size"), WIDTH),
    **dict.fromkeys(
        ("num_hidden_layers", "num_layers", "n_layer", "n_layers", "encoder_layers", "decoder_layers"), DEPTH
    ),
    **dict.fromkeys(("num_attention_heads", "n_head", "n_heads", "num_heads", "encoder_attention_heads"), HEADS),
    **dict.fromkeys(("decoder_attention_heads", "num_experts", "num_local_experts", "n_routed_experts"), HEADS),
    **dict.fromkeys(("intermediate_size", "n_inner", "hidden_dim", "encoder_ffn_dim", "decoder_ffn_dim"), INNER),
    **dict.fromkeys(("ffn_dim", "d_ff", "dff", "d_inner"), INNER),
    **dict.fromkeys(("max_position_embeddings", "n_positions", "max_position"), 64),
    "num_decoder_layers": DEPTH,
    "num_key_value_heads": 2,
    "d_kv": 8,
    "head_dim": 8,
    "d_head": 8,
    "moe_intermediate_size": 24,
    "shared_expert_intermediate_size": 24,
    "num_experts_per_tok": 2,
    "vocab_size": VOCABULARY,
    "type_vocab_size": 2,
    "image_size": 32,
    "patch_size": 16,
    "pad_token_id": PAD,
    "bos_token_id": BOS,
    "eos_token_id": EOS,
}
LATENT = {  # queries, keys and values through a narrow middle
    "num_key_value_heads": 4,
    "kv_lora_rank": 16,
    "q_lora_rank": 16,
    "qk_rope_head_dim": 8,
    "qk_nope_head_dim": 8,
    "v_head_dim": 8,
    "head_dim": 8,
}
YARN = {
    "rope_type": "yarn",
    "rope_theta": 1e4,
    "factor": 2.0,
    "original_max_position_embeddings": 32,
    "max_position_embeddings": 64,
    "mscale": 1.0,
    "mscale_all_dim": 1.0,
    "llama_4_scaling_beta": 0.1,
}
HYBRID = {"layer_types": ["linear_attention", "full_attention"], "num_hidden_layers": 2}
MAMBA = {"mamba_d_state": 4, "mamba_dt_rank": 4, "use_mamba_kernels": False}
# What differs from the sizes above; None leaves a value out.
OTHERS: dict[str, dict[str, Any]] = {
    "axk1": {**LATENT, "n_group": 2, "topk_group": 1, "mlp_layer_types": ["dense", "sparse", "sparse"]},
    "axk2": {
        **LATENT,
        "mlp_layer_types": ["dense", "sparse", "sparse"],
        "index_topk": 4,
        "index_head_dim": 8,
        "index_n_heads": 2,
    },
    "bigbird_pegasus": {"attention_type": "original_full"},
    "big_bird": {"attention_type": "original_full"},
    "canine": {"num_hash_buckets": 64},
    "cohere_compass_text": {"rope_parameters": {"full_attention": {"rope_type": "default", "rope_theta": 10000.0}}},
    "deepseek_v2": LATENT,
    "deepseek_v3": {**LATENT, "n_group": 2, "topk_group": 1, "first_k_dense_replace": 1},
    "esmc": {"num_key_value_heads": 4},
    "falcon": {"head_dim": None},
    "funnel": {"num_hidden_layers": None, "num_attention_heads": None, "block_sizes": [2, 1], "num_decoder_layers": 1},
    "gpt_neo": {"num_layers": 4, "num_hidden_layers": None, "attention_types": [[["global", "local"], 2]]},
    "gptj": {"rotary_dim": 4},
    "jamba": {**MAMBA, "num_hidden_layers": 4, "attn_layer_period": 2, "attn_layer_offset": 1},
    "layoutlmv3": {"visual_embed": False, "coordinate_size": 6, "shape_size": 4, "input_size": 32},
    "lilt": {"hidden_size": 48, "channel_shrink_ratio": 4},
    "minicpm3": LATENT,
    "mistral4": {**LATENT, "rope_parameters": {**YARN, "partial_rotary_factor": 0.5}, "head_dim": 16},
    "perceiver": {"num_latents": 6, "d_latents": 32, "num_blocks": 1, "num_self_attends_per_block": 3},
    "luke": {"entity_vocab_size": 16, "entity_emb_size": 16},
    "mobilebert": {"intra_bottleneck_size": 16, "num_feedforward_networks": 2},
    "qwen3_5": {"text_config": HYBRID},
    "qwen3_5_text": HYBRID,
    "qwen3_next": HYBRID,
    "reformer": {
        "axial_pos_embds": False,
        "attn_layers": ["local", "local", "local"],
        "local_attn_chunk_length": 4,
        "attention_head_size": 8,
        "feed_forward_size": INNER,
        "num_hidden_layers": None,
    },
    "roc_bert": {"pronunciation_vocab_size": 16, "shape_vocab_size": 16},
    "markuplm": {"max_depth": 4},
    "t5": {"decoder_start_token_id": PAD},
    "mt5": {"decoder_start_token_id": PAD},
    "umt5": {"decoder_start_token_id": PAD},
    "xmod": {"default_language": "en_XX"},
    "xlnet": {"num_hidden_layers": None, "max_position_embeddings": None},
    "zamba": {
        **MAMBA,
        "num_hidden_layers": 4,
        "layers_block_type": ["linear_attention", "hybrid", "linear_attention", "hybrid"],
    },
    "zamba2": {"layers_block_type": ["linear_attention", "hybrid", "linear_attention"], "use_mamba_kernels": False},
}


def merged(sizes: dict[str, Any], others: dict[str, Any]) -> dict[str, Any]:
    """The sizes with others in their place, those of inner configs too."""
    inner = {k: {**sizes[k], **v} for k, v in others.items() if isinstance(sizes.get(k), dict)}
    return {**sizes, **others, **inner}


def maker(kind: str, names: str, small: dict[str, Any], others: dict[str, Any]) -> Callable[[], nn.Module]:
    """The maker of the small model of one kind of config."""

    def make() -> nn.Module:
        sort = CONFIG_MAPPING[kind]
        wanted = merged(shrink(sort(), small), others)
        config = sort(**{k: v for k, v in wanted.items() if v is not None}, num_labels=CLASSES)
        return getattr(transformers, names)(config)

    return make


def first_word(model: nn.Module) -> tuple[Call, Call]:
    """Another first word too, where the head reads that alone and nothing is attended to: MRA without its kernel."""
    call, low = text_call(model)
    low["input_ids"][:, 0] = 7
    return call, low


CALLS = {"mra": first_word}
NOT_TRIED = {"layoutlmv2": "needs detectron2"}
# blocks that `blocks.longest` does not find, as the encoder calls their forward itself
BLOCKS = {"squeezebert": ("transformer.encoder.layers",)}


def cases() -> list[Case]:
    """One for each kind of config, in the order of their names."""
    return [
        Case(
            f"text/{kind}",
            maker(kind, name, SMALL, OTHERS.get(kind, {})),
            call=CALLS.get(kind),
            blocks=BLOCKS.get(kind, ()),
            not_tried=NOT_TRIED.get(kind, ""),
        )
        for kind, name in sorted(NAMES.items())
    ]
