"""Modules by their names, and names of modules."""

import pytest
import torch
from helpers.tiny_models import Linear

from calig_fast import explain
from calig_fast.model.encoder import Encoder, children, name_of


def test_children_of_a_list():
    model = Linear()
    assert children(model, "blocks") == ("blocks.0", "blocks.1")
    assert children(model, "layers") == ()


def test_names():
    model = Linear()
    assert name_of(model, model.blocks[1]) == "blocks.1"
    assert name_of(model, Linear()) is None
    assert name_of(model, None) is None


def test_what_a_family_need_not_tell():
    found = Encoder("layers", "text", ("blocks.0",))
    assert (found.embedding, found.read, found.stem, found.prefix) == (None, None, None, 0)


@pytest.mark.parametrize(
    ("part", "value", "error"),
    [
        ("family", "", ValueError),
        ("family", ["own"], TypeError),
        ("modality", "audio", ValueError),
        ("blocks", "blocks", TypeError),
        ("blocks", (1, 2), TypeError),
        ("embedding", 3, TypeError),
        ("stem", torch.ones(2), TypeError),
        ("max_length", 0, ValueError),
        ("max_length", "long", TypeError),
        ("prefix", -1, ValueError),
        ("patch", 4, TypeError),
        ("patch", (0, 4), ValueError),
        ("normalisation", (0.5, 0.5), TypeError),
        ("normalisation", ((0.5,), (0.0,)), ValueError),
        ("normalisation", ((0.5,), (0.5, 0.5)), ValueError),
        ("readout", lambda: None, TypeError),
        ("read", 3, TypeError),
    ],
)
def test_parts_of_another_kind_are_named_where_the_encoder_is_made(part, value, error):
    with pytest.raises(error, match=f"{part}: expected"):
        Encoder(**{"family": "own", "modality": "text", "blocks": ("blocks.0",), part: value})


@pytest.mark.parametrize("part", ["embedding", "stem"])
@pytest.mark.parametrize("name", ["nowhere", ""])
def test_modules_that_are_not_there_are_named(part, name):
    places = Encoder("own", "text", ("blocks.0",), **{part: name})
    with pytest.raises(ValueError, match=f"encoder: its {part} '{name}' is no module of Linear"):
        explain(Linear(), torch.tensor([[5, 7]]), encoder=places)


def test_weights_that_are_no_block_are_named():
    places = Encoder("own", "text", ("blocks.0",), read=lambda module: module)
    with pytest.raises(TypeError, match=r"encoder: the read of .* must return a Block"):
        explain(Linear(), torch.tensor([[5, 7]]), encoder=places, engine="native", method="layer_ig", baselines=0)
