"""Pictures in every form they are passed in, the grid of their patches, and the pictures shown beside the scores."""

import copy
import warnings

import numpy as np
import pytest
import torch
from helpers.real_models import seeded
from helpers.tiny_models import PICTURE, pixels, tiny
from PIL import Image

from calig_fast import Explainer, Grid, explain
from calig_fast.inputs import image as images
from calig_fast.inputs.image_processor import measured

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
    same(explain(tiny(kind), [one, two], processor(), method=QUICK), wanted)
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


def test_a_transform_of_ones_own_is_undone_as_it_is_seen_to_act():
    source = picture(16, 16)
    a = Explainer(tiny("vit"), lambda p: transform()(p) * 2, method=QUICK)(source)
    assert np.abs(a.images[0].numpy().astype(int) - np.asarray(source, dtype=int)).max() <= 1


def test_a_transform_that_normalises_each_picture_by_itself_is_stretched():
    def standardised(p):
        x = torch.from_numpy(np.asarray(p, dtype=np.float32)).permute(2, 0, 1)
        return (x - x.mean()) / (x.std() + 1e-6)

    explainer = Explainer(tiny("vit"), standardised, method="layer_ig")
    a = explainer(picture(16, 16))
    assert (int(a.images.min()), int(a.images.max())) == (0, 255)
    with pytest.raises(ValueError, match="needs the normalisation"):
        explainer(picture(16, 16), baselines="black")


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
    x = made(images=source, return_tensors="pt")["pixel_values"].float()
    known = measured(made, x)
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
    assert explain(Net(4), torch.randn(1, 3, 8, 20), **options).grid == Grid(2, 5, 0)


@pytest.mark.parametrize("made", [processor, transform])
@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "1", "CMYK"])
def test_pictures_of_every_mode_become_what_the_model_reads(mode, made):
    explainer = Explainer(tiny("vit"), made(), method=QUICK)
    source = picture(mode=mode)
    same(explainer(source), explainer(source.convert("RGB")))
    same(explainer((source, picture())), explainer([source, picture()]))


def test_pictures_and_texts_for_the_wrong_model():
    for wrong in ("a text", ["a text"]):
        with pytest.raises(ValueError, match="is no file"):
            explain(tiny("vit"), wrong, processor=processor())
    for wrong in (None, 3, b"bytes", [None], [picture(), 3.5], np.zeros((16, 16, 3), dtype=complex)):
        with pytest.raises(TypeError, match="inputs: "):
            explain(tiny("vit"), wrong, processor=processor())
    for wrong in (picture(), [picture()]):
        with pytest.raises(TypeError, match=r"reads integer ids .* got a picture"):
            explain(tiny("bert"), wrong, processor=processor())


@pytest.mark.parametrize("made", [np.asarray, torch.as_tensor])
def test_pixels_that_seem_not_normalised_are_said(made):
    raw = np.random.default_rng(0).random((3, 16, 16), dtype=np.float32)
    for value, given in ((raw, processor()), (raw * 255, processor()), (raw * 255, None)):
        with pytest.warns(UserWarning, match="as in a picture that is not normalised"):
            explain(tiny("vit"), made(value), given, method="layer_ig", n_steps=2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        explain(tiny("vit"), made(raw * 4 - 2), processor(), method="layer_ig", n_steps=2)
        explain(tiny("vit"), made(raw * 255), processor(do_rescale=False), method="layer_ig", n_steps=2)


def test_lists_of_pixels_and_pixels_of_one_picture_in_a_mapping():
    x = pixels(2)
    wanted = explain(tiny("vit"), x, method=QUICK)
    same(explain(tiny("vit"), [x[0], x[1:]], method=QUICK), wanted)
    same(explain(tiny("vit"), list(x.numpy()), method=QUICK), wanted)
    same(explain(tiny("vit"), {"pixel_values": x[0]}, method=QUICK), wanted[0])


def test_what_is_no_pixels_of_the_model():
    for wrong in (pixels(1).permute(0, 2, 3, 1), torch.zeros(1, 1, 16, 16), torch.zeros(16, 16)):
        with pytest.raises(ValueError, match="inputs: expected pixels"):
            explain(tiny("vit"), wrong)
    for wrong in (torch.zeros(1, 3, 16, 16, dtype=torch.uint8), {"pixel_values": torch.zeros(3, 16, 16).long()}):
        with pytest.raises(TypeError, match="in floating point, got a torch"):
            explain(tiny("vit"), wrong)
    poisoned = pixels(3)
    poisoned[1, 0, 0, 0] = float("nan")
    with pytest.raises(ValueError, match=r"hold NaN or infinity, in picture \[1\]"):
        explain(tiny("vit"), poisoned)
    with pytest.raises(ValueError, match="the batch is empty"):
        explain(tiny("vit"), [], processor())


def test_videos_are_refused():
    from transformers import VideoMAEConfig, VideoMAEForVideoClassification

    model = seeded(VideoMAEForVideoClassification(VideoMAEConfig(**PICTURE, num_frames=2, tubelet_size=1)))
    video = torch.zeros(1, 2, 3, 16, 16)
    for given in (video, video.numpy(), {"pixel_values": video}):
        for module, options in ((tiny("vit"), {}), (model, {"layers": "videomae.encoder.layer"})):
            with pytest.raises(ValueError, match="videos, tiles and crops are explained picture by picture"):
                explain(module, given, **options)


def test_models_of_four_channels_take_pixels_alone():
    from transformers import ViTConfig, ViTForImageClassification

    model = seeded(ViTForImageClassification(ViTConfig(**PICTURE, num_channels=4)))
    with pytest.raises(ValueError, match="the model reads 4 channels, and pictures have 1 or 3"):
        explain(model, picture(), processor())
    with pytest.raises(ValueError, match=r"expected pixels of 4 channels \[B,4,H,W\]"):
        explain(model, pixels(1))


def test_removal_of_a_patch_takes_the_pixels_that_the_patch_covers():
    from calig_fast.inputs.perturbed_removal import Remover

    x = torch.randn(1, 3, 19, 22, generator=torch.Generator().manual_seed(0))
    remover = Remover(tiny("dinov2"), x, None, torch.zeros(3, 19, 22))
    found = remover.grid(21)
    removed = torch.zeros(1, 1, 21, dtype=torch.bool)
    removed[0, 0, found.prefix + 1 * found.columns + 4] = True
    without = x.clone()
    without[:, :, 4:8, 16:] = 0  # the last two columns of pixels are not read
    answers = remover.answers(removed, lambda out, _: out.logits, found, 4)
    torch.testing.assert_close(answers[0, 0].float(), tiny("dinov2")(without).logits[0].detach())
