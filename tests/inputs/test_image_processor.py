"""Processors of every kind: the pixels are what they give, and the normalisation is what they are seen to apply."""

import numpy as np
import pytest
import torch
from helpers.real_models import seeded
from helpers.tiny_models import PICTURE, tiny
from PIL import Image
from torchvision import transforms
from torchvision.transforms import v2

from calig_fast import Explainer, explain
from calig_fast.inputs import image as images
from calig_fast.inputs.image_processor import channels, measured, processed

MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.25, 0.5)
SIZE = {"height": 16, "width": 16}


def picture(width=40, height=25, seed=0):
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


def hugging_face(kind="ViTImageProcessor", **options):
    import transformers

    return getattr(transformers, kind)(**{"size": SIZE, "image_mean": MEAN, "image_std": STD, **options})


def clip():
    from transformers import CLIPImageProcessor

    return CLIPImageProcessor(size={"shortest_edge": 16}, crop_size=SIZE)


class Both:
    """A processor of texts and pictures, as transformers makes for CLIP."""

    def __init__(self):
        self.image_processor = clip()

    def __call__(self, text=None, images=None, **options):
        raise AssertionError("the picture goes to the image processor")


def timm_wrapper():
    from transformers.models.timm_wrapper.image_processing_timm_wrapper import TimmWrapperImageProcessor

    return TimmWrapperImageProcessor({"input_size": (3, 16, 16), "mean": MEAN, "std": STD})


def timm_transform():
    import timm

    return timm.data.create_transform((3, 16, 16), is_training=False, mean=MEAN, std=STD)


def preset():
    from torchvision.transforms._presets import ImageClassification

    return ImageClassification(crop_size=16, resize_size=18, mean=MEAN, std=STD)


def compose(*after):
    return transforms.Compose([transforms.Resize((16, 16)), transforms.ToTensor(), *after])


def second():
    return v2.Compose(
        [v2.ToImage(), v2.Resize((16, 16)), v2.ToDtype(torch.float32, scale=True), v2.Normalize(list(MEAN), list(STD))]
    )


KINDS = {
    "transformers": (hugging_face, MEAN, STD),
    "do_normalize": (lambda: hugging_face(do_normalize=False), (0, 0, 0), (1, 1, 1)),
    "do_rescale": (lambda: hugging_face(do_rescale=False), [m / 255 for m in MEAN], [s / 255 for s in STD]),
    "rescale_factor": (lambda: hugging_face(rescale_factor=1 / 127.5), [m / 2 for m in MEAN], [s / 2 for s in STD]),
    "clip": (clip, (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)),
    "clip with a tokenizer": (Both, (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)),
    "siglip": (lambda: hugging_face("SiglipImageProcessor"), MEAN, STD),
    "timm wrapper": (timm_wrapper, MEAN, STD),
    "timm transform": (timm_transform, MEAN, STD),
    "torchvision": (lambda: compose(transforms.Normalize(MEAN, STD)), MEAN, STD),
    "torchvision v2": (second, MEAN, STD),
    "torchvision preset": (preset, MEAN, STD),
    "not normalised": (compose, (0, 0, 0), (1, 1, 1)),
    "two normalisations": (
        lambda: compose(transforms.Normalize([0.5] * 3, [0.5] * 3), transforms.Normalize([0.1] * 3, [2] * 3)),
        (0.55,) * 3,
        (1.0,) * 3,
    ),
    "a function": (lambda: lambda p: compose(transforms.Normalize(MEAN, STD))(p).numpy(), MEAN, STD),
    "a function of a batch of one": (lambda: lambda p: hugging_face()(p, return_tensors="pt"), MEAN, STD),
}


def given(processor, source):
    """Pixels [1,C,H,W] as the processor gives them when its owner calls it."""
    processor = getattr(processor, "image_processor", processor)
    if hasattr(processor, "model_input_names"):
        return processor(images=source, return_tensors="pt")["pixel_values"]
    made = processor(source)
    made = made["pixel_values"][0] if hasattr(made, "keys") else made
    return torch.as_tensor(made).as_subclass(torch.Tensor)[None]


