"""CA-LIG of inputs with few tokens: one token keeps the sign and the size of its relevance."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers.tiny_models import PICTURE, tiny

from calig_fast import Fusion, explain
from calig_fast.methods import rollout_changes
from calig_fast.methods.base import Signals
from calig_fast.methods.calig import calig
from calig_fast.methods.fusion import ATTENTION_SCALES, RELEVANCE_SCALES, SIGNS
from calig_fast.methods.registry import methods
from calig_fast.methods.rollout import rollout
from calig_fast.methods.score_error import LayerErrors, score_errors

LAYERS = 3


def signals(relevance, mask, seed=0):
    """Signals [B,L,T] with seeded maps; the head reads the last token."""
    maps = torch.randn(*relevance.shape, mask.shape[1], generator=torch.Generator().manual_seed(seed)).double()
    last = mask.shape[1] - 1 - mask.flip(1).int().argmax(1)
    readout = torch.nn.functional.one_hot(last, mask.shape[1]).double()
    return Signals(relevance * mask[:, None], maps, torch.zeros_like(relevance), mask, readout, "auto")


def one_token(*by_layer):
    return signals(torch.tensor(by_layer, dtype=torch.float64)[None, :, None], torch.ones(1, 1, dtype=torch.bool))


@pytest.mark.parametrize(
    "fusion",
    [
        Fusion(lam, scale, residual=residual, normalise=normalise, sign=sign)
        for lam, scale, residual, normalise, sign in itertools.product(
            (0.0, 0.8, 1.0), RELEVANCE_SCALES, (0.0, 1.0), (True, False), SIGNS
        )
    ],
    ids=repr,
)
def test_one_token_is_its_mean_relevance(fusion):
    for by_layer in ((2.0, 3.0, 1.0), (-2.0, -3.0, -1.0), (-3.0, 1.0, 0.5), (1e-9, 1e-9, 1e-9), (0.0, 0.0, 0.0)):
        scores, layers = calig(fusion).read(one_token(*by_layer))
        read = [max(r, 0.0) for r in by_layer] if fusion.sign == "positive" else by_layer
        assert scores.item() == pytest.approx(sum(read) / LAYERS, rel=1e-12, abs=0)
        assert layers.flatten().tolist() == list(by_layer)


def test_more_than_one_token_is_the_rollout():
    relevance = torch.randn(3, LAYERS, 4, generator=torch.Generator().manual_seed(1)).double()
    mask = torch.tensor([[1, 1, 1, 1], [0, 0, 1, 1], [0, 0, 0, 1]]).bool()
    s = signals(relevance, mask)
    scores, _ = calig(Fusion()).read(s)
    rolled, _ = rollout(s.relevance, s.maps, mask, s.readout, Fusion(), backend="auto")
    assert torch.equal(scores[:2], rolled[:2])
    assert torch.equal(scores[2], s.relevance[2].mean(0))  # padding on the left does not make it longer


def test_no_relevance_and_no_attention_is_zero():
    mask = torch.tensor([[1, 1, 1], [1, 1, 0], [1, 0, 0]]).bool()
    s = signals(torch.zeros(3, LAYERS, 3, dtype=torch.float64), mask)
    s = replace(s, maps=torch.zeros_like(s.maps))
    for lam in (0.0, 0.8, 1.0):
        assert (calig(Fusion(lam)).read(s)[0] == 0).all()


def test_the_score_error_of_one_token_is_that_of_the_mean():
    s = one_token(2.0, 3.0, -1.0)
    coarse = s.relevance + torch.tensor([0.1, -0.3, 0.2])[None, :, None]
    ones = np.ones((1, LAYERS))
    errors = LayerErrors(coarse=coarse, rule=ones, disagreement=ones, missing=0 * ones, error=ones)
    scores = calig(Fusion()).scores(s)[0]
    wanted = np.array([[0.1, 0.3, 0.2]]) / 4
    np.testing.assert_allclose(score_errors(calig(Fusion()), s, errors, scores), wanted)
    halved = replace(errors, rule=ones / 2)
    np.testing.assert_allclose(score_errors(calig(Fusion()), s, halved, scores), wanted / 2)


def test_a_rule_that_states_more_than_its_answers_differ_by_may_miss_a_part_of_the_layer():
    s = one_token(2.0, 3.0, -1.0)
    ones = np.ones((1, LAYERS))
    errors = LayerErrors(
        coarse=s.relevance + 1e-3, rule=0.4 * ones, disagreement=1e-3 * ones, missing=0 * ones, error=0.4 * ones
    )
    found = score_errors(calig(Fusion()), s, errors, calig(Fusion()).scores(s)[0])
    np.testing.assert_allclose(found, 0.4 * np.array([[2, 3, 1]]) / 4)


@pytest.mark.parametrize(
    "fusion",
    [
        Fusion(lam, scale, weight, residual=residual, normalise=normalise, sign=sign)
        for (lam, scale, weight), residual, normalise, sign in itertools.product(
            zip((0.0, 0.8, 1.0, 0.5), RELEVANCE_SCALES, (*ATTENTION_SCALES, "sum"), strict=True),
            (0.0, 1.0),
            (True, False),
            SIGNS,
        )
    ]
    + [Fusion(sign=sign, embedding_share=share) for sign in SIGNS for share in (0.3, 1.0)],
    ids=repr,
)
@pytest.mark.parametrize("held", [1, 2**21])
def test_scores_with_one_layer_replaced_are_those_of_reading_it_replaced(fusion, held, monkeypatch):
    monkeypatch.setattr(rollout_changes, "HELD", held)
    mask = torch.tensor([[1, 1, 1, 1], [0, 1, 1, 0], [0, 0, 1, 0], [1, 1, 1, 0]]).bool()
    seeded = torch.Generator().manual_seed(1)
    s = signals(torch.randn(4, LAYERS, 4, generator=seeded).double(), mask)
    s = replace(s, maps=s.maps * mask[:, None, :, None] * mask[:, None, None, :])
    others = torch.randn(2, 4, LAYERS, 4, generator=seeded).double() * mask[:, None]
    others[1] = 0
    method = calig(fusion)
    one_by_one = replace(method, changed=None).changed_scores(s, others)
    torch.testing.assert_close(method.changed_scores(s, others), one_by_one, rtol=1e-12, atol=1e-12)


def test_a_share_of_ig_at_the_embeddings():
    mask = torch.tensor([[1, 1, 1, 1], [1, 1, 1, 0]]).bool()
    seeded = torch.Generator().manual_seed(1)
    s = signals(torch.randn(2, LAYERS, 4, generator=seeded).double() * mask[:, None], mask)
    content = mask.clone()
    content[:, 0] = False
    s = replace(s, content=content)
    rolled = calig(Fusion()).read(s)[0]
    for share in (0.0, 0.25, 1.0):
        found = calig(Fusion(embedding_share=share)).read(s)[0]
        scale = (s.relevance[:, 0] * content).abs().sum(1) / (rolled * content).abs().sum(1)
        wanted = (1 - share) * rolled * scale[:, None] + share * s.relevance[:, 0] if share else rolled
        torch.testing.assert_close(found, wanted)
    still = replace(s, maps=0 * s.maps, relevance=0 * s.relevance)
    assert not calig(Fusion(embedding_share=0.5)).read(still)[0].any()


@pytest.mark.parametrize("name", ["ig", "layer_ig", "conductance"])
def test_scores_of_one_layer_change_with_it_alone(name):
    mask = torch.tensor([[1, 1, 1, 1], [0, 1, 1, 0]]).bool()
    seeded = torch.Generator().manual_seed(1)
    s = signals(torch.randn(2, LAYERS, 4, generator=seeded).double(), mask)
    others = torch.randn(2, 2, LAYERS, 4, generator=seeded).double()
    method = methods()[name]
    assert torch.equal(method.changed_scores(s, others), replace(method, changed=None).changed_scores(s, others))


def bert():
    return tiny("bert"), {}


def gpt2():
    import transformers as t

    config = t.GPT2Config(
        vocab_size=60,
        n_embd=24,
        n_layer=3,
        n_head=3,
        num_labels=4,
        pad_token_id=0,
        bos_token_id=None,
        eos_token_id=None,
    )
    torch.manual_seed(0)
    model = t.GPT2ForSequenceClassification(config).eval()
    with torch.no_grad():
        for p in model.parameters():
            p.normal_(0, 0.3)
    return model, {"layers": "transformer.h"}


@pytest.mark.parametrize("make", [bert, gpt2])
@pytest.mark.parametrize("lam", [0.0, 0.8, 1.0])
def test_a_text_of_one_token(make, lam):
    model, options = make()
    options |= {"baselines": 0, "lam": lam, "target": [[0, 1, 2, 3]]}
    one = torch.tensor([[10]])
    found = explain(model, {"input_ids": one, "attention_mask": torch.ones_like(one)}, **options)
    assert found.scores.shape == (4, 1)
    torch.testing.assert_close(found.scores[:, 0], found.layer_scores[:, :, 0].mean(1))
    torch.testing.assert_close(found.scores, found.gap.mean(1, keepdim=True), rtol=5e-2, atol=1e-4)  # completeness
    assert len(set(found.scores.sign().flatten().tolist())) == 2
    assert (found.score_error <= 2e-2).all()
    ids, mask = torch.tensor([[10, 0, 0], [9, 8, 7]]), torch.tensor([[1, 0, 0], [1, 1, 1]])
    both = explain(model, {"input_ids": ids, "attention_mask": mask}, **{**options, "target": [[0, 1, 2, 3]] * 2})
    torch.testing.assert_close(both.scores[:4, :1], found.scores, rtol=5e-2, atol=1e-4)
    assert (both.scores[:4, 1:] == 0).all()


def test_one_token_after_padding_on_the_left():
    ids, mask = torch.tensor([[0, 0, 9], [9, 8, 7]]), torch.tensor([[0, 0, 1], [1, 1, 1]])
    model, options = gpt2()
    positions = torch.tensor([[0, 0, 0], [0, 1, 2]])
    call = {"input_ids": ids, "attention_mask": mask, "position_ids": positions}
    found = explain(model, call, baselines=0, target=1, **options)
    alone = explain(model, {"input_ids": ids[:1, 2:], "attention_mask": mask[:1, 2:]}, baselines=0, target=1, **options)
    torch.testing.assert_close(found.scores[0, 2:], alone.scores[0], rtol=5e-2, atol=1e-4)
    torch.testing.assert_close(alone.scores[0], alone.layer_scores[0].mean(0))


def test_an_image_of_one_patch():
    from timm.models.vision_transformer import VisionTransformer

    torch.manual_seed(0)
    size = PICTURE["patch_size"]
    model = VisionTransformer(
        img_size=size, patch_size=size, embed_dim=24, depth=3, num_heads=3, num_classes=4, global_pool="avg",
        class_token=False,
    ).eval()  # fmt: skip
    found = explain(model, torch.randn(1, 3, size, size), baselines="mean", target=[[0, 1, 2, 3]])
    assert found.scores.shape == (4, 1)
    torch.testing.assert_close(found.scores[:, 0], found.layer_scores[:, :, 0].mean(1))
    assert (found.scores != 0).all()


def test_the_rollouts_of_maps_report_no_identity_of_one_token():
    for value in (0.0, 1e-3, 2.0):
        s = one_token(0.0, 0.0, 0.0)
        s = replace(s, maps=torch.full_like(s.maps, value))
        for name, wanted in (
            ("chefer", (1 + value) ** LAYERS - 1),
            ("attention_gradient", (1 + value) ** LAYERS - 1),
            ("rollout", 1 - (1 + value) ** -LAYERS),
        ):
            assert methods()[name].read(s)[0].item() == pytest.approx(wanted, rel=1e-9)
