"""The blocks of a model that no family knows, and the modality of what it reads."""

import pytest
import torch
from helpers.odd_models import BYPASSED, PLAIN, made
from torch import nn

from calig_fast import explain
from calig_fast.model.block_search import find_blocks

IDS = torch.tensor([[1, 40, 17, 33, 58, 21, 2]])
HUGGING_FACE = {
    "diffllama": ("DiffLlamaConfig", "DiffLlamaForSequenceClassification", "model.layers"),
    "bart": ("BartConfig", "BartForSequenceClassification", "model.encoder.layers"),
    "t5": ("T5Config", "T5ForSequenceClassification", "transformer.encoder.block"),
    "xlm": ("XLMConfig", "XLMForSequenceClassification", "transformer.layer_norm1"),
}
SIZES = {
    "bart": {"d_model": 16, "encoder_ffn_dim": 16, "decoder_ffn_dim": 16, "encoder_attention_heads": 2}
    | {"decoder_attention_heads": 2, "encoder_layers": 2, "decoder_layers": 3, "max_position_embeddings": 32},
    "t5": {"d_model": 16, "d_ff": 16, "d_kv": 8, "num_layers": 2, "num_decoder_layers": 3, "num_heads": 2}
    | {"decoder_start_token_id": 0, "eos_token_id": 2},
    "xlm": {"emb_dim": 16, "n_layers": 2, "n_heads": 2, "max_position_embeddings": 32, "n_langs": 1},
    "diffllama": {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    | {"num_key_value_heads": 2},
}


@pytest.mark.parametrize("name", [*PLAIN, *BYPASSED])
def test_the_list_that_the_tokens_pass_is_found_however_states_lie(name):
    prefix = "one." if name == "two_towers" else ""
    assert find_blocks(made(name), {"input_ids": IDS}, 7) == tuple(f"{prefix}blocks.{i}" for i in range(3))


@pytest.mark.parametrize("name", HUGGING_FACE)
def test_models_of_transformers_are_explained_without_names_of_blocks(name):
    import transformers as t

    config, model, blocks = HUGGING_FACE[name]
    torch.manual_seed(0)
    net = getattr(t, model)(getattr(t, config)(vocab_size=60, num_labels=3, pad_token_id=0, **SIZES[name])).eval()
    call = {"input_ids": IDS, "attention_mask": torch.ones_like(IDS)}
    a = explain(net, call, baselines=0, method="layer_ig")
    assert a.settings.family == "unknown"
    assert a.settings.blocks == [f"{blocks}.{i}" for i in range(2)]
    if net.config.is_encoder_decoder:  # the decoder reads the text too
        assert not a.converged.any()
        assert a.reasons[0] == ("incomplete", "incomplete")
    else:
        assert a.converged.all()


def test_siblings_in_a_block_are_no_blocks():
    class Projections(nn.Module):
        def __init__(self):
            super().__init__()
            self.q, self.k, self.v, self.o, self.norm = *(nn.Linear(8, 8) for _ in range(4)), nn.LayerNorm(8)

        def forward(self, x):
            return x + self.o(torch.tanh(self.q(self.norm(x)) * self.k(x).mean(1, keepdim=True) + self.v(x)))

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.word, self.stack = nn.Embedding(60, 8), nn.ModuleList(Projections() for _ in range(3))
            self.head = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 8))

        def forward(self, input_ids):
            h = self.word(input_ids)
            for block in self.stack:
                h = block(h)
            return self.head(h.mean(1))

    assert find_blocks(Net().eval(), {"input_ids": IDS}, 7) == ("stack.0", "stack.1", "stack.2")


@pytest.mark.parametrize("shape", [(2, 3, 16, 16), (3, 16, 16)])
def test_a_model_of_linear_layers_alone_reads_pixels_when_it_is_given_pixels(shape):
    class Patches(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed = nn.Linear(3 * 16, 8)
            self.blocks = nn.ModuleList(nn.Sequential(nn.LayerNorm(8), nn.Linear(8, 8), nn.Tanh()) for _ in range(3))
            self.head = nn.Linear(8, 4)

        def forward(self, x):
            h = self.embed(x.unfold(2, 4, 4).unfold(3, 4, 4).flatten(4).transpose(1, 3).flatten(1, 2).flatten(2))
            for block in self.blocks:
                h = block(h)
            return self.head(h.mean(1))

    torch.manual_seed(0)
    a = explain(Patches().eval(), torch.randn(shape), baselines="zeros", method="layer_ig")
    assert a.settings.blocks == ["blocks.0", "blocks.1", "blocks.2"]
    assert a.texts is None


class Gated(nn.Module):
    """A layer of its own kind whose inner sequence is longer than the stack of layers; the residual passes it by."""

    def __init__(self):
        super().__init__()
        self.inner = nn.Sequential(*(nn.Sequential(nn.Linear(8, 8), nn.Tanh()) for _ in range(4)))

    def forward(self, x):
        return x + self.inner(x)


class Other(Gated):
    """A second kind."""


class Stack(nn.Module):
    """Layers of the kinds given, in turn."""

    def __init__(self, *kinds):
        super().__init__()
        self.word, self.stack = nn.Embedding(60, 8), nn.ModuleList(kind() for kind in kinds)
        self.head = nn.Linear(8, 3)

    def forward(self, input_ids):
        h = self.word(input_ids)
        for block in self.stack:
            h = block(h)
        return self.head(h.mean(1))


def test_a_longer_list_inside_a_layer_does_not_carry_the_decision():
    call = {"input_ids": IDS}
    assert find_blocks(Stack(Gated, Gated).eval(), call, 7, "word") == ("stack.0", "stack.1")


def test_layers_of_two_kinds_in_turn_are_one_list():
    call = {"input_ids": IDS}
    found = find_blocks(Stack(Gated, Other, Gated, Other, Gated).eval(), call, 7, "word")
    assert found == tuple(f"stack.{i}" for i in range(5))


def test_attributes_that_the_decision_passes_by_are_no_blocks():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.word, self.v, self.proj, self.head = nn.Embedding(60, 8), *(nn.Linear(8, 8) for _ in range(3))

        def forward(self, input_ids):
            h = self.word(input_ids)
            return self.head((h + self.proj(self.v(h))).mean(1))

    with pytest.raises(ValueError, match="name its blocks"):
        explain(Two().eval(), IDS, method="layer_ig", baselines=0)
