"""The grid in which a model is seen to place the patches of a picture."""

import numpy as np
import pytest
import torch
from helpers.real_models import seeded
from helpers.tiny_models import PICTURE, tiny
from PIL import Image
from torch import nn

from calig_fast import Attribution, Grid, explain
from calig_fast.inputs.image_layout import seen_grid
from calig_fast.inputs.image_patches import patch_convolution
from calig_fast.metrics import deletion_auc
from calig_fast.model import families
from calig_fast.views.one_input import summarise

QUICK = {"method": "layer_ig", "n_steps": 2}


def seen(model, pixels, layers=None):
    encoder = families.named(model, (layers,)) if layers else families.find(model)
    return seen_grid(model, encoder, {"": pixels}, "", patch_convolution(model, encoder))


def pixels(*size):
    return torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(0))


class Net(nn.Module):
    """Patches with tokens before and after them, in an order of their own."""

    def __init__(self, before=0, after=0, order=None):
        super().__init__()
        self.patches = nn.Conv2d(3, 8, 4, 4)
        self.before = nn.Parameter(torch.randn(1, before, 8))
        self.after = nn.Parameter(torch.randn(1, after, 8))
        self.order = order
        self.blocks = nn.ModuleList([nn.Linear(8, 8) for _ in range(2)])

    def forward(self, image):
        h = self.patches(image).flatten(2).transpose(1, 2)
        h = h if self.order is None else h[:, self.order]
        n = len(h)
        h = torch.cat([self.before.expand(n, -1, -1), h, self.after.expand(n, -1, -1)], 1)
        for block in self.blocks:
            h = block(h)
        return h.mean(1)


@pytest.mark.parametrize("before", [0, 1, 2, 5, 9])
def test_tokens_before_the_patches_are_counted(before):
    torch.manual_seed(0)
    found = seen(Net(before), pixels(18, 22), "blocks")
    assert (found.rows, found.columns, found.prefix, found.height, found.width) == (4, 5, before, 4, 4)


@pytest.mark.parametrize(("before", "after"), [(1, 5), (0, 1), (0, 4), (3, 1), (0, 20)])
def test_tokens_after_the_patches_are_counted(before, after):
    torch.manual_seed(0)
    found = seen(Net(before, after), pixels(16, 24), "blocks")
    assert found == Grid(4, 6, before, suffix=after)
    assert found.tokens == before + 24 + after
    assert (found.height, found.width) == (4, 4)


def test_patches_in_another_order_before_others_leave_no_grid():
    torch.manual_seed(0)
    turned = torch.arange(16).reshape(4, 4).T.flatten()
    assert seen(Net(1, 3, order=turned), pixels(16, 16), "blocks") == Grid(1, 20, 0)


def test_an_explanation_with_tokens_after_the_patches(tmp_path):
    torch.manual_seed(0)
    model = Net(1, 2)
    a = explain(model, pixels(16, 16), layers="blocks", **QUICK)
    assert a.grid == Grid(4, 4, 1, suffix=2)
    assert torch.equal(a.patch_scores(0), a.scores[0, 1:17].reshape(4, 4))
    assert a.special[0].tolist() == [True] + [False] * 16 + [True] * 2
    assert summarise(a, 0).apart == ("prefix token 0", "suffix token 0", "suffix token 1")
    a.save(tmp_path / "found")
    assert Attribution.load(tmp_path / "found").grid == a.grid
    assert deletion_auc(model, pixels(16, 16), a).values.shape == (2,)


def test_patches_in_another_order_leave_no_grid():
    torch.manual_seed(0)
    turned = torch.arange(16).reshape(4, 4).T.flatten()
    assert seen(Net(1, order=turned), pixels(16, 16), "blocks") == Grid(1, 17, 0)


def test_blocks_in_the_middle_of_a_model():
    model = tiny("vit")
    encoder = families.named(model, ("vit.layers.1", "vit.layers.2"))
    found = seen_grid(
        model, encoder, {"pixel_values": pixels(16, 16)}, "pixel_values", patch_convolution(model, encoder)
    )
    assert found == Grid(4, 4, 1)


def test_the_model_is_not_touched_and_no_block_is_run():
    model = Net(1)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    calls = []
    model.blocks[0].register_forward_hook(lambda *_: calls.append(1))
    model.train()
    seen(model, pixels(16, 16), "blocks")
    assert calls == []
    assert model.training
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())


