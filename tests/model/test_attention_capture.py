"""Attention calls of other forms than one head of keys a head of queries."""

import pytest
import torch
from helpers.tiny_models import ids

from calig_fast import explain


@pytest.mark.parametrize("method", ["calig", "attcat", "chefer"])
def test_one_head_of_keys_may_serve_all_queries(method):
    """Falcon's attention: keys and values of one head, through the fused call."""
    import transformers as t

    config = t.FalconConfig(
        vocab_size=60,
        hidden_size=24,
        num_hidden_layers=3,
        num_attention_heads=3,
        num_labels=4,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
    )
    torch.manual_seed(0)
    model = t.FalconForSequenceClassification(config).eval()
    call = ids(7, 5)
    fused = explain(model, call, baselines=0, method=method, layers="transformer.h")
    model.config._attn_implementation = "eager"
    torch.testing.assert_close(
        fused.scores, explain(model, call, baselines=0, method=method, layers="transformer.h").scores
    )
