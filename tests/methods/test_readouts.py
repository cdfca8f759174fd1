"""Every method's scores by plain autograd in float64.

The heads read the first token, the last, the mean of all, or the first and the mean.
"""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers.slow import layer_relevance
from helpers.tiny_models import PAD, SIZES, ids, pixels, tiny
from torch import nn

from calig_fast import explain
from calig_fast.methods.registry import methods
from calig_fast.model.families import find

GAUSS = np.polynomial.legendre.leggauss(48)
NODES, WEIGHTS = ((GAUSS[0] + 1) / 2).tolist(), (GAUSS[1] / 2).tolist()
TARGET = 1
OPTIONS = {"dtype": torch.float64, "target": TARGET, "tolerance": 1e-7, "n_steps": 1024}
E64 = {"dtype": torch.float64}


class MeanPooled(nn.Module):
    """BERT whose head reads the mean of the real tokens."""

    def __init__(self):
        super().__init__()
        self.bert = copy.deepcopy(tiny("bert").bert)
        self.head = nn.Linear(SIZES["hidden_size"], 4)
        nn.init.normal_(self.head.weight, generator=torch.Generator().manual_seed(1))

    def forward(self, input_ids, attention_mask):
        hidden = self.bert(input_ids, attention_mask=attention_mask).last_hidden_state
        weights = attention_mask[..., None].to(hidden.dtype)
        return self.head((hidden * weights).sum(1) / weights.sum(1))


def gpt2():
    import transformers as t

    config = t.GPT2Config(
        vocab_size=60, n_embd=24, n_layer=3, n_head=3, n_positions=40, num_labels=4, pad_token_id=PAD,
        bos_token_id=None, eos_token_id=None,
    )  # fmt: skip
    torch.manual_seed(4)
    model = t.GPT2ForSequenceClassification(config).eval()
    with torch.no_grad():
        for p in model.parameters():
            if p.dim() > 1:
                p.normal_(0, 0.2)
    return model


def distilbert():
    model = copy.deepcopy(tiny("distilbert"))
    with torch.no_grad():
        model.pre_classifier.bias += 20  # on one side of the head's ReLU: Gauss nodes converge on paths without kinks
    return model


def first(t):
    return torch.eye(t, **E64)[0]


def last(t):
    return torch.eye(t, **E64)[-1]


def mean(t):
    return torch.full((t,), 1 / t, **E64)


def first_and_patches(t):
    return (first(t) + torch.cat([torch.zeros(1, **E64), mean(t - 1)])) / 2


MODELS = {
    # model, blocks, rows read
    "bert": (lambda: tiny("bert"), "bert.encoder.layer", first),
    "distilbert": (distilbert, "distilbert.transformer.layer", first),
    "gpt2": (gpt2, "transformer.h", last),
    "mean": (MeanPooled, "bert.encoder.layer", mean),
    "vit": (lambda: tiny("vit"), "vit.layers", first),
    "dinov2": (lambda: tiny("dinov2"), "dinov2.encoder.layer", first_and_patches),
}


