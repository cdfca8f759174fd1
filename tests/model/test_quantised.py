"""Weights in few bits: the autograd engine explains them as the model of their values, and the others are refused."""

import copy

import pytest
import torch
from helpers.quantised import PackedLinear, in_each_block
from helpers.tiny_models import ids, tiny
from torch import nn

from calig_fast import Explainer, explain
from calig_fast.model import quantised


def in_floats(layer):
    packed, plain = PackedLinear(layer), copy.deepcopy(layer)
    plain.weight.data = packed.weight.float() * packed.weight.scale
    return plain


@pytest.fixture
def packed():
    return in_each_block(tiny("bert"), PackedLinear)


def test_it_is_explained_as_the_model_of_its_values(packed):
    x = ids(9)
    before = {name: (w.data_ptr(), w.clone()) for name, w in packed.named_parameters()}
    ours = explain(packed, x, tolerance=1e-3)
    same = explain(in_each_block(tiny("bert"), in_floats), x, tolerance=1e-3, engine="autograd")
    assert ours.engine == "autograd"
    assert "its weights are quantised (PackedLinear)" in ours.settings.not_native
    assert bool(ours.converged.all())
    torch.testing.assert_close(ours.layer_scores, same.layer_scores, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(ours.logits, same.logits, rtol=1e-5, atol=1e-6)
    for name, weight in packed.named_parameters():
        assert weight.data_ptr() == before[name][0]
        assert torch.equal(weight, before[name][1])


def test_a_second_call_gives_the_same(packed):
    explainer = Explainer(packed)
    one, two = explainer(ids(9)), explainer(ids(9))
    torch.testing.assert_close(one.scores, two.scores, rtol=0.05, atol=1e-4)


def test_the_native_engine_and_other_dtypes_are_refused(packed):
    with pytest.raises(ValueError, match='engine: "native" cannot run this: its weights are quantised'):
        explain(packed, ids(5), engine="native")
    with pytest.raises(ValueError, match="dtype: expected None for a model with quantised weights"):
        explain(packed, ids(5), dtype=torch.bfloat16)


def test_weights_that_a_forward_pass_packs_are_refused(packed):
    next(m for m in packed.modules() if isinstance(m, PackedLinear)).support_avx512bf16_for_cpu = True
    with pytest.raises(ValueError, match="bitsandbytes packs 4-bit weights for inference on this CPU"):
        explain(packed, ids(5))


def test_libraries_without_gradients_are_refused():
    model = torch.ao.quantization.quantize_dynamic(copy.deepcopy(tiny("bert")), {nn.Linear}, torch.qint8)
    assert quantised.name_of(model, quantised.OTHERS)
    with pytest.raises(ValueError, match="and no gradient passes them"):
        explain(model, ids(5))


def with_torchao(model):
    quantization = pytest.importorskip("torchao.quantization")
    made = copy.deepcopy(model)
    quantization.quantize_(made.bert.encoder, quantization.Int8WeightOnlyConfig())
    return made


def with_quanto(model):
    quanto = pytest.importorskip("optimum.quanto")
    made = copy.deepcopy(model)
    quanto.quantize(made.bert.encoder, weights=quanto.qint8)
    quanto.freeze(made)
    return made


@pytest.mark.parametrize("quantise", [with_torchao, with_quanto])
def test_the_libraries_themselves(quantise):
    made = quantise(tiny("bert"))

    def dequantised(module):
        for name, layer in list(module.named_children()):
            if isinstance(layer, nn.Linear) and hasattr(layer.weight, "dequantize"):
                plain = nn.Linear(layer.in_features, layer.out_features)
                plain.weight.data = layer.weight.dequantize().detach()
                plain.bias.data = layer.bias.detach()
                setattr(module, name, plain)
            else:
                dequantised(layer)

    floats = quantise(tiny("bert"))
    dequantised(floats.bert.encoder)
    ours = explain(made, ids(9), tolerance=1e-3)
    same = explain(floats, ids(9), tolerance=1e-3, engine="autograd")
    assert ours.engine == "autograd"
    assert quantised.name_of(made)
    assert not quantised.name_of(floats)
    torch.testing.assert_close(ours.layer_scores, same.layer_scores, rtol=1e-3, atol=1e-5)


def test_layers_that_round_their_inputs_are_explained_much_as_the_model_in_floats():
    bitsandbytes = pytest.importorskip("bitsandbytes")

    def eight_bits(layer):
        made = bitsandbytes.nn.Linear8bitLt(
            layer.in_features, layer.out_features, has_fp16_weights=False, threshold=0.0
        )
        weight = layer.weight.detach().clone()
        made.weight = bitsandbytes.nn.Int8Params(weight, requires_grad=False, has_fp16_weights=False)
        made.bias = nn.Parameter(layer.bias.detach().clone(), requires_grad=False)
        return made.to("cpu")

    a, b = explain(in_each_block(tiny("bert"), eight_bits), ids(9)), explain(tiny("bert"), ids(9))
    assert a.engine == "autograd"
    assert float(torch.corrcoef(torch.cat([a.scores, b.scores]))[0, 1]) > 0.9
