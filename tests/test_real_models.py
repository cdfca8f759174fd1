"""The same weights under another family's name compute the same thing."""

import pytest
import torch
from helpers import real_models as real

TEXTS = [
    "The striker scored twice as the visitors came from behind to win the cup.",
    "Shares fell sharply after the bank warned that profits would not meet expectations this year.",
    "A new phone.",
]


def batch(**options):
    return real.minilm_tokenizer()(TEXTS, padding=True, return_tensors="pt", **options)


def difference(a, b, mask):
    """The largest difference of two hidden states at real tokens."""
    return ((a - b).abs() * mask.unsqueeze(-1)).max().item()


@pytest.mark.parametrize("name", ["distilbert", "roberta", "xlm_roberta", "camembert", "electra"])
@torch.inference_mode()
def test_the_encoder_is_bert_s_own(name):
    bert = real.minilm_topics()
    other = getattr(real, f"as_{name}")(bert)
    x = batch(return_token_type_ids=False)
    want = bert.bert(**x).last_hidden_state
    got = other.base_model(**x).last_hidden_state
    assert want.abs().max() > 1
    assert difference(want, got, x["attention_mask"]) < 1e-5


@pytest.mark.parametrize("name", ["roberta", "xlm_roberta", "camembert"])
@torch.inference_mode()
def test_the_logits_are_bert_s_own(name):
    bert = real.minilm_topics()
    other = getattr(real, f"as_{name}")(bert)
    x = batch(return_token_type_ids=False)
    want, got = bert(**x).logits, other(**x).logits
    assert want.std() > 0.5
    torch.testing.assert_close(got, want, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", ["distilbert", "electra"])
@torch.inference_mode()
def test_another_activation_gives_other_logits(name):
    bert = real.minilm_topics()
    other = getattr(real, f"as_{name}")(bert)
    x = batch(return_token_type_ids=False)
    logits = other(**x).logits
    assert logits.shape == (len(TEXTS), 5)
    assert logits.std() > 0.1
    assert (logits - bert(**x).logits).abs().max() > 0.1


@torch.inference_mode()
def test_folding_the_layer_scale_keeps_the_hidden_states():
    pixels = torch.randn(2, 3, real.SIDE, real.SIDE, generator=torch.Generator().manual_seed(0))
    vit, dino = real.vit_s14(), real.dinov2_s14()
    want = dino.dinov2(pixels).last_hidden_state
    got = vit.vit(pixels).last_hidden_state
    assert want.shape == (2, 65, 384)
    assert (want - got).abs().max() < 1e-4 * want.abs().max()
    assert vit(pixels).logits.shape == dino(pixels).logits.shape == (2, real.CLASSES)


IMAGE_MODELS = {
    "deit": real.small_deit,
    "deit_with_teacher": real.small_deit_with_teacher,
    "timm_mae": real.small_timm_mae,
    **{f"timm_{kind}": (lambda kind=kind: real.small_timm_vit(kind)) for kind in real.TIMM},
}


@pytest.mark.parametrize("name", IMAGE_MODELS)
@torch.inference_mode()
def test_small_image_models_depend_on_every_patch(name):
    model = IMAGE_MODELS[name]()
    assert not model.training
    pixels = torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(1))

    def logits(x):
        out = model(x)
        return out if isinstance(out, torch.Tensor) else out.logits

    whole = logits(pixels)
    assert whole.shape == (1, real.CLASSES)
    for row in range(0, 32, 8):
        for column in range(0, 32, 8):
            changed = pixels.clone()
            changed[:, :, row : row + 8, column : column + 8] = 0
            assert (logits(changed) - whole).abs().max() > 1e-4


@torch.inference_mode()
def test_albert_shares_one_block():
    model = real.small_albert()
    assert len(model.albert.encoder.albert_layer_groups) == 1
    x = batch()
    assert model(**x).logits.std() > 0.1


def test_seeding_leaves_the_global_generator_alone():
    layer = torch.nn.Linear(3, 3)
    before, drawn = torch.random.get_rng_state(), layer.weight.detach().clone()
    real.seeded(layer)
    assert not torch.equal(layer.weight, drawn)
    assert torch.equal(before, torch.random.get_rng_state())
