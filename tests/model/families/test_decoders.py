"""Decoders and ModernBERT: the places of their tokens, and options that run by autograd."""

import pytest
import torch
import transformers
from helpers.real_models import seeded
from helpers.tiny_models import NEAR, SHARED, YARN, ids, tiny

from calig_fast import explain

NODES = {"method": "layer_ig", "quadrature": "gausslegendre", "n_steps": 5}


@pytest.mark.parametrize("kind", ["llama", "modernbert"])
def test_left_padding_is_left_out_and_other_positions_run_by_autograd(kind):
    model, call = tiny(kind), ids(9)
    alone = explain(model, call, **NODES)
    if kind == "llama":  # ModernBERT's head reads the first token, here of padding
        wide = {name: torch.nn.functional.pad(value, (3, 0)) for name, value in call.items()}
        padded = explain(model, wide, **NODES)
        assert padded.engine == "native"
        size = alone.layer_scores.abs().max()
        torch.testing.assert_close(padded.layer_scores[..., 3:] / size, alone.layer_scores / size, rtol=1e-4, atol=1e-5)
    hole = {**call, "attention_mask": call["attention_mask"].clone()}
    hole["attention_mask"][0, 4] = 0
    placed = {**call, "position_ids": 2 * torch.arange(9)[None]}
    for other, why in ((hole, "padding lies between"), (placed, "positions are given")):
        a = explain(model, other, **NODES)
        assert a.engine == "autograd"
        assert why in a.settings.not_native


def test_what_the_blocks_of_decoders_have_not_runs_by_autograd():
    capped = transformers.Gemma2Config(**{**SHARED, **NEAR, "query_pre_attn_scalar": 7})
    a = explain(seeded(transformers.Gemma2ForSequenceClassification(capped)), ids(9), **NODES)
    assert (a.engine, a.settings.family) == ("autograd", "llama")
    assert "capped" in a.settings.not_native


def test_rotations_that_depend_on_the_length_of_the_text_run_natively_up_to_it():
    factors = {"short_factor": [1.0, 1.5], "long_factor": [2.0, 3.0], "original_max_position_embeddings": 8}
    for rope in ({"rope_type": "dynamic", "factor": 2.0}, {"rope_type": "longrope", **factors}):
        config = transformers.LlamaConfig(**SHARED, rope_parameters={"rope_theta": 1e4, **rope})
        model = seeded(transformers.LlamaForSequenceClassification(config))
        for tokens in (8, 9):
            a, b = (explain(model, ids(tokens), engine=engine, **NODES) for engine in ("auto", "autograd"))
            torch.testing.assert_close(a.layer_scores, b.layer_scores, rtol=1e-4, atol=1e-5)
            native = tokens == 8 or rope["rope_type"] == "dynamic"  # whose own length is that of its positions
            assert a.engine == ("native" if native else "autograd")
            assert native or "in texts of more than 8 tokens" in a.settings.not_native


def test_texts_beyond_ministrals_first_length_run_by_autograd():
    rope = {**YARN, "original_max_position_embeddings": 8, "llama_4_scaling_beta": 0.1}
    config = transformers.Ministral3Config(**{**SHARED, "rope_parameters": rope})
    model = seeded(transformers.Ministral3ForSequenceClassification(config))
    for tokens, engine in ((8, "native"), (9, "autograd")):
        assert explain(model, ids(tokens), **NODES).engine == engine
