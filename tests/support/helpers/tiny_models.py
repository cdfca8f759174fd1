"""Small seeded models, one of every family, that a test can run many times."""

from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from helpers.real_models import seeded

VOCABULARY, PAD, CLS, SEP = 60, 0, 1, 2
SIZES = {
    "vocab_size": VOCABULARY,
    "hidden_size": 24,
    "num_hidden_layers": 3,
    "num_attention_heads": 3,
    "intermediate_size": 40,
    "max_position_embeddings": 40,
    "num_labels": 4,
    "pad_token_id": PAD,
}
PICTURE = {
    "hidden_size": 24,
    "num_hidden_layers": 3,
    "num_attention_heads": 3,
    "intermediate_size": 40,
    "image_size": 16,
    "patch_size": 4,
    "num_labels": 4,
}
DISTILBERT = {"dim": 24, "n_layers": 3, "n_heads": 3, "hidden_dim": 40, "max_position_embeddings": 40, "num_labels": 4}
GROUPS = {**SIZES, "num_hidden_layers": 4, "embedding_size": 16, "num_hidden_groups": 2}
SHORT = {**PICTURE, "mlp_ratio": 2}
TOWERS = {"vision_config": PICTURE, "num_labels": 4}
PLACES = {"relative_attention": True, "position_biased_input": False, "pos_att_type": ["c2p", "p2c"]}
BUCKETS = {"position_buckets": 4, "share_att_key": True, "norm_rel_ebd": "layer_norm"}
CHARACTERS = {"pronunciation_vocab_size": 9, "pronunciation_embed_dim": 8, "shape_vocab_size": 9, "shape_embed_dim": 8}

ENDS = {"bos_token_id": CLS, "eos_token_id": SEP}
SHARED = {**SIZES, **ENDS, "num_attention_heads": 6, "num_key_value_heads": 2}
NEAR = {"head_dim": 6, "sliding_window": 4}
LAYERS = {"num_hidden_layers": 4, "layer_types": ["sliding_attention", "full_attention"] * 2}
GEMMA3 = {**SHARED, **NEAR, **LAYERS, "num_key_value_heads": 1, "query_pre_attn_scalar": 7}
GPT2 = {"vocab_size": VOCABULARY, "n_embd": 24, "n_layer": 3, "n_head": 3, "n_positions": 40, "num_labels": 4}
MODERNBERT = {**SIZES, **ENDS, "cls_token_id": CLS, "sep_token_id": SEP, "local_attention": 4}

COMPASS = {"sliding_attention": {"rope_theta": 1e4, "rope_type": "default"}, "full_attention": None}
YARN = {"rope_type": "yarn", "rope_theta": 1e4, "factor": 2.0, "original_max_position_embeddings": 40}
NEO = {**SIZES, **ENDS, "num_hidden_layers": 4, "attention_types": [[["global", "local"], 2]], "window_size": 4}
MPT = {"num_labels": 4, "pad_token_id": PAD}
FALCON = {**SIZES, **ENDS, "num_attention_heads": 6}

