"""The model-randomisation check, and that the model comes through it bit for bit."""

import copy
from dataclasses import replace
from functools import partial

import pytest
import torch
from helpers.long_texts import encoded, text
from helpers.text_models import bert
from helpers.tiny_models import Linear, ids, pixels, tiny

from calig_fast import explain
from calig_fast.metrics import model_randomisation

LAYERS = tuple(f"bert.encoder.layer.{i}" for i in (2, 1, 0))


def constant(model, x, target, tokenizer):
    """An explanation that does not look at the model."""
    return torch.arange(float(x["input_ids"].shape[1])).expand(len(x["input_ids"]), -1)


def different(model, other):
    """Names of the parameters that differ."""
    values = dict(other.named_parameters())
    return {name for name, value in model.named_parameters() if not torch.equal(value, values[name])}


@pytest.mark.parametrize("mode", ["cascading", "independent"])
def test_stages_are_random_one_after_the_other_or_each_alone(mode):
    model, call, seen = tiny("bert"), ids(9, 6), []

    def explainer(changed, x, target, tokenizer):
        assert not changed.training
        seen.append(different(model, changed))
        return constant(changed, x, target, tokenizer)

    found = model_randomisation(model, call, explainer, mode=mode)
    assert found.stages == ("head", *LAYERS, "embeddings")
    assert seen[0] == set()
    last: set[str] = set()
    for stage, now in zip(found.stages, seen[1:], strict=True):
        fresh = now - last if mode == "cascading" else now
        place = {"head": ("classifier", "bert.pooler"), "embeddings": ("bert.embeddings",)}.get(stage, (stage,))
        assert fresh
        assert all(name.startswith(place) for name in fresh)
        assert mode == "independent" or last < now
        last = now
    if mode == "cascading":  # a tensor of equal values, such as a bias of zeros, has no spread to draw from
        spread = {name for name, value in model.named_parameters() if float(value.detach().std()) > 0}
        assert last == spread
    assert found.values.tolist() == pytest.approx([1, 1])
    assert not found.changed()


def test_explanations_of_the_model_change():
    model, call = tiny("bert"), ids(20, 15)
    found = model_randomisation(model, call, seed=1)
    assert found.changed()
    assert torch.equal(found.values, found.similarities[:, -1])
    again = model_randomisation(model, call, seed=1)
    assert torch.equal(found.similarities, again.similarities)
    alone = model_randomisation(model, call, mode="independent", seed=1, similarity="kendall", absolute=True)
    torch.testing.assert_close(alone.values, alone.similarities.mean(1))


def test_the_model_is_left_bit_for_bit_also_when_the_explainer_raises():
    model, call = copy.deepcopy(tiny("bert")).train(), ids(9)
    before = copy.deepcopy(model.state_dict())
    parameters = [id(weight) for weight in model.parameters()]
    calls = []

    def explainer(changed, x, target, tokenizer):
        calls.append(changed)
        if len(calls) == 3:
            raise KeyError("in the middle")
        return constant(changed, x, target, tokenizer)

    with pytest.raises(KeyError):
        model_randomisation(model, call, explainer)
    assert model.training
    assert [id(weight) for weight in model.parameters()] == parameters
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert calls[0] is not model


def test_shared_weights_stay_shared():
    model, call, tied = tiny("albert"), ids(9), []

    def explainer(changed, x, target, tokenizer):
        groups = changed.albert.encoder.albert_layer_groups
        tied.append(len({id(weight) for weight in groups.parameters()}) == len(list(groups.parameters())))
        return explain(changed, x, target=target, method="gradient_x_input")

    found = model_randomisation(model, call, explainer)
    assert len(found.stages) == 4
    assert all(tied)


def test_the_explained_class_is_that_of_the_model_as_it_is():
    model, x, targets = tiny("vit"), pixels(2), []

    def explainer(changed, x, target, tokenizer):
        targets.append(target.tolist())
        return explain(changed, x, target=target, method="gradient_x_input")

    model_randomisation(model, x, explainer)
    assert targets == [model(x).logits.argmax(1).tolist()] * 6


def test_blocks_can_be_named():
    call = ids(9)["input_ids"]
    found = model_randomisation(
        Linear(),
        call,
        lambda model, x, target, tokenizer: explain(
            model, x, target=target, layers="blocks", method="layer_ig", baselines=0
        ),
        layers="blocks",
    )
    assert found.stages == ("head", "blocks.1", "blocks.0", "embeddings")


def test_special_tokens_are_left_out():
    model, call, calls = tiny("bert"), ids(9, 6), []
    a = explain(model, call, method="gradient_x_input")

    def explainer(changed, x, target, tokenizer):
        calls.append(changed)
        noise = torch.randn(a.scores.shape, generator=torch.Generator().manual_seed(len(calls)))
        return replace(a, scores=torch.where(a.special, 100 * noise, a.scores))

    found = model_randomisation(model, call, explainer)
    assert found.similarities.flatten().tolist() == pytest.approx([1] * 10)


def test_windows_of_a_long_text_are_inputs_of_their_own():
    call = encoded(text(), stride=5)
    quick = partial(explain, method="gradient_x_input")
    for given in (call, [call]):
        assert model_randomisation(bert(), given, explainer=quick).values.shape == (3,)
    assert "overflow_to_sample_mapping" in call
