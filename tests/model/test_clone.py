"""The clone shares the weights and nothing else, also through wrappers."""

import pytest
import torch
from helpers.tiny_models import Linear, ids
from torch import nn

from calig_fast import explain
from calig_fast.model.clone import share_weights, unwrap


def test_it_shares_weights_and_neither_mode_nor_gradients():
    model = Linear().train()
    twin = share_weights(model)
    assert not any(m.training for m in twin.modules())
    assert all(m.training for m in model.modules())
    assert not any(w.requires_grad for w in twin.parameters())
    assert all(w.requires_grad for w in model.parameters())
    assert {w.data_ptr() for w in twin.parameters()} == {w.data_ptr() for w in model.parameters()}
    with torch.no_grad():
        model.head.weight.zero_()
    assert float(twin.head.weight.abs().max()) == 0.0


def test_a_module_or_a_weight_that_stands_twice_does_so_in_the_twin():
    model = Linear()
    model.blocks.append(model.blocks[0])
    model.blocks[1].weight = model.blocks[0].weight
    twin = share_weights(model)
    assert twin.blocks[2] is twin.blocks[0]
    assert twin.blocks[1].weight is twin.blocks[0].weight


def test_another_dtype_is_a_copy():
    model = Linear()
    twin = share_weights(model, torch.float64)
    assert {w.dtype for w in twin.parameters()} == {torch.float64}
    assert {w.dtype for w in model.parameters()} == {torch.float32}
    call = ids(5)["input_ids"]
    torch.testing.assert_close(twin(call).float(), model(call))


def test_hooks_put_on_the_twin_are_not_on_the_model():
    model = Linear()
    share_weights(model).head.register_forward_hook(lambda *_: None)
    assert not model.head._forward_hooks


def test_a_forward_that_runs_the_original_is_refused():
    model = Linear()
    model.forward = lambda *args: Linear.forward(model, *args)
    with pytest.raises(ValueError, match=r"Linear\.forward was replaced on the instance"):
        share_weights(model)


def test_wrappers_are_seen_through():
    model = Linear()
    assert unwrap(model) is model
    assert unwrap(nn.DataParallel(torch.compile(model))) is model


def test_weights_that_no_process_holds():
    kind = type("FullyShardedDataParallel", (nn.Module,), {})
    with pytest.raises(ValueError, match="gather them first"):
        unwrap(kind())


def test_modules_in_plain_containers_are_the_twins_own():
    model = nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.5))
    model.order, model.named, model.call = [model[1], "x"], {"a": (model[0],)}, model[0].extra_repr
    twin = share_weights(model)
    assert twin.order == [twin[1], "x"]
    assert twin.named["a"][0] is twin[0]
    assert twin.call.__self__ is twin[0]
    assert model.order[0] is model[1]
    assert not twin.order[0].training


def test_modules_and_functions_that_were_compiled_run_as_they_were_written():
    model = Linear()
    call = ids(5)["input_ids"]
    wanted = explain(model, call, layers="blocks", method="layer_ig", baselines=0)
    model.blocks[0], model.forward = torch.compile(model.blocks[0]), torch.compile(model.forward)
    twin = share_weights(model)
    assert twin.blocks[0].weight is twin.blocks[0]._orig_mod.weight
    found = explain(model, call, layers="blocks", method="layer_ig", baselines=0)
    torch.testing.assert_close(found.layer_scores, wanted.layer_scores)