class ByHand:
    """One input of one model: every signal by autograd through a float64 copy with eager attention."""

    def __init__(self, model, blocks, call, reference):
        self.call, self.reference = self._double(call), self._double(reference)
        self.model = copy.deepcopy(model).double()
        for module in (self.model, getattr(self.model, "bert", None)):
            if hasattr(module, "set_attn_implementation"):
                module.set_attn_implementation("eager")
        self.blocks = [f"{blocks}.{i}" for i in range(3)]
        self.hidden, self.maps, logit = self._run(self.call)
        slopes = torch.autograd.grad(logit, [*self.hidden, *self.maps])
        self.slopes, self.map_slopes = slopes[:3], [s[0] for s in slopes[3:]]
        self.maps = [a.detach()[0] for a in self.maps]
        self.tokens = self.maps[0].shape[-1]
        self.relevance = torch.stack(
            [
                layer_relevance(self.model, b, self.call, self.reference, TARGET, nodes=NODES, weights=WEIGHTS)
                for b in self.blocks
            ]
        )

    @staticmethod
    def _double(call):
        return {k: v.double() if v.is_floating_point() else v for k, v in call.items()}

    def _run(self, call, entry=None):
        """Block inputs, attention weights and the logit, with the first block's input replaced by `entry`."""
        hidden, maps, hooks = [], [], []

        def into(module, args):
            h = entry if entry is not None and not hidden else args[0]
            hidden.append(h if h.requires_grad else h.clone().requires_grad_())
            return (hidden[-1], *args[1:])

        def attended(module, args, out):
            maps.append(out[1])

        for name in self.blocks:
            block = self.model.get_submodule(name)
            hooks.append(block.register_forward_pre_hook(into))
            attention = next(m for m in block.modules() if type(m).__name__.endswith("Attention") and _weighs(m))
            hooks.append(attention.register_forward_hook(attended))
        out = self.model(**call)
        for hook in hooks:
            hook.remove()
        return hidden, maps, (out if isinstance(out, torch.Tensor) else out.logits)[0, TARGET]

    def conductance(self):
        """Integral over the path at the first block of <dF/dh_l, dh_l/da>, the last by central differences."""
        high, low = (self._run(call)[0][0].detach() for call in (self.call, self.reference))
        total, step = torch.zeros(self.tokens, **E64), 1e-3  # eager attention takes its softmax in float32
        for a, w in zip(NODES, WEIGHTS, strict=True):
            hidden, _, logit = self._run(self.call, low + a * (high - low))
            slope = torch.autograd.grad(logit, hidden[2])[0]
            up, down = (self._run(self.call, low + (a + e) * (high - low))[0][2] for e in (step, -step))
            total += w * (slope * (up - down).detach() / (2 * step)).sum(-1)[0]
        return total

    def rolled(self, maps, readout, normalise=True):
        """w (prod_l A_l - diag(prod_l identity parts of A_l))."""
        product, identity = torch.eye(self.tokens, **E64), torch.eye(self.tokens, **E64)
        for m in maps:
            z = (torch.eye(self.tokens, **E64) + m).abs().sum(1, keepdim=True) if normalise else 1.0
            product = ((torch.eye(self.tokens, **E64) + m) / z) @ product
            identity = (torch.eye(self.tokens, **E64) / z) @ identity
        return readout @ (product - identity)

    def scores(self, method, readout, lam):
        """The scores [T] of a method, from its published formula."""
        attended = [a.mean(0) for a in self.maps]
        signed = [(a * da).mean(0) for a, da in zip(self.maps, self.map_slopes, strict=True)]
        positive = [(a * da).clamp_min(0).mean(0) for a, da in zip(self.maps, self.map_slopes, strict=True)]
        product = [(h.detach() * s).sum(-1)[0] for h, s in zip(self.hidden, self.slopes, strict=True)]
        context = [
            lam * (r / (self.tokens * r.abs().max()))[None] + (1 - lam) * g / g.abs().sum()
            for r, g in zip(self.relevance, signed, strict=True)
        ]
        return {
            "calig": lambda: self.rolled(context, readout),
            "calig-paper": lambda: self.rolled(context, readout),
            "rollout": lambda: self.rolled(attended, readout),
            "chefer": lambda: self.rolled(positive, readout, normalise=False),
            "attention_gradient": lambda: self.rolled(signed, readout, normalise=False),
            "attcat": lambda: sum(a.mean(0) * p for a, p in zip(attended, product, strict=True)),
            "gradient_x_input": lambda: product[0],
            "ig": lambda: self.relevance[0],
            "layer_ig": lambda: self.relevance[2],
            "conductance": self.conductance,
        }[method]()


def _weighs(attention):
    """The innermost attention module: it returns (values, weights)."""
    return not any(type(m).__name__.endswith("Attention") for m in list(attention.modules())[1:])


def problem(kind):
    """Model, dotted name of the blocks, readout, and two inputs of different lengths with their references."""
    make, blocks, readout = MODELS[kind]
    if kind in {"vit", "dinov2"}:
        call = {"pixel_values": pixels(2)}
        reference = {"pixel_values": 0.7 * call["pixel_values"]}
    else:
        call = ids(8, 6)
        reference = {**call, "input_ids": torch.where(call["input_ids"] < 3, call["input_ids"], PAD)}
    return make(), blocks, readout, call, reference


@pytest.fixture(params=sorted(MODELS), scope="module")
def case(request):
    model, blocks, readout, call, reference = problem(request.param)
    by_hand = []
    for b in range(2):
        n = int(call["attention_mask"][b].sum()) if "attention_mask" in call else None
        one, other = ({k: v[b : b + 1, :n] for k, v in c.items()} for c in (call, reference))
        by_hand.append(ByHand(model, blocks, one, other))
    (key,) = {"input_ids", "pixel_values"} & set(call)
    options = {**OPTIONS, "baselines": reference[key], **({"layers": blocks} if request.param == "gpt2" else {})}
    return model, call, options, readout, by_hand