def towers():
    import transformers as t

    text = {"hidden_size": 24, "num_hidden_layers": 1, "num_attention_heads": 3, "intermediate_size": 32}
    sizes = {**{k: v for k, v in PICTURE.items() if k != "num_labels"}, "image_size": 18}
    swin = {"embed_dim": 16, "depths": [2, 2], "num_heads": [2, 4], "patch_size": 4, "window_size": 2, "num_labels": 3}
    return {
        "clip": (
            lambda: t.CLIPForImageClassification(t.CLIPConfig(vision_config=sizes, text_config=text)),
            "vision_model.encoder.layers",
            (18, 18),
            (4, 4, 1, 4, 4),
        ),
        "siglip": (
            lambda: t.SiglipForImageClassification(t.SiglipConfig(vision_config=sizes, text_config=text)),
            "vision_model.encoder.layers",
            (18, 18),
            (4, 4, 0, 4, 4),
        ),
        "swin": (
            lambda: t.SwinForImageClassification(t.SwinConfig(**swin, image_size=32)),
            "swin.encoder.layers.0.blocks",
            (30, 34),
            (8, 9, 0, 4, 4),
        ),
        "swin, second stage": (
            lambda: t.SwinForImageClassification(t.SwinConfig(**swin, image_size=32)),
            "swin.encoder.layers.1.blocks",
            (30, 34),
            (4, 5, 0, 8, 8),
        ),
        "convnext": (
            lambda: t.ConvNextForImageClassification(
                t.ConvNextConfig(num_labels=3, hidden_sizes=[8, 16, 16, 16], depths=[1, 2, 1, 1])
            ),
            "convnext.encoder.stages.1.layers",
            (32, 40),
            (4, 5, 0, 8, 8),
        ),
        "vit": (lambda: t.ViTForImageClassification(t.ViTConfig(**sizes)), None, (18, 18), (4, 4, 1, 4, 4)),
        "dinov2": (
            lambda: t.Dinov2WithRegistersForImageClassification(
                t.Dinov2WithRegistersConfig(**sizes, mlp_ratio=2, num_register_tokens=4)
            ),
            None,
            (19, 22),
            (4, 5, 5, 4, 4),
        ),
    }


@pytest.mark.parametrize("kind", ["clip", "siglip", "swin", "convnext", "dinov2"])
def test_a_picture_is_explained_as_the_pixels_of_it(kind):
    from transformers import ViTImageProcessor

    make, layers, (height, width), _ = towers()[kind]
    model, options = seeded(make()), {**QUICK, **({"layers": layers} if layers else {})}
    processor = ViTImageProcessor(size={"height": height, "width": width}, image_mean=[0.5, 0.4, 0.3])
    levels = np.random.default_rng(0).integers(0, 256, (25, 40, 3), dtype=np.uint8)
    a = explain(model, Image.fromarray(levels), processor, **options)
    b = explain(model, processor(images=levels, return_tensors="pt")["pixel_values"], **options)
    torch.testing.assert_close(a.logits, b.logits)
    torch.testing.assert_close(a.scores, b.scores)


@pytest.mark.parametrize("kind", ["clip", "siglip", "swin", "swin, second stage", "convnext", "vit", "dinov2"])
def test_pictures_that_are_no_multiple_of_the_patch(kind):
    make, layers, size, wanted = towers()[kind]
    a = explain(seeded(make()), pixels(*size), **({"layers": layers} if layers else {}), **QUICK)
    g = a.grid
    assert (g.rows, g.columns, g.prefix, g.height, g.width) == wanted
    assert a.scores.shape == (2, wanted[0] * wanted[1] + wanted[2])
    assert a.images.shape == (2, *size, 3)


def test_a_model_that_fills_its_last_patches_up():
    from timm.models.vision_transformer import VisionTransformer

    shape = {"img_size": 16, "patch_size": 4, "embed_dim": 24, "depth": 2, "num_heads": 3, "num_classes": 4}
    model = seeded(VisionTransformer(**shape, dynamic_img_size=True, dynamic_img_pad=True, reg_tokens=2))
    low = torch.zeros(1, 3, 18, 21)
    high = low.clone()
    high[:, :, 16:, 20:] = 1.5
    a = explain(model, high, baselines=low)
    assert a.grid == Grid(5, 6, 3)
    assert (a.patch_scores(layer=0) != 0).nonzero().tolist() == [[4, 5]]


def test_pixels_that_the_model_does_not_run_on_are_said():
    assert seen(tiny("timm-token"), pixels(20, 20)) is None
    for kind in ("vit", "timm-token"):
        with pytest.raises(ValueError, match=r"inputs: .*match"):
            explain(tiny(kind), torch.zeros(1, 3, 20, 20))


def test_overlapping_patches_keep_their_grid():
    class Stem(Net):
        def __init__(self):
            super().__init__(1)
            steps = [nn.Conv2d(3, 8, 3, 2, 1), nn.GELU(), nn.Conv2d(8, 8, 3, 2, 1)]
            self.patches = nn.Sequential(*steps)

    torch.manual_seed(0)
    found = seen(Stem(), pixels(16, 24), "blocks")
    assert (found.rows, found.columns, found.prefix, found.height, found.width) == (4, 6, 1, 4, 4)
