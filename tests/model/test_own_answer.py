"""The explanation is of the object that the caller passed, with its wrappers, adapters and hooks, or an error."""

import copy

import pytest
import torch
from helpers.tiny_models import ids
from helpers.tiny_models import tiny as shared
from torch import nn

from calig_fast import Explainer, explain
from calig_fast.model.clone import user_hooks

QUICK = {"baselines": 0, "n_steps": 1}


def tiny(kind):
    return copy.deepcopy(shared(kind))


def own(model, call):
    with torch.no_grad():
        return model(**call).logits


@pytest.mark.parametrize("kind", ["PromptTuningConfig", "PromptEncoderConfig"])
def test_a_learned_prompt_is_explained_as_tokens_before_the_text(kind):
    peft = pytest.importorskip("peft")
    model = tiny("bert")
    config = model.config
    prompted = peft.get_peft_model(
        model,
        getattr(peft, kind)(
            task_type="SEQ_CLS",
            num_virtual_tokens=3,
            num_layers=config.num_hidden_layers,
            token_dim=config.hidden_size,
            num_attention_heads=config.num_attention_heads,
        ),
    ).eval()
    call = ids(7, 5)
    a = explain(prompted, call, baselines=0, tolerance=1e-2)
    torch.testing.assert_close(a.logits, own(prompted, call), rtol=1e-4, atol=1e-5)
    assert a.scores.shape == (2, 10)
    assert a.special[:, :3].all()
    assert a.converged.all()
    assert [w.tokens for w in a.words[1]] == [(4,), (5,), (6,)]
    baseline = torch.where(a.special[:, 3:] | ~call["attention_mask"].bool(), call["input_ids"], 0)
    change = own(prompted, call) - own(prompted, {**call, "input_ids": baseline})
    torch.testing.assert_close(a.gap[:, 0], change.gather(1, a.target[:, None])[:, 0], rtol=1e-4, atol=1e-5)


def test_lora_is_explained_with_its_adapters():
    peft = pytest.importorskip("peft")
    adapted = peft.get_peft_model(tiny("bert"), peft.LoraConfig(task_type="SEQ_CLS", target_modules=["query"], r=2))
    for name, weight in adapted.named_parameters():
        if "lora_B" in name:
            nn.init.normal_(weight)
    call = ids(6)
    torch.testing.assert_close(explain(adapted, call, **QUICK).logits, own(adapted.eval(), call), rtol=1e-4, atol=1e-5)


def test_a_wrapper_that_changes_the_answer_is_explained_whole():
    class Sharper(nn.Module):
        def __init__(self, inner):
            super().__init__()
            self.inner = inner

        def forward(self, input_ids, attention_mask=None):
            return 3 * self.inner(input_ids=input_ids, attention_mask=attention_mask).logits

    inner, call = tiny("bert"), ids(6)
    a, b = explain(Sharper(inner), call, **QUICK), explain(inner, call, **QUICK)
    torch.testing.assert_close(a.logits, 3 * b.logits)


def test_an_object_that_answers_otherwise_than_its_module_is_an_error():
    model = tiny("bert")

    class Hidden(type(model)):
        def __call__(self, *args, **kwargs):
            out = super().__call__(*args, **kwargs)
            out.logits = out.logits + 1 if self is model else out.logits
            return out

    model.__class__ = Hidden
    explainer = Explainer(model, **QUICK)
    for _ in range(2):
        with pytest.raises(ValueError, match=r"model: for input 0 .*pass the module that makes the decision itself"):
            explainer(ids(6))


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("engine", ["native", "autograd"])
def test_hooks_that_observe_see_the_model_once_and_no_path_point(engine, training):
    model, seen = tiny("bert").train(training), []
    block = model.bert.encoder.layer[1]
    block.register_forward_hook(lambda module, args, out: seen.append(1))
    block.register_forward_pre_hook(lambda module, args: seen.append(1))
    explainer = Explainer(model, engine=engine, baselines=0)
    a = explainer(ids(6))
    assert len(seen) == 2
    explainer(ids(6, seed=1))
    assert len(seen) == 2
    block._forward_hooks.clear()
    block._forward_pre_hooks.clear()
    torch.testing.assert_close(a.scores, explain(model, ids(6), engine=engine, baselines=0).scores)


def test_hooks_that_change_the_answer_are_part_of_the_model():
    model = tiny("bert")
    model.bert.encoder.layer[1].register_forward_hook(lambda module, args, out: out * 1.5)
    a = explain(model, ids(6), baselines=0)
    torch.testing.assert_close(a.logits, own(model, ids(6)), rtol=1e-5, atol=1e-6)
    assert a.engine == "autograd"


def test_hooks_of_torch_count_as_the_model():
    model = tiny("bert")
    nn.utils.weight_norm(model.classifier)
    nn.utils.spectral_norm(model.bert.pooler.dense)
    assert user_hooks(model) == ()
    model.eval()
    torch.testing.assert_close(explain(model, ids(6), **QUICK).logits, own(model, ids(6)), rtol=1e-4, atol=1e-5)


def test_a_model_that_fails_on_its_inputs_says_so():
    class Broken(nn.Module):
        def __init__(self):
            super().__init__()
            self.word, self.blocks = nn.Embedding(60, 4), nn.ModuleList([nn.Linear(4, 4), nn.Linear(4, 4)])

        def forward(self, input_ids):
            raise KeyError("no such thing")

    with pytest.raises(ValueError, match=r"inputs: the model's own forward pass fails on them, with KeyError"):
        explain(Broken(), ids(6)["input_ids"], baselines=0)
