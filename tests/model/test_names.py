"""The names of models and of the tokens before the patches, for transformers' and timm's own models."""

from types import SimpleNamespace

import pytest
import timm
from helpers.tiny_models import ids, pixels, tiny
from torch import nn
from transformers import Dinov2WithRegistersConfig, Dinov2WithRegistersModel

from calig_fast import explain
from calig_fast.model.names import name_of, tokens_before


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("acme/classifier", "acme/classifier"),
        ("/home/me/my-classifier", "my-classifier"),
        ("my-classifier", "my-classifier"),
        ("", "Linear"),
        ("None", "Linear"),
    ],
)
def test_a_checkpoint_gives_the_name_and_a_folder_its_last_part(given, name):
    model = nn.Linear(2, 2)
    model.config = SimpleNamespace(_name_or_path=given)
    assert name_of(model) == name


def test_timm_names_its_architecture_and_any_module_its_class():
    assert name_of(timm.create_model("vit_tiny_patch16_224", depth=1)) == "vit_tiny_patch16_224"
    assert name_of(nn.Linear(2, 2)) == "Linear"


def test_an_explanation_keeps_the_name():
    a = explain(tiny("bert"), ids(5), method="attention_gradient")
    assert a.settings.model == "BertForSequenceClassification"
    assert "model BertForSequenceClassification" in a.to_html()


def test_tokens_before_the_patches_have_the_names_of_their_parameters():
    registers = Dinov2WithRegistersModel(
        Dinov2WithRegistersConfig(hidden_size=8, num_hidden_layers=1, num_attention_heads=1, num_register_tokens=2)
    )
    assert tokens_before(registers, 3) == ("class token", "register 1", "register 2")
    assert tokens_before(registers, 4) == ()  # one token more than the parameters explain
    reg = timm.create_model("vit_medium_patch16_reg1_gap_256", depth=1)
    assert tokens_before(reg, 1) == ("register 1",)
    deit = timm.create_model("deit_tiny_distilled_patch16_224", depth=1)
    assert tokens_before(deit, 2) == ("class token", "distillation token")


def test_a_page_names_the_class_token():
    a = explain(tiny("vit"), pixels(1), method="attention_gradient")
    assert a.grid.names == ("class token",)
    assert "class token" in a.to_html()
    assert "prefix token" not in a.to_html()
