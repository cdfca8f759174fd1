"""Pictures in every form they are passed in, the grid of their patches, and the pictures shown beside the scores."""

import copy

import numpy as np
import pytest
import torch
from helpers.real_models import seeded
from helpers.tiny_models import PICTURE, pixels, tiny
from PIL import Image

from calig_fast import Explainer, Grid, explain
from calig_fast.inputs import image as images

QUICK = "gradient_x_input"


def picture(width=24, height=20, seed=0, mode="RGB"):
    draw = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(draw).convert(mode)


def processor(**options):
    from transformers import ViTImageProcessor

    given = {"size": {"height": 16, "width": 16}, "image_mean": [0.5, 0.4, 0.3], "image_std": [0.2, 0.25, 0.5]}
    return ViTImageProcessor(**{**given, **options})


def transform(mean=(0.5, 0.4, 0.3), std=(0.2, 0.25, 0.5)):
    from torchvision import transforms

    steps = [transforms.Resize((16, 16)), transforms.ToTensor(), transforms.Normalize(mean, std)]
    return transforms.Compose(steps)


def same(a, b):
    torch.testing.assert_close(a.layer_scores, b.layer_scores)
    torch.testing.assert_close(a.scores, b.scores)


@pytest.mark.parametrize("kind", ["vit", "deit", "dinov2"])
def test_pictures_through_a_hugging_face_processor(kind):
    explainer = Explainer(tiny(kind), processor(), method=QUICK)
    one, two = picture(seed=1), picture(40, 10, seed=2)
    call = processor()(images=[one, two], return_tensors="pt")
    wanted = explain(tiny(kind), call["pixel_values"], method=QUICK)
    same(explainer([one, two]), wanted)
    same(explainer(call), wanted)
    same(explainer(one), wanted[0])
    same(explain(tiny(kind), [one, two], tokenizer=processor(), method=QUICK), wanted)
    same(explain(tiny(kind), call["pixel_values"][0], method=QUICK), wanted[0])


def test_pictures_through_a_transform():
    explainer = Explainer(tiny("timm-token"), transform(), method=QUICK)
    one, two = picture(seed=1), picture(40, 10, seed=2)
    x = torch.stack([transform()(one), transform()(two)])
    wanted = explain(tiny("timm-token"), x, method=QUICK)
    same(explainer([one, two]), wanted)
    same(explainer(one), wanted[0])
    assert explainer(one).images is not None


def test_pictures_through_the_transform_timm_makes():
    import timm

    made = timm.data.create_transform((3, 16, 16), is_training=False, mean=(0.5, 0.4, 0.3), std=(0.2, 0.25, 0.5))
    a = Explainer(tiny("timm-token"), made, method=QUICK)(picture())
    plain = np.asarray(Image.fromarray(a.images[0].numpy()), dtype=int)
    x = made(picture())
    shown = (x * torch.tensor([0.2, 0.25, 0.5]).view(3, 1, 1) + torch.tensor([0.5, 0.4, 0.3]).view(3, 1, 1)) * 255
    assert np.abs(plain - shown.permute(1, 2, 0).numpy()).max() <= 1


def test_a_transform_of_ones_own_without_a_known_normalisation():
    a = Explainer(tiny("vit"), lambda p: transform()(p) * 2, method=QUICK)(picture())
    assert a.images.shape == (1, 16, 16, 3)
    assert a.images.min() == 0
    assert a.images.max() == 255


@pytest.mark.parametrize("made", [processor, transform])
def test_the_picture_shown_is_the_picture_the_model_saw(made):
    # 16 by 16 already, so nothing is resized and every level must come back
    source = picture(16, 16)
    a = Explainer(tiny("vit"), made(), method=QUICK)(source)
    assert a.images.dtype == torch.uint8
    assert np.abs(a.images[0].numpy().astype(int) - np.asarray(source, dtype=int)).max() <= 1


