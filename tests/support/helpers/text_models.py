"""A small BERT of real word pieces, and short calls of it."""

from functools import cache

import torch

from calig_fast import Explainer
from helpers.real_models import seeded

QUICK = "gradient_x_input"
NODES = {"quadrature": "corrected_trapezoid", "n_steps": 4}


@cache
def bert():
    from transformers import BertConfig, BertForSequenceClassification

    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16}
    config = BertConfig(**sizes, vocab_size=30522, max_position_embeddings=64, num_labels=3)
    return seeded(BertForSequenceClassification(config))


def quick(model, tokenizer, **options):
    return Explainer(model, tokenizer, method=QUICK, **options)


def words(a, index=0):
    return [w.text for w in a.words[index]]


def same(a, b, **options):
    torch.testing.assert_close(a.scores, b.scores, **options)
    torch.testing.assert_close(a.layer_scores, b.layer_scores, **options)
