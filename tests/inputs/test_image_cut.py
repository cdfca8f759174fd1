"""Patches that are cut already: SigLIP 2 with its own processor, beside the same picture without padding."""

import numpy as np
import pytest
import torch
from helpers.slow import layer_relevance
from torch import nn

from calig_fast import Grid, explain
from calig_fast.inputs.image_cut import Cut
from calig_fast.inputs.perturbed_removal import Remover
from calig_fast.metrics import deletion_auc
from calig_fast.quadrature.rules import nodes_and_weights

hub = pytest.importorskip("transformers")
Image = pytest.importorskip("PIL.Image")
EXACT = {"quadrature": "gausslegendre", "n_steps": 6}


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    vision = hub.Siglip2VisionConfig(**sizes, patch_size=8, num_patches=16).to_dict()
    words = hub.Siglip2TextConfig(**sizes, vocab_size=32, bos_token_id=1, eos_token_id=2).to_dict()
    config = hub.Siglip2Config(vision_config=vision, text_config=words, num_labels=3)
    return hub.Siglip2ForImageClassification(config).eval()


def processor(places):
    return hub.Siglip2ImageProcessor(patch_size=8, max_num_patches=places)


def picture(seed=0):
    """It becomes 4 x 5 patches of at most 20, and no more of at most 23."""
    return Image.fromarray(np.random.default_rng(seed).integers(0, 255, (32, 40, 3), dtype=np.uint8))