@pytest.mark.parametrize(
    "options",
    [{"do_normalize": False}, {"do_rescale": False}, {"rescale_factor": 1 / 127.5}, {"image_mean": [0, 0, 0]}],
)
def test_steps_of_a_processor_that_are_switched_off(options):
    source = picture(16, 16)
    made = processor(**options)
    known = images.normalisation(made)
    x = made(images=source, return_tensors="pt")["pixel_values"]
    shown = images.shown(x, known)
    assert np.abs(shown[0].numpy().astype(int) - np.asarray(source, dtype=int)).max() <= 1
    dark = made(images=Image.new("RGB", (16, 16)), return_tensors="pt")["pixel_values"]
    torch.testing.assert_close(images.black(x, known), dark)


def test_a_grey_picture_is_shown_in_three_equal_channels():
    from transformers import ViTConfig, ViTForImageClassification

    model = seeded(ViTForImageClassification(ViTConfig(**PICTURE, num_channels=1)))
    a = explain(model, torch.rand(2, 1, 16, 16), method=QUICK)
    assert a.images.shape == (2, 16, 16, 3)
    assert (a.images[..., 0] == a.images[..., 1]).all()
    assert (a.images[..., 0] == a.images[..., 2]).all()


def test_other_channels_are_explained_and_not_shown():
    from transformers import ViTConfig, ViTForImageClassification

    model = seeded(ViTForImageClassification(ViTConfig(**PICTURE, num_channels=4)))
    a = explain(model, torch.rand(1, 4, 16, 16))
    assert a.images is None
    assert a.converged.all()
    assert a.patch_scores().shape == (4, 4)


def test_pixels_of_unknown_normalisation_are_stretched_one_by_one():
    x = pixels(2)
    x[1] *= 100
    shown = images.shown(x, None)
    assert shown.amin((1, 2, 3)).tolist() == [0, 0]
    assert shown.amax((1, 2, 3)).tolist() == [255, 255]
    flat = images.shown(torch.full((1, 3, 4, 4), 7.0), None)
    assert (flat == flat[0, 0, 0, 0]).all()


def test_the_normalisation_of_a_timm_model_is_used_without_a_processor():
    model = copy.deepcopy(tiny("timm-token"))
    model.pretrained_cfg = {"mean": (0.5, 0.4, 0.3), "std": (0.2, 0.25, 0.5)}
    source = picture(16, 16)
    a = explain(model, transform()(source)[None], method=QUICK)
    assert np.abs(a.images[0].numpy().astype(int) - np.asarray(source, dtype=int)).max() <= 1


PREFIX = {"vit": 1, "deit": 2, "dinov2": 1, "dinov2_with_registers": 3}
TIMM = {"timm-token": 1, "timm-avg": 0, "timm-registers": 3}


@pytest.mark.parametrize(("kind", "prefix"), {**PREFIX, **TIMM}.items())
def test_the_grid_and_the_tokens_before_it(kind, prefix):
    a = explain(tiny(kind), pixels(2), method=QUICK)
    assert a.grid == Grid(4, 4, prefix)
    assert a.scores.shape == (2, 16 + prefix)
    assert a.special.sum(1).tolist() == [prefix] * 2
    assert a.special[:, :prefix].all()
    assert a.mask.all()
    torch.testing.assert_close(a.patch_scores(1).flatten(), a.scores[1, prefix:])
    torch.testing.assert_close(a.patch_scores(1, layer=2).flatten(), a.layer_scores[1, 2, prefix:])


def timm_vit(**options):
    from timm.models.vision_transformer import VisionTransformer

    shape = {"patch_size": 4, "embed_dim": 24, "depth": 2, "num_heads": 3, "num_classes": 4}
    return seeded(VisionTransformer(**{**shape, **options}), seed=5)


