"""The ancestors against their published definitions, computed with eager autograd on a copy of the model.

The published rollouts hold the product of the identity parts in the row that the head reads, ours do not.
"""

import copy
from dataclasses import asdict

import pytest
import torch
from helpers.slow import attention_maps
from helpers.tiny_models import ids, pixels, tiny

from calig_fast import Fusion, explain
from calig_fast.methods.registry import methods

DOUBLE = {"dtype": torch.float64, "target": 1}


def published(kind, call):
    """Per block: attention, its gradient [H,T,U], block input and its gradient [T,D], all float64."""
    model = copy.deepcopy(tiny(kind)).double()
    out = model(**{k: v.double() if v.is_floating_point() else v for k, v in call.items()}, output_hidden_states=True)
    hidden = out.hidden_states[:3]
    slopes = torch.autograd.grad(out.logits[0, 1], hidden)
    return [
        (a, da, h[0].detach(), dh[0])
        for (a, da), h, dh in zip(attention_maps(tiny(kind), call, 1), hidden, slopes, strict=True)
    ]


@pytest.fixture(params=["bert", "vit"])
def case(request):
    call = ids(8) if request.param == "bert" else {"pixel_values": pixels(1)}
    return tiny(request.param), call, published(request.param, call)


def close(found, wanted):
    torch.testing.assert_close(found.double(), wanted, rtol=1e-6, atol=1e-7)


def test_attention_rollout(case):
    model, call, blocks = case
    t = blocks[0][0].shape[-1]
    joint = torch.eye(t, dtype=torch.float64)
    for a, *_ in blocks:
        joint = (0.5 * a.mean(0) + 0.5 * torch.eye(t, dtype=torch.float64)) @ joint
    joint[0, 0] -= 0.5 ** len(blocks)
    close(explain(model, call, method="rollout", **DOUBLE).scores[0], joint[0])


def test_chefers_generic_rule(case):
    model, call, blocks = case
    r = torch.eye(blocks[0][0].shape[-1], dtype=torch.float64)
    for a, da, *_ in blocks:
        r = r + (a * da).clamp_min(0).mean(0) @ r
    r[0, 0] -= 1
    close(explain(model, call, method="chefer", **DOUBLE).scores[0], r[0])


def test_signed_attention_gradient_rollout(case):
    model, call, blocks = case
    r = torch.eye(blocks[0][0].shape[-1], dtype=torch.float64)
    for a, da, *_ in blocks:
        r = r + (a * da).mean(0) @ r
    r[0, 0] -= 1
    close(explain(model, call, method="attention_gradient", **DOUBLE).scores[0], r[0])


def test_attcat(case):
    model, call, blocks = case
    total = sum((h * dh).sum(-1) * a.mean(0).mean(0) for a, _, h, dh in blocks)
    close(explain(model, call, method="attcat", **DOUBLE).scores[0], total)


def test_gradient_x_input(case):
    model, call, blocks = case
    found = explain(model, call, method="gradient_x_input", **DOUBLE)
    for layer, (_, _, h, dh) in enumerate(blocks):
        close(found.layer_scores[0, layer], (h * dh).sum(-1))
    assert torch.equal(found.scores, found.layer_scores[:, 0])


def test_integrated_presets_read_the_layer_relevance(case):
    model, call, _ = case
    full = explain(model, call, **DOUBLE)
    ig = explain(model, call, method="ig", **DOUBLE)
    assert ig.layer_scores.shape[1] == 1
    close(ig.scores, full.layer_scores[:, 0].double())
    close(explain(model, call, method="layer_ig", **DOUBLE).scores, full.layer_scores[:, 2].double())
    close(explain(model, call, method="layer_ig", layers=1, **DOUBLE).scores, full.layer_scores[:, 1].double())


def test_conductance_is_ig_at_the_embeddings_and_complete_everywhere(case):
    model, call, _ = case
    found = explain(model, call, method="conductance", tolerance=1e-5, n_steps=512, **DOUBLE)
    ig = explain(model, call, method="ig", tolerance=1e-5, n_steps=512, **DOUBLE)
    assert found.converged.all()
    torch.testing.assert_close(found.layer_scores[:, 0], ig.scores, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found.layer_scores.sum(2), found.gap, rtol=1e-4, atol=1e-5)


def test_conductance_against_captum():
    from captum.attr import LayerConductance

    model = copy.deepcopy(tiny("vit")).double()
    x = pixels(1).double()
    found = explain(model, x, method="conductance", baselines="mean", target=1, tolerance=1e-6, n_steps=512)

    class Logits(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = model

        def forward(self, x):
            return self.inner(x).logits

    # Captum's path runs in pixels; the embedding is affine in them, so both are the same path
    ours = found.layer_scores[0, 1].double()  # the input of block 1 is the output of block 0
    errors = []
    for steps in (50, 200, 800):
        theirs = LayerConductance(Logits(), model.vit.layers[0]).attribute(x, target=1, n_steps=steps)
        theirs = (theirs[0] if isinstance(theirs, tuple) else theirs).sum(-1)[0]
        errors.append(float((ours - theirs.detach()).norm() / ours.norm()))
    assert errors[1] < errors[0] / 2, errors
    assert errors[2] < errors[1] / 2, errors
    assert errors[2] < 4e-2, errors


def test_calig_with_options_and_lam():
    call = ids(8)
    half = explain(tiny("bert"), call)
    for same in (explain(tiny("bert"), call, method=Fusion()), explain(tiny("bert"), call, lam=0.8)):
        assert torch.equal(half.scores, same.scores)
    other = explain(tiny("bert"), call, method=Fusion(sign="split"), lam=0.25)
    assert other.settings["fusion"]["lam"] == 0.25
    assert other.settings["fusion"]["sign"] == "split"
    assert not torch.allclose(other.scores, half.scores)
    assert torch.equal(other.layer_scores, half.layer_scores)


def test_images_have_a_lam_of_their_own():
    call = pixels(1)
    chosen = explain(tiny("vit"), call)
    assert chosen.settings["fusion"] == asdict(Fusion(lam=0.97))
    assert torch.equal(chosen.scores, explain(tiny("vit"), call, lam=0.97).scores)
    paper = explain(tiny("vit"), call, method="calig-paper")
    assert torch.equal(chosen.scores, paper.scores)
    assert paper.method == explain(tiny("vit"), call, method="calig-paper", lam=0.5).method == "calig-paper"
    assert explain(tiny("vit"), call, lam=0.5).settings["fusion"]["lam"] == 0.5
    assert explain(tiny("vit"), call, method=Fusion()).settings["fusion"]["lam"] == 0.8
    assert chosen.method == "calig"


@pytest.mark.parametrize("name", sorted(methods()))
def test_every_preset_reports_what_it_is(name):
    a = explain(tiny("bert"), ids(8, 5), method=name)
    assert a.method == name
    assert a.scores.shape == (2, 8)
    assert (a.scores[1, 5:] == 0).all()
    assert torch.isfinite(a.scores).all()
    integrates = methods()[name].integral != "none"
    for value in (a.error, a.score_error, a.convergence_delta, a.gap):
        assert bool(torch.isnan(value).any()) != integrates
    assert a.converged.all()
    assert "integrates nothing" in a.statement(0) or integrates
