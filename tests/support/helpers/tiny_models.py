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
TEXT = ("bert", "roberta", "xlm-roberta", "camembert", "distilbert", "electra", "albert")
IMAGE = ("vit", "deit", "deit-teacher", "dinov2", "dinov2_with_registers", "timm-token", "timm-avg", "timm-registers")
ENTRY = {"albert": ("encoder.albert_layer_groups.0.albert_layers.0", "encoder.albert_layer_groups.1.albert_layers.0")}


@cache
def tiny(kind: str, attention: str = "sdpa") -> Any:
    """A classifier of the family `kind`; the same object each time, not to be changed."""
    if kind.startswith("timm-"):
        return _timm(kind.removeprefix("timm-"))
    import transformers as t

    makers = {
        "bert": lambda: t.BertForSequenceClassification(t.BertConfig(**SIZES)),
        "roberta": lambda: t.RobertaForSequenceClassification(t.RobertaConfig(**SIZES)),
        "xlm-roberta": lambda: t.XLMRobertaForSequenceClassification(t.XLMRobertaConfig(**SIZES)),
        "camembert": lambda: t.CamembertForSequenceClassification(t.CamembertConfig(**SIZES)),
        "electra": lambda: t.ElectraForSequenceClassification(t.ElectraConfig(**SIZES, embedding_size=16)),
        "albert": lambda: t.AlbertForSequenceClassification(
            t.AlbertConfig(**{**SIZES, "num_hidden_layers": 4}, embedding_size=16, num_hidden_groups=2)
        ),
        "distilbert": lambda: t.DistilBertForSequenceClassification(
            t.DistilBertConfig(
                vocab_size=VOCABULARY,
                dim=24,
                n_layers=3,
                n_heads=3,
                hidden_dim=40,
                max_position_embeddings=40,
                num_labels=4,
                pad_token_id=PAD,
            )
        ),
        "vit": lambda: t.ViTForImageClassification(t.ViTConfig(**PICTURE)),
        "deit": lambda: t.DeiTForImageClassification(t.DeiTConfig(**PICTURE)),
        "deit-teacher": lambda: t.DeiTForImageClassificationWithTeacher(t.DeiTConfig(**PICTURE)),
        "dinov2": lambda: t.Dinov2ForImageClassification(t.Dinov2Config(**{**PICTURE, "mlp_ratio": 2})),
        "dinov2-gated": lambda: t.Dinov2ForImageClassification(
            t.Dinov2Config(**{**PICTURE, "mlp_ratio": 2}, use_swiglu_ffn=True)
        ),
        "dinov2_with_registers": lambda: t.Dinov2WithRegistersForImageClassification(
            t.Dinov2WithRegistersConfig(**{**PICTURE, "mlp_ratio": 2}, num_register_tokens=2)
        ),
    }
    model = makers[kind]()
    model.set_attn_implementation(attention)
    return seeded(model, seed=3)


def _timm(variant: str) -> Any:
    from timm.models.vision_transformer import VisionTransformer

    more: dict[str, Any] = {
        "token": {},
        "avg": {"global_pool": "avg", "class_token": False},
        "registers": {"reg_tokens": 2, "init_values": 0.5},
        "map": {"global_pool": "map", "class_token": False},
    }[variant]
    return seeded(
        VisionTransformer(img_size=16, patch_size=4, embed_dim=24, depth=3, num_heads=3, num_classes=4, **more), seed=3
    )


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
