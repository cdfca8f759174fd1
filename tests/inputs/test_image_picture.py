"""Pictures of every mode, and in files: what the model is shown of them, and what is refused."""

import numpy as np
import pytest
import torch
from helpers.tiny_models import tiny
from PIL import Image, ImageOps

from calig_fast import explain
from calig_fast.inputs.image_picture import eight_bit_picture, is_image, read_file

RAMP = np.linspace(0, 1, 256).reshape(16, 16)
GREY = np.rint(RAMP * 255).astype(np.uint8)
EIGHT_BITS = ["1", "L", "LA", "La", "P", "PA", "RGB", "RGBX", "RGBA", "RGBa", "CMYK", "YCbCr", "LAB", "HSV"]


def picture(width=16, height=16, seed=0):
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


def colours(value, channels=3):
    return np.asarray(eight_bit_picture(value, channels, "the picture"))


def deep(mode, top=65535):
    values = np.rint(RAMP * top)
    if mode.startswith("I;16"):
        order = ">u2" if mode.endswith("B") else "<u2"
        return Image.frombytes(mode, (16, 16), values.astype(order).tobytes())
    return Image.fromarray(values.astype(np.int32) if mode == "I" else (RAMP * top).astype(np.float32))


def test_what_is_a_picture():
    assert is_image(picture())
    assert not is_image(np.zeros((4, 4, 3)))
    assert not is_image("picture.png")


@pytest.mark.parametrize("mode", EIGHT_BITS)
def test_modes_of_eight_bits_become_rgb_as_pillow_converts_them(mode):
    made = picture().convert(mode)
    wanted = made.convert("LA").convert("RGB") if mode == "La" else made.convert("RGB")
    assert np.array_equal(colours(made), np.asarray(wanted))
    assert np.array_equal(colours(made, 1), np.asarray(wanted.convert("L")))


@pytest.mark.parametrize(
    ("mode", "top"),
    [("I;16", 65535), ("I;16L", 65535), ("I;16B", 65535), ("I", 65535), ("I", 255), ("F", 1), ("F", 255), ("F", 65535)],
)
def test_deep_modes_are_scaled_by_their_range(mode, top):
    made = deep(mode, top)
    assert made.mode == mode
    found = colours(made)
    assert found.shape == (16, 16, 3)
    assert np.array_equal(found[..., 1], GREY)
    assert np.array_equal(colours(made, 1), GREY)


@pytest.mark.parametrize(
    ("mode", "top"), [("I;16", 4095), ("I;16", 255), ("I", 4095), ("I", 1), ("I", 1 << 20), ("F", 1.3), ("F", 300)]
)
def test_a_deep_picture_whose_range_is_not_clear_is_refused(mode, top):
    with pytest.raises(ValueError, match=r"inputs: the picture has values from 0 .* scale it yourself"):
        colours(deep(mode, top))


def test_a_black_picture_is_black_in_any_mode():
    for mode in (*EIGHT_BITS, "I;16", "I;16B", "I", "F"):
        filled = 255 if mode in ("LA", "La", "PA", "RGBA", "RGBa") else None
        made = Image.new("RGB", (16, 16)).convert(mode) if mode in EIGHT_BITS else Image.new(mode, (16, 16))
        assert filled is None or made.getchannel(len(made.getbands()) - 1).getextrema() == (255, 255)
        assert colours(made).max() <= 1, mode


@pytest.mark.parametrize("mode", ["LA", "La", "RGBA", "RGBa"])
def test_transparent_pixels_are_shown_over_white_and_said(mode):
    made = Image.new(mode, (16, 16), (0,) * len(Image.new(mode, (1, 1)).getbands()))
    with pytest.warns(UserWarning, match="transparent in places, and the model is shown white there"):
        assert colours(made).min() == 255
    half = Image.new("RGBA", (16, 16), (255, 0, 0, 128))
    with pytest.warns(UserWarning, match="transparent"):
        assert colours(half)[0, 0].tolist() == [255, 127, 127]


def test_a_transparent_colour_of_a_palette_is_white(tmp_path):
    made = Image.fromarray(np.repeat([[0, 1]], 16, axis=0).repeat(8, axis=1).astype(np.uint8), mode="P")
    made.putpalette([10, 20, 30, 40, 50, 60])
    made.save(tmp_path / "palette.png", transparency=0)
    with Image.open(tmp_path / "palette.png") as again, pytest.warns(UserWarning, match="transparent"):
        found = colours(again)
    assert found[0, 0].tolist() == [255, 255, 255]
    assert found[0, -1].tolist() == [40, 50, 60]


def test_the_orientation_of_a_photograph_is_heeded(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    picture(24, 10).save(tmp_path / "turned.png", exif=exif)
    with Image.open(tmp_path / "turned.png") as made:
        wanted = np.asarray(ImageOps.exif_transpose(made))
        assert np.array_equal(colours(made), wanted)
        assert made.size == (24, 10)
    assert wanted.shape == (24, 10, 3)
    assert np.array_equal(np.asarray(read_file(tmp_path / "turned.png", "the picture")), wanted)


@pytest.mark.parametrize("suffix", ["gif", "png", "tif", "webp"])
def test_several_frames_are_refused_and_one_is_taken(tmp_path, suffix):
    path = tmp_path / f"frames.{suffix}"
    picture().save(path, save_all=True, append_images=[picture(seed=1)])
    with pytest.raises(ValueError, match=r"holds 2 frames, and the model reads one; pick it"):
        read_file(path, "picture 3")
    with Image.open(path) as made:
        with pytest.raises(ValueError, match="holds 2 frames"):
            colours(made)
        made.seek(1)
        assert colours(made.convert("RGB")).shape == (16, 16, 3)
    picture().save(tmp_path / f"one.{suffix}")
    assert read_file(tmp_path / f"one.{suffix}", "it").size == (16, 16)


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_sixteen_bits_from_a_file(tmp_path, suffix):
    path = tmp_path / f"deep.{suffix}"
    deep("I;16").save(path)
    assert np.array_equal(colours(read_file(path, "it"))[..., 0], GREY)


def test_files_that_are_no_pictures_are_refused_by_their_index(tmp_path):
    good, text, cut = tmp_path / "good.png", tmp_path / "text.png", tmp_path / "cut.png"
    picture().save(good)
    text.write_text("no picture")
    cut.write_bytes(good.read_bytes()[:400])
    model, shape = tiny("vit"), {"height": 16, "width": 16}
    from transformers import ViTImageProcessor

    processor = ViTImageProcessor(size=shape)
    for wrong, why in ((text, "cannot be read"), (cut, "cannot be read"), (tmp_path, "is no file"), ("x.png", "is no")):
        with pytest.raises(ValueError, match=rf"inputs: picture 1, .*{why}"):
            explain(model, [good, wrong], processor)
    for wrong in ("a text " * 1000, "a\0b", "https://example.org/cat.png"):
        with pytest.raises(ValueError, match="is no file"):
            explain(model, wrong, processor)
    found = explain(model, [str(good), good, picture()], processor, method="gradient_x_input")
    torch.testing.assert_close(found.logits, found.logits[2:].expand(3, -1))


def test_a_picture_without_pixels_is_refused():
    with pytest.raises(ValueError, match="has no pixels"):
        colours(Image.new("RGB", (0, 4)))
