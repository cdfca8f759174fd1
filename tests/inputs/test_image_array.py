"""Arrays and tensors as pictures, and as pixels of the model."""

import numpy as np
import pytest
import torch
from PIL import Image

from calig_fast.inputs.image_array import as_pixels, is_array, is_pixels, pictures

COLOURS = np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8)


def read(value, channels=3):
    return [np.asarray(p) for p in pictures(value, channels, "the picture")]


@pytest.mark.parametrize(
    "value",
    [
        COLOURS,
        COLOURS[:, ::-1][:, ::-1],
        np.ascontiguousarray(COLOURS.transpose(2, 0, 1)),
        COLOURS.astype(np.int64),
        COLOURS.astype(np.float32),
        COLOURS / 255,
        COLOURS.astype(np.uint16) * 257,
        COLOURS[None],
        torch.from_numpy(COLOURS.copy()),
        torch.from_numpy(COLOURS.copy()).permute(2, 0, 1),
        torch.from_numpy(COLOURS.copy()).permute(2, 0, 1)[None],
    ],
)
def test_one_picture_in_every_layout(value):
    (found,) = read(value)
    assert np.array_equal(found, COLOURS)


def test_grey_pictures_and_batches():
    grey = COLOURS[..., 0]
    for value in (grey, grey[..., None], grey[None]):
        assert np.array_equal(read(value)[0], np.repeat(grey[..., None], 3, axis=-1))
        assert np.array_equal(read(value, 1)[0], grey)
    assert np.array_equal(read(grey > 100, 1)[0], (grey > 100) * np.uint8(255))
    assert [np.array_equal(a, COLOURS) for a in read(np.stack([COLOURS, COLOURS, 255 - COLOURS]))] == [
        True,
        True,
        False,
    ]


def test_a_fourth_channel_is_transparency():
    clear = np.concatenate([COLOURS, np.zeros_like(COLOURS[..., :1])], axis=-1)
    with pytest.warns(UserWarning, match="transparent"):
        assert read(clear)[0].min() == 255
    assert np.array_equal(read(np.concatenate([COLOURS, np.full_like(COLOURS[..., :1], 255)], axis=-1))[0], COLOURS)


def test_a_tensor_is_read_channels_first_where_an_array_is_refused():
    both = np.arange(3 * 5 * 3, dtype=np.uint8).reshape(3, 5, 3)
    with pytest.raises(ValueError, match="both the first and the last axis could be the channels"):
        read(both)
    assert np.array_equal(read(torch.from_numpy(both))[0], np.moveaxis(both, 0, -1))


@pytest.mark.parametrize("shape", [(5,), (6, 8, 2), (2, 6, 8, 5), (1, 2, 6, 8, 3), (0, 4), (4, 0, 3)])
def test_other_shapes_are_refused(shape):
    with pytest.raises(ValueError, match=r"has shape .* expected a picture \[H,W\], \[H,W,C\] or \[C,H,W\]"):
        read(np.zeros(shape, np.uint8))


def test_floats_with_the_channels_first_are_pixels():
    assert is_pixels(np.zeros((3, 6, 8), np.float32), 3, "it")
    assert is_pixels(np.zeros((2, 1, 6, 8)), 1, "it")
    assert is_pixels(torch.zeros(3, 6, 3), 3, "it")
    assert not is_pixels(np.zeros((6, 8, 3)), 3, "it")
    assert not is_pixels(np.zeros((6, 8)), 3, "it")
    assert not is_pixels(np.zeros((3, 6, 8), np.uint8), 3, "it")
    assert not is_pixels(torch.zeros(3, 6, 8, dtype=torch.uint8), 3, "it")
    with pytest.raises(ValueError, match="could be the channels"):
        is_pixels(np.zeros((3, 6, 3)), 3, "it")


def test_pixels_of_any_memory_layout_become_a_tensor():
    value = np.random.default_rng(1).normal(size=(3, 6, 8))
    for given in (value, value[:, ::-1][:, ::-1], value.astype(">f8"), value.astype(np.longdouble)):
        torch.testing.assert_close(as_pixels(given), torch.from_numpy(value))


def test_what_is_an_array_of_numbers():
    assert is_array(COLOURS)
    assert is_array(torch.zeros(1))
    assert not is_array(np.array(["a.png"]))
    assert not is_array(np.array([None], dtype=object))
    assert not is_array(Image.new("L", (2, 2)))
