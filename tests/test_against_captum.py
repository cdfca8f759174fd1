"""Every layer on real weights against Captum's LayerIntegratedGradients, at the same nodes and reference."""

import pytest
import torch
from captum.attr import LayerIntegratedGradients
from helpers.real_models import as_distilbert, as_roberta, minilm_tokenizer, minilm_topics, vit_s14
from helpers.slow import attention_maps

from calig_fast import explain
from calig_fast.inputs.baseline import blur

TEXT = "The striker scored twice in extra time as the visitors won the cup final; shares in the club rose sharply."


def blocks_before(model, path):
    """The modules with the input of block 0, 1, ... as output: Captum reads them, as blocks take None arguments."""
    blocks = list(model.get_submodule(path))
    embeddings = next(m for name, m in model.named_modules() if name.endswith("embeddings"))
    return [embeddings, *blocks[:-1]]


def captums(model, modules, x, low, *, target, rule, n, **more):
    rows = []
    for module in modules:
        lig = LayerIntegratedGradients(lambda x: model(x, **more).logits, module)
        found = lig.attribute(x, baselines=low, target=target, n_steps=n, method=rule, internal_batch_size=4)
        rows.append((found[0] if isinstance(found, tuple) else found).sum(-1)[0])
    return torch.stack(rows).detach()


def relative(ours, theirs):
    return ((ours - theirs).norm(dim=1) / theirs.norm(dim=1)).max().item()


@pytest.mark.parametrize(("rule", "n"), [("gausslegendre", 8), ("riemann_middle", 5), ("riemann_right", 6)])
def test_a_real_bert(rule, n):
    model, tokenizer = minilm_topics(), minilm_tokenizer()
    x = tokenizer(TEXT, return_tensors="pt")
    low = torch.where(torch.isin(x["input_ids"], torch.tensor([101, 102])), x["input_ids"], 0)
    ours = explain(model, x, quadrature=rule, n_steps=n, target=0)
    theirs = captums(model, blocks_before(model, "bert.encoder.layer"), x["input_ids"], low, target=0, rule=rule, n=n)
    assert theirs.shape[0] == 6
    assert relative(ours.layer_scores[0], theirs) < 1e-5
    delta = theirs.sum(1) - ours.gap[0]
    torch.testing.assert_close(ours.convergence_delta[0], delta, rtol=1e-3, atol=1e-5)


def test_the_mean_over_several_baselines():
    model, tokenizer = minilm_topics(), minilm_tokenizer()
    x = tokenizer(TEXT, return_tensors="pt")
    content = ~torch.isin(x["input_ids"], torch.tensor([101, 102]))
    every = []
    for token in (tokenizer.pad_token_id, tokenizer.mask_token_id):
        low = torch.where(content, token, x["input_ids"])
        modules = blocks_before(model, "bert.encoder.layer")
        every.append(captums(model, modules, x["input_ids"], low, target=0, rule="gausslegendre", n=6))
    options = {"quadrature": "gausslegendre", "n_steps": 6, "target": 0}
    ours = explain(model, x, tokenizer, baselines=["pad", "mask"], **options)
    assert relative(ours.layer_scores[0], sum(every) / 2) < 1e-5


@pytest.mark.parametrize(("make", "path"), [(as_distilbert, "distilbert.transformer.layer"), (as_roberta, None)])
def test_the_same_weights_as_other_families(make, path):
    bert, tokenizer = minilm_topics(), minilm_tokenizer()
    x = tokenizer(TEXT, return_tensors="pt")
    call = {k: x[k] for k in ("input_ids", "attention_mask")}
    ours = explain(make(bert), call, quadrature="gausslegendre", n_steps=6, target=0)
    if path is None:  # RoBERTa's logits are BERT's, so its relevance is too
        theirs = explain(bert, call, quadrature="gausslegendre", n_steps=6, target=0).layer_scores[0]
    else:
        model = make(bert)
        low = torch.where(torch.isin(x["input_ids"], torch.tensor([101, 102])), x["input_ids"], 0)
        theirs = captums(model, blocks_before(model, path), x["input_ids"], low, target=0, rule="gausslegendre", n=6)
    assert relative(ours.layer_scores[0], theirs) < 1e-5


def test_a_real_vit():
    model = vit_s14()
    side = model.config.image_size
    generator = torch.Generator().manual_seed(0)
    x = torch.nn.functional.interpolate(torch.randn(1, 3, 7, 7, generator=generator), size=(side, side), mode="bicubic")
    ours = explain(model, x, quadrature="gausslegendre", n_steps=4, target=3)
    theirs = captums(model, blocks_before(model, "vit.layers"), x, blur(x), target=3, rule="gausslegendre", n=4)
    assert theirs.shape[0] == 12
    assert relative(ours.layer_scores[0], theirs) < 1e-5


@pytest.mark.parametrize("kind", ["bert", "vit"])
def test_attention_gradients_of_real_weights_equal_eager_autograd(kind):
    if kind == "bert":
        model, call = minilm_topics(), dict(minilm_tokenizer()(TEXT, return_tensors="pt"))
    else:
        model, side = vit_s14(), vit_s14().config.image_size
        call = {"pixel_values": torch.randn(1, 3, side, side, generator=torch.Generator().manual_seed(0))}
    slow = attention_maps(model, call, 2)
    for engine in ("native", "autograd"):
        found = explain(model, call, target=2, lam=0.0, return_maps=True, n_steps=1, engine=engine).maps[0]
        for (a, slope), m in zip(slow, found, strict=True):
            gradient = (a * slope).mean(0)
            wanted = gradient / gradient.abs().sum()
            assert float((m - wanted).norm() / wanted.norm()) < 1e-5