@pytest.mark.parametrize("kind", KINDS)
def test_pictures_are_explained_as_the_pixels_that_the_processor_gives(kind):
    make, _, _ = KINDS[kind]
    processor = make()
    one, two = picture(), picture(20, 50, seed=1)
    a = explain(tiny("vit"), [one, two], processor, method="layer_ig", n_steps=2)
    x = torch.cat([given(processor, one), given(processor, two)])
    b = explain(tiny("vit"), x, method="layer_ig", n_steps=2)
    assert torch.equal(a.logits, b.logits)
    torch.testing.assert_close(a.scores, b.scores)


@pytest.mark.parametrize("kind", KINDS)
def test_the_normalisation_is_seen_and_undone(kind):
    make, mean, std = KINDS[kind]
    processor = make()
    source = picture(16, 16)
    x = given(processor, source)
    known = measured(processor, x)
    assert known.mean == pytest.approx(tuple(mean), abs=1e-5)
    assert known.std == pytest.approx(tuple(std), rel=1e-4)
    assert not known.reversed
    colours = x.double() * torch.tensor(std).double().view(3, 1, 1) + torch.tensor(mean).double().view(3, 1, 1)
    shown = images.shown(x, known)[0].double() / 255
    assert float((shown - colours[0].permute(1, 2, 0).clamp(0, 1)).abs().max()) < 3e-3
    torch.testing.assert_close(
        images.black(x, known), given(processor, Image.new("RGB", (16, 16))), atol=1e-4, rtol=1e-4
    )


def test_channels_in_the_order_blue_green_red_are_shown_in_their_colours():
    from transformers import MobileViTImageProcessor

    processor = MobileViTImageProcessor(do_resize=False, do_center_crop=False)
    source = picture(16, 16)
    x = given(processor, source)
    known = measured(processor, x)
    assert known.reversed
    assert np.array_equal(images.shown(x, known)[0].numpy(), np.asarray(source))


@pytest.mark.parametrize(
    "processor",
    [
        None,
        "a name",
        lambda p: transforms.ToTensor()(p) ** 2,
        lambda p: (transforms.ToTensor()(p) - transforms.ToTensor()(p).mean()) / transforms.ToTensor()(p).std(),
        lambda p: torch.zeros(3, 16, 16),
        lambda text: [1, 2],
    ],
)
def test_what_is_no_known_normalisation(processor):
    assert measured(processor, torch.zeros(1, 3, 16, 16)) is None


def test_padding_does_not_hide_the_normalisation():
    padded = transforms.Compose(
        [transforms.ToTensor(), transforms.Normalize(MEAN, STD), transforms.Pad((0, 0, 90, 90))]
    )
    known = measured(padded, torch.zeros(1, 3, 16, 16))
    assert known.mean == pytest.approx(MEAN, abs=1e-5)


def test_looking_at_a_processor_draws_no_random_numbers():
    torch.manual_seed(3)
    wanted = torch.rand(2)
    torch.manual_seed(3)
    flip = transforms.Compose([transforms.RandomHorizontalFlip(), transforms.ToTensor()])
    assert measured(flip, torch.zeros(1, 3, 16, 16)) is not None
    assert torch.equal(torch.rand(2), wanted)


@pytest.mark.parametrize(
    ("kind", "black", "mean"),
    [("transformers", True, True), ("do_normalize", True, False), ("do_rescale", True, False), ("siglip", True, True)],
)
def test_black_and_mean_are_what_they_say_or_are_refused(kind, black, mean):
    explainer = Explainer(tiny("vit"), KINDS[kind][0](), method="layer_ig", n_steps=2)
    dark = given(explainer.processor, Image.new("RGB", (16, 16)))
    assert black
    found = explainer(picture(), baselines="black")
    wanted = explainer(picture(), baselines=dark)
    torch.testing.assert_close(found.scores, wanted.scores, atol=1e-4, rtol=1e-3)
    if mean:
        zeros = explainer(picture(), baselines=torch.zeros(3, 16, 16))
        torch.testing.assert_close(explainer(picture(), baselines="mean").scores, zeros.scores)
    else:
        with pytest.raises(ValueError, match=r'baselines: "mean" is the colour that the processor subtracts'):
            explainer(picture(), baselines="mean")


def test_mean_of_pixels_that_seem_not_normalised_is_said():
    with pytest.warns(UserWarning, match="zero may be black"):
        explain(tiny("vit"), torch.rand(1, 3, 16, 16), baselines="mean", method="layer_ig", n_steps=2)


