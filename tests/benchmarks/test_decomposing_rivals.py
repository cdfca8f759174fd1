"""LibraGrad, DecompX and TokenTM, each against its formula on one input, and against what it promises."""

import copy
import math

import pytest
import torch
from torch import nn

from benchmarks.faithfulness import decompx, libragrad, rivals, token_tm
from benchmarks.faithfulness.signals import eager, heads
from benchmarks.faithfulness.task import Case, Task
from calig_fast.demo import MissingPackageError, load

TARGET = 1


def made(name):
    try:
        demo = load(name, count=1)
    except MissingPackageError as error:
        pytest.skip(str(error))
    kind = "text" if name == "sentiment" else "image"
    short = {"truncation": True, "max_length": 9} if kind == "text" else {}
    case = Case(dict(demo.processor(demo.samples[0].input, return_tensors="pt", **short)), 0)
    return Task(name, "", kind, demo.model, demo.processor, [case], [])


@pytest.fixture(scope="module", params=["sentiment", "fashion"])
def task(request):
    return made(request.param)


@pytest.fixture(scope="module")
def texts():
    return made("sentiment")


@pytest.fixture(scope="module")
def pictures():
    return made("fashion")


def logit(model, case):
    with torch.no_grad():
        return model(**case.call).logits[0, TARGET]


class Norm(nn.Module):
    """A layer norm whose deviation has no gradient."""

    def __init__(self, norm):
        super().__init__()
        self.norm, self.probe = norm, None

    def forward(self, x):
        deviation = (x.var(-1, correction=0, keepdim=True) + self.norm.eps).sqrt().detach()
        out = (x - x.mean(-1, keepdim=True)) / deviation * self.norm.weight + self.norm.bias
        self.probe = torch.zeros_like(out, requires_grad=True)
        return out + self.probe


class Affine(nn.Module):
    """A linear map, its output moved by zeros that have a gradient."""

    def __init__(self, linear, constant):
        super().__init__()
        self.linear, self.constant, self.probe = linear, constant, None

    def forward(self, x):
        out = self.linear(x)
        if self.constant:
            return out.detach()
        self.probe = torch.zeros_like(out, requires_grad=True)
        return out + self.probe


class Gate(nn.Module):
    """f(x) as x times the constant f(x) / x."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return x * (self.function(x) / x).detach()


def with_libra_modules(model):
    """A copy with queries, keys, norms and activations replaced by modules with LibraGrad's gradients."""
    model = copy.deepcopy(model)
    for name, module in list(model.named_modules()):
        parent = model.get_submodule(name.rpartition(".")[0])
        leaf, replaced = name.rpartition(".")[2], None
        if name.endswith(("embeddings.LayerNorm", "embeddings.dropout")):
            continue
        if isinstance(module, nn.LayerNorm):
            replaced = Norm(module)
        elif isinstance(module, nn.Linear):
            replaced = Affine(module, leaf in {"query", "key", "q_proj", "k_proj"})
        elif isinstance(module, nn.Tanh) or type(module).__name__ == "GELUActivation":
            replaced = Gate(module)
        if replaced is not None:
            setattr(parent, leaf, replaced)
    return model


