"""A small classifier as a new user has it: in memory, in a folder, and in the hub's cache."""

import shutil

import pytest
from helpers.real_models import minilm_tokenizer, seeded

from calig_fast import Explainer

HUB_ID = "someone/films"


@pytest.fixture(scope="package")
def tokenizer():
    return minilm_tokenizer()


@pytest.fixture(scope="package")
def model():
    from transformers import BertConfig, BertForSequenceClassification

    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16}
    config = BertConfig(**sizes, vocab_size=30522, max_position_embeddings=64, id2label={0: "NEGATIVE", 1: "POSITIVE"})
    return seeded(BertForSequenceClassification(config))


@pytest.fixture(scope="package")
def folder(model, tokenizer, tmp_path_factory):
    found = tmp_path_factory.mktemp("films")
    model.save_pretrained(found)
    tokenizer.save_pretrained(found)
    return found


@pytest.fixture
def cached(folder, tmp_path, monkeypatch):
    """The id of the same model in a cache of the hub."""
    from huggingface_hub import constants

    snapshot = tmp_path / f"models--{HUB_ID.replace('/', '--')}" / "snapshots" / ("0" * 40)
    shutil.copytree(folder, snapshot)
    (snapshot.parents[1] / "refs").mkdir()
    (snapshot.parents[1] / "refs" / "main").write_text("0" * 40)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    return HUB_ID


@pytest.fixture(scope="package")
def explainer(model, tokenizer):
    return Explainer(model, tokenizer, method="gradient_x_input")