@pytest.mark.parametrize(
    ("options", "size", "wanted"),
    [
        ({"img_size": (8, 20)}, (8, 20), Grid(2, 5, 1)),
        ({"img_size": 16, "dynamic_img_size": True}, (12, 24), Grid(3, 6, 1)),
        ({"img_size": 16, "dynamic_img_size": True}, (4, 16), Grid(1, 4, 1)),
        ({"img_size": 16, "dynamic_img_size": True, "reg_tokens": 4}, (20, 8), Grid(5, 2, 5)),
        ({"img_size": 16, "class_token": False, "global_pool": "avg"}, (16, 16), Grid(4, 4, 0)),
        ({"img_size": (16, 12), "patch_size": (8, 3)}, (16, 12), Grid(2, 4, 1)),
    ],
)
def test_the_grid_of_pictures_that_are_not_square(options, size, wanted):
    a = explain(timm_vit(**options), torch.randn(1, 3, *size, generator=torch.Generator().manual_seed(0)))
    assert a.grid == wanted
    assert a.patch_scores().shape == (wanted.rows, wanted.columns)
    assert a.converged.all()


def test_a_hugging_face_model_that_interpolates_its_positions():
    x = torch.randn(1, 3, 8, 24, generator=torch.Generator().manual_seed(0))
    a = explain(tiny("dinov2"), {"pixel_values": x}, method=QUICK)
    assert a.grid == Grid(2, 6, 1)


@pytest.mark.parametrize("kind", ["vit", "deit", "dinov2", "timm-token", "timm-avg", "timm-registers"])
@pytest.mark.parametrize(("row", "column"), [(0, 3), (2, 1), (3, 0)])
def test_a_patch_lies_where_it_lies_in_the_picture(kind, row, column):
    low = pixels(1)
    high = low.clone()
    high[:, :, row * 4 : row * 4 + 4, column * 4 : column * 4 + 4] += 2
    a = explain(tiny(kind), high, baselines=low)
    first = a.patch_scores(layer=0)
    assert first[row, column] != 0
    assert int((first != 0).sum()) == 1
    assert float(first[row, column]) == pytest.approx(float(a.gap[0, 0]), rel=0.03, abs=1e-4)


def test_a_patch_of_a_wide_picture_lies_where_it_lies():
    low = torch.zeros(1, 3, 8, 20)
    high = low.clone()
    high[:, :, 4:8, 12:16] = 1.5
    a = explain(timm_vit(img_size=(8, 20)), high, baselines=low)
    assert (a.patch_scores(layer=0) != 0).nonzero().tolist() == [[1, 3]]


def test_a_grid_where_the_family_tells_none():
    class Net(torch.nn.Module):
        def __init__(self, side):
            super().__init__()
            self.patches = torch.nn.Conv2d(3, 8, side, side)
            self.stack = torch.nn.ModuleList([torch.nn.Linear(8, 8) for _ in range(2)])

        def forward(self, image):
            h = self.patches(image).flatten(2).transpose(1, 2)
            for block in self.stack:
                h = block(h)
            return h.mean(1)

    options = {"layers": "stack", "method": "layer_ig"}
    assert explain(Net(4), pixels(1), **options).grid == Grid(4, 4, 0)
    # 2 by 5 patches are not 3 by 3 after a class token
    assert explain(Net(4), torch.randn(1, 3, 8, 20), **options).grid == Grid(1, 10, 0)


@pytest.mark.parametrize("made", [processor, transform])
@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "1", "CMYK"])
def test_pictures_of_every_mode_become_what_the_model_reads(mode, made):
    explainer = Explainer(tiny("vit"), made(), method=QUICK)
    source = picture(mode=mode)
    same(explainer(source), explainer(source.convert("RGB")))
    same(explainer((source, picture())), explainer([source, picture()]))


def test_pictures_and_texts_for_the_wrong_model():
    for wrong in ("a text", ["a text"], [np.zeros((16, 16, 3))]):
        with pytest.raises(TypeError, match="expected pixels"):
            explain(tiny("vit"), wrong, tokenizer=processor())
    for wrong in (picture(), [picture()]):
        with pytest.raises(TypeError, match=r"reads integer ids .* got a picture"):
            explain(tiny("bert"), wrong, tokenizer=processor())


def test_what_is_a_picture():
    assert images.is_image(picture())
    assert not images.is_image(np.zeros((4, 4, 3)))
    assert not images.is_image("picture.png")
