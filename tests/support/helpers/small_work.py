"""A work for the benchmarks that takes no time."""

import torch

from benchmarks.works import Work

from .real_models import seeded


def bert(calls=2):
    """A work of `calls` inputs and two warm-up inputs on a small seeded BERT."""
    from transformers import BertConfig, BertForSequenceClassification

    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    model = seeded(BertForSequenceClassification(BertConfig(vocab_size=50, num_labels=3, **sizes)))
    ids = [torch.randint(3, 50, (1, 6), generator=torch.Generator().manual_seed(i)) for i in range(calls + 2)]
    inputs = [{"input_ids": i, "attention_mask": torch.ones_like(i)} for i in ids]
    lows = [torch.zeros_like(i) for i in ids[:calls]]
    return Work("w", "a work", model, "bert.encoder.layer", inputs[:calls], "input_ids", lows, inputs[calls:], (0, 1))