@pytest.mark.parametrize("engine", ["auto", "autograd"])
@pytest.mark.parametrize(
    "name",
    ["calig", "calig-paper", "rollout", "chefer", "attention_gradient", "attcat", "gradient_x_input", "ig", "layer_ig"],
)
def test_scores_are_those_of_the_formula(case, name, engine):
    model, call, options, readout, by_hand = case
    found = explain(model, call, method=name, engine=engine, **options)
    lam = 0.97 if "pixel_values" in call else 0.8
    for scores, slow in zip(found.scores, by_hand, strict=True):
        wanted = slow.scores(name, readout(slow.tokens), lam)
        torch.testing.assert_close(scores[: slow.tokens].double(), wanted, rtol=2e-5, atol=1e-6)
        assert (scores[slow.tokens :] == 0).all()


def test_conductance_by_differences(case):
    model, call, options, _, by_hand = case
    found = explain(model, call, method="conductance", **options)
    for scores, slow in zip(found.scores, by_hand, strict=True):
        wanted = slow.conductance()
        assert (scores[: slow.tokens].double() - wanted).norm() < 2e-4 * wanted.norm()


def test_every_method_that_is_shipped_is_compared():
    shipped = {name for name, method in methods().items() if method.read.__module__.startswith("calig_fast.")}
    assert shipped == {
        "calig", "calig-paper", "rollout", "chefer", "attention_gradient", "attcat", "gradient_x_input", "ig",
        "layer_ig", "conductance",
    }  # fmt: skip


class Weighted(nn.Module):
    """BERT whose head reads tokens with the weights it is given."""

    def __init__(self, weights):
        super().__init__()
        self.bert = copy.deepcopy(tiny("bert").bert)
        self.head, self.weights = nn.Linear(24, 3), torch.tensor(weights)
        nn.init.normal_(self.head.weight, generator=torch.Generator().manual_seed(2))

    def forward(self, input_ids):
        h = self.bert(input_ids).last_hidden_state
        return self.head((self.weights.to(h.dtype)[:, None] * h).sum(1))


def weighted(weights, readout):
    """Scores of four tokens by a head of some weights, with an encoder of some readout."""
    model = Weighted(weights).eval()
    encoder = replace(find(model), readout=readout)
    call = {"input_ids": torch.tensor([[5, 9, 12, 7]])}
    return explain(model, call, encoder=encoder, baselines=0, dtype=torch.float64).scores[0]


def test_an_encoder_gives_the_weights_of_its_rows():
    weights = torch.tensor([0.1, 0.2, 0.3, 0.4], **E64)
    one_row = [weighted(weights.tolist(), lambda mask, t=t: torch.eye(4)[t : t + 1]) for t in range(4)]
    mixed = sum(w * s.double() for w, s in zip(weights, one_row, strict=True))
    for scale in (1, 7):  # weights are relative
        found = weighted(weights.tolist(), lambda mask, scale=scale: scale * weights.expand(mask.shape))
        torch.testing.assert_close(found.double(), mixed, rtol=1e-5, atol=1e-7)
    # without them, the rows that have a gradient count equally
    two = weighted([0.0, 0.25, 0.75, 0.0], None)
    equal = [weighted([0.0, 0.25, 0.75, 0.0], lambda mask, t=t: torch.eye(4)[t : t + 1]) for t in (1, 2)]
    torch.testing.assert_close(two, (equal[0] + equal[1]) / 2, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(
    "readout",
    [
        lambda mask: torch.ones(mask.shape[1]),
        lambda mask: -mask.double(),
        lambda mask: mask.double() * float("nan"),
        lambda mask: mask.double() * 0,
    ],
)
def test_weights_that_are_none_are_an_error(readout):
    with pytest.raises(ValueError, match=r"^encoder: expected readout\(mask\) to "):
        weighted([0.25] * 4, readout)


def test_another_head_on_a_known_encoder_is_read_where_it_reads():
    class ClassTokenAlone(nn.Module):
        def __init__(self):
            super().__init__()
            self.dinov2, self.head = copy.deepcopy(tiny("dinov2").dinov2), nn.Linear(24, 4)

        def forward(self, pixel_values):
            return self.head(self.dinov2(pixel_values).last_hidden_state[:, 0])

    model, x = ClassTokenAlone().eval(), pixels(1)
    encoder = find(model)
    assert encoder.readout(torch.ones(1, 17, dtype=torch.bool))[0, 1] > 0
    found = explain(model, x, method="chefer", **E64)
    first_row = replace(encoder, readout=lambda mask: first(17)[None])
    torch.testing.assert_close(found.scores, explain(model, x, method="chefer", encoder=first_row, **E64).scores)
