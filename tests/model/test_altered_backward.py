"""Backward rules: equal to plain autograd through altered modules, and what they leave alone."""

import pytest
import torch
from helpers.altered import MAPS, block_input, by_gim, layer_relevance, product, softmax
from helpers.odd_models import Model, Recomputed
from helpers.real_models import seeded
from helpers.tiny_models import SIZES, Linear, tiny
from torch import nn
from torch.nn import functional

from calig_fast import Method, explain
from calig_fast.model.altered_backward import altered, operations
from calig_fast.model.backward_rules import Rules, resolve

IDS = torch.tensor([[1, 8, 51, 26, 19, 37, 2]])
BASELINE = torch.tensor([[1, 7, 7, 7, 7, 7, 2]])
FIXED = {"method": "layer_ig", "quadrature": "riemann_middle", "n_steps": 4, "engine": "autograd", "target": 1}


class Torch(nn.Module):
    """PyTorch's own encoder layers over words."""

    def __init__(self):
        super().__init__()
        self.words = nn.Embedding(60, 24)
        layer = nn.TransformerEncoderLayer(24, 3, 40, batch_first=True, activation="gelu", norm_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(24, 4)

    def forward(self, input_ids):
        return self.head(self.encoder(self.words(input_ids)).mean(1))


def llama():
    import transformers

    config = transformers.LlamaConfig(
        vocab_size=60,
        hidden_size=24,
        intermediate_size=40,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=40,
        num_labels=4,
        pad_token_id=0,
    )
    return seeded(transformers.LlamaForSequenceClassification(config), seed=3)


MODELS = {
    "bert": (lambda: tiny("bert"), "bert.encoder.layer"),
    "bert-eager": (lambda: tiny("bert", "eager"), "bert.encoder.layer"),
    "electra": (lambda: tiny("electra"), "electra.encoder.layer"),
    "vit": (lambda: tiny("vit"), "vit.layers"),
    "dinov2-gated": (lambda: tiny("dinov2-gated"), "dinov2.encoder.layer"),
    "timm-token": (lambda: tiny("timm-token"), "blocks"),
    "llama": (llama, "model.layers"),
    "torch": (lambda: seeded(Torch(), seed=3), "encoder.layers"),
}


def calls(kind):
    """An input and a baseline, as arguments by name and as they are explained."""
    if kind in {"vit", "dinov2-gated", "timm-token"}:
        x = torch.randn(1, 3, 16, 16, generator=torch.Generator().manual_seed(0))
        name = "x" if kind == "timm-token" else "pixel_values"
        return {name: x}, {name: 0.3 * x}
    return {"input_ids": IDS}, {"input_ids": BASELINE}


@pytest.mark.parametrize("kind", MODELS)
def test_relevance_equals_autograd_through_altered_modules(kind):
    build, blocks = MODELS[kind]
    model, (call, other) = build(), calls(kind)
    changed = by_gim(model)
    (name, x), (_, baseline) = *call.items(), *other.items()
    a = explain(model, x if name == "x" else call, baselines=baseline, rules="gim", **FIXED, layers=blocks)
    plain = explain(model, x if name == "x" else call, baselines=baseline, **FIXED, layers=blocks)
    for layer in range(a.layer_scores.shape[1]):
        block = f"{blocks}.{layer}"
        ends = block_input(model, call, block), block_input(model, other, block)
        wanted = layer_relevance(changed, call, ends, block, 1)
        torch.testing.assert_close(a.layer_scores[0, layer].double(), wanted, rtol=1e-4, atol=1e-6)
        assert (plain.layer_scores[0, layer].double() - wanted).norm() > 1e-2 * wanted.norm()
    torch.testing.assert_close(a.logits, plain.logits, rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", MODELS)
def test_attention_maps_equal_autograd_through_altered_modules(kind):
    build, blocks = MODELS[kind]
    model, (call, _) = build(), calls(kind)
    seen = []

    def read(signals):
        seen.append(signals.maps)
        return signals.product[:, 0], signals.product

    x = call.get("x", call)
    explain(model, x, method=Method("maps", "none", "gradient", read), rules="gim", target=1, layers=blocks)
    MAPS.clear()
    output = by_gim(model)(**call)
    (output if isinstance(output, torch.Tensor) else output.logits)[0, 1].backward(inputs=MAPS)
    wanted = torch.stack([(m * m.grad).mean(1) for m in MAPS], 1)
    torch.testing.assert_close(seen[0], wanted.detach(), rtol=1e-4, atol=1e-7)


def slopes(rules, run, *inputs):
    """The gradients of a weighted sum of what `run` makes of some inputs, by rules; and its value."""
    leaves = [x.clone().requires_grad_() for x in inputs]
    with operations(altered(rules)):
        out = run(*leaves)
    weights = torch.linspace(-1, 1, out.numel()).view_as(out)
    return torch.autograd.grad((out * weights).sum(), leaves), out.detach()


def numbers(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def by_hand(x, weight, bias):
    centred = x - x.mean(-1, keepdim=True)
    return weight * centred / (centred.pow(2).mean(-1, keepdim=True) + 1e-5).sqrt() + bias


def frozen(x, axes, weight, bias, centre=True):
    centred = x - x.mean(axes, keepdim=True) if centre else x
    return weight * centred / (centred.square().mean(axes, keepdim=True) + 1e-5).sqrt().detach() + bias


NORMS = {
    "layer": (lambda x, w, b: functional.layer_norm(x, (6,), w, b), lambda x, w, b: frozen(x, -1, w, b)),
    "module": (lambda x, w, b: nn.LayerNorm(6, elementwise_affine=False)(x), lambda x, w, b: frozen(x, -1, 1, 0)),
    "rms": (
        lambda x, w, b: functional.rms_norm(x, (6,), w, eps=1e-5),
        lambda x, w, b: frozen(x, -1, w, 0, centre=False),
    ),
    "rms-plain": (lambda x, w, b: torch.rms_norm(x, (6,), w, 1e-5), lambda x, w, b: frozen(x, -1, w, 0, centre=False)),
    "group": (
        lambda x, w, b: functional.group_norm(x, 2, w[:4], b[:4]),
        lambda x, w, b: frozen(x.unflatten(1, (2, 2)), (2, 3), w[:4].view(2, 2, 1), b[:4].view(2, 2, 1)).flatten(1, 2),
    ),
    "by-hand": (by_hand, lambda x, w, b: frozen(x, -1, w, b)),
    "power": (
        lambda x, w, b: w * x * (x.pow(2).mean(-1, keepdim=True) + 1e-5) ** -0.5,
        lambda x, w, b: frozen(x, -1, w, 0, centre=False),
    ),
}


@pytest.mark.parametrize("kind", NORMS)
@pytest.mark.parametrize("halve_products", [False, True])
def test_norms(kind, halve_products):
    run, definition = NORMS[kind]
    x, w, b = numbers(3, 4, 6), numbers(6, seed=1), numbers(6, seed=2)
    rules = Rules(norm="frozen", halve_products=halve_products)
    (found,), value = slopes(rules, lambda x: run(x, w, b), x)
    (wanted,), same = slopes(Rules(), lambda x: definition(x, w, b), x)
    torch.testing.assert_close(found, wanted)
    torch.testing.assert_close(value, same)
    (plain,), _ = slopes(Rules(), lambda x: run(x, w, b), x)
    assert (plain - wanted).norm() > 1e-2 * wanted.norm()
    (left,), _ = slopes(Rules(halve_products=True, softmax_temperature=2), lambda x: run(x, w, b), x)
    torch.testing.assert_close(left, plain)


PRODUCTS = {
    "matmul": lambda a, b: a @ b,
    "bmm": torch.bmm,
    "function": lambda a, b: torch.matmul(a, b),
    "einsum": lambda a, b: torch.einsum("nij,njk->nik", a, b),
    "einsum of a list": lambda a, b: torch.einsum("nij,njk->nik", [a, b]),
    "baddbmm": lambda a, b: torch.baddbmm(torch.zeros(4, 4, dtype=a.dtype), a, b),
    "gate": lambda a, b: functional.silu(a) * b.transpose(1, 2),
    "chunks of one": lambda a, b: torch.mul(*(a @ b).chunk(2, -1)),
}


@pytest.mark.parametrize("kind", PRODUCTS)
def test_products(kind):
    a, b = numbers(3, 4, 6), numbers(3, 6, 4, seed=1)
    found, value = slopes(Rules(halve_products=True), PRODUCTS[kind], a, b)
    plain, same = slopes(Rules(), PRODUCTS[kind], a, b)
    share = 0.25 if kind == "chunks of one" else 0.5
    torch.testing.assert_close(value, same, rtol=0, atol=0)
    for mine, theirs in zip(found, plain, strict=True):
        torch.testing.assert_close(mine, share * theirs)


ACTIVATIONS = {
    "gelu": functional.gelu,
    "tanh": lambda x: functional.gelu(x, approximate="tanh"),
    "silu": functional.silu,
    "module": nn.SiLU(inplace=True),
    "quick": lambda x: x * torch.sigmoid(1.702 * x),
    "by hand": lambda x: 0.5 * x * (1.0 + torch.tanh(0.7978845608 * (x + 0.044715 * torch.pow(x, 3.0)))),
}


@pytest.mark.parametrize("kind", ACTIVATIONS)
def test_an_activation_is_no_product_and_its_gate_can_be_a_constant(kind):
    x, run = numbers(3, 4), ACTIVATIONS[kind]
    wrapped = lambda x: run(x * 1.0)  # noqa: E731
    (plain,), value = slopes(Rules(), wrapped, x)
    (left,), _ = slopes(Rules(halve_products=True, norm="frozen"), wrapped, x)
    torch.testing.assert_close(left, plain)
    (found,), same = slopes(Rules(gate="frozen"), wrapped, x)
    torch.testing.assert_close(same, value, rtol=0, atol=0)
    weights = torch.linspace(-1, 1, x.numel()).view_as(x)
    torch.testing.assert_close(found, weights * value / x)


@pytest.mark.parametrize("mask", [None, "bool", "float"])
def test_fused_attention_is_altered_and_a_query_without_keys_gives_zeros(mask):
    q, k, v = (numbers(2, 3, 5, 4, seed=i) for i in range(3))
    keep = torch.ones(5, 5, dtype=torch.bool).tril()
    if mask == "bool":
        keep[2] = False
    given = None if mask is None else keep if mask == "bool" else torch.zeros(5, 5).double().masked_fill(~keep, -1e4)
    found, value = slopes(
        resolve("gim"), lambda q, k, v: functional.scaled_dot_product_attention(q, k, v, attn_mask=given), q, k, v
    )

    def definition(q, k, v):
        z = product(q, k.transpose(-1, -2)) / 2
        z = z if mask is None else z.masked_fill(~keep, -1e4)
        return product(softmax(z, 2.0) * (1.0 if mask != "bool" else keep.any(-1, keepdim=True)), v)

    wanted, same = slopes(Rules(), definition, q, k, v)
    torch.testing.assert_close(value, same)
    for mine, theirs in zip(found, wanted, strict=True):
        torch.testing.assert_close(mine, theirs)


def test_a_rule_that_meets_no_operation_is_refused():
    model = Linear()
    for rules in (Rules(norm="frozen"), Rules(softmax_temperature=3), Rules(halve_products=True), Rules(gate="frozen")):
        with pytest.raises(ValueError, match="rules: no operation that"):
            explain(model, IDS, layers="blocks", method="layer_ig", baselines=7, rules=rules)
    with pytest.raises(ValueError, match='gate="frozen"'):
        explain(relu(), IDS, baselines=7, rules=Rules(norm="frozen", gate="frozen"))


def relu():
    import transformers

    return seeded(transformers.BertForSequenceClassification(transformers.BertConfig(**SIZES, hidden_act="relu")))


def test_a_product_in_place_is_refused():
    x = numbers(3, 4).requires_grad_()
    with operations(altered(resolve("gim"))), pytest.raises(ValueError, match="in place"):
        (x * 2).mul_(x.sum(1, keepdim=True))


def test_a_checkpointed_model_is_altered_in_its_second_pass_too():
    options = {"baselines": 7, "method": "layer_ig", "layers": "blocks", "rules": Rules(norm="frozen")}
    a, b = (explain(seeded(kind()), IDS, **options) for kind in (Recomputed, Model))
    c = explain(seeded(Model()), IDS, **{**options, "rules": "plain"})
    torch.testing.assert_close(a.layer_scores, b.layer_scores)
    assert not torch.allclose(b.layer_scores, c.layer_scores, rtol=1e-2)


def test_the_users_model_is_as_it_was():
    model = tiny("bert")
    before = {name: value.clone() for name, value in model.state_dict().items()}
    kinds = [(type(m), "forward" in vars(m)) for m in model.modules()]
    explain(model, IDS, baselines=7, rules="gim")
    assert kinds == [(type(m), "forward" in vars(m)) for m in model.modules()]
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())