# a line a kind: the name of transformers' classifier without "ForSequenceClassification", and its sizes
TEXTS: dict[str, tuple[str, dict[str, Any]]] = {
    "bert": ("Bert", SIZES),
    "roberta": ("Roberta", SIZES),
    "xlm-roberta": ("XLMRoberta", SIZES),
    "camembert": ("Camembert", SIZES),
    "distilbert": ("DistilBert", {"vocab_size": VOCABULARY, **DISTILBERT, "pad_token_id": PAD}),
    "electra": ("Electra", {**SIZES, "embedding_size": 16}),
    "albert": ("Albert", GROUPS),
    "big_bird": ("BigBird", {**SIZES, "attention_type": "original_full"}),
    "ernie": ("Ernie", {**SIZES, "use_task_id": True}),
    "layoutlm": ("LayoutLM", SIZES),
    "rembert": ("RemBert", {**SIZES, "input_embedding_size": 16}),
    "roc_bert": ("RoCBert", {**SIZES, **CHARACTERS}),
    "tapas": ("Tapas", SIZES),
    "data2vec-text": ("Data2VecText", SIZES),
    "luke": ("Luke", {**SIZES, "entity_vocab_size": 8, "entity_emb_size": 8}),
    "markuplm": ("MarkupLM", {**SIZES, "max_depth": 4, "xpath_unit_hidden_size": 4}),
    "megatron-bert": ("MegatronBert", SIZES),
    "roberta-prelayernorm": ("RobertaPreLayerNorm", SIZES),
    "xlm-roberta-xl": ("XLMRobertaXL", SIZES),
    "deberta": ("Deberta", {**SIZES, **PLACES}),
    "deberta-v2": ("DebertaV2", {**SIZES, **PLACES}),
    "deberta-v3": ("DebertaV2", {**SIZES, **PLACES, **BUCKETS, "max_position_embeddings": 16}),
    "mpnet": ("MPNet", {**SIZES, "pad_token_id": PAD}),
    "llama": ("Llama", SHARED),
    "mistral": ("Mistral", {**SHARED, **NEAR}),
    "qwen2": ("Qwen2", SHARED),
    "qwen3": ("Qwen3", {**SHARED, "head_dim": 6}),
    "gemma": ("Gemma", {**SHARED, "num_key_value_heads": 1, "head_dim": 6}),
    "gemma3_text": ("Gemma3Text", GEMMA3),
    "phi3": ("Phi3", SHARED),
    "ministral": ("Ministral", {**SHARED, **NEAR, **LAYERS}),
    "smollm3": ("SmolLM3", {**SHARED, "no_rope_layer_interval": 2}),
    "seed_oss": ("SeedOss", SHARED),
    "exaone4": ("Exaone4", {**SHARED, **LAYERS, "sliding_window": 4, "sliding_window_pattern": 2}),
    "starcoder2": ("Starcoder2", {**SHARED, "sliding_window": 4}),
    "eurobert": ("EuroBert", SHARED),
    "arcee": ("Arcee", SHARED),
    "nemotron": ("Nemotron", {**SHARED, "head_dim": 6}),
    "olmo": ("Olmo", SHARED),
    "olmo2": ("Olmo2", SHARED),
    "olmo3": ("Olmo3", {**SHARED, **LAYERS, "sliding_window": 4}),
    "ultrabert": ("Ultrabert", {**SHARED, **LAYERS, "sliding_window": 3}),
    "glm": ("Glm", {**SHARED, "head_dim": 8}),
    "glm4": ("Glm4", {**SHARED, "head_dim": 8}),
    "helium": ("Helium", {**SHARED, "head_dim": 4}),
    "cohere_compass_text": ("CohereCompassText", {**SHARED, **LAYERS, "sliding_window": 4, "rope_parameters": COMPASS}),
    "hunyuan_v1_dense": ("HunYuanDenseV1", {**SHARED, "head_dim": 6}),
    "ministral3": ("Ministral3", {**SHARED, "rope_parameters": {**YARN, "llama_4_scaling_beta": 0.1}}),
    "stablelm": ("StableLm", {**SIZES, **ENDS, "num_key_value_heads": 1}),
    "stablelm-parallel": ("StableLm", {**SIZES, **ENDS, "num_key_value_heads": 3, "use_parallel_residual": True}),
    "phi": ("Phi", {**SHARED, "qk_layernorm": True}),
    "persimmon": ("Persimmon", {**SIZES, **ENDS}),
    "gptj": ("GPTJ", {**GPT2, **ENDS, "pad_token_id": PAD, "rotary_dim": 4}),
    "gpt_neo": ("GPTNeo", NEO),
    "gpt_bigcode": ("GPTBigCode", {**GPT2, **ENDS, "pad_token_id": PAD}),
    "gpt_bigcode-many": ("GPTBigCode", {**GPT2, **ENDS, "pad_token_id": PAD, "multi_query": False}),
    "openai-gpt": ("OpenAIGPT", {**GPT2, "pad_token_id": PAD}),
    "ctrl": ("CTRL", {**GPT2, "dff": 40, "pad_token_id": PAD}),
    "opt": ("OPT", {**SIZES, **ENDS, "ffn_dim": 40, "word_embed_proj_dim": 16}),
    "opt-after": ("OPT", {**SIZES, **ENDS, "ffn_dim": 40, "word_embed_proj_dim": 24, "do_layer_norm_before": False}),
    "biogpt": ("BioGpt", {**SIZES, **ENDS}),
    "bloom": ("Bloom", {**SIZES, **ENDS, "n_layer": 3, "n_head": 3}),
    "mpt": ("Mpt", {"vocab_size": VOCABULARY, "d_model": 24, "n_layers": 3, "n_heads": 3, "max_seq_len": 40, **MPT}),
    "falcon": ("Falcon", FALCON),
    "falcon-grouped": ("Falcon", {**FALCON, "new_decoder_architecture": True, "num_kv_heads": 3}),
    "falcon-many": ("Falcon", {**FALCON, "multi_query": False, "parallel_attn": False}),
    "gte": ("Gte", SIZES),
    "nomic_bert": ("NomicBert", SIZES),
    "jina_embeddings_v3": ("JinaEmbeddingsV3", SIZES),
    "roformer": ("RoFormer", {**SIZES, "embedding_size": 16}),
    "esmc": ("Esmc", {**SIZES, "num_key_value_heads": 3}),
    "gpt_neox": ("GPTNeoX", {**SIZES, **ENDS, "rotary_pct": 0.5}),
    "gpt2": ("GPT2", {**GPT2, **ENDS, "pad_token_id": PAD}),
    "modernbert": ("ModernBert", {**MODERNBERT, "global_attn_every_n_layers": 2, "classifier_pooling": "cls"}),
    "modernbert-mean": ("ModernBert", {**MODERNBERT, "classifier_pooling": "mean"}),
    "modernbert-decoder": ("ModernBertDecoder", {**MODERNBERT, "global_attn_every_n_layers": 2}),
    "esm": ("Esm", {**SIZES, "token_dropout": True, "mask_token_id": 4, "position_embedding_type": "absolute"}),
}
ROTATED = {"use_rot_pos_emb": True, "embed_dim": 48, "use_abs_pos_emb": False}
# the same without "ForImageClassification..."; or the arguments of timm's VisionTransformer, or of its Eva
IMAGES: dict[str, tuple[str, dict[str, Any]]] = {
    "vit": ("ViT", PICTURE),
    "deit": ("DeiT", PICTURE),
    "deit-teacher": ("DeiT", PICTURE),
    "dinov2": ("Dinov2", SHORT),
    "dinov2_with_registers": ("Dinov2WithRegisters", {**SHORT, "num_register_tokens": 2}),
    "vit_msn": ("ViTMSN", PICTURE),
    "ijepa": ("IJepa", PICTURE),
    "clip": ("CLIP", TOWERS),
    "metaclip_2": ("MetaClip2", TOWERS),
    "siglip": ("Siglip", TOWERS),
    "beit": ("Beit", {**PICTURE, "use_relative_position_bias": True}),
    "beit-shared": ("Beit", {**PICTURE, "use_shared_relative_position_bias": True}),
    "data2vec-vision": ("Data2VecVision", {**PICTURE, "use_relative_position_bias": True}),
    "timm-token": ("", {}),
    "timm-avg": ("", {"global_pool": "avg", "class_token": False}),
    "timm-registers": ("", {"reg_tokens": 2, "init_values": 0.5}),
    "timm-clip": ("", {"pre_norm": True, "act_layer": "quick_gelu"}),
    "timm-eva": ("Eva", {"init_values": 0.5}),
    "timm-eva02": ("Eva", {"use_rot_pos_emb": True, "embed_dim": 48, "swiglu_mlp": True, "scale_mlp": True}),
    "timm-dinov3": ("Eva", {**ROTATED, "rope_type": "dinov3", "rope_rotate_half": True, "num_reg_tokens": 2}),
    "timm-normed": ("", {"qk_norm": True, "scale_attn_norm": True, "scale_mlp_norm": True}),
}
OTHERS: dict[str, tuple[str, dict[str, Any]]] = {  # of some tests
    "dinov2-gated": ("Dinov2", {**SHORT, "use_swiglu_ffn": True}),
    "timm-map": ("", {"global_pool": "map", "class_token": False}),
    "timm-prr": ("", {"global_pool": "prr"}),
    "timm-max": ("", {"global_pool": "avgmax", "no_embed_class": True, "qkv_bias": False, "proj_bias": False}),
}
TEXT, IMAGE = tuple(TEXTS), tuple(IMAGES)