def test_libragrad_is_gradient_times_state_plus_biases_through_replaced_modules(task):
    (case,) = task.tune
    model = with_libra_modules(eager(task))
    blocks = [m for name, m in model.named_modules() if type(m).__name__ in {"BertLayer", "ViTLayer"}]
    states = []

    def enter(_, args):
        states.append(args[0] if states else args[0].detach().requires_grad_(True))
        return (states[-1], *args[1:])

    hooks = [block.register_forward_pre_hook(enter) for block in blocks]
    value = model(**case.call).logits[0, TARGET]
    for hook in hooks:
        hook.remove()
    affine = [m for m in model.modules() if isinstance(m, Norm | Affine) and m.probe is not None]
    slopes = torch.autograd.grad(value, [*states, *(m.probe for m in affine)])
    products = [(h * g).sum(-1) for h, g in zip(states, slopes, strict=False)]
    biases = torch.zeros_like(products[0])
    for m, g in zip(affine, slopes[len(states) :], strict=True):
        part = (g * (m.norm.bias if isinstance(m, Norm) else m.linear.bias)).sum(-1).view(1, -1)
        biases[:, : part.shape[1]] += part
    fullgrad, plus = libragrad.libragrad(task, case, TARGET)
    torch.testing.assert_close(fullgrad, (products[0] + biases).detach(), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(plus, (sum(products) + biases).detach(), rtol=1e-4, atol=1e-5)


def test_fullgrad_sums_to_the_logit(task):
    (case,) = task.tune
    fullgrad, _ = libragrad.libragrad(task, case, TARGET)
    torch.testing.assert_close(fullgrad.sum(), logit(task.model, case), rtol=1e-4, atol=1e-5)


def shared(vectors, bias):
    """The vectors of one target, {source: vector}, with the bias shared out."""
    sizes = {k: abs(float(v @ bias)) for k, v in vectors.items()}
    return {k: v + sizes[k] / (sum(sizes.values()) + 1e-12) * bias for k, v in vectors.items()}


def normed(vectors, norm):
    total = sum(vectors.values())
    deviation = (total.var(correction=0) + norm.eps).sqrt()
    return shared({k: (v - v.mean()) / deviation * norm.weight for k, v in vectors.items()}, norm.bias)


def activated(vectors, function):
    total = sum(vectors.values())
    return {k: v * function(total) / (total + 1e-12) for k, v in vectors.items()}


@torch.no_grad()
def by_hand(model, case):
    """DecompX, a target and a source at a time, the hidden states being the sums of their vectors."""
    out = model(**case.call, output_attentions=True, output_hidden_states=True)
    count = case.call["input_ids"].shape[1]
    state = out.hidden_states[0][0]
    rows = [{k: state[k] if k == t else torch.zeros_like(state[0]) for k in range(count)} for t in range(count)]
    for layer, (block, weights) in enumerate(zip(model.bert.encoder.layer, out.attentions, strict=True)):
        value, dense = block.attention.self.value, block.attention.output.dense
        heads_of = dense.weight.view(len(state[0]), weights.shape[1], -1)  # [D,H,dv]
        new = []
        for t in range(count):
            mixed = dict(rows[t])
            for q in range(count):
                for k in range(count):
                    v = value.weight @ rows[q][k] + (value.bias if layer == 0 and q == k else 0)
                    v = v.view(weights.shape[1], -1)
                    mixed[k] = mixed[k] + torch.einsum("h,hv,dhv->d", weights[0, :, t, q], v, heads_of)
            bias = dense.bias + (0 if layer == 0 else dense.weight @ value.bias)
            mixed = normed(shared(mixed, bias), block.attention.output.LayerNorm)
            inner, outer = block.intermediate.dense, block.output.dense
            wide = shared({k: inner.weight @ v for k, v in mixed.items()}, inner.bias)
            wide = activated(wide, nn.functional.gelu)
            wide = shared({k: outer.weight @ v for k, v in wide.items()}, outer.bias)
            new.append(normed({k: mixed[k] + wide[k] for k in mixed}, block.output.LayerNorm))
        rows = new
    pooler, classifier = model.bert.pooler.dense, model.classifier
    pooled = activated(shared({k: pooler.weight @ v for k, v in rows[0].items()}, pooler.bias), torch.tanh)
    scores = shared({k: classifier.weight @ v for k, v in pooled.items()}, classifier.bias)
    return torch.stack([scores[k][TARGET] for k in range(count)])


def test_decompx_equals_the_same_vector_by_vector(texts):
    case = Case({k: v[:, [0, 2, 3, -1]] for k, v in texts.tune[0].call.items()}, 0)
    torch.testing.assert_close(
        decompx.decompx(texts, case, TARGET)[0], by_hand(eager(texts), case), rtol=1e-3, atol=1e-5
    )


def test_decompx_sums_to_the_logit(texts):
    (case,) = texts.tune
    scores = decompx.decompx(texts, case, TARGET)
    torch.testing.assert_close(scores.sum(), logit(texts.model, case), rtol=1e-4, atol=1e-5)


def test_decompx_of_a_roberta_with_its_own_head():
    from transformers import XLMRobertaConfig, XLMRobertaForSequenceClassification

    torch.manual_seed(0)
    sizes = {"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 3, "intermediate_size": 40}
    config = XLMRobertaConfig(**sizes, vocab_size=60, initializer_range=0.3)
    model = XLMRobertaForSequenceClassification(config).eval()
    ids = torch.randint(5, 60, (1, 40))
    case = Case({"input_ids": ids, "attention_mask": torch.ones_like(ids)}, 0)
    task = Task("roberta", "", "text", model, None, [case], [])
    assert decompx.takes(task)
    scores = decompx.decompx(task, case, TARGET)
    assert scores.shape == (1, 40)
    torch.testing.assert_close(scores.sum(), logit(model, case), rtol=1e-3, atol=1e-5)


def test_token_tm_equals_its_formula_path_by_path(pictures):
    (case,) = pictures.tune
    weights, slopes = heads(pictures, case, TARGET)
    model, states, middles = eager(pictures), [], []
    hooks = []
    for block in model.vit.layers:
        hooks.append(block.register_forward_pre_hook(lambda _, args: states.append(args[0][0])))
        hooks.append(block.layernorm_after.register_forward_pre_hook(lambda _, args: middles.append(args[0][0])))
    hooks.append(model.vit.layernorm.register_forward_pre_hook(lambda _, args: states.append(args[0][0])))
    with torch.no_grad():
        model(**case.call)
    for hook in hooks:
        hook.remove()

    def moved(before, after):
        cosines = [float(x @ y / (x.norm() * y.norm())) for x, y in zip(before, after, strict=True)]
        total = sum(math.exp(c) for c in cosines)
        lengths = [float(y.norm() / x.norm()) for x, y in zip(before, after, strict=True)]
        return [length * math.exp(c) / total for length, c in zip(lengths, cosines, strict=True)]

    row = torch.zeros(len(states[0]), dtype=torch.float64)  # of the product so far, from the last block on
    row[0] = 1
    for k in reversed(range(len(middles))):
        of_mlp, of_attention = moved(middles[k], states[k + 1]), moved(states[k], middles[k])
        after = torch.tensor([r * (1 + w) for r, w in zip(row.tolist(), of_mlp, strict=True)], dtype=torch.float64)
        attention, gradient = weights[k].mean(0), slopes[k].relu().mean(0)
        row = torch.stack(
            [
                after[u] + sum(after[t] * attention[t, u] * of_attention[u] * gradient[t, u] for t in range(len(row)))
                for u in range(len(row))
            ]
        )
    wanted = row * states[0].double().norm(dim=-1)
    torch.testing.assert_close(token_tm.token_tm(pictures, case, TARGET)[0].double(), wanted, rtol=1e-4, atol=1e-7)


def test_each_runs_for_the_models_it_is_defined_for(task):
    (case,) = task.tune
    names = {name for name, _ in rivals.rivals(task, case, TARGET)}
    assert ("decompx" in names, "token_tm" in names) == (task.kind == "text", task.kind == "image")
