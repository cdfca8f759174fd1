"""The engine that is told before any call is the one that runs, with its reason."""

import pytest
import torch
from helpers.tiny_models import IMAGE, SIZES, TEXT, Linear, inputs, tiny
from torch import nn

from calig_fast import explain
from calig_fast.cli.recognised import Recognised, recognised
from calig_fast.model.families._unread import others

SMALL = {name: size for name, size in SIZES.items() if name != "num_labels"}


@pytest.mark.parametrize("kind", [*TEXT, *IMAGE])
def test_a_family_that_is_told_is_the_one_that_runs(kind):
    a = explain(tiny(kind), inputs(kind, 1), method="layer_ig", n_steps=1)
    assert recognised(tiny(kind)) == Recognised(a.settings.family, a.engine)


def test_options_that_the_blocks_have_not_are_the_reason():
    from transformers import EsmConfig, EsmForSequenceClassification

    sizes = {**SIZES, "mask_token_id": 4, "position_embedding_type": "rotary"}
    told = recognised(EsmForSequenceClassification(EsmConfig(**sizes)))
    assert told == Recognised("esm", "autograd", "its positions are rotary")


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        (
            "Mixtral",
            ["a mixture of experts", "positions that rotate", "norms of the mean square", "attention to the past"],
        ),
        ("T5", ["a bias of relative positions"]),
        ("Bart", ["a decoder beside its encoder"]),
        ("FNet", ["no attention"]),
        ("SqueezeBert", ["convolutions in its blocks"]),
    ],
)
def test_parts_that_our_blocks_have_not_are_told(name, parts):
    import transformers

    sizes = {**SMALL, "d_model": 24, "encoder_layers": 2, "decoder_layers": 2, "embedding_size": 24}
    sizes |= {"num_hidden_layers": 2, "num_key_value_heads": 3, "num_local_experts": 2, "n_head": 3, "n_embd": 24}
    sizes |= {"encoder_attention_heads": 3, "decoder_attention_heads": 3, "n_layer": 2}
    config = getattr(transformers, f"{name}Config")(**sizes)
    told = recognised(getattr(transformers, f"{name}ForSequenceClassification")(config))
    assert told.engine == "autograd"
    assert told.why.startswith("no family reads it; it has ")
    for part in parts:
        assert part in told.why


def test_a_model_that_is_refused():
    from transformers import ViTMAEConfig, ViTMAEForPreTraining

    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    more = {"image_size": 8, "patch_size": 4, "decoder_hidden_size": 16, "decoder_num_hidden_layers": 1}
    told = recognised(ViTMAEForPreTraining(ViTMAEConfig(**sizes, **more)))
    assert (told.family, told.engine) == (None, "none")
    assert "masked autoencoder" in told.why


def test_words_inside_other_words_are_no_parts():
    class GptOssMlp(nn.Module):
        """The name holds the letters of a state space."""

        def __init__(self):
            super().__init__()
            self.attention_norm = nn.LayerNorm(4)

    assert others(GptOssMlp()) == ("blocks of its own kind",)
    assert others(Linear()) == ("no attention",)
    assert torch.is_grad_enabled()
