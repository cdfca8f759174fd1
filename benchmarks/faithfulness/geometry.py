"""The speed and memory of an explanation at AfroLM's geometry, without its weights."""

from __future__ import annotations

import resource
import time
from statistics import median
from typing import Any

import torch

from calig_fast import Explainer

TOKENS, REPEATS = 128, 3


def measure() -> dict[str, Any]:
    """Seconds and extra MiB of one text of 128 tokens: 10 blocks of 768, 6 heads, a vocabulary of 250,002, seeded."""
    from transformers import XLMRobertaConfig, XLMRobertaForSequenceClassification

    torch.manual_seed(0)
    torch.set_num_threads(1)
    config = XLMRobertaConfig(
        vocab_size=250_002,
        hidden_size=768,
        num_hidden_layers=10,
        num_attention_heads=6,
        intermediate_size=3072,
        max_position_embeddings=258,
        type_vocab_size=1,
        num_labels=3,
    )
    model = XLMRobertaForSequenceClassification(config).eval()
    ids = torch.randint(5, config.vocab_size, (1, TOKENS))
    call = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    explainer = Explainer(model)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    seconds = []
    for _ in range(REPEATS):
        begun = time.process_time()
        explainer(call)
        seconds.append(time.process_time() - begun)
    extra = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    return {"tokens": TOKENS, "cpu_seconds": median(seconds), "extra_mib": extra, "blocks": 10, "wide": 768}
