"""The model as its class computes it, whatever was put in the place of its `forward`."""

import pytest
import torch
from helpers.tiny_models import Linear, ids
from torch import nn

from calig_fast.monitor.original import Original

CALL = ids(5)["input_ids"]


def test_it_is_the_model_until_something_changes():
    model = Linear()
    original = Original(model)
    assert original.module is not model
    assert original.module.head is model.head
    assert torch.equal(original.module(CALL), model(CALL))


def test_the_forward_that_accelerate_put_there_is_left_out():
    model = Linear()
    wanted = model(CALL)
    original = Original(model)
    model._original_forward = model.forward
    model.forward = lambda *args: torch.zeros(1, 3)
    original.refresh()
    assert torch.equal(original.module(CALL), wanted)
    assert torch.equal(model(CALL), torch.zeros(1, 3))


def test_a_forward_of_the_callers_own_stays():
    model = Linear()
    model.forward = lambda *args: torch.full((1, 3), 7.0)
    assert torch.equal(Original(model).module(CALL), torch.full((1, 3), 7.0))


def test_weights_that_were_sharded():
    model = nn.Sequential(type("FullyShardedDataParallel", (nn.Module,), {})(), Linear())
    with pytest.raises(ValueError, match="sharded over processes"):
        Original(model)
