"""The common inputs of all comparisons: small seeded models, sentences of 20 words, images, and seeded scores."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

TEXTS = (
    "a slow start but the second half is bright and warm with two fine actors and a plain honest end",
    "the plot is thin and the jokes are old yet the music holds it up until the dull last act",
    "no one in the hall left early and the young cast sang the old songs with more joy than skill",
    "it wants to be a thriller and a love story at once and is neither so we sat for long",
)
_SPECIAL = ("[PAD]", "[CLS]", "[SEP]", "[MASK]", "[UNK]")
LABELS = 3


def tokenizer() -> Any:
    """A tokenizer that makes one token a word, so that decoding and encoding again gives the same ids."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    words = sorted({word for text in TEXTS for word in text.split()})
    vocabulary = {word: i for i, word in enumerate((*_SPECIAL, *words))}
    backend = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    backend.post_processor = processors.BertProcessing(("[SEP]", 2), ("[CLS]", 1))
    names = ("pad_token", "cls_token", "sep_token", "mask_token", "unk_token")
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, model_max_length=40, **dict(zip(names, _SPECIAL, strict=True))
    )


def texts(tokenizer: Any) -> Any:
    """The sentences as ids [4,22], class and separator tokens around."""
    return tokenizer(list(TEXTS), return_tensors="pt")


def text_model(vocabulary: int) -> nn.Module:
    """A BERT of two blocks that depends on every word."""
    from transformers import BertConfig, BertForSequenceClassification

    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48}
    config = BertConfig(vocab_size=vocabulary, **sizes, max_position_embeddings=40, num_labels=LABELS, pad_token_id=0)
    return _seeded(BertForSequenceClassification(config))


def image_model() -> nn.Module:
    """A ViT of two blocks on 16 patches."""
    from transformers import ViTConfig, ViTForImageClassification

    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48}
    return _seeded(ViTForImageClassification(ViTConfig(**sizes, image_size=16, patch_size=4, num_labels=LABELS)))


def images() -> Tensor:
    """Pixels [3,3,16,16]."""
    return torch.randn(3, 3, 16, 16, generator=torch.Generator().manual_seed(5))


def scores(rows: int, tokens: int) -> Tensor:
    """Seeded scores [B,T]; no two alike."""
    return torch.randn(rows, tokens, generator=torch.Generator().manual_seed(6))


def rationales() -> Tensor:
    """Seeded marks [4,20], about a third of the words."""
    return torch.rand(len(TEXTS), 20, generator=torch.Generator().manual_seed(7)) < 0.3


def _seeded(model: nn.Module) -> nn.Module:
    generator = torch.Generator().manual_seed(4)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.dim() > 1:
                weight.copy_(0.4 * torch.randn(weight.shape, generator=generator))
    return model.eval()
