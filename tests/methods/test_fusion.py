"""CA-LIG's fusion and rollout against their definition, written out with dense matrices."""

import itertools

import pytest
import torch

from calig_fast.methods.fusion import ATTENTION_SCALES, RELEVANCE_SCALES, Fusion, context_map
from calig_fast.methods.rollout import rollout


def dense(relevance, maps, readout, fusion):
    """s = w Abar_{L-1} ... Abar_0 of one unpadded input, and the identity parts' share."""
    t = relevance.shape[1]
    product = torch.eye(t, dtype=torch.float64)
    identity = torch.ones(t, dtype=torch.float64)
    for r, g in zip(relevance, maps, strict=True):
        by_r = {"max_t": t * r.abs().max(), "max": r.abs().max(), "sum": r.abs().sum(), "none": torch.tensor(1.0)}
        by_g = {"sum": g.abs().sum(), "max": g.abs().max(), "none": torch.tensor(1.0)}
        rhat = r / by_r[fusion.relevance_scale]
        ghat = g / by_g[fusion.attention_scale]
        m = fusion.lam * rhat[None, :].expand(t, t) + (1 - fusion.lam) * ghat
        torch.testing.assert_close(context_map(r, g, fusion), m)
        a = fusion.residual * torch.eye(t, dtype=torch.float64) + m
        z = a.abs().sum(1) if fusion.normalise else torch.ones(t, dtype=torch.float64)
        product = (a / z[:, None]) @ product
        identity = identity * fusion.residual / z
    return readout @ product - readout * identity


def signals(seed=0, layers=3, lengths=(5, 3, 1)):
    generator = torch.Generator().manual_seed(seed)
    t = max(lengths)
    mask = torch.arange(t)[None] < torch.tensor(lengths)[:, None]
    relevance = torch.randn(len(lengths), layers, t, generator=generator, dtype=torch.float64) * mask[:, None]
    maps = torch.randn(len(lengths), layers, t, t, generator=generator, dtype=torch.float64)
    readout = torch.rand(len(lengths), t, generator=generator, dtype=torch.float64) * mask
    return relevance, maps, mask, readout / readout.sum(1, keepdim=True)


@pytest.mark.parametrize("backend", ["torch", "auto"])
@pytest.mark.parametrize(
    ("lam", "relevance_scale", "attention_scale", "normalise"),
    list(itertools.product((0.0, 0.3, 1.0), RELEVANCE_SCALES, ATTENTION_SCALES, (True, False))),
)
def test_the_rollout_is_the_product_of_the_dense_maps(lam, relevance_scale, attention_scale, normalise, backend):
    fusion = Fusion(lam, relevance_scale, attention_scale, residual=0.7, normalise=normalise)
    relevance, maps, mask, readout = signals()
    scores, rows = rollout(relevance, maps, mask, readout, fusion, backend=backend)
    torch.testing.assert_close(rows[:, 0], scores)
    for b, n in enumerate(mask.sum(1).tolist()):
        slow = dense(relevance[b, :, :n], maps[b, :, :n, :n], readout[b, :n], fusion)
        torch.testing.assert_close(scores[b, :n], slow, rtol=1e-9, atol=1e-12)
        assert (scores[b, n:] == 0).all()


def test_padding_may_lie_anywhere():
    relevance, maps, _, readout = signals(lengths=(5,))
    holes = torch.zeros(1, 5, dtype=torch.bool)
    holes[:, [0, 1, 3]] = True
    weights = readout * holes / (readout * holes).sum()
    scores, _ = rollout(relevance * holes[:, None], maps, holes, weights, Fusion(), backend="auto")
    kept = torch.tensor([0, 1, 3])
    slow = dense(relevance[0][:, kept], maps[0][:, kept][:, :, kept], weights[0, kept], Fusion())
    torch.testing.assert_close(scores[0, kept], slow)
    assert (scores[0, [2, 4]] == 0).all()


def test_signs():
    relevance, maps, mask, readout = signals(lengths=(4, 4))
    up, _ = rollout(relevance.clamp_min(0), maps.clamp_min(0), mask, readout, Fusion(), backend="auto")
    down, _ = rollout((-relevance).clamp_min(0), (-maps).clamp_min(0), mask, readout, Fusion(), backend="auto")
    positive, _ = rollout(relevance, maps, mask, readout, Fusion(sign="positive"), backend="auto")
    split, _ = rollout(relevance, maps, mask, readout, Fusion(sign="split"), backend="auto")
    torch.testing.assert_close(positive, up)
    torch.testing.assert_close(split, up - down)


def test_scores_do_not_depend_on_the_scale_of_the_logits():
    relevance, maps, mask, readout = signals()
    a, _ = rollout(relevance, maps, mask, readout, Fusion(), backend="auto")
    b, _ = rollout(relevance * 1e4, maps * 1e4, mask, readout, Fusion(), backend="auto")
    torch.testing.assert_close(a, b)


@pytest.mark.parametrize(
    "options",
    [
        {"lam": -0.1},
        {"lam": 1.5},
        {"residual": -1.0},
        {"relevance_scale": "l2"},
        {"attention_scale": "max_t"},
        {"sign": 1},
    ],
)
def test_options_outside_their_choices_are_named(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        Fusion(**options)
