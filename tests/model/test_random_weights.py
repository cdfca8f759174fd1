"""Parts of a model from the head down, random weights for them, and a clone that has them."""

import copy

import pytest
import torch
from helpers.tiny_models import Linear, ids, tiny

from calig_fast.model.encoder import Encoder
from calig_fast.model.families import find
from calig_fast.model.random_weights import model_parts, random_weights, with_weights


def test_parts_hold_every_parameter_once_from_the_head_down():
    model = tiny("bert")
    encoder = find(model)
    parts = model_parts(model, encoder)
    assert list(parts) == ["head", *reversed(encoder.blocks), "embeddings"]
    names = [name for part in parts.values() for name in part]
    assert sorted(names) == sorted(name for name, _ in model.named_parameters(remove_duplicate=False))
    assert all(name.startswith(f"{block}.") for block in encoder.blocks for name in parts[block])
    assert all("embeddings" in name for name in parts["embeddings"])


def test_blocks_that_are_not_known():
    with pytest.raises(ValueError, match="no family knows Linear; name its blocks"):
        model_parts(Linear(), Encoder("layers", "text", ()))


def test_random_weights_are_those_of_the_seed_with_the_mean_and_spread_there_were():
    model = Linear()
    with torch.no_grad():
        model.words.weight.normal_(3.0, 0.5, generator=torch.Generator().manual_seed(0))
    first, again, other = (random_weights(model, seed) for seed in (1, 1, 2))
    for name, weight in model.named_parameters():
        assert first[name].shape == weight.shape
        assert first[name].dtype == weight.dtype
        assert torch.equal(first[name], again[name])
        assert not torch.equal(first[name], other[name])
    assert float(first["words.weight"].mean()) == pytest.approx(3.0, abs=0.1)
    assert float(first["words.weight"].std()) == pytest.approx(0.5, abs=0.1)


def test_weights_that_are_one_stay_one():
    model = Linear()
    model.blocks[1].weight = model.blocks[0].weight
    found = random_weights(model, 0)
    assert found["blocks.0.weight"] is found["blocks.1.weight"]


def test_the_clone_has_them_and_the_model_does_not():
    model = Linear()
    before = copy.deepcopy(model.state_dict())
    head = {"head.weight": torch.zeros(3, 8)}
    changed = with_weights(model, head)
    call = ids(5)["input_ids"]
    torch.testing.assert_close(changed(call), model.head.bias[None].detach())
    assert changed.words.weight.data_ptr() == model.words.weight.data_ptr()
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