def test_padding_changes_nothing_and_has_no_part(model):
    bare, padded = (explain(model, picture(), processor=processor(n), **EXACT) for n in (20, 23))
    assert (bare.grid, padded.grid) == (Grid(4, 5, 0), Grid(4, 5, 0, suffix=3))
    assert padded.mask[0].tolist() == [True] * 20 + [False] * 3
    assert not padded.special.any()
    assert torch.equal(padded.layer_scores[..., 20:], torch.zeros(1, 2, 3))
    torch.testing.assert_close(padded.scores[:, :20], bare.scores, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(padded.patch_scores(0), bare.patch_scores(0), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("baseline", "value"), [("mean", 0.0), ("black", -1.0)])
def test_layer_relevance_is_what_hooks_give(model, baseline, value):
    call = dict(processor(23)(images=[picture()], return_tensors="pt"))
    a = explain(model, picture(), processor=processor(23), baselines=baseline, target=1, **EXACT)
    patches = call["pixel_values"]
    low = {**call, "pixel_values": torch.where(call["pixel_attention_mask"][..., None] > 0, value, patches)}
    given = explain(model, call, baselines=low["pixel_values"], target=1, **EXACT)
    torch.testing.assert_close(given.layer_scores, a.layer_scores, rtol=1e-4, atol=1e-6)
    nodes, weights = nodes_and_weights("gausslegendre", 6)
    for layer in range(2):
        block = f"vision_model.encoder.layers.{layer}"
        slow = layer_relevance(model, block, call, low, 1, nodes=nodes, weights=weights.tolist())
        torch.testing.assert_close(a.layer_scores[0, layer], slow.float(), rtol=1e-3, atol=1e-5)


def test_mapping_and_picture_are_one(model):
    call = dict(processor(23)(images=[picture()], return_tensors="pt"))
    a, b = (explain(model, given, processor=processor(23), **EXACT) for given in (picture(), call))
    assert torch.equal(a.scores, b.scores)


def test_the_picture_is_put_together_again(model):
    a = explain(model, [picture(), picture(1)], processor=processor(23), method="layer_ig", n_steps=2)
    assert torch.equal(a.images[0], torch.tensor(np.array(picture())))
    assert torch.equal(a.images[1], torch.tensor(np.array(picture(1))))
    assert a.grid.height == a.grid.width == 8


def test_removed_patches_are_made_of_their_neighbours(model):
    a = explain(model, picture(), processor=processor(23), method="layer_ig", n_steps=2)
    remover = Remover(model, picture(), processor(23), "noisy_linear")
    removed = torch.zeros(1, 23, dtype=torch.bool)
    removed[0, 7] = True
    seen = []
    remover.model.register_forward_pre_hook(lambda _, __, kwargs: seen.append(kwargs["pixel_values"]), with_kwargs=True)
    answers = remover.answers(removed[None], lambda out, _: out.logits, a.grid, 64)
    made = seen[-1]
    before = dict(processor(23)(images=[picture()], return_tensors="pt"))["pixel_values"]
    assert torch.equal(made[0, :7], before[0, :7])
    assert torch.equal(made[0, 8:], before[0, 8:])
    assert float(made[0, 7].std()) < 0.5 * float(before[0, 7].std())
    assert torch.isfinite(answers).all()


def test_patches_are_removed(model):
    a = explain(model, picture(), processor=processor(23), method="layer_ig", n_steps=2)
    curve = deletion_auc(model, picture(), a, processor=processor(23), removal="mean")
    call = dict(processor(23)(images=[picture()], return_tensors="pt"))
    call["pixel_values"] = torch.zeros_like(call["pixel_values"])
    gone = model(**call).logits.softmax(-1)[0, int(a.target)]
    torch.testing.assert_close(curve.curve[0, -1], gone.detach().double(), rtol=1e-4, atol=1e-6)


def test_patches_and_pictures_are_inverse():
    cut = Cut(2, 3, 4, 3, 8)
    pixels, padding = torch.randn(2, 3, 8, 12), torch.randn(2, 8, 48)
    patches = cut.patches(pixels, padding)
    assert torch.equal(cut.pictures(patches), pixels)
    assert torch.equal(patches[:, 6:], padding[:, 6:])
    assert torch.equal(patches[1, 4].view(4, 4, 3), pixels[1, :, 4:, 4:8].permute(1, 2, 0))


def broken(name):
    call = dict(processor(23)(images=[picture(), picture(1)], return_tensors="pt"))
    if name == "shapes":
        call["spatial_shapes"] = torch.tensor([[4, 5], [5, 4]])
    elif name == "many":
        call["spatial_shapes"] = torch.tensor([[8, 5], [8, 5]])
    elif name == "mask":
        call["pixel_attention_mask"] = torch.ones_like(call["pixel_attention_mask"])
    elif name == "width":
        call["pixel_values"] = call["pixel_values"][..., :-1]
    elif name == "nan":
        call["pixel_values"] = call["pixel_values"].clone().fill_(float("nan"))
    elif name == "empty":
        call = {k: v[:0] for k, v in call.items()}
    return call


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("shapes", "one shape at a time"),
        ("many", "8 x 5 patches"),
        ("mask", "pixel_attention_mask does not show the 4 x 5 patches"),
        ("width", "squares of pixels with 3 channels"),
        ("nan", "hold NaN or infinity"),
        ("empty", "empty"),
    ],
)
def test_patches_that_do_not_fit(model, name, says):
    with pytest.raises(ValueError, match=says):
        explain(model, broken(name))


class Turned(nn.Module):
    """Patches that are turned round before the blocks."""

    def __init__(self, turn):
        super().__init__()
        self.turn = turn
        self.patches, self.head = nn.Linear(12, 8), nn.Linear(8, 2)
        self.blocks = nn.ModuleList([nn.Linear(8, 8), nn.Linear(8, 8)])

    def forward(self, pixel_values, spatial_shapes):
        hidden = self.patches(pixel_values)
        hidden = hidden.flip(1) if self.turn else hidden
        for block in self.blocks:
            hidden = block(hidden)
        return self.head(hidden.mean(1).tanh())


@pytest.mark.parametrize(("turn", "grid"), [(False, Grid(2, 3, 0)), (True, Grid(1, 6, 0))])
def test_patches_in_another_order_have_no_grid(turn, grid):
    torch.manual_seed(0)
    call = {"pixel_values": torch.randn(2, 6, 12), "spatial_shapes": torch.tensor([[2, 3], [2, 3]])}
    a = explain(Turned(turn), call, layers="blocks", method="layer_ig", n_steps=2)
    assert a.grid == grid
