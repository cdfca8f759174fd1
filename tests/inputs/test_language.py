"""The next token and an answer of several tokens as the explained scalar of a language model."""

from functools import cache

import pytest
import torch
import transformers
from helpers.real_models import seeded
from helpers.tiny_models import TEXTS, ids, tiny

from calig_fast import explain

NODES = {"method": "layer_ig", "quadrature": "gausslegendre", "n_steps": 5}


@cache
def language_model(kind):
    name, sizes = TEXTS[kind]
    config = getattr(transformers, f"{name}Config")(**sizes)
    form = "GPT2LMHeadModel" if kind == "gpt2" else f"{name}ForCausalLM"
    return seeded(getattr(transformers, form)(config), seed=3)


def one_token(at, token):
    """The log-probability of one token, as a function of the model's output."""
    return lambda out: out.logits[:, at - 1].log_softmax(-1)[:, token]


def log_probs(model, call):
    with torch.no_grad():
        return model(**call).logits.double().log_softmax(-1)


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
@pytest.mark.parametrize("engine", ["auto", "autograd"])
def test_an_answer_is_the_sum_of_its_tokens(kind, engine):
    model, call = language_model(kind), ids(9, 6)
    whole = explain(model, call, output="answer", target=[3, 2], engine=engine, **NODES)
    assert whole.engine == ("native" if engine == "auto" else "autograd")
    assert whole.settings.output == "answer"
    assert whole.special[0, -3:].all()
    assert whole.special[1, 4:6].all()
    log = log_probs(model, call)
    for b, (length, count) in enumerate(((9, 3), (6, 2))):
        alone = {name: value[b : b + 1, :length] for name, value in call.items()}
        places = range(length - count, length)
        mask = {"special_tokens_mask": whole.special[b : b + 1, :length].long()}
        parts = [
            explain(model, {**alone, **mask}, output=one_token(at, alone["input_ids"][0, at]), engine=engine, **NODES)
            for at in places
        ]
        total = sum(part.layer_scores[0] for part in parts)
        size = total.abs().max()
        torch.testing.assert_close(whole.layer_scores[b, :, :length] / size, total / size, rtol=1e-4, atol=1e-5)
        low = sum(part.gap[0] for part in parts)
        torch.testing.assert_close(whole.gap[b], low, rtol=1e-4, atol=1e-5)
        assert sum(log[b, at - 1, call["input_ids"][b, at]] for at in places) < 0


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_the_next_token(kind):
    model, call = language_model(kind), ids(9, 6)
    log = log_probs(model, call)
    likely = [int(log[0, 8].argmax()), int(log[1, 5].argmax())]
    a = explain(model, call, output="next_token")
    b = explain(model, call, output="next_token", target=likely)
    torch.testing.assert_close(a.scores, b.scores, rtol=1e-4, atol=1e-5)
    assert a.converged.all()
    assert a.target is None
    own = explain(model, call, output=lambda out, rows: _at(out.logits, rows, [8, 5]).log_softmax(-1)[:, 7], **NODES)
    other = explain(model, call, output="next_token", target=7, **NODES)
    torch.testing.assert_close(other.layer_scores, own.layer_scores, rtol=1e-4, atol=1e-5)


def _at(z, rows, last):
    return z[torch.arange(len(z)), torch.tensor(last)[rows]]


@pytest.mark.parametrize(
    ("model", "options", "message"),
    [
        ("lm", {"output": "answer"}, "target: expected an int, or one for each input"),
        ("lm", {"output": "answer", "target": 9}, 'target: with output="answer" it counts the last tokens'),
        ("lm", {"output": "answer", "target": 0}, 'target: with output="answer" it counts the last tokens'),
        ("lm", {"output": "answer", "target": [1, 2, 3]}, "target: expected an int, or one for each of 2 inputs"),
        ("lm", {"output": "next_token", "target": 1.5}, "target: expected an int, or one for each input"),
        ("classifier", {"output": "next_token"}, r"model: expected logits \[B,T,V\] of a language model"),
        ("classifier", {"output": "answer", "target": 1}, r"model: expected logits \[B,T,V\] of a language model"),
        ("image", {"output": "next_token"}, 'output: "next_token" is of tokens'),
    ],
)
def test_wrong_arguments_are_named(model, options, message):
    made = {"lm": lambda: language_model("gpt2"), "classifier": lambda: tiny("gpt2"), "image": lambda: tiny("vit")}
    inputs = torch.zeros(1, 3, 16, 16) if model == "image" else ids(9, 6)
    with pytest.raises((ValueError, TypeError), match=message):
        explain(made[model](), inputs, **options)