@cache
def tiny(kind: str, attention: str = "") -> Any:
    """A classifier of the family `kind`, of its own attention if none is named; the same object each time."""
    name, sizes = {**TEXTS, **IMAGES, **OTHERS}[kind]
    if name in {"", "Eva"}:
        return _timm(name, sizes)
    import transformers

    form = "SequenceClassification" if kind in TEXTS else "ImageClassification"
    teacher = "WithTeacher" if kind.endswith("-teacher") else ""
    config = getattr(transformers, f"{name}Config")(**sizes)
    model = getattr(transformers, f"{name}For{form}{teacher}")(config)
    if attention:
        model.set_attn_implementation(attention)
    model = seeded(model, seed=3)
    if kind.startswith("gemma"):  # whose norms multiply by 1 + weight
        with torch.no_grad():
            for name, weight in model.named_parameters():
                weight -= 1.0 if "norm" in name else 0.0
    return model


def _timm(name: str, more: dict[str, Any]) -> Any:
    from timm.models.eva import Eva
    from timm.models.vision_transformer import VisionTransformer

    sizes = {"img_size": 16, "patch_size": 4, "embed_dim": 24, "depth": 3, "num_heads": 3, "num_classes": 4}
    return seeded((Eva if name else VisionTransformer)(**{**sizes, **more}), seed=3)


