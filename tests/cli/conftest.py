"""Saved tiny classifiers, as a user of the command has them in a folder."""

import pytest
import torch
from helpers.real_models import minilm_tokenizer, seeded
from helpers.tiny_models import PICTURE
from PIL import Image


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    """A saved text classifier with its tokenizer."""
    from transformers import BertConfig, BertForSequenceClassification

    folder = tmp_path_factory.mktemp("texts")
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16}
    names = {0: "bad", 1: "good"}
    config = BertConfig(**sizes, vocab_size=30522, max_position_embeddings=64, id2label=names)
    seeded(BertForSequenceClassification(config)).save_pretrained(folder)
    minilm_tokenizer().save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """A saved image classifier with its processor, and a picture."""
    from transformers import ViTConfig, ViTForImageClassification, ViTImageProcessor

    folder = tmp_path_factory.mktemp("pictures")
    seeded(ViTForImageClassification(ViTConfig(**PICTURE))).save_pretrained(folder)
    ViTImageProcessor(size={"height": 16, "width": 16}).save_pretrained(folder)
    noise = torch.randint(0, 256, (20, 30, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    Image.fromarray(noise.numpy()).save(folder / "noise.png")
    Image.fromarray(noise.numpy()).convert("L").save(folder / "grey.png")
    return folder