@pytest.mark.parametrize(
    ("processor", "why"),
    [
        (transforms.Resize(16), "returns Image for a picture, and no tensor"),
        (transforms.PILToTensor(), r"gives torch.uint8 pixels"),
        (transforms.ToTensor(), "cannot make one batch of 2 pictures"),
        (lambda p: torch.zeros(5, 3, 16, 16), r"\[2, 5, 3, 16, 16\].*crops and tiles are explained one by one"),
        (lambda text: {"input_ids": [1]}, "KeyError"),
    ],
)
def test_processors_that_give_no_batch_of_pixels(processor, why):
    sizes = ((40, 25), (20, 20)) if isinstance(processor, transforms.ToTensor) else ((40, 25), (40, 25))
    with pytest.raises(ValueError, match=rf"processor: .*{why}"):
        processed([picture(*size) for size in sizes], processor)


def test_no_processor():
    with pytest.raises(TypeError, match="processor: expected an image processor or a function"):
        processed([picture()], "google/vit-base")
    with pytest.raises(TypeError, match="a picture needs the model's processor"):
        processed([picture()], None)


class WithMore:
    """A processor that makes another argument beside the pixels."""

    model_input_names = ("pixel_values",)

    def __init__(self, **more):
        self.more = more

    def __call__(self, images, return_tensors):
        made = hugging_face()(images=images, return_tensors=return_tensors)
        return {**made, **{k: v.expand(len(images), *v.shape) for k, v in self.more.items()}}


class Masked(torch.nn.Module):
    """A classifier that reads a mask of pixels."""

    def __init__(self):
        super().__init__()
        self.vit = tiny("vit")

    def forward(self, pixel_values, pixel_mask):
        return self.vit(pixel_values * pixel_mask[:, None]).logits


def test_other_arguments_of_the_processor_reach_the_model():
    mask = torch.ones(16, 16, dtype=torch.int64)
    mask[12:] = 0
    a = explain(Masked().eval(), picture(), WithMore(pixel_mask=mask), method="layer_ig", n_steps=2)
    x = given(hugging_face(), picture())
    wanted = tiny("vit")(x * mask).logits
    torch.testing.assert_close(a.logits, wanted.detach())


def test_an_argument_that_the_model_does_not_take_is_refused_unless_it_says_nothing():
    class Plain(Masked):
        def forward(self, pixel_values):
            return self.vit(pixel_values).logits

    model, mask = Plain().eval(), torch.ones(16, 16, dtype=torch.int64)
    assert explain(model, picture(), WithMore(pixel_mask=mask), method="layer_ig", n_steps=2).grid.rows == 4
    with pytest.raises(
        ValueError, match=r"processor: it makes \['pixel_mask'\], which the model's forward does not take"
    ):
        explain(model, picture(), WithMore(pixel_mask=mask * 0), method="layer_ig")


def test_channels_that_a_processor_tells():
    assert channels(hugging_face()) == 3
    assert channels(Both()) == 3
    assert channels(compose(transforms.Normalize((0.5,), (0.5,)))) == 1
    assert channels(timm_transform()) == 3
    assert channels(preset()) == 3
    assert channels(compose()) is None
    assert channels(None) is None


def test_a_model_of_one_channel_is_given_grey_pictures():
    from transformers import ViTConfig, ViTForImageClassification

    model = seeded(ViTForImageClassification(ViTConfig(**PICTURE, num_channels=1)))
    grey = compose(transforms.Normalize((0.5,), (0.25,)))
    a = explain(model, picture(), grey, method="layer_ig", n_steps=2)
    b = explain(model, grey(picture().convert("L"))[None], method="layer_ig", n_steps=2)
    assert torch.equal(a.logits, b.logits)
    assert (a.images[..., 0] == a.images[..., 2]).all()


def test_random_steps_are_said():
    from timm.data import create_transform

    random = transforms.Compose([transforms.Resize((16, 16)), transforms.RandomHorizontalFlip(), transforms.ToTensor()])
    for processor in (random, create_transform((3, 16, 16), is_training=True)):
        with pytest.warns(UserWarning, match="it has random steps"):
            processed([picture()], processor)