def ids(*lengths: int, seed: int = 0) -> dict[str, Tensor]:
    """Padded ids [B,T] with class and separator tokens, and their mask."""
    generator = torch.Generator().manual_seed(seed)
    longest = max(lengths)
    table = torch.full((len(lengths), longest), PAD)
    mask = torch.zeros(len(lengths), longest, dtype=torch.int64)
    for b, n in enumerate(lengths):
        table[b, :n] = torch.randint(5, VOCABULARY, (n,), generator=generator)
        table[b, 0], table[b, n - 1] = CLS, SEP
        mask[b, :n] = 1
    return {"input_ids": table, "attention_mask": mask}


def pixels(count: int = 2, seed: int = 0) -> Tensor:
    """Seeded pixels [B,3,16,16]."""
    return torch.randn(count, 3, 16, 16, generator=torch.Generator().manual_seed(seed))


def inputs(kind: str, count: int = 2) -> Any:
    """Inputs for a family, of different lengths where they are text."""
    return ids(*(9, 6, 7, 5)[:count]) if kind in TEXT else pixels(count)


class Residual(nn.Linear):
    """x + W x."""

    def forward(self, x: Tensor) -> Tensor:
        return x + super().forward(x)


class Linear(nn.Module):
    """A model that is linear in its hidden states: every integral is exact with any rule."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(VOCABULARY, 8)
        self.blocks = nn.ModuleList([Residual(8, 8, bias=False) for _ in range(2)])
        self.head = nn.Linear(8, 3)

    def forward(self, input_ids: Tensor) -> Tensor:
        h = self.words(input_ids)
        for block in self.blocks:
            h = block(h)
        return self.head(h.sum(1))
